//! [`RateLimitLayer`].

use tower::Layer;

use super::{Limiter, RateLimit};
use crate::clock::Clock;

/// Applies [`RateLimit`] to a service.
#[derive(Clone, Debug)]
pub struct RateLimitLayer {
    limiter: Limiter,
    clock: Clock,
}

impl RateLimitLayer {
    /// Takes a slot of `limiter` for each call.
    pub fn new(limiter: Limiter, clock: Clock) -> Self {
        Self { limiter, clock }
    }
}

impl<S> Layer<S> for RateLimitLayer {
    type Service = RateLimit<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RateLimit::new(inner, self.limiter.clone(), self.clock.clone())
    }
}
