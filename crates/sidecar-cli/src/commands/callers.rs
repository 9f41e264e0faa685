//! `callers`: who may use the proxy, and how much.

use serde_json::{Map, Value, json};

use super::{Session, list};
use crate::args::{CallerAdd, CallerFields, CallerSet, CallersCommand};
use crate::error::Error;
use crate::escape::{escape, escape_short};
use crate::output::{field, table};
use crate::remote::{payload, segment};

pub(super) async fn run(
    command: &CallersCommand,
    session: &mut Session<'_, '_>,
) -> Result<(), Error> {
    match command {
        CallersCommand::List => show(session).await,
        CallersCommand::Add(caller) => add(caller, session).await,
        CallersCommand::Set(change) => set(change, session).await,
        CallersCommand::Remove(target) => remove(&target.caller, session).await,
        CallersCommand::Roll { target, overlap } => roll(&target.caller, *overlap, session).await,
    }
}

async fn show(session: &mut Session<'_, '_>) -> Result<(), Error> {
    let answer = session.remote.get(CALLERS).await?;
    if list(&answer, LIST)?.is_empty() && !session.json {
        let text = "there are no callers yet; add one with `sidecar-cli callers add NAME`";
        session.console.note(text);
        return Ok(());
    }
    session.print(&answer, |answer| Ok(overview(list(answer, LIST)?)))
}

async fn add(add: &CallerAdd, session: &mut Session<'_, '_>) -> Result<(), Error> {
    let mut fields = given(&add.fields);
    fields.insert("name".to_owned(), add.name.as_str().into());
    if add.disabled {
        fields.insert("enabled".to_owned(), false.into());
    }
    let added = session.remote.post(CALLERS, Some(payload(&fields.into()))).await?;
    hand_over(&added, session)?;
    let [name, id] = ["name", "id"].map(|name| field(&added, name));
    session.console.note(&escape_short(&format!("added {name}, id {id}; {ONCE}"), MOST_TEXT));
    Ok(())
}

async fn set(set: &CallerSet, session: &mut Session<'_, '_>) -> Result<(), Error> {
    let fields = changed(set)?;
    let body = payload(&fields.into());
    let changed = session.remote.put(&path(&set.target.caller), body).await?;
    session.print(&changed, |changed| {
        let [name, status] = ["name", "status"].map(|name| field(changed, name));
        Ok(escape(&format!("changed {name}, which is {status}")).into_owned())
    })
}

async fn remove(caller: &str, session: &mut Session<'_, '_>) -> Result<(), Error> {
    session.remote.delete(&path(caller)).await?;
    // The API answers nothing; a script still gets JSON.
    session.print(&json!({"removed": caller}), |_| Ok(format!("removed {}", escape(caller))))
}

async fn roll(
    caller: &str,
    overlap: Option<u32>,
    session: &mut Session<'_, '_>,
) -> Result<(), Error> {
    let body = overlap.map(|seconds| payload(&json!({"overlap_seconds": seconds})));
    let rolled = session.remote.post(&format!("{}/roll", path(caller)), body).await?;
    hand_over(&rolled, session)?;
    let taken_over = format!("{} has a new key; {ONCE}", field(&rolled, "name"));
    for text in [taken_over, ending(&rolled)] {
        session.console.note(&escape_short(&text, MOST_TEXT));
    }
    Ok(())
}

/// Prints the key of an answer, and for people nothing else.
fn hand_over(answer: &Value, session: &mut Session<'_, '_>) -> Result<(), Error> {
    if answer.get("key").and_then(Value::as_str).is_none() {
        return Err(Error::Incomplete("key"));
    }
    session.print(answer, |answer| Ok(escape(&field(answer, "key")).into_owned()))
}

/// Until when the key before the new one works.
fn ending(caller: &Value) -> String {
    let keys = caller.get("keys").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let old = keys.iter().find(|key| key.get("expires_at").is_some_and(|at| !at.is_null()));
    match old {
        Some(old) => {
            format!("the old key {} works until {}", field(old, "hint"), field(old, "expires_at"))
        }
        None => "no older key works any more".to_owned(),
    }
}

/// The fields that the flags give.
fn given(flags: &CallerFields) -> Map<String, Value> {
    let mut fields = Map::new();
    let texts =
        [("label", &flags.label), ("expires_at", &flags.expires), ("delivery", &flags.delivery)];
    for (field, text) in texts {
        if let Some(text) = text {
            fields.insert(field.to_owned(), text.as_str().into());
        }
    }
    for (field, number) in [
        ("rpm", flags.rpm),
        ("concurrency", flags.concurrency),
        ("weight", flags.weight),
        ("max_rounds", flags.max_rounds),
    ] {
        if let Some(number) = number {
            fields.insert(field.to_owned(), number.into());
        }
    }
    for (field, budget) in
        [("budget_daily_usd", flags.budget_daily), ("budget_monthly_usd", flags.budget_monthly)]
    {
        if let Some(budget) = budget {
            fields.insert(field.to_owned(), budget.to_string().into());
        }
    }
    if !flags.models.is_empty() {
        fields.insert("models".to_owned(), flags.models.as_slice().into());
    }
    fields
}

/// The change that the flags make.
fn changed(set: &CallerSet) -> Result<Map<String, Value>, Error> {
    let mut fields = given(&set.fields);
    if set.enable || set.disable {
        fields.insert("enabled".to_owned(), set.enable.into());
    }
    for name in &set.unset {
        let (field, nothing) = match name.as_str() {
            "models" => ("models", json!([])),
            "expires" => ("expires_at", Value::Null),
            "budget-daily" => ("budget_daily_usd", Value::Null),
            "budget-monthly" => ("budget_monthly_usd", Value::Null),
            "max-rounds" => ("max_rounds", Value::Null),
            name => (name, Value::Null),
        };
        if fields.get(field).is_some_and(|value| *value != nothing) {
            return Err(Error::Usage(format!("{name} is given and unset at the same time")));
        }
        fields.insert(field.to_owned(), nothing);
    }
    if fields.is_empty() {
        return Err(Error::Usage("there is nothing to change: give at least one flag".to_owned()));
    }
    Ok(fields)
}

fn overview(callers: &[Value]) -> String {
    let rows = callers.iter().map(|caller| {
        [
            field(caller, "name"),
            field(caller, "status"),
            field(caller, "key_hint"),
            field(caller, "rpm"),
            of_limit(live(caller, "in_flight"), field(caller, "concurrency")),
            of_limit(live(caller, "spent_today_usd"), field(caller, "budget_daily_usd")),
            of_limit(live(caller, "spent_month_usd"), field(caller, "budget_monthly_usd")),
            models(caller),
            field(caller, "label"),
        ]
    });
    let header =
        ["NAME", "STATUS", "KEY", "RPM", "IN FLIGHT", "TODAY USD", "MONTH USD", "MODELS", "LABEL"];
    table(header, rows)
}

fn live(caller: &Value, name: &str) -> String {
    field(caller.get("live").unwrap_or(&Value::Null), name)
}

/// What is used, and of how much if there is a limit.
fn of_limit(used: String, limit: String) -> String {
    if limit == "-" { used } else { format!("{used} of {limit}") }
}

/// The first names, and how many more there are.
fn models(caller: &Value) -> String {
    let Some(models) = caller.get("models").and_then(Value::as_array) else {
        return "-".to_owned();
    };
    let names: Vec<&str> = models.iter().take(SHOWN_MODELS).filter_map(Value::as_str).collect();
    match models.len().saturating_sub(SHOWN_MODELS) {
        _ if models.is_empty() => "all".to_owned(),
        0 => names.join(", "),
        more => format!("{} +{more}", names.join(", ")),
    }
}

/// Where the API keeps the caller of this name or id.
fn path(caller: &str) -> String {
    format!("{CALLERS}/{}", segment(caller))
}

/// Where the API keeps the callers, and what it calls them.
const CALLERS: &str = "/callers";
const LIST: &str = "callers";
/// How many models of a caller are named in the list.
const SHOWN_MODELS: usize = 2;
/// The longest note, in characters; a server may send anything.
const MOST_TEXT: usize = 500;
const ONCE: &str = "the key is shown only this once";

#[cfg(test)]
mod tests {
    use sidecar_core::callers::Usd;

    use super::*;
    use crate::args::CallerTarget;

    fn change(fields: CallerFields, unset: &[&str]) -> CallerSet {
        CallerSet {
            target: CallerTarget { caller: "ci".to_owned() },
            enable: false,
            disable: false,
            fields,
            unset: unset.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    #[test]
    fn only_the_flags_that_were_given_are_sent() {
        assert!(given(&CallerFields::default()).is_empty());
        let flags = CallerFields {
            rpm: Some(60),
            models: vec!["small".to_owned(), "big-*".to_owned()],
            budget_daily: Usd::parse("2.50"),
            expires: Some("2030-01-31T00:00:00Z".to_owned()),
            ..CallerFields::default()
        };
        let expected = json!({
            "rpm": 60, "models": ["small", "big-*"], "budget_daily_usd": "2.5",
            "expires_at": "2030-01-31T00:00:00Z",
        });
        assert_eq!(Value::from(given(&flags)), expected);
    }

    #[test]
    fn a_limit_is_taken_away_by_its_name() {
        let unset = ["label", "models", "expires", "budget-daily", "max-rounds", "models"];
        let fields = changed(&change(CallerFields::default(), &unset)).unwrap();
        let expected = json!({
            "label": null, "models": [], "expires_at": null, "budget_daily_usd": null,
            "max_rounds": null,
        });
        assert_eq!(Value::from(fields), expected);
    }

    #[test]
    fn a_change_that_contradicts_itself_or_is_none_is_wrong_use() {
        let rpm = CallerFields { rpm: Some(60), ..CallerFields::default() };
        for set in [change(rpm, &["rpm"]), change(CallerFields::default(), &[])] {
            assert!(matches!(changed(&set), Err(Error::Usage(_))), "{set:?}");
        }
        let disable = CallerSet { disable: true, ..change(CallerFields::default(), &[]) };
        assert_eq!(Value::from(changed(&disable).unwrap()), json!({"enabled": false}));
    }

    #[test]
    fn a_caller_is_one_line() {
        let callers = [
            json!({
                "name": "ci", "status": "active", "key_hint": "sk-sc-ab****wxyz", "rpm": 60,
                "concurrency": 8, "budget_daily_usd": "2.5", "budget_monthly_usd": null,
                "models": ["a", "b"], "label": "ci",
                "live": {"in_flight": 3, "spent_today_usd": "0.75", "spent_month_usd": "12"},
            }),
            json!({"name": "new", "status": "disabled", "models": []}),
        ];
        let lines = [
            "NAME  STATUS    KEY               \
             RPM  IN FLIGHT  TODAY USD    MONTH USD  MODELS  LABEL",
            "ci    active    sk-sc-ab****wxyz  \
             60   3 of 8     0.75 of 2.5  12         a, b    ci",
            "new   disabled  -                 \
             -    -          -            -          all     -",
        ];
        assert_eq!(overview(&callers), lines.join("\n"));
    }

    #[test]
    fn a_long_list_of_models_is_cut() {
        assert_eq!(models(&json!({"models": ["a", "b", "c"]})), "a, b +1");
        assert_eq!(models(&json!({})), "-");
    }

    #[test]
    fn the_end_of_the_old_key_is_told() {
        let caller = json!({"keys": [
            {"hint": "sk-sc-ab****wxyz", "expires_at": "2026-01-02T00:00:00Z"},
            {"hint": "sk-sc-cd****1234", "expires_at": null},
        ]});
        assert_eq!(
            ending(&caller),
            "the old key sk-sc-ab****wxyz works until 2026-01-02T00:00:00Z"
        );
        assert_eq!(ending(&json!({"keys": []})), "no older key works any more");
        assert_eq!(ending(&json!({})), "no older key works any more");
    }
}
