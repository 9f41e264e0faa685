//! The master key and the admin token: where they come from, and how the first ones are made.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use data_encoding::BASE64URL_NOPAD;
use sidecar_core::keys::{Kek, KeyRing};
use sidecar_core::secret::{Secret, TokenDigest};

use crate::config::{ConfigError, Env};

/// Where the master keys come from.
#[derive(Debug)]
pub struct KeySource(Source);

#[derive(Debug)]
enum Source {
    /// Nowhere.
    None,
    /// The key itself, and others that only decrypt.
    Environment { key: Secret, old: Option<Secret> },
    /// A key file, and others that only decrypt.
    File { path: PathBuf, old: Option<Secret> },
}

impl KeySource {
    /// Of a server whose keys come from nowhere that could be read again, such as one that keeps
    /// everything in memory.
    pub fn none() -> Self {
        Self(Source::None)
    }

    /// The keys as they are now: a file is read again.
    ///
    /// # Errors
    ///
    /// If the file is not what it should be, and if there is nothing that could have changed.
    pub(crate) fn changed(&self) -> Result<KeyRing, ConfigError> {
        let ring = self.ring()?;
        match self.0 {
            Source::Environment { .. } if ring.kids().count() < 2 => {
                let detail = "comes from the environment, which does not change under a running \
                              server: put the new key there, the old one into \
                              SIDECAR_ENCRYPTION_KEYS_OLD, start again, and then rotate; or put \
                              `primary NEW` and `decrypt OLD` into a file and name that in \
                              SIDECAR_ENCRYPTION_KEY_FILE";
                Err(ConfigError::new(KEY, detail))
            }
            _ => Ok(ring),
        }
    }

    fn ring(&self) -> Result<KeyRing, ConfigError> {
        match &self.0 {
            Source::None => {
                let detail = "this server has its keys in memory only, and no others";
                Err(ConfigError::new(KEY, detail))
            }
            Source::Environment { key, old } => {
                let key = Kek::parse(key.expose());
                let key = key.map_err(|error| ConfigError::new(KEY, error.to_string()))?;
                with_old_keys(KeyRing::new(key), old.as_ref())
            }
            Source::File { path, old } => with_old_keys(read_ring(path)?, old.as_ref()),
        }
    }
}

/// The master keys of the environment, of a file, of the service manager, or of the folder of
/// secrets, where the first one is made if there is no store yet. Also gives where they come from,
/// and the file that was made.
pub(crate) fn master_keys(
    env: Env<'_>,
    store_exists: bool,
    may_make: bool,
) -> Result<(KeyRing, KeySource, Option<PathBuf>), ConfigError> {
    let old = env(OLD_KEYS).map(Secret::new);
    if let Some(key) = env(KEY).map(Secret::new) {
        let source = KeySource(Source::Environment { key, old });
        return Ok((source.ring()?, source, None));
    }
    let given = env(KEY_FILE).map(PathBuf::from).or_else(|| credential(env, "master-key"));
    let path = given.clone().unwrap_or_else(|| Path::new(FOLDER).join("master.key"));
    if given.is_some() || path.exists() {
        let source = KeySource(Source::File { path, old });
        return Ok((source.ring()?, source, None));
    }
    if store_exists {
        let detail = format!(
            "is not set and {} is not there, but the store is: give the key that the store was \
             made with",
            path.display()
        );
        return Err(ConfigError::new(KEY, detail));
    }
    let key = Kek::generate();
    if may_make {
        make(&path, &key.to_hex()).map_err(|error| unusable(KEY, &path, &error))?;
    }
    let source = KeySource(Source::File { path: path.clone(), old });
    Ok((KeyRing::new(key), source, Some(path)))
}

/// The digest of the admin token of the environment, of a file, of the service manager, or of the
/// folder of secrets, where it is made if it is missing. Also gives the file that was made.
pub(crate) fn admin_token(
    env: Env<'_>,
    may_make: bool,
) -> Result<(TokenDigest, Option<PathBuf>), ConfigError> {
    if let Some(token) = env(TOKEN).map(Secret::new) {
        return Ok((digest(&token)?, None));
    }
    let default = Path::new(FOLDER).join("admin.token");
    let path = env(TOKEN_FILE).map(PathBuf::from).or_else(|| credential(env, "admin-token"));
    if path.is_none() && !default.exists() {
        let mut random = [0_u8; 32];
        getrandom::fill(&mut random)
            .map_err(|_| ConfigError::new(TOKEN, "the operating system gave no random bytes"))?;
        let token = Secret::new(format!("sc-admin-{}", BASE64URL_NOPAD.encode(&random)));
        if may_make {
            make(&default, &token).map_err(|error| unusable(TOKEN, &default, &error))?;
        }
        return Ok((digest(&token)?, Some(default)));
    }
    let text = read_private(TOKEN_FILE, &path.unwrap_or(default))?;
    Ok((digest(&Secret::new(text.expose().trim()))?, None))
}

/// Refuses what could be guessed: the digest is compared without any delay.
fn digest(token: &Secret) -> Result<TokenDigest, ConfigError> {
    let token = token.expose();
    if token.len() < 16 || token.len() > 512 || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        let detail = "must be 16 to 512 visible ASCII characters; make one with \
                      `head -c 32 /dev/urandom | base64`";
        return Err(ConfigError::new(TOKEN, detail));
    }
    Ok(TokenDigest::of(token))
}

fn with_old_keys(mut ring: KeyRing, old: Option<&Secret>) -> Result<KeyRing, ConfigError> {
    let listed = old.into_iter().flat_map(|old| old.expose().split(','));
    for hex in listed.map(str::trim).filter(|hex| !hex.is_empty()) {
        let key = Kek::parse(hex).map_err(|error| ConfigError::new(OLD_KEYS, error.to_string()))?;
        ring = ring.with_decrypt_only(key);
    }
    Ok(ring)
}

fn read_ring(path: &Path) -> Result<KeyRing, ConfigError> {
    let text = read_private(KEY_FILE, path)?;
    KeyRing::parse_file(text.expose())
        .map_err(|error| ConfigError::new(KEY_FILE, format!("{}: {error}", path.display())))
}

/// A file of the service manager's credentials, if it gave one.
fn credential(env: Env<'_>, name: &str) -> Option<PathBuf> {
    let path = Path::new(&env("CREDENTIALS_DIRECTORY")?).join(name);
    path.exists().then_some(path)
}

/// Reads a small file that only its owner may read.
fn read_private(variable: &'static str, path: &Path) -> Result<Secret, ConfigError> {
    let file = fs::metadata(path).map_err(|error| unusable(variable, path, &error))?;
    // The service manager shows what it grants to the service as the rights of a group.
    let is_credential =
        std::env::var_os("CREDENTIALS_DIRECTORY").is_some_and(|folder| path.starts_with(folder));
    let others = if is_credential { 0o007 } else { 0o077 };
    if is_open_to(&file, others) {
        let detail = format!("{0} can be read by others; run `chmod 600 {0}`", path.display());
        return Err(ConfigError::new(variable, detail));
    }
    if file.len() > MOST_BYTES {
        let detail = format!("{} is too large for what it should hold", path.display());
        return Err(ConfigError::new(variable, detail));
    }
    fs::read_to_string(path).map(Secret::new).map_err(|error| unusable(variable, path, &error))
}

#[cfg(unix)]
fn is_open_to(file: &fs::Metadata, others: u32) -> bool {
    use std::os::unix::fs::MetadataExt as _;

    file.mode() & others != 0
}

#[cfg(not(unix))]
fn is_open_to(_file: &fs::Metadata, _others: u32) -> bool {
    false
}

/// Writes a new file that only its owner may read, in a folder that only its owner may enter.
fn make(path: &Path, secret: &Secret) -> io::Result<()> {
    let mut folder = fs::DirBuilder::new();
    folder.recursive(true);
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};

        folder.mode(0o700);
        options.mode(0o600);
    }
    folder.create(folder_of(path))?;
    let mut file = options.open(path)?;
    file.write_all(secret.expose().as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    // The store that needs it is synced with its folder, and it must not outlive its key.
    fs::File::open(folder_of(path))?.sync_all()
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn unusable(variable: &'static str, path: &Path, error: &io::Error) -> ConfigError {
    ConfigError::new(variable, format!("{}: {error}", path.display()))
}

const KEY: &str = "SIDECAR_ENCRYPTION_KEY";
const KEY_FILE: &str = "SIDECAR_ENCRYPTION_KEY_FILE";
const OLD_KEYS: &str = "SIDECAR_ENCRYPTION_KEYS_OLD";
const TOKEN: &str = "SIDECAR_ADMIN_TOKEN";
const TOKEN_FILE: &str = "SIDECAR_ADMIN_TOKEN_FILE";
/// Apart from the data, so that a copy of the data holds no key.
const FOLDER: &str = "secrets";
const MOST_BYTES: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "8ba0fe4965396c0e0f9d517e5b29dd27518b9017d10cfa8ba219e4cf26633863";
    const B: &str = "b9ecdf5e59d7cabd1c528e32f09a2a208d79ecd6971289116906d9bc1a9307a1";

    fn source(variables: &[(&str, &str)]) -> KeySource {
        let env = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        master_keys(&env, false, false).unwrap().1
    }

    fn kids(ring: &KeyRing) -> Vec<String> {
        ring.kids().map(|kid| kid.to_string()).collect()
    }

    #[test]
    fn a_key_of_the_environment_cannot_have_changed() {
        let error = source(&[(KEY, A)]).changed().unwrap_err();
        assert_eq!(error.variable, KEY);
        assert!(error.detail.contains(OLD_KEYS), "{error}");
        assert!(!error.to_string().contains(A));
    }

    #[test]
    fn a_start_with_an_old_key_in_the_environment_can_be_finished() {
        let ring = source(&[(KEY, A), (OLD_KEYS, B)]).changed().unwrap();
        assert_eq!(kids(&ring), ["7f26e8c13359933e", "acf2bec3f35b1e29"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_key_file_is_read_again_and_checked_again() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let write = |text: &str, mode| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        write(A, 0o600);
        let source = source(&[(KEY_FILE, path.to_str().unwrap())]);
        assert_eq!(kids(&source.changed().unwrap()), ["7f26e8c13359933e"]);
        write(&format!("primary {B}\ndecrypt {A}\n"), 0o600);
        let ring = source.changed().unwrap();
        assert_eq!(kids(&ring), ["acf2bec3f35b1e29", "7f26e8c13359933e"]);
        write(B, 0o644);
        assert_eq!(source.changed().unwrap_err().variable, KEY_FILE);
        write("needle", 0o600);
        assert!(!source.changed().unwrap_err().to_string().contains("needle"));
    }
}
