//! `providers list`.

use serde_json::Value;
use sidecar_core::clock::{Clock, Timestamp};

use super::patch::MAPPINGS;
use super::{LIST, PROVIDERS, Session, list_of};
use crate::error::Error;
use crate::output::{field, table};
use crate::relative::until;

pub(super) async fn run(session: &mut Session<'_, '_>) -> Result<(), Error> {
    let answer = session.remote.get(PROVIDERS).await?;
    if list_of(&answer, LIST)?.is_empty() && !session.json {
        session.console.note(
            "there are no providers yet; add one with `sidecar-cli providers add NAME --base-url \
             URL --model '*'`",
        );
        return Ok(());
    }
    let now = Clock::system().wall();
    session.print(&answer, |answer| Ok(overview(list_of(answer, LIST)?, now)))
}

fn overview(providers: &[Value], now: Timestamp) -> String {
    let rows = providers.iter().map(|provider| {
        [
            field(provider, "name"),
            field(provider, "pool"),
            status(provider, now),
            field(provider, "rpm_limit"),
            models(provider),
            field(provider, "api_base_url"),
            field(provider, "api_key"),
        ]
    });
    table(["NAME", "POOL", "STATUS", "RPM", "MODELS", "BASE URL", "KEY"], rows)
}

/// The status, and how long a cooldown still takes or what is wrong with the key.
pub(super) fn status(provider: &Value, now: Timestamp) -> String {
    let status = field(provider, "status");
    let left = provider.get("cooldown_until").and_then(|at| until(at, now));
    match left {
        Some(left) if status == "cooling" => format!("cooling, {left} left"),
        _ if status == "error" => match field(provider, "status_reason").as_str() {
            "-" => status,
            reason => format!("{status}: {reason}"),
        },
        _ => status,
    }
}

/// The first names, and how many more there are: some providers serve hundreds.
fn models(provider: &Value) -> String {
    let Some(Value::Object(models)) = provider.get(MAPPINGS) else { return "-".to_owned() };
    if models.is_empty() {
        return "none".to_owned();
    }
    let names: Vec<&str> = models.keys().take(SHOWN_MODELS).map(String::as_str).collect();
    match models.len() - names.len() {
        0 => names.join(", "),
        more => format!("{} +{more}", names.join(", ")),
    }
}

/// How many models of a provider are named in the list.
const SHOWN_MODELS: usize = 2;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    // 2026-01-01T00:00:00Z
    const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);

    #[test]
    fn a_provider_is_one_line() {
        let providers = [
            json!({
                "name": "nim", "pool": "primary", "status": "cooling", "rpm_limit": 40,
                "cooldown_until": "2026-01-01T00:04:10Z", "api_key": "nvapi-****cdef",
                "api_base_url": "https://h/v1", "model_mappings": {"a": {}, "b": {}, "c": {}},
            }),
            json!({
                "name": "groq", "pool": "fallback", "status": "healthy", "rpm_limit": 30,
                "cooldown_until": null, "api_key": "gs****", "api_base_url": "https://g",
                "model_mappings": {},
            }),
        ];
        assert_eq!(
            overview(&providers, NOW),
            "NAME  POOL      STATUS                RPM  MODELS   BASE URL      KEY\n\
             nim   primary   cooling, 4m 10s left  40   a, b +1  https://h/v1  nvapi-****cdef\n\
             groq  fallback  healthy               30   none     https://g     gs****"
        );
    }

    #[test]
    fn a_cooldown_that_is_over_is_not_shown() {
        let provider = json!({"status": "cooling", "cooldown_until": "2025-12-31T23:59:59Z"});
        assert_eq!(status(&provider, NOW), "cooling");
        let provider = json!({"status": "disabled", "cooldown_until": "2026-01-01T00:04:10Z"});
        assert_eq!(status(&provider, NOW), "disabled");
        let provider = json!({"status": "error", "status_reason": "auth"});
        assert_eq!(status(&provider, NOW), "error: auth");
    }

    #[test]
    fn a_provider_of_another_version_is_listed_as_far_as_it_goes() {
        let text = overview(&[json!({"name": "nim"})], NOW);
        assert!(text.ends_with("nim   -     -       -    -       -         -"), "{text}");
    }
}
