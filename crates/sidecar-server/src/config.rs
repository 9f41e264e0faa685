//! What the environment says.
//!
//! Every variable is read in one place, validated before anything is opened, and named in the
//! error when it is wrong.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use sidecar_core::keys::KeyRing;
use sidecar_core::provider::ProviderPatch;
use sidecar_core::secret::{Secret, TokenDigest};
use sidecar_core::{Sidecar, SidecarBuilder};

use crate::hosts::Hosts;
use crate::logs::LogFormat;
use crate::secrets;
pub use crate::secrets::KeySource;

/// A configuration that has been checked.
#[derive(Debug)]
#[non_exhaustive]
pub struct Config {
    /// Where to listen.
    pub address: SocketAddr,
    /// Where to listen for those who want metrics, if anywhere.
    pub metrics: Option<SocketAddr>,
    /// The store.
    pub db_path: PathBuf,
    /// The folder of its backups.
    pub backup_dir: PathBuf,
    /// How long a backup is kept.
    pub backup_keep: Duration,
    /// The master keys.
    pub keys: KeyRing,
    /// Where they come from.
    pub key_source: KeySource,
    /// The digest of the admin token.
    pub admin_token: TokenDigest,
    /// Whether `/v1` may be used without a caller key.
    pub allow_anonymous: bool,
    /// Under which names the admin API and the dashboard answer.
    pub hosts: Hosts,
    /// Files with secrets that were made just now, to be told to the operator.
    pub made: Vec<PathBuf>,
    builder: SidecarBuilder,
}

/// What is needed before anything else, so that errors can be logged.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// A level, or directives such as `info,sidecar_core=debug`.
    pub filter: String,
    /// For people or for machines.
    pub format: LogFormat,
}

/// A variable or a file is not what it should be.
#[derive(Debug, thiserror::Error)]
#[error("{variable}: {detail}")]
pub struct ConfigError {
    /// The variable at fault.
    pub variable: &'static str,
    /// What is wrong and what to do, without the value.
    pub detail: String,
}

/// Reads one variable; `None` if it is not set or empty.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Config {
    /// Reads the environment. Makes the secrets that are missing, or with `may_make` off pretends
    /// to.
    pub fn read(env: Env<'_>, may_make: bool) -> Result<Self, ConfigError> {
        let host = parse(env, "SIDECAR_HOST", "an IP address", IpAddr::V4(Ipv4Addr::LOCALHOST))?;
        let port = parse(env, "SIDECAR_PORT", "a port from 0 to 65535", 9190)?;
        let metrics_port: u16 =
            parse(env, "SIDECAR_METRICS_PORT", "a port from 0 to 65535 (0 is off)", 9191)?;
        let db_path = env("SIDECAR_DB_PATH").unwrap_or_else(|| "./data/sidecar.redb".into());
        let db_path = PathBuf::from(db_path);
        let backup_dir = env("SIDECAR_BACKUP_DIR").map(PathBuf::from);
        let backup_dir = backup_dir.unwrap_or_else(|| beside(&db_path, "backups"));
        let backup_keep = backup_keep(env)?;
        let allow_anonymous =
            parse(env, "SIDECAR_ALLOW_ANONYMOUS", "true or false", host.is_loopback())?;
        let what = "host names or addresses with commas between, each with or without a port, or *";
        let hosts = parse(env, "SIDECAR_ALLOWED_HOSTS", what, Hosts::default())?;
        let builder = settings(env)?;
        let builder = match env_provider(env)? {
            Some(provider) => builder.env_provider(provider),
            None => builder,
        };
        let (keys, key_source, new_key) = secrets::master_keys(env, db_path.exists(), may_make)?;
        let (admin_token, new_token) = secrets::admin_token(env, may_make)?;
        Ok(Self {
            address: SocketAddr::new(host, port),
            metrics: (metrics_port != 0).then(|| SocketAddr::new(host, metrics_port)),
            db_path,
            backup_dir,
            backup_keep,
            keys,
            key_source,
            admin_token,
            allow_anonymous,
            hosts: hosts.listening_on(host),
            made: new_key.into_iter().chain(new_token).collect(),
            builder,
        })
    }

    /// Splits it into what opens the [`Sidecar`] and what the server itself needs.
    pub fn into_parts(self) -> (SidecarBuilder, ServerConfig) {
        let server = ServerConfig {
            address: self.address,
            metrics: self.metrics,
            db_path: self.db_path.clone(),
            key_source: self.key_source,
            admin_token: self.admin_token,
            allow_anonymous: self.allow_anonymous,
            hosts: self.hosts,
            made: self.made,
        };
        let builder = self.builder.store(self.db_path, self.keys);
        (builder.backups(self.backup_dir, self.backup_keep), server)
    }
}

/// What the server needs once the store is open.
#[derive(Debug)]
#[non_exhaustive]
pub struct ServerConfig {
    /// Where to listen.
    pub address: SocketAddr,
    /// Where to listen for those who want metrics, if anywhere.
    pub metrics: Option<SocketAddr>,
    /// The store.
    pub db_path: PathBuf,
    /// Where the master keys come from.
    pub key_source: KeySource,
    /// The digest of the admin token.
    pub admin_token: TokenDigest,
    /// Whether `/v1` may be used without a caller key.
    pub allow_anonymous: bool,
    /// Under which names the admin API and the dashboard answer.
    pub hosts: Hosts,
    /// Files with secrets that were made just now.
    pub made: Vec<PathBuf>,
}

impl LogConfig {
    /// Reads `LOG_LEVEL` and `LOG_FORMAT`.
    pub fn read(env: Env<'_>) -> Result<Self, ConfigError> {
        let format = match env("LOG_FORMAT").as_deref() {
            None | Some("console") => LogFormat::Console,
            Some("json") => LogFormat::Json,
            Some(_) => return Err(ConfigError::new("LOG_FORMAT", "must be console or json")),
        };
        let filter = env("LOG_LEVEL").unwrap_or_else(|| "info".to_owned());
        Ok(Self { filter, format })
    }
}

impl ConfigError {
    pub(crate) fn new(variable: &'static str, detail: impl Into<String>) -> Self {
        Self { variable, detail: detail.into() }
    }
}

fn parse<T: std::str::FromStr>(
    env: Env<'_>,
    variable: &'static str,
    what: &str,
    default: T,
) -> Result<T, ConfigError> {
    match env(variable) {
        None => Ok(default),
        Some(text) => {
            text.trim().parse().map_err(|_| ConfigError::new(variable, format!("must be {what}")))
        }
    }
}

/// `name` in the folder of the file at `path`.
fn beside(path: &Path, name: &str) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).join(name)
}

fn backup_keep(env: Env<'_>) -> Result<Duration, ConfigError> {
    const DAYS: &str = "SIDECAR_BACKUP_RETENTION_DAYS";
    let what = "a whole number of days from 1 to 3650";
    let days: u64 = parse(env, DAYS, what, 7)?;
    if !(1..=3_650).contains(&days) {
        return Err(ConfigError::new(DAYS, format!("must be {what}")));
    }
    Ok(Duration::from_secs(days * 24 * 3_600))
}

/// Settings that the environment fixes.
fn settings(env: Env<'_>) -> Result<SidecarBuilder, ConfigError> {
    let mut builder = Sidecar::builder();
    for (variable, key) in SETTINGS {
        if let Some(text) = env(variable) {
            builder = builder
                .pin_setting(key, &text)
                .map_err(|error| ConfigError::new(variable, error.to_string()))?;
        }
    }
    Ok(builder)
}

/// The one provider of V1, which serves every model by its own name.
fn env_provider(env: Env<'_>) -> Result<Option<ProviderPatch>, ConfigError> {
    let url = env("SIDECAR_UPSTREAM");
    let Some(key) = env("SIDECAR_API_KEY").map(Secret::new) else {
        return match url {
            None => Ok(None),
            Some(_) => {
                let detail = "is set without SIDECAR_API_KEY; set both, or neither and add a \
                              provider with sidecar-cli";
                Err(ConfigError::new("SIDECAR_UPSTREAM", detail))
            }
        };
    };
    let fields = json!({
        "name": "v1-env",
        "api_base_url": url.as_deref().unwrap_or("https://integrate.api.nvidia.com/v1"),
        "model_mappings": {"*": {}},
    });
    let patch: ProviderPatch = serde_json::from_value(fields)
        .map_err(|error| ConfigError::new("SIDECAR_UPSTREAM", error.to_string()))?;
    Ok(Some(patch.with_key(key)))
}

/// Variables that fix a setting.
const SETTINGS: [(&str, &str); 5] = [
    ("SIDECAR_RATE_RPM", "rate_rpm"),
    ("SIDECAR_COOLDOWN_BASE", "cooldown_base_seconds"),
    ("SIDECAR_COOLDOWN_MAX", "cooldown_max_seconds"),
    ("SIDECAR_QUEUE_MAX", "queue_max_depth"),
    ("SIDECAR_QUEUE_TIMEOUT", "queue_timeout_seconds"),
];

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "8ba0fe4965396c0e0f9d517e5b29dd27518b9017d10cfa8ba219e4cf26633863";

    fn read(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let secrets =
            [("SIDECAR_ENCRYPTION_KEY", KEY), ("SIDECAR_ADMIN_TOKEN", "0123456789abcdef")];
        let env = |name: &str| {
            let mut all = variables.iter().chain(&secrets);
            all.find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        Config::read(&env, false)
    }

    #[test]
    fn the_defaults_are_loopback_and_anonymous() {
        let config = read(&[]).unwrap();
        assert_eq!(config.address.to_string(), "127.0.0.1:9190");
        assert!(config.allow_anonymous);
    }

    #[test]
    fn metrics_are_on_a_port_of_their_own_which_can_be_switched_off() {
        let metrics = |variables: &[_]| read(variables).unwrap().metrics.map(|at| at.to_string());
        assert_eq!(metrics(&[]).as_deref(), Some("127.0.0.1:9191"));
        let moved = [("SIDECAR_HOST", "192.168.1.2"), ("SIDECAR_METRICS_PORT", "9999")];
        assert_eq!(metrics(&moved).as_deref(), Some("192.168.1.2:9999"));
        assert_eq!(metrics(&[("SIDECAR_METRICS_PORT", "0")]), None);
    }

    #[test]
    fn off_loopback_nobody_is_anonymous_unless_it_is_said() {
        assert!(!read(&[("SIDECAR_HOST", "0.0.0.0")]).unwrap().allow_anonymous);
        let said = [("SIDECAR_HOST", "0.0.0.0"), ("SIDECAR_ALLOW_ANONYMOUS", "true")];
        assert!(read(&said).unwrap().allow_anonymous);
    }

    #[test]
    fn the_operators_side_answers_under_the_address_listened_on_and_the_names_allowed() {
        let variables =
            [("SIDECAR_HOST", "192.168.1.2"), ("SIDECAR_ALLOWED_HOSTS", "sidecar.example, box")];
        let hosts = read(&variables).unwrap().hosts;
        for host in ["localhost:9190", "192.168.1.2:9190", "sidecar.example", "box:9190"] {
            assert!(hosts.admits(host), "{host}");
        }
        assert!(!hosts.admits("evil.example"));
    }

    #[test]
    fn backups_are_kept_for_a_week_beside_the_store_unless_it_is_said_otherwise() {
        let kept = |variables: &[_]| {
            let config = read(variables).unwrap();
            (config.backup_dir, config.backup_keep.as_secs() / 3_600)
        };
        assert_eq!(kept(&[]), ("./data/backups".into(), 7 * 24));
        assert_eq!(kept(&[("SIDECAR_DB_PATH", "s.redb")]).0, PathBuf::from("backups"));
        let said = [("SIDECAR_BACKUP_DIR", "/b"), ("SIDECAR_BACKUP_RETENTION_DAYS", "30")];
        assert_eq!(kept(&said), ("/b".into(), 30 * 24));
    }

    #[test]
    fn a_wrong_variable_is_named_and_its_value_is_not() {
        for (name, value) in [
            ("SIDECAR_HOST", "needle"),
            ("SIDECAR_PORT", "needle"),
            ("SIDECAR_RATE_RPM", "0"),
            ("SIDECAR_RATE_RPM", "needle"),
            ("SIDECAR_QUEUE_TIMEOUT", "-1"),
            ("SIDECAR_METRICS_PORT", "needle"),
            ("SIDECAR_BACKUP_RETENTION_DAYS", "needle"),
            ("SIDECAR_BACKUP_RETENTION_DAYS", "0"),
            ("SIDECAR_BACKUP_RETENTION_DAYS", "3651"),
            ("SIDECAR_ALLOW_ANONYMOUS", "needle"),
            ("SIDECAR_ALLOWED_HOSTS", "http://needle"),
            ("SIDECAR_ENCRYPTION_KEY", "needle"),
            ("SIDECAR_ADMIN_TOKEN", "needle"),
            ("SIDECAR_UPSTREAM", "https://needle.example"),
        ] {
            let error = read(&[(name, value)]).unwrap_err();
            assert_eq!(error.variable, name);
            assert!(!error.to_string().contains("needle"), "{error}");
        }
    }
}
