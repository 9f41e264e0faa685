//! Reads the files a person names: whole, and within bounds.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use serde_json::Value;
use sidecar_core::secret::Secret;
use zeroize::Zeroizing;

use crate::error::Error;

/// The longest secret that is read, in bytes; above what the server takes, so that it is the
/// server that says what it takes.
pub(crate) const MAX_SECRET: u64 = 8 << 10;

/// The secret in the file, without the white space around it.
pub(crate) fn read_secret(path: &Path) -> Result<Secret, Error> {
    let text = read(path, MAX_SECRET)?;
    let secret = text.trim();
    if secret.is_empty() {
        return Err(Error::Input(format!("{} is empty", path.display())));
    }
    Ok(Secret::new(secret))
}

/// The JSON in the file. An error names the place in it but never quotes it.
pub(crate) fn read_json(path: &Path) -> Result<Value, Error> {
    let text = read(path, MAX_JSON)?;
    serde_json::from_str(&text).map_err(|source| Error::Json { path: path.to_owned(), source })
}

/// The text is wiped when dropped: a file of providers may hold keys.
fn read(path: &Path, max: u64) -> Result<Zeroizing<String>, Error> {
    let failed = |source| Error::File { verb: "read", path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let mut text = Zeroizing::new(String::new());
    let length = file.take(max + 1).read_to_string(&mut text).map_err(failed)?;
    if u64::try_from(length).is_ok_and(|length| length <= max) {
        Ok(text)
    } else {
        Err(failed(io::Error::from(io::ErrorKind::FileTooLarge)))
    }
}

/// The largest file of providers, in bytes; what an answer may have too.
const MAX_JSON: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_secret_is_read_without_the_line_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, " sk-0123456789\r\n").unwrap();
        assert_eq!(read_secret(&path).unwrap().expose(), "sk-0123456789");
    }

    #[test]
    fn a_file_that_is_empty_missing_or_too_long_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        assert!(matches!(read_secret(&path), Err(Error::File { .. })));
        fs::write(&path, "\n").unwrap();
        assert!(matches!(read_secret(&path), Err(Error::Input(_))));
        fs::write(&path, "k".repeat(8_193)).unwrap();
        assert!(matches!(read_secret(&path), Err(Error::File { .. })));
        fs::write(&path, "k".repeat(8_192)).unwrap();
        assert!(read_secret(&path).is_ok());
    }

    #[test]
    fn broken_json_is_not_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("providers.json");
        fs::write(&path, r#"{"api_key": "sk-needle" "#).unwrap();
        let message = read_json(&path).unwrap_err().message();
        assert!(message.contains("line 1"), "{message}");
        assert!(!message.contains("needle"), "{message}");
    }
}
