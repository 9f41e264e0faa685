//! `explain`: why a request made now would go where it would go.

use serde_json::Value;

use super::{Session, list};
use crate::args::Explain;
use crate::error::Error;
use crate::escape::escape_short;
use crate::output::{field, table};
use crate::remote::segment;

pub(super) async fn run(wanted: &Explain, session: &mut Session<'_, '_>) -> Result<(), Error> {
    let mut path = format!("/explain?model={}", segment(&wanted.model));
    for (name, value) in [("caller", &wanted.caller), ("api", &wanted.api)] {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", segment(value)));
        }
    }
    let explanation = session.remote.get(&path).await?;
    session.print(&explanation, overview)
}

fn overview(explanation: &Value) -> Result<String, Error> {
    let outcome = field(explanation, "outcome");
    let mut text = format!("A request made now: {}.\n\n", escape_short(&outcome, MOST_TEXT));
    let mut rows = Vec::new();
    for pool in list(explanation, "pools")? {
        for candidate in list(pool, "candidates")? {
            let slots = format!("{}/{}", field(candidate, "free_slots"), field(candidate, "rpm"));
            rows.push([
                field(pool, "pool"),
                field(candidate, "provider"),
                field(candidate, "native_id"),
                readiness(candidate),
                slots,
                field(candidate, "in_flight"),
                cells(candidate),
            ]);
        }
    }
    for excluded in list(explanation, "excluded")? {
        let (none, reason) = ("-".to_owned(), field(excluded, "reason"));
        let provider = field(excluded, "provider");
        rows.push([none.clone(), provider, none.clone(), reason, none.clone(), none.clone(), none]);
    }
    let header = ["POOL", "PROVIDER", "NATIVE ID", "READY", "SLOTS", "IN FLIGHT", "CELLS"];
    text.push_str(&table(header, rows));
    Ok(text)
}

fn readiness(candidate: &Value) -> String {
    match candidate.get("ready_in_ms").and_then(Value::as_u64) {
        None => "now".to_owned(),
        Some(wait) => {
            let promising = candidate.get("worth_waiting").and_then(Value::as_bool);
            let doubt = if promising == Some(false) { " at best" } else { "" };
            format!("in {}.{} s{doubt}", wait / 1_000, wait % 1_000 / 100)
        }
    }
}

fn cells(candidate: &Value) -> String {
    let cells = candidate.get("cells").and_then(Value::as_array);
    let each = cells.into_iter().flatten().map(|cell| {
        format!("{} {} x{}", field(cell, "scope"), field(cell, "reason"), field(cell, "level"))
    });
    let text = each.collect::<Vec<_>>().join(", ");
    if text.is_empty() { "-".to_owned() } else { text }
}

const MOST_TEXT: usize = 200;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_candidate_and_every_excluded_provider_has_a_row() {
        let text = overview(&json!({
            "outcome": "sent to one at once",
            "pools": [{"pool": "primary", "candidates": [
                {"provider": "one", "native_id": "v/m", "ready": true, "free_slots": 3, "rpm": 40,
                 "in_flight": 1, "cells": []},
                {"provider": "two", "native_id": "m", "ready": false, "ready_in_ms": 12_340,
                 "worth_waiting": false, "free_slots": 40, "rpm": 40, "in_flight": 0,
                 "cells": [{"scope": "origin", "reason": "unreachable", "level": 2}]},
            ]}],
            "excluded": [{"provider": "three", "reason": "is disabled"}],
        }))
        .unwrap();
        assert!(text.starts_with("A request made now: sent to one at once.\n"));
        assert!(text.contains("in 12.3 s at best") && text.contains("origin unreachable x2"));
        assert!(text.contains("three") && text.contains("is disabled"));
    }
}
