//! `backup`: consistent copies of the store.

use std::path::Path;

use serde_json::{Map, Value, json};
use sidecar_core::backup::{BackupError, Verified, restore, verify};
use sidecar_core::clock::Clock;

use super::{Session, list};
use crate::args::{BackupCommand, Cli, Restore, Verify};
use crate::console::Console;
use crate::error::Error;
use crate::escape::{self, escape_short};
use crate::master;
use crate::output::{field, lines, table};
use crate::token::TokenSources;

pub(super) async fn run(
    command: &BackupCommand,
    cli: &Cli,
    tokens: &TokenSources,
    console: &mut Console<'_>,
) -> Result<(), Error> {
    match command {
        BackupCommand::Create => create(&mut Session::open(cli, tokens, console)?).await,
        BackupCommand::List => show(&mut Session::open(cli, tokens, console)?).await,
        BackupCommand::Verify(wanted) => check(wanted, cli.json, console),
        BackupCommand::Restore(wanted) => put_back(wanted, cli.json, console),
    }
}

async fn create(session: &mut Session<'_, '_>) -> Result<(), Error> {
    let made = session.remote.post(BACKUP, None).await?;
    session.print(&made, |made| {
        let [name, size] = ["name", "size_bytes"].map(|name| field(made, name));
        Ok(escape::escape(&format!("made {name}, {size} bytes")).into_owned())
    })?;
    session.console.note(&escape_short(&advice(&keys_of(&made)), MOST_TEXT));
    Ok(())
}

async fn show(session: &mut Session<'_, '_>) -> Result<(), Error> {
    let answer = session.remote.get(BACKUP).await?;
    if let Some(failure) = answer.get("last_failure").filter(|failure| !failure.is_null()) {
        let [at, detail] = ["at", "detail"].map(|name| field(failure, name));
        let text = format!("at {at} no backup could be made: {detail}");
        session.console.note(&escape_short(&text, MOST_TEXT));
    }
    if list(&answer, LIST)?.is_empty() && !session.json {
        let text = "there are no backups yet; make one with `sidecar-cli backup create`";
        session.console.note(text);
        return Ok(());
    }
    session.print(&answer, |answer| Ok(overview(list(answer, LIST)?)))
}

fn overview(backups: &[Value]) -> String {
    let rows = backups.iter().map(|backup| {
        let readable = backup.get("needs_keys").is_some_and(Value::is_array);
        let keys = match keys_of(backup) {
            _ if !readable => "cannot be read".to_owned(),
            keys if keys.is_empty() => "-".to_owned(),
            keys => keys,
        };
        let [name, created, size] =
            ["name", "created_at", "size_bytes"].map(|name| field(backup, name));
        [name, created, size, keys]
    });
    table(["NAME", "CREATED", "BYTES", "NEEDS MASTER KEY"], rows)
}

fn check(wanted: &Verify, json: bool, console: &mut Console<'_>) -> Result<(), Error> {
    let keys = wanted.key_file.as_deref().map(master::from_file).transpose()?;
    let verified = verify(&wanted.file, keys.as_ref().map(|keys| &keys.ring)).map_err(refused)?;
    all_open(&verified)?;
    let mut shown = describe(&wanted.file, &verified);
    shown.insert("opens".to_owned(), keys.as_ref().map(|_| true).into());
    print(&shown, json, console)
}

fn put_back(wanted: &Restore, json: bool, console: &mut Console<'_>) -> Result<(), Error> {
    let now = Clock::system().wall();
    let restored =
        restore(&wanted.file, &wanted.to, wanted.force, now).map_err(|error| match error {
            BackupError::Exists { .. } if !wanted.force => Error::Input(format!(
                "{error}; --force takes its place and keeps it beside, under another name"
            )),
            error => refused(error),
        })?;
    let mut shown = describe(&wanted.to, &restored.verified);
    let kept = restored.kept.as_ref().map(|path| path.display().to_string());
    shown.insert("kept".to_owned(), kept.into());
    print(&shown, json, console)?;
    let keys: Vec<String> = restored.verified.needs_keys.iter().map(ToString::to_string).collect();
    let text = format!("restored; start the server with master key {}", keys.join(", "));
    console.note(&text);
    Ok(())
}

/// What is known of the file at `path`, as JSON.
pub(super) fn describe(path: &Path, verified: &Verified) -> Map<String, Value> {
    let rows: Map<String, Value> =
        verified.rows.iter().map(|(table, count)| (table.clone(), (*count).into())).collect();
    let described = json!({
        "file": path.display().to_string(),
        "store": verified.store.to_string(),
        "schema": verified.schema,
        "revision": verified.revision,
        "providers": verified.providers,
        "needs_keys": verified.needs_keys,
        "rows": rows,
    });
    match described {
        Value::Object(described) => described,
        _ => Map::new(),
    }
}

/// Prints `shown` as JSON, or as lines.
pub(super) fn print(
    shown: &Map<String, Value>,
    json: bool,
    console: &mut Console<'_>,
) -> Result<(), Error> {
    if json {
        return console.line(&escape::json(&Value::Object(shown.clone())));
    }
    let pairs = shown.iter().map(|(name, value)| {
        let value = match value {
            Value::Bool(true) => "yes".to_owned(),
            Value::Array(_) => joined(value),
            Value::Object(rows) => {
                let rows = rows.iter().map(|(table, count)| format!("{table} {count}"));
                rows.collect::<Vec<_>>().join(", ")
            }
            _ => field(&json!({"value": value}), "value"),
        };
        (name.replace('_', " "), value)
    });
    console.line(&lines(&pairs.collect::<Vec<_>>()))
}

/// Fails if the master key is right and provider keys do not open all the same.
pub(super) fn all_open(verified: &Verified) -> Result<(), Error> {
    if verified.refused.is_empty() {
        return Ok(());
    }
    let detail = "the keys of these providers do not open; their records were changed or moved";
    Err(Error::Input(format!("{detail}: {}", verified.refused.join(", "))))
}

/// What is wrong with a file, as the person is told.
pub(super) fn refused(error: BackupError) -> Error {
    Error::Input(error.to_string())
}

fn keys_of(backup: &Value) -> String {
    backup.get("needs_keys").map_or_else(String::new, joined)
}

fn joined(list: &Value) -> String {
    let items = list.as_array().map_or(&[][..], Vec::as_slice).iter();
    items.filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

fn advice(keys: &str) -> String {
    format!("it opens with master key {keys} alone; keep a copy of that, too, in another place")
}

const BACKUP: &str = "/backup";
const LIST: &str = "backups";
/// The longest text, in characters; a server may send anything.
const MOST_TEXT: usize = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_that_cannot_be_read_is_told_from_one_that_needs_no_key() {
        let backup = |name: &str, keys: Value| {
            json!({
                "name": name, "created_at": "2026-01-31T04:00:00Z", "size_bytes": 4096,
                "needs_keys": keys,
            })
        };
        let backups =
            [backup("a", json!(["1", "2"])), backup("b", Value::Null), backup("c", json!([]))];
        assert_eq!(
            overview(&backups),
            "NAME  CREATED               BYTES  NEEDS MASTER KEY\n\
             a     2026-01-31T04:00:00Z  4096   1, 2\n\
             b     2026-01-31T04:00:00Z  4096   cannot be read\n\
             c     2026-01-31T04:00:00Z  4096   -"
        );
    }
}
