//! `providers enable`, `disable`, `remove`, `test` and `reset`.

use serde_json::{Value, json};

use super::{Session, path};
use crate::error::Error;
use crate::escape::escape;
use crate::output::field;
use crate::remote::payload;

pub(super) async fn switch(
    provider: &str,
    enabled: bool,
    session: &mut Session<'_, '_>,
) -> Result<(), Error> {
    let body = payload(&json!({"enabled": enabled}));
    let changed = session.remote.put(&path(provider), body).await?;
    session.print(&changed, |changed| Ok(state(changed)))
}

pub(super) async fn reset(provider: &str, session: &mut Session<'_, '_>) -> Result<(), Error> {
    let answer = session.remote.post(&format!("{}/reset", path(provider)), None).await?;
    session.print(&answer, |answer| Ok(state(answer)))
}

pub(super) async fn remove(provider: &str, session: &mut Session<'_, '_>) -> Result<(), Error> {
    session.remote.delete(&path(provider)).await?;
    // The API answers nothing; a script still gets JSON.
    session.print(&json!({"removed": provider}), |_| Ok(format!("removed {}", escape(provider))))
}

/// A provider that does not pass makes the command fail.
pub(super) async fn test(
    provider: &str,
    model: Option<&str>,
    session: &mut Session<'_, '_>,
) -> Result<(), Error> {
    let body = model.map(|model| payload(&json!({"model": model})));
    let report = session.remote.post(&format!("{}/test", path(provider)), body).await?;
    session.print(&report, |report| Ok(outcome(provider, report)))?;
    if passed(&report) { Ok(()) } else { Err(Error::Reported) }
}

fn state(provider: &Value) -> String {
    let (name, status) = (field(provider, "name"), field(provider, "status"));
    escape(&format!("{name} is {status}")).into_owned()
}

fn outcome(provider: &str, report: &Value) -> String {
    let result = if passed(report) { "ok" } else { "failed" };
    let status = match report.get("status") {
        Some(Value::Null) | None => "no answer".to_owned(),
        Some(status) => format!("status {status}"),
    };
    let mut text = format!("{provider}: {result}, {status}");
    for (name, before, after) in
        [("latency_ms", " after ", " ms"), ("model", ", model ", ""), ("verdict", ", verdict ", "")]
    {
        if report.get(name).is_some_and(|value| !value.is_null()) {
            text.push_str(before);
            text.push_str(&field(report, name));
            text.push_str(after);
        }
    }
    escape(&text).into_owned()
}

fn passed(report: &Value) -> bool {
    report.get("ok").and_then(Value::as_bool).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outcome_of_a_test_is_one_line() {
        let report = json!({"ok": true, "status": 200, "latency_ms": 412, "verdict": "accept",
                            "model": "llama"});
        assert_eq!(
            outcome("nim", &report),
            "nim: ok, status 200 after 412 ms, model llama, verdict accept"
        );
        let report = json!({"ok": false, "status": null, "latency_ms": 5000, "verdict": "cool",
                            "model": null});
        assert_eq!(outcome("nim", &report), "nim: failed, no answer after 5000 ms, verdict cool");
    }

    #[test]
    fn an_answer_without_an_outcome_is_a_failure() {
        assert!(!passed(&json!({})));
        assert!(!passed(&Value::Null));
    }
}
