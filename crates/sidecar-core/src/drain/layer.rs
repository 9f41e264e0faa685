//! [`DrainLayer`].

use std::sync::Arc;

use tower::Layer;

use super::heir::Heir;
use super::{Drain, Drains};

/// Applies [`Drain`] to a service.
#[derive(Clone, Debug)]
pub struct DrainLayer {
    heir: Option<Heir>,
}

impl DrainLayer {
    /// Answers that their callers leave are read on by `drains`; without it they are dropped, and
    /// the layer costs nothing.
    pub fn new(drains: Option<Drains>) -> Self {
        Self { heir: drains.map(Heir::new) }
    }

    /// Holds `guard` while an answer is read on, as long as somebody else holds it when its caller
    /// leaves. Its strong count can then tell how many requests are in flight.
    #[must_use]
    pub fn holding(self, guard: &Arc<()>) -> Self {
        Self { heir: self.heir.map(|heir| heir.holding(guard)) }
    }
}

impl<S> Layer<S> for DrainLayer {
    type Service = Drain<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Drain::new(inner, self.heir.clone())
    }
}
