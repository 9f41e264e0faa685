//! [`FirstByteLayer`].

use std::time::Duration;

use tower::Layer;

use super::FirstByte;
use crate::clock::Clock;
use crate::provider::Api;

/// Applies [`FirstByte`] to a service.
#[derive(Clone, Debug)]
pub struct FirstByteLayer {
    api: Api,
    patience: Patience,
    clock: Clock,
}

/// How long to wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For the head.
    pub head: Duration,
    /// For the first meaningful event, after the head.
    pub first_event: Duration,
}

impl FirstByteLayer {
    /// Judges by the dialect of `api`.
    pub fn new(api: Api, patience: Patience, clock: Clock) -> Self {
        Self { api, patience, clock }
    }
}

impl<S> Layer<S> for FirstByteLayer {
    type Service = FirstByte<S>;

    fn layer(&self, inner: S) -> Self::Service {
        FirstByte::new(inner, self.api, self.patience, self.clock.clone())
    }
}
