//! The master key and the admin token: where they come from, and how the first ones are made.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use data_encoding::BASE64URL_NOPAD;
use sidecar_core::keys::{Kek, KeyRing};
use sidecar_core::secret::{Secret, TokenDigest};

use crate::config::{ConfigError, Env};

/// The master keys of the environment, of a file, of the service manager, or of the folder of
/// secrets, where the first one is made if there is no store yet. Also gives the file that was
/// made.
pub(crate) fn master_keys(
    env: Env<'_>,
    store_exists: bool,
    may_make: bool,
) -> Result<(KeyRing, Option<PathBuf>), ConfigError> {
    let ring = if let Some(hex) = env(KEY).map(Secret::new) {
        let key = Kek::parse(hex.expose());
        KeyRing::new(key.map_err(|error| ConfigError::new(KEY, error.to_string()))?)
    } else if let Some(path) = env(KEY_FILE) {
        read_ring(Path::new(&path))?
    } else if let Some(path) = credential(env, "master-key") {
        read_ring(&path)?
    } else {
        let path = Path::new(FOLDER).join("master.key");
        if path.exists() {
            read_ring(&path)?
        } else if store_exists {
            let detail = format!(
                "is not set and {} is not there, but the store is: give the key that the store \
                 was made with",
                path.display()
            );
            return Err(ConfigError::new(KEY, detail));
        } else {
            let key = Kek::generate();
            if may_make {
                make(&path, &key.to_hex()).map_err(|error| unusable(KEY, &path, &error))?;
            }
            return Ok((KeyRing::new(key), Some(path)));
        }
    };
    Ok((with_old_keys(ring, env)?, None))
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

fn with_old_keys(mut ring: KeyRing, env: Env<'_>) -> Result<KeyRing, ConfigError> {
    let old = env(OLD_KEYS).map(Secret::new);
    let listed = old.iter().flat_map(|old| old.expose().split(','));
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
