//! [`PoolLayer`].

use tower::Layer;

use super::{Pool, Pools};

/// Makes a [`Pool`] of an HTTP client.
#[derive(Clone, Debug)]
pub struct PoolLayer {
    pools: Pools,
}

impl PoolLayer {
    /// Chooses among the providers of `pools`.
    pub fn new(pools: Pools) -> Self {
        Self { pools }
    }
}

impl<C> Layer<C> for PoolLayer {
    type Service = Pool<C>;

    fn layer(&self, client: C) -> Self::Service {
        Pool::new(client, self.pools.clone())
    }
}
