//! `cooldowns`: the last rests that began.

use std::collections::BTreeMap;

use serde_json::Value;

use super::usage::provider_names;
use super::{Session, list};
use crate::args::CooldownsArgs;
use crate::error::Error;
use crate::output::{field, table};
use crate::remote::segment;

pub(super) async fn run(args: &CooldownsArgs, session: &mut Session<'_, '_>) -> Result<(), Error> {
    let mut path = format!("/stats/cooldown?limit={}", args.limit);
    if let Some(provider) = &args.provider {
        path.push_str("&backend_id=");
        path.push_str(&segment(provider));
    }
    let answer = session.remote.get(&path).await?;
    if session.json {
        return session.print(&answer, |_| Ok(String::new()));
    }
    if list(&answer, EVENTS)?.is_empty() {
        session.console.note("no cooldowns are on record");
        return Ok(());
    }
    let names = provider_names(session).await?;
    session.print(&answer, |answer| Ok(overview(list(answer, EVENTS)?, &names)))
}

fn overview(events: &[Value], names: &BTreeMap<String, String>) -> String {
    let rows = events.iter().map(|event| {
        let id = field(event, "backend_id");
        [
            field(event, "at"),
            names.get(&id).cloned().unwrap_or(id),
            field(event, "model"),
            field(event, "scope"),
            field(event, "reason"),
            field(event, "level"),
            length(event),
            field(event, "source"),
            field(event, "until"),
        ]
    });
    table(
        ["AT", "PROVIDER", "MODEL", "SCOPE", "REASON", "LEVEL", "LENGTH", "SOURCE", "UNTIL"],
        rows,
    )
}

fn length(event: &Value) -> String {
    let millis = event.get("duration_ms").and_then(Value::as_u64);
    millis.map_or_else(|| "-".to_owned(), |millis| format!("{}s", millis.div_ceil(1_000)))
}

const EVENTS: &str = "events";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_removed_provider_is_shown_by_its_id() {
        let event = |id: &str| {
            json!({
                "at": "2026-01-01T00:00:00Z", "backend_id": id, "model": "llama",
                "scope": "quota", "reason": "rate_limited", "source": "heuristic", "level": 2,
                "duration_ms": 59_001, "until": "2026-01-01T00:01:00Z",
            })
        };
        let names = BTreeMap::from([("1".to_owned(), "nim".to_owned())]);
        assert_eq!(
            overview(&[event("1"), event("gone")], &names),
            "AT                    PROVIDER  MODEL  SCOPE  REASON        LEVEL  LENGTH  SOURCE     UNTIL\n\
             2026-01-01T00:00:00Z  nim       llama  quota  rate_limited  2      60s     heuristic  2026-01-01T00:01:00Z\n\
             2026-01-01T00:00:00Z  gone      llama  quota  rate_limited  2      60s     heuristic  2026-01-01T00:01:00Z"
        );
    }
}
