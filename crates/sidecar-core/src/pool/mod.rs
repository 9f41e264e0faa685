//! Many limited keys that behave like one big reliable one.
//!
//! [`PoolLayer`] wraps an HTTP client. For each [`Call`](crate::call::Call) the pool plans over a
//! [`Pools`] snapshot, tries one provider after the other, each through its own stack of layers,
//! and waits for a free slot when waiting is cheaper than failing.

mod answer;
mod failover;
mod health;
mod layer;
mod live;
mod plan;
mod pools;
mod queue;
mod service;
mod snapshot;

pub use self::answer::{ResponseBody, Served};
pub use self::health::Health;
pub use self::layer::PoolLayer;
pub(crate) use self::live::LiveProvider;
pub use self::pools::{ModelInfo, Pools};
pub use self::service::{Pool, ResponseFuture};

#[cfg(test)]
mod tests;
