//! What is compared. Each runs in this process until its runtime ends.

use std::future::pending;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::json;
use sidecar_core::Sidecar;
use sidecar_core::keys::{Kek, KeyRing};
use sidecar_core::secret::TokenDigest;
use sidecar_server::auth::Gate;
use sidecar_server::config::KeySource;
use sidecar_server::listen::{self, Limits, Listener};
use sidecar_server::{app, metrics};
use tokio::net::TcpListener;

use crate::bare;
use crate::caller::Caller;

/// A caller of a proxy that is hyper and nothing else, or with `is_floor` also what any gateway
/// has to do.
pub(crate) async fn bare_proxy(provider: SocketAddr, is_floor: bool) -> Caller {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(bare::run(listener, provider, is_floor));
    Caller::connect(address, bare::KEY).await
}

/// A caller of the whole server with everything on: a store in the folder `home`, three providers
/// with limits and prices, a caller key, metrics, and a log that is written to nowhere.
pub(crate) async fn sidecar(provider: SocketAddr, home: &Path) -> Caller {
    // They fail only if an earlier test of this process has done it.
    let _ = metrics::install();
    let _ = tracing_subscriber::fmt().with_ansi(false).with_writer(std::io::sink).try_init();
    let ring = KeyRing::new(Kek::generate());
    let sidecar = Sidecar::builder().store(home.join("sidecar.redb"), ring).open().await.unwrap();
    for name in ["one", "two", "three"] {
        let entry = json!({
            "name": name,
            "api_base_url": format!("http://{provider}/v1"),
            "api_key": "sk-0123456789abcdef",
            "rpm_limit": 1_000_000,
            "model_mappings": {"model": {
                "native_id": "vendor/model",
                "cost_per_mtok": {"input": 1, "output": 2},
            }},
        });
        sidecar.admin().add_provider(serde_json::from_value(entry).unwrap()).await.unwrap();
    }
    let caller = serde_json::from_value(json!({"name": "caller"})).unwrap();
    let (_, key) = sidecar.admin().add_caller(caller).await.unwrap();
    let gate = Gate::new(TokenDigest::of("admin-token-of-a-test"), false);
    let client = sidecar.https_client().unwrap();
    let edge = app::edge(sidecar, client, gate, KeySource::none());
    let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(listen::serve(listener, edge, Limits::default(), pending()));
    Caller::connect(address, key.expose()).await
}
