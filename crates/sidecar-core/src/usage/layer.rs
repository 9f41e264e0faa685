//! [`UsageLayer`].

use tower::Layer;

use super::{Meter, Usage};
use crate::clock::Clock;

/// Applies [`Usage`] to a service.
#[derive(Clone, Debug)]
pub struct UsageLayer {
    meter: Meter,
    clock: Clock,
}

impl UsageLayer {
    /// Books at `meter`.
    pub fn new(meter: Meter, clock: Clock) -> Self {
        Self { meter, clock }
    }
}

impl<S> Layer<S> for UsageLayer {
    type Service = Usage<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Usage::new(inner, self.meter.clone(), self.clock.clone())
    }
}
