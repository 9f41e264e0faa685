//! [`InFlightLayer`].

use std::sync::Arc;

use tokio::sync::Semaphore;
use tower::Layer;

use super::InFlight;

/// Applies [`InFlight`] to a service. Services of one layer share the limit.
#[derive(Clone, Debug)]
pub struct InFlightLayer {
    permits: Arc<Semaphore>,
}

impl InFlightLayer {
    /// At most `max` requests at a time.
    pub fn new(max: u32) -> Self {
        let max = usize::try_from(max).unwrap_or(Semaphore::MAX_PERMITS);
        Self { permits: Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS))) }
    }
}

impl<S> Layer<S> for InFlightLayer {
    type Service = InFlight<S>;

    fn layer(&self, inner: S) -> Self::Service {
        InFlight::new(inner, self.permits.clone())
    }
}
