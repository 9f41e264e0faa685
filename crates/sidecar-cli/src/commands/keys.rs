//! `keys`: master keys. Works without a server.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use serde_json::json;
use sidecar_core::keys::Kek;
use sidecar_core::secret::Secret;

use crate::args::KeysCommand;
use crate::console::Console;
use crate::error::Error;
use crate::escape;

pub(super) fn run(
    command: &KeysCommand,
    json: bool,
    console: &mut Console<'_>,
) -> Result<(), Error> {
    match command {
        KeysCommand::Generate { out: None } => generate(json, console),
        KeysCommand::Generate { out: Some(path) } => generate_file(path, json, console),
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

const ADVICE: &str = "keep a copy apart from the data: without it the provider keys in the store \
                      cannot be read\na store that exists was sealed with another key, and does \
                      not open with this one";

#[cfg(test)]
mod tests {
    use super::*;

    fn run_with(out: Option<&Path>, json: bool) -> (Result<(), Error>, String, String) {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let mut console = Console::new(&mut stdout, &mut stderr, io::empty());
        let command = KeysCommand::Generate { out: out.map(Path::to_owned) };
        let result = run(&command, json, &mut console);
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
}
