//! `keys`: master keys.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use serde_json::{Value, json};
use sidecar_core::backup::{BackupError, verify};
use sidecar_core::keys::Kek;
use sidecar_core::secret::Secret;

use super::Session;
use super::backup::{all_open, describe, print, refused};
use crate::args::{Cli, KeysCommand};
use crate::console::Console;
use crate::error::Error;
use crate::escape::{self, escape_short};
use crate::master::{self, MasterKeys};
use crate::output::field;
use crate::token::TokenSources;

pub(super) async fn run(
    command: &KeysCommand,
    cli: &Cli,
    tokens: &TokenSources,
    console: &mut Console<'_>,
) -> Result<(), Error> {
    match command {
        KeysCommand::Generate { out } => make(out.as_deref(), cli.json, console),
        KeysCommand::Rotate => rotate(&mut Session::open(cli, tokens, console)?).await,
        KeysCommand::Verify { file, key_file } => {
            let keys = master::find(key_file.as_deref(), &master::environment, Path::new(""))?;
            check(file, &keys, cli.json, console)
        }
    }
}

async fn rotate(session: &mut Session<'_, '_>) -> Result<(), Error> {
    let rotated = session.remote.post("/keys/rotate", None).await?;
    session.print(&rotated, |rotated| Ok(escape_short(&what_was_done(rotated), MOST_TEXT)))?;
    for step in next_steps(&rotated) {
        session.console.note(&escape_short(&step, MOST_TEXT));
    }
    Ok(())
}

fn what_was_done(rotated: &Value) -> String {
    let [primary, count] = ["primary", "rewrapped"].map(|name| field(rotated, name));
    match rotated.get("rewrapped").and_then(Value::as_u64) {
        Some(0) => format!("nothing was changed: the store needs master key {primary} alone"),
        _ => format!("the store now needs master key {primary} alone; data keys wrapped: {count}"),
    }
}

/// What is left to do for the person, one line each.
fn next_steps(rotated: &Value) -> Vec<String> {
    let needing = rotated.pointer("/still_needed/backups").and_then(Value::as_array);
    let copy = "1. keep a copy of the new key in a safe place, and make a backup with \
                `sidecar-cli backup create`";
    let mut steps = vec!["next:".to_owned(), copy.to_owned()];
    match needing.map(Vec::as_slice) {
        None => steps.push(
            "2. keep the old key: it is not known which backups need it, see `sidecar-cli backup \
             list`"
                .to_owned(),
        ),
        Some([]) => steps.push(
            "2. take the old key out of the key file (its `decrypt` line) or \
             SIDECAR_ENCRYPTION_KEYS_OLD; no backup of the server needs it, copies elsewhere may"
                .to_owned(),
        ),
        Some(needing) => {
            let names = needing.iter().take(MOST_NAMES).map(|backup| field(backup, "name"));
            let names = names.collect::<Vec<_>>().join(", ");
            let more = needing.len().saturating_sub(MOST_NAMES);
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            steps.push(format!(
                "2. take the old key out of the key file (its `decrypt` line) or \
                 SIDECAR_ENCRYPTION_KEYS_OLD, but keep it for these backups: {names}{more}"
            ));
        }
    }
    steps
}

/// Whether `keys` open the store or backup `file`.
fn check(
    file: &Path,
    keys: &MasterKeys,
    json: bool,
    console: &mut Console<'_>,
) -> Result<(), Error> {
    let verified = verify(file, Some(&keys.ring)).map_err(|error| match error {
        BackupError::InUse { .. } => Error::Input(format!(
            "{error}; or check one of its backups: a server that runs has opened its store already"
        )),
        BackupError::Key(error) => {
            Error::Input(format!("{}: {error} (from {})", file.display(), keys.origin))
        }
        error => refused(error),
    })?;
    all_open(&verified)?;
    let mut shown = describe(file, &verified);
    let primary = keys.ring.primary().kid();
    shown.insert("opens".to_owned(), true.into());
    shown.insert("primary".to_owned(), primary.to_string().into());
    shown.insert("keys_from".to_owned(), keys.origin.clone().into());
    print(&shown, json, console)?;
    if verified.needs_keys.iter().any(|kid| *kid != primary) {
        console
            .note("the store still needs an old master key; see `sidecar-cli keys rotate --help`");
    }
    Ok(())
}

fn make(out: Option<&Path>, json: bool, console: &mut Console<'_>) -> Result<(), Error> {
    match out {
        None => generate(json, console),
        Some(path) => generate_file(path, json, console),
    }
}

fn generate(json: bool, console: &mut Console<'_>) -> Result<(), Error> {
    let key = Kek::generate();
    let (id, hex) = (key.kid().to_string(), key.to_hex());
    if json {
        console.line(&escape::json(&json!({"id": id, "key": hex.expose()})))?;
    } else {
        console.line(hex.expose())?;
    }
    console.note(&format!(
        "key id {id}; the key is shown only this once\n\
         give it to the server as SIDECAR_ENCRYPTION_KEY, or in a file that \
         SIDECAR_ENCRYPTION_KEY_FILE names\n{ADVICE}"
    ));
    Ok(())
}

fn generate_file(path: &Path, json: bool, console: &mut Console<'_>) -> Result<(), Error> {
    let key = Kek::generate();
    let id = key.kid().to_string();
    write_new(path, &key.to_hex()).map_err(|source| Error::File {
        verb: "write",
        path: path.to_owned(),
        source,
    })?;
    let file = path.display().to_string();
    if json {
        console.line(&escape::json(&json!({"id": id, "file": file})))?;
    }
    console.note(&format!(
        "key id {id}; the key is in {}\n\
         name the file to the server as SIDECAR_ENCRYPTION_KEY_FILE\n{ADVICE}",
        escape::escape(&file)
    ));
    Ok(())
}

/// Writes `key` to a file that did not exist and that only its owner can read.
fn write_new(path: &Path, key: &Secret) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file = options.open(path)?;
    let written = writeln!(file, "{}", key.expose());
    if let Err(error) = written.and_then(|()| file.sync_all()) {
        // Half a key must not be taken for one.
        let _ = fs::remove_file(path);
        return Err(error);
    }
    Ok(())
}

/// How many backups are named.
const MOST_NAMES: usize = 10;
/// The longest text, in characters; a server may send anything.
const MOST_TEXT: usize = 2_000;
const ADVICE: &str = "keep a copy apart from the data: without it the provider keys in the store \
                      cannot be read\na store that exists was sealed with another key, and does \
                      not open with this one";

#[cfg(test)]
mod tests {
    use super::*;

    fn run_with(out: Option<&Path>, json: bool) -> (Result<(), Error>, String, String) {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let mut console = Console::new(&mut stdout, &mut stderr, io::empty());
        let result = make(out, json, &mut console);
        drop(console);
        (result, String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
    }

    #[test]
    fn only_the_key_goes_to_standard_output() {
        let (result, stdout, stderr) = run_with(None, false);
        result.unwrap();
        let key = Kek::parse(&stdout).unwrap();
        assert_eq!(stdout, format!("{}\n", key.to_hex().expose()));
        assert!(stderr.contains(&key.kid().to_string()));
        assert!(!stderr.contains(key.to_hex().expose()));
    }

    #[test]
    fn a_key_in_a_file_is_not_printed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        for json in [false, true] {
            let (result, stdout, stderr) = run_with(Some(&path), json);
            result.unwrap();
            let key = Kek::parse(&fs::read_to_string(&path).unwrap()).unwrap();
            assert!(!format!("{stdout}{stderr}").contains(key.to_hex().expose()));
            assert!(stderr.contains(&key.kid().to_string()));
            assert_eq!(stdout.is_empty(), !json);
            fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn a_file_that_exists_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        fs::write(&path, "old").unwrap();
        assert!(matches!(run_with(Some(&path), false).0, Err(Error::File { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_can_read_the_file() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        run_with(Some(&path), false).0.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o177, 0);
    }
    #[test]
    fn a_rotation_says_what_is_left_to_do() {
        let rotated = |backups: Value| json!({"primary": "aa", "rewrapped": 1, "still_needed": {"backups": backups}});
        assert!(what_was_done(&rotated(json!([]))).contains("now needs master key aa alone"));
        let nothing = json!({"primary": "aa", "rewrapped": 0});
        assert!(what_was_done(&nothing).starts_with("nothing was changed"));

        let backups: Vec<Value> = (0..12).map(|n| json!({"name": n, "kids": ["bb"]})).collect();
        let steps = next_steps(&rotated(backups.into()));
        assert!(steps[2].ends_with("0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more"), "{steps:?}");
        assert!(next_steps(&rotated(json!([])))[2].contains("no backup of the server needs it"));
        assert!(next_steps(&rotated(Value::Null))[2].contains("not known"));
    }
}
