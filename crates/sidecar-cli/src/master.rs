//! The master keys: where they are looked for on this machine, in the order of the server.

use std::io;
use std::path::Path;

use sidecar_core::keys::{Kek, KeyError, KeyRing};
use sidecar_core::secret::Secret;

use crate::error::Error;
use crate::files::read_secret;

/// Master keys that were found.
#[derive(Debug)]
pub(crate) struct MasterKeys {
    pub(crate) ring: KeyRing,
    /// Where they were found, for messages.
    pub(crate) origin: String,
}

/// Reads one variable; `None` if it is not set or empty.
pub(crate) type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The variables of this process.
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The keys of `file` if it is given, else those that a server started with `env` in `folder` would
/// use.
pub(crate) fn find(file: Option<&Path>, env: Env<'_>, folder: &Path) -> Result<MasterKeys, Error> {
    let found = match (file, env(KEY).map(Secret::new)) {
        (Some(path), _) => from_file(path)?,
        (None, Some(key)) => {
            let key = Kek::parse(key.expose()).map_err(|error| refused(KEY, &error))?;
            MasterKeys { ring: KeyRing::new(key), origin: KEY.to_owned() }
        }
        (None, None) => match env(KEY_FILE) {
            Some(path) => from_file(Path::new(&path))?,
            None => match from_file(&folder.join("secrets").join("master.key")) {
                Err(Error::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                    return Err(Error::Input(format!("there is no master key; {PLACES}")));
                }
                found => found?,
            },
        },
    };
    let mut ring = found.ring;
    let old = env(OLD_KEYS).map(Secret::new);
    let listed = old.iter().flat_map(|old| old.expose().split(','));
    for hex in listed.map(str::trim).filter(|hex| !hex.is_empty()) {
        ring = ring.with_decrypt_only(Kek::parse(hex).map_err(|error| refused(OLD_KEYS, &error))?);
    }
    Ok(MasterKeys { ring, ..found })
}

/// The keys of one key file.
pub(crate) fn from_file(path: &Path) -> Result<MasterKeys, Error> {
    let origin = path.display().to_string();
    let text = read_secret(path)?;
    let ring = KeyRing::parse_file(text.expose()).map_err(|error| refused(&origin, &error))?;
    Ok(MasterKeys { ring, origin })
}

fn refused(origin: &str, error: &KeyError) -> Error {
    Error::Input(format!("{origin}: {error}"))
}

const KEY: &str = "SIDECAR_ENCRYPTION_KEY";
const KEY_FILE: &str = "SIDECAR_ENCRYPTION_KEY_FILE";
const OLD_KEYS: &str = "SIDECAR_ENCRYPTION_KEYS_OLD";
const PLACES: &str = "it is looked for in --key-file, then in the variable SIDECAR_ENCRYPTION_KEY, \
                      then in the file that SIDECAR_ENCRYPTION_KEY_FILE names, then in \
                      secrets/master.key under the working directory";

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const A: &str = "8ba0fe4965396c0e0f9d517e5b29dd27518b9017d10cfa8ba219e4cf26633863";
    const B: &str = "b9ecdf5e59d7cabd1c528e32f09a2a208d79ecd6971289116906d9bc1a9307a1";

    fn kids(found: Result<MasterKeys, Error>) -> Vec<String> {
        found.unwrap().ring.kids().map(|kid| kid.to_string()).collect()
    }

    #[test]
    fn the_keys_are_those_that_the_server_would_use() {
        let folder = tempfile::tempdir().unwrap();
        let none = |_: &str| None;
        let error = find(None, &none, folder.path()).unwrap_err();
        assert!(error.message().contains("secrets/master.key"), "{}", error.message());

        fs::create_dir(folder.path().join("secrets")).unwrap();
        fs::write(folder.path().join("secrets/master.key"), A).unwrap();
        assert_eq!(kids(find(None, &none, folder.path())), ["7f26e8c13359933e"]);
        let other = folder.path().join("other.key");
        fs::write(&other, format!("primary {B}\ndecrypt {A}\n")).unwrap();
        let both = ["acf2bec3f35b1e29", "7f26e8c13359933e"];
        assert_eq!(kids(find(Some(&other), &none, folder.path())), both);
        let named = other.to_str().unwrap().to_owned();
        let file = |name: &str| (name == KEY_FILE).then(|| named.clone());
        assert_eq!(kids(find(None, &file, folder.path())), both);
        let variables = |name: &str| match name {
            KEY => Some(B.to_owned()),
            OLD_KEYS => Some(format!("{A}, ")),
            _ => None,
        };
        assert_eq!(kids(find(None, &variables, folder.path())), both);
    }

    #[test]
    fn a_refusal_names_the_place_and_shows_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, "needle").unwrap();
        let message = from_file(&path).unwrap_err().message();
        assert!(message.contains("key") && !message.contains("needle"), "{message}");
        let variables = |name: &str| (name == KEY).then(|| "needle".to_owned());
        let message = find(None, &variables, folder.path()).unwrap_err().message();
        assert!(message.contains(KEY) && !message.contains("needle"), "{message}");
    }
}
