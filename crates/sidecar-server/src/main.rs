//! The `sidecar-server` binary.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser;
use sidecar_core::OpenError;
use sidecar_core::keys::{KeyRing, Vault, VaultRecords};
use sidecar_core::store::RedbStore;
use sidecar_server::config::{Config, LogConfig};
use sidecar_server::logs;
use sidecar_server::run::{self, RunError};

/// A gateway between AI agents and many limited LLM keys.
#[derive(Debug, Parser)]
#[command(version, after_help = HELP)]
struct Args {
    /// Check the configuration, the master key and the store without changing anything, and exit.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match start(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let advice = error.advice().map(|advice| format!("\n  {advice}")).unwrap_or_default();
            let _ = writeln!(io::stderr(), "sidecar-server: {error}{advice}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn start(args: &Args) -> Result<(), RunError> {
    let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let _log = logs::init(&LogConfig::read(&env)?)?;
    let config = Config::read(&env, !args.check)?;
    if args.check {
        return check(&config);
    }
    // Requests are served by threads of their own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(RunError::Signal)?;
    runtime.block_on(run::run(config))
}

/// Reads what decides whether the store can be opened.
fn check(config: &Config) -> Result<(), RunError> {
    let open = || -> Result<&str, OpenError> {
        let Some(peeked) = RedbStore::peek(&config.db_path)? else { return Ok("is new") };
        if let Some(records) = peeked.vault {
            unlock(&config.keys, peeked.store, &records)?;
        }
        Ok("opens with this master key")
    };
    let store = open()?;
    let path = config.db_path.display();
    let _ = writeln!(io::stdout(), "the configuration is valid; the store {path} {store}");
    Ok(())
}

fn unlock(ring: &KeyRing, store: uuid::Uuid, records: &[u8]) -> Result<(), OpenError> {
    Vault::unlock(ring, store, &VaultRecords::from_bytes(records)?)?;
    Ok(())
}

const HELP: &str = "\
Everything else comes from the environment:
  SIDECAR_HOST, SIDECAR_PORT       where to listen (127.0.0.1, 9190)
  SIDECAR_METRICS_PORT             metrics for Prometheus, at /metrics (9191; 0 is off)
  SIDECAR_DB_PATH                  the store (./data/sidecar.redb)
  SIDECAR_BACKUP_DIR               a backup a day, and when asked (backups, beside the store)
  SIDECAR_BACKUP_RETENTION_DAYS    how long they are kept (7); the newest one always is
  SIDECAR_ENCRYPTION_KEY[_FILE]    the master key, 64 hex characters (made in ./secrets if the
                                   store is new), SIDECAR_ENCRYPTION_KEYS_OLD to decrypt only
  SIDECAR_ADMIN_TOKEN[_FILE]       the admin token (made in ./secrets)
  SIDECAR_ALLOWED_HOSTS            names under which the admin API answers, besides localhost and
                                   the address itself: a list with commas, or * for any
  SIDECAR_ALLOW_ANONYMOUS          may /v1 be used without a caller key (true on loopback)
  SIDECAR_UPSTREAM, SIDECAR_API_KEY  one provider that serves every model by its own name
  SIDECAR_RATE_RPM, SIDECAR_COOLDOWN_BASE, SIDECAR_COOLDOWN_MAX,
  SIDECAR_QUEUE_MAX, SIDECAR_QUEUE_TIMEOUT  defaults of limits, rests and the queue
  LOG_LEVEL, LOG_FORMAT            info or directives; console or json

Examples:
  sidecar-server
  SIDECAR_PORT=8080 LOG_FORMAT=json sidecar-server
  sidecar-server --check";
