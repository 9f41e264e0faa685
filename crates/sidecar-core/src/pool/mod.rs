//! Many limited keys that behave like one big reliable one.
//!
//! [`PoolLayer`] wraps an HTTP client. For each [`Call`](crate::call::Call) the pool plans over a
//! [`Pools`] snapshot, tries one provider after the other, each through its own stack of layers,
//! and waits for a free slot when waiting is cheaper than failing.
//!
//! An answer is passed on as it comes, so that it cannot fail over any more once it has begun. A
//! caller that wants it whole ([`Delivery::Complete`]) gets it when all of it is here, and until
//! then another provider can take over; comments keep the connection of a stream alive meanwhile.
//!
//! [`Delivery::Complete`]: crate::callers::Delivery::Complete

mod answer;
mod attempt;
mod budget;
mod emergency;
mod explain;
mod failover;
mod gather;
mod health;
mod heartbeat;
mod journal;
mod layer;
mod live;
mod plan;
mod pools;
mod queue;
mod restored;
mod service;
mod snapshot;
mod wait;

pub use self::answer::{ResponseBody, Served};
pub use self::explain::{Candidate, CellView, Excluded, Explanation, PoolCandidates};
pub use self::health::Health;
pub(crate) use self::journal::{MOST_RECENT, News};
pub use self::layer::PoolLayer;
pub(crate) use self::live::LiveProvider;
pub use self::pools::{ModelInfo, Pools};
pub(crate) use self::restored::{Restored, cell_to_bytes, window_to_bytes};
pub use self::service::{Pool, ResponseFuture};

#[cfg(test)]
mod tests;
