//! Asks providers that nobody has asked for a while how they are.
//!
//! A [`Prober`] has every provider that was sent nothing for the interval of the settings list its
//! models. So one that broke while it was idle is known before a caller meets it, and one that
//! rests comes back as soon as it is well. A listing costs no tokens and none of a model's quota;
//! it takes a slot of the provider's limit and is booked like everything that is sent.
//!
//! What a listing shows is little, and nothing else is concluded from it:
//! - Whether the origin can be reached.
//! - What has become of the key, but only by comparison: an answer after a refusal, or a refusal
//!   after an answer. Some vendors list to everybody, and some refuse to list to a key that is good
//!   for everything else, so that one answer alone says nothing.
//! - Nothing of quotas and models: those rests go on whatever it says.
//!
//! ```no_run
//! # async fn start(sidecar: &sidecar_core::Sidecar) -> Result<(), sidecar_core::error::BoxError> {
//! use sidecar_core::probe::Prober;
//!
//! let prober = Prober::new(sidecar.pools().clone());
//! let task = tokio::spawn(prober.run(sidecar.https_client()?));
//! // It asks on until it is stopped.
//! task.abort();
//! # Ok(()) }
//! ```

mod listing;
mod round;

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use tower::Service;

pub(crate) use self::listing::listing;

use self::listing::Listing;
use crate::clock::{Instant, Timestamp};
use crate::error::BoxError;
use crate::pool::Pools;

/// Asks idle and resting providers how they are. See the [module documentation](self).
#[derive(Debug)]
pub struct Prober {
    pools: Pools,
    /// By provider id.
    known: HashMap<String, Known>,
}

/// What is known of one provider.
#[derive(Debug)]
struct Known {
    /// The end of the last attempt, by the provider's own record.
    last_attempt: Option<Timestamp>,
    /// Since when there has been no other one, nor a question. Monotonic, so that a jump of the
    /// wall clock makes nobody wait.
    quiet_since: Instant,
    /// How the key fared with the last listing that looked at it.
    listing: Option<Listing>,
}

impl Prober {
    /// Asks the providers of `pools`.
    pub fn new(pools: Pools) -> Self {
        Self { pools, known: HashMap::new() }
    }

    /// Asks by `client` as often as the setting `health_check_interval_seconds` says, never while
    /// it is 0; a change takes effect within a second. Does not end. Dropped, it gives up what it
    /// was asking.
    pub async fn run<C, B>(mut self, client: C)
    where
        C: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + 'static,
        C::Error: Into<BoxError>,
        C::Future: Send + 'static,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        loop {
            let settings = self.pools.settings();
            let (interval, patience) =
                (settings.health_check_interval, settings.health_check_timeout);
            if !interval.is_zero() {
                self.round(client.clone(), interval, patience).await;
            }
            let clock = self.pools.clock();
            clock.sleep_until(clock.now() + TICK).await;
        }
    }
}

/// How often to look who has become due.
const TICK: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
