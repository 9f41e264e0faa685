//! `providers show`.

use serde_json::Value;
use sidecar_core::clock::{Clock, Timestamp};

use super::list::status;
use super::patch::MAPPINGS;
use super::{Session, path};
use crate::error::Error;
use crate::output::{lines, plain};

pub(super) async fn run(provider: &str, session: &mut Session<'_, '_>) -> Result<(), Error> {
    let answer = session.remote.get(&path(provider)).await?;
    let now = Clock::system().wall();
    session.print(&answer, |answer| details(answer, now))
}

fn details(provider: &Value, now: Timestamp) -> Result<String, Error> {
    let fields = provider.as_object().ok_or(Error::Incomplete("provider"))?;
    let known = FIRST.iter().filter_map(|name| fields.get_key_value(*name));
    let others = fields.iter().filter(|(name, _)| !FIRST.contains(&name.as_str()));
    let mut pairs = Vec::new();
    for (name, value) in known.chain(others) {
        match value {
            _ if name == MAPPINGS => {}
            Value::Object(parts) if NESTED.contains(&name.as_str()) => {
                let part =
                    |(part, value): (&String, &Value)| (format!("{name}.{part}"), plain(value));
                pairs.extend(parts.iter().map(part));
            }
            _ if name == "status" => pairs.push((name.clone(), status(provider, now))),
            value => pairs.push((name.clone(), plain(value))),
        }
    }
    if let Some(Value::Object(models)) = fields.get(MAPPINGS) {
        pairs
            .extend(models.iter().map(|(name, mapping)| (format!("model {name}"), model(mapping))));
    }
    Ok(lines(&pairs))
}

/// A mapping in short; `--json` has all of it.
fn model(mapping: &Value) -> String {
    let mut parts = Vec::new();
    if let Some(native) = mapping.get("native_id").filter(|native| !native.is_null()) {
        parts.push(plain(native));
    }
    for (name, shown) in [("context_window", "context"), ("max_tokens", "answer")] {
        if let Some(tokens) = mapping.get(name).and_then(Value::as_u64) {
            parts.push(format!("{shown} {tokens} tokens"));
        }
    }
    let price = |name: &str| mapping.get("cost")?.get(name)?.as_f64();
    match (price("input"), price("output")) {
        (None, None) => parts.push("unpriced".to_owned()),
        (input, output) => {
            let [input, output] = [input, output].map(|usd| per_mtok(usd.unwrap_or(0.0)));
            parts.push(format!("{input} in, {output} out USD per million tokens"));
        }
    }
    parts.join("; ")
}

/// USD per million tokens of a price per token.
fn per_mtok(usd: f64) -> String {
    let text = format!("{:.6}", usd * 1e6);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The fields people look for first, in order; whatever else there is comes after them.
const FIRST: [&str; 22] = [
    "name",
    "id",
    "label",
    "status",
    "enabled",
    "cooldown_until",
    "consecutive_429_count",
    "pool",
    "api_base_url",
    "api_key",
    "api",
    "account",
    "rpm_limit",
    "limit_shape",
    "burst",
    "timeout_seconds",
    "first_token_timeout_seconds",
    "idle_timeout_seconds",
    "drain",
    "http2",
    "health",
    "rate_limiter",
];

/// Objects whose fields get a line each.
const NESTED: [&str; 2] = ["health", "rate_limiter"];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_field_has_a_line_and_the_models_come_last() {
        let provider = json!({
            "id": "1", "name": "nim\u{1b}", "label": null, "status": "healthy", "enabled": true,
            "health": {"state": "healthy", "last_latency_ms": 412}, "metadata": {"team": "a"},
            "future": 1,
            "model_mappings": {"llama": {"native_id": "meta/llama", "context_window": 131_072,
                                         "cost": {"input": 1.5e-7, "output": 6e-7}},
                               "qwen": {}},
        });
        let text = details(&provider, Timestamp::from_millis(0)).unwrap();
        let expected = "\
name:                    nim\\u{1b}
id:                      1
label:                   -
status:                  healthy
enabled:                 true
health.last_latency_ms:  412
health.state:            healthy
future:                  1
metadata:                {\"team\":\"a\"}
model llama:             meta/llama; context 131072 tokens; 0.15 in, 0.6 out USD per million tokens
model qwen:              unpriced";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_price_is_shown_without_needless_digits() {
        for (usd, shown) in [(0.0, "0"), (3e-6, "3"), (1.5e-7, "0.15"), (1e-5, "10")] {
            assert_eq!(per_mtok(usd), shown);
        }
    }
}
