//! From a configuration to a server that has stopped.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use metrics_exporter_prometheus::BuildError;
use sidecar_core::client::ClientError;
use sidecar_core::probe::Prober;
use sidecar_core::store::StoreError;
use sidecar_core::{OpenError, Sidecar};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

use crate::app::Edge;
use crate::auth::Gate;
use crate::backup;
use crate::banner;
use crate::config::{Config, ConfigError};
use crate::listen::{self, Limits, Listener, Workers};
use crate::metrics::{self, Exporter, Recorder};
use crate::prewarm;

/// Why the server did not start, or did not stop well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The environment is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The client cannot be made.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; set SIDECAR_HOST or SIDECAR_PORT")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// The address for metrics cannot be listened on.
    #[error(
        "cannot listen for metrics on {address}: {source}; set SIDECAR_METRICS_PORT to another \
         port, or to 0 for none"
    )]
    BindMetrics {
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// Nothing can be counted.
    #[error("cannot count metrics: {0}")]
    Metrics(#[from] BuildError),
    /// There are no threads to work with.
    #[error("cannot start threads: {0}")]
    Workers(#[source] io::Error),
    /// A thread that served connections has ended; the others were stopped in good order.
    #[error("a thread has failed, so the server was stopped; start it anew")]
    Failed,
    /// Signals cannot be received.
    #[error("cannot receive signals: {0}")]
    Signal(#[source] io::Error),
    /// The last usage could not be written.
    #[error("usage of the last moments was not written: {0}")]
    Close(#[source] StoreError),
}

impl RunError {
    /// The exit code: 78 (`EX_CONFIG` of sysexits.h) if the configuration has to change, else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) => EX_CONFIG,
            Self::Open(error) if error.is_configuration() => EX_CONFIG,
            _ => 1,
        }
    }

    /// The error, with the variable to look at.
    pub fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Open(OpenError::Key(_) | OpenError::Sealed(_)) => Some(
                "see to SIDECAR_ENCRYPTION_KEY or SIDECAR_ENCRYPTION_KEY_FILE (without them \
                 secrets/master.key is used); the store was not touched",
            ),
            Self::Open(OpenError::Store(_)) => Some("see to SIDECAR_DB_PATH"),
            _ => None,
        }
    }
}

/// Opens what `config` names and serves until SIGTERM or SIGINT, or until a thread has failed; then
/// no new connection is taken, running answers may end (30 s at most), and usage is written.
pub async fn run(config: Config) -> Result<(), RunError> {
    let (builder, server) = config.into_parts();
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signal)?;
    // Before anything is opened: what is counted earlier is counted nowhere.
    let recorder = server.metrics.map(|_| metrics::install()).transpose()?;
    let sidecar = builder.open().await?;
    let client = sidecar.https_client()?;
    let address = server.address;
    let bind = |source| RunError::Bind { address, source };
    let listener = Listener::bind(address).map_err(bind)?;
    let address = listener.local_addr().map_err(bind)?;
    let exporting = match server.metrics.zip(recorder) {
        Some((at, recorder)) => Some(export(at, recorder, &sidecar, server.db_path)?),
        None => None,
    };
    let metrics_address = exporting.as_ref().map(|(address, _)| *address);
    let has_providers = !sidecar.admin().providers().is_empty();
    banner::print(address, metrics_address, &server.made, has_providers);
    if !server.allow_anonymous && sidecar.callers().is_empty() {
        tracing::warn!(
            "callers need a key here and there is none yet: /v1 is refused with 401; \
             SIDECAR_ALLOW_ANONYMOUS=true opens it to everybody who can reach this address"
        );
    }
    tracing::info!(addr = %address, version = env!("CARGO_PKG_VERSION"), "listening");
    let gate = Gate::new(server.admin_token, server.allow_anonymous).hosts(server.hosts);
    let workers = Workers::start().map_err(RunError::Workers)?;
    let edge = Edge::new(sidecar.clone(), gate, server.key_source);
    let (mut places, mut clients) = (Vec::new(), Vec::new());
    for worker in workers.handles() {
        let client = client.apart();
        places.push((worker.clone(), edge.service(client.clone())));
        clients.push((worker.clone(), client));
    }
    let mut has_failed = false;
    let shutdown = async {
        let signal = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            () = workers.failed() => {
                has_failed = true;
                tracing::error!("stopping, as a thread has failed: running answers may end");
                return;
            }
        };
        tracing::info!(signal, "stopping: running answers may end");
    };
    let prober = Prober::new(sidecar.pools().clone());
    let beside = [
        tokio::spawn(prober.run(client)),
        tokio::spawn(prewarm::run(sidecar.clone(), clients)),
        tokio::spawn(backup::run(sidecar.clone())),
    ];
    let drained = listen::serve_on(listener, places, Limits::default(), shutdown).await;
    beside.iter().for_each(JoinHandle::abort);
    if let Some((_, exporting)) = exporting {
        exporting.abort();
    }
    let closed = sidecar.close().await;
    // Not before everything is written: a change that was asked for may still be under way there.
    workers.stop().await;
    closed.map_err(RunError::Close)?;
    if has_failed {
        return Err(RunError::Failed);
    }
    tracing::info!(cut = drained.cut, "stopped");
    Ok(())
}

/// Begins to serve metrics, and says where.
fn export(
    address: SocketAddr,
    recorder: Recorder,
    sidecar: &Sidecar,
    db_path: PathBuf,
) -> Result<(SocketAddr, JoinHandle<()>), RunError> {
    let bind = |source| RunError::BindMetrics { address, source };
    let listener = Listener::bind(address).map_err(bind)?;
    let address = listener.local_addr().map_err(bind)?;
    let exporter = Exporter::new(recorder, sidecar.clone(), db_path);
    tracing::info!(addr = %address, "metrics");
    Ok((address, tokio::spawn(exporter.run(listener))))
}

const EX_CONFIG: u8 = 78;
