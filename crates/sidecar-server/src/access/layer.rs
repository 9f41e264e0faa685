//! [`AccessLayer`].

use sidecar_core::clock::Clock;
use tower::Layer;

use super::Access;

/// Applies [`Access`] to a service.
#[derive(Clone, Debug)]
pub struct AccessLayer {
    clock: Clock,
}

impl AccessLayer {
    /// Measures by `clock`.
    pub fn new(clock: Clock) -> Self {
        Self { clock }
    }
}

impl<S> Layer<S> for AccessLayer {
    type Service = Access<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Access::new(inner, self.clock.clone())
    }
}
