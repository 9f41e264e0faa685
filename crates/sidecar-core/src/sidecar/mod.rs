//! The recommended composition: providers, store and layers in one handle.

mod builder;
mod flush;
mod state;

use std::sync::Arc;

use tower::ServiceBuilder;

pub(crate) use self::builder::setting_to_bytes;
pub use self::builder::{OpenError, SidecarBuilder};
pub(crate) use self::state::{Locked, State, Stored};

use crate::admin::Admin;
use crate::callers::Callers;
#[cfg(feature = "client")]
use crate::client::{ClientError, HttpsClient};
use crate::ingest::{Ingest, IngestLayer};
use crate::pool::{Pool, PoolLayer, Pools};
use crate::store::StoreError;

/// Everything in one handle. Cheap to clone; clones share all of it.
///
/// See the [crate documentation](crate) for an example.
#[derive(Clone, Debug)]
pub struct Sidecar {
    state: Arc<State>,
}

impl Sidecar {
    /// Starts to configure one. As it is, it keeps everything in memory.
    pub fn builder() -> SidecarBuilder {
        SidecarBuilder::default()
    }

    /// The service that takes HTTP requests and sends them to providers by `client`.
    pub fn service<C>(&self, client: C) -> Ingest<Pool<C>> {
        let pools = self.pools();
        ServiceBuilder::new()
            // Outermost: the body is collected once, so that every attempt can send it again.
            .layer(IngestLayer::following(pools.shared_settings(), pools.clock().clone()))
            // Chooses a provider for each call; their stacks are put together in `endpoint`.
            .layer(PoolLayer::new(pools.clone()))
            .service(client)
    }

    /// The default HTTPS client, which follows the setting `upstream_private`.
    #[cfg(feature = "client")]
    pub fn https_client(&self) -> Result<HttpsClient, ClientError> {
        HttpsClient::following(self.pools().shared_settings())
    }

    /// Manages providers and settings.
    pub fn admin(&self) -> Admin {
        Admin::new(self.state.clone())
    }

    /// Those who may call, by their keys.
    pub fn callers(&self) -> &Callers {
        &self.state.callers
    }

    /// The providers with their live state.
    pub fn pools(&self) -> &Pools {
        &self.state.pools
    }

    /// Whether the store can be written.
    pub fn is_store_healthy(&self) -> bool {
        self.state.store.is_healthy()
    }

    /// Writes what is not written yet and closes the store. Requests that are under way go on, but
    /// what they use is no longer written; if the limits are kept in a file, nothing more is sent.
    /// What is read on without its caller is given up.
    pub async fn close(&self) -> Result<(), StoreError> {
        // Before the last flush, which is to have what they have used.
        self.pools().drains().close().await;
        let flushed = self.state.flusher.stop().await;
        self.state.store.close().await?;
        flushed
    }
}
