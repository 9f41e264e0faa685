//! What is measured, for Prometheus and its like.
//!
//! What happens to requests is counted as it happens, through the `metrics` facade and by handles
//! that are made before a request comes, so that counting costs some nanoseconds and no memory.
//! This crate installs no recorder. Install one before a [`crate::Sidecar`] is opened, then call
//! [`describe`]; without one, nothing is counted. A recorder has to be told the buckets of the
//! families that are a [`Kind::Histogram`].
//!
//! What can be read at any moment is written by [`crate::Sidecar::expose`] when somebody asks, so
//! that nothing is left of a provider that is gone.
//!
//! All labels are of bounded sets. `provider` and `model` are what an operator has entered; a model
//! that only a caller has named is `(other)`. The series of a provider that was removed or renamed
//! stay until a restart: their number is bounded by what the operator does. `agent_name` is a
//! caller with a key, or one of at most 200 names that others give themselves.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), sidecar_core::error::BoxError> {
//! use sidecar_core::Sidecar;
//! use sidecar_core::metrics::{self, Exposition};
//!
//! metrics::describe();
//! let sidecar = Sidecar::builder().open().await?;
//! let mut text = Exposition::default();
//! sidecar.expose(&mut text);
//! assert!(text.as_str().contains("\nsidecar_queue_depth 0\n"));
//! # Ok(()) }
//! ```

mod agents;
mod by_kind;
mod endpoint;
mod expose;
mod names;
mod text;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ::metrics::Histogram;

pub(crate) use self::agents::{AgentRequest, Agents};
use self::by_kind::{ByKind, REFUSALS, VERDICTS};
pub(crate) use self::endpoint::EndpointMetrics;
use self::endpoint::Endpoints;
pub use self::names::*;
pub use self::text::{Exposition, Samples};
use crate::callers::CallerRefusal;
use crate::clock::Instant;
use crate::verdict::Class;

/// Tells the recorder what the families that are counted as they happen are. Once is enough, after
/// it was installed.
pub fn describe() {
    for family in names::PUSHED {
        let Family { name, kind, help } = family;
        match kind {
            Kind::Counter => ::metrics::describe_counter!(name, help),
            Kind::Histogram => ::metrics::describe_histogram!(name, help),
            Kind::Gauge | Kind::Untyped => ::metrics::describe_gauge!(name, help),
        }
    }
}

/// The handles of one [`crate::pool::Pools`].
pub(crate) struct Metrics {
    pub(crate) agents: Agents,
    endpoints: Endpoints,
    failovers: ByKind,
    refusals: ByKind,
    overhead: Histogram,
    queue_wait: Histogram,
    flush: Histogram,
    /// When all usage was last in the store, as [`Instant::as_nanos`]; 0 if nobody writes it.
    flushed_at: AtomicU64,
}

impl Metrics {
    /// Handles of the recorder that is installed now.
    pub(crate) fn new() -> Self {
        Self {
            agents: Agents::default(),
            endpoints: Endpoints::default(),
            failovers: ByKind::new(FAILOVERS, "reason", None, VERDICTS),
            refusals: ByKind::new(CALLER_REFUSALS, "kind", None, REFUSALS),
            overhead: ::metrics::histogram!(OVERHEAD.name),
            queue_wait: ::metrics::histogram!(QUEUE_WAIT.name),
            flush: ::metrics::histogram!(STORE_FLUSH.name),
            flushed_at: AtomicU64::new(0),
        }
    }

    /// The handles of `model` at `provider`, by its name; `is_entered` says whether an operator
    /// entered the model.
    pub(crate) fn endpoint(
        &self,
        provider: &Arc<str>,
        model: &Arc<str>,
        is_entered: bool,
    ) -> Arc<EndpointMetrics> {
        if is_entered {
            return self.endpoints.of(provider, model, true);
        }
        self.endpoints.of(provider, &OTHER.into(), false)
    }

    /// A request goes on to another provider after one has failed so.
    pub(crate) fn failed_over(&self, class: Class) {
        self.failovers.count(class.kind());
    }

    /// A caller's own limits have refused a request.
    pub(crate) fn refused(&self, refusal: &CallerRefusal) {
        self.refusals.count(refusal.kind());
    }

    /// An answer has begun, and this much of the time until then was spent here.
    pub(crate) fn spent(&self, own: Duration) {
        self.overhead.record(own.as_secs_f64());
    }

    /// A request has waited for a slot, with or without getting one.
    pub(crate) fn waited(&self, waited: Duration) {
        self.queue_wait.record(waited.as_secs_f64());
    }

    /// A batch of usage was written.
    pub(crate) fn wrote(&self, took: Duration) {
        self.flush.record(took.as_secs_f64());
    }

    /// All usage is in the store.
    pub(crate) fn flushed(&self, now: Instant) {
        self.flushed_at.store(now.as_nanos(), Ordering::Relaxed);
    }

    /// How long ago that was; `None` if nobody writes it.
    fn flush_lag(&self, now: Instant) -> Option<Duration> {
        match self.flushed_at.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(now - Instant::from_nanos(nanos)),
        }
    }

    fn for_each_cost(&self, each: impl FnMut(&str, &str, u128)) {
        self.endpoints.for_each_cost(each);
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// What stands for models that no operator entered.
const OTHER: &str = "(other)";

#[cfg(test)]
mod tests;
