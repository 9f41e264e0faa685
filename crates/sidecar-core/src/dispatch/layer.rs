//! [`DispatchLayer`].

use tower::Layer;

use super::{Dispatch, Target};

/// Applies [`Dispatch`] to an HTTP client.
#[derive(Clone, Debug)]
pub struct DispatchLayer {
    target: Target,
}

impl DispatchLayer {
    /// Sends to `target`.
    pub fn new(target: Target) -> Self {
        Self { target }
    }
}

impl<C> Layer<C> for DispatchLayer {
    type Service = Dispatch<C>;

    fn layer(&self, client: C) -> Self::Service {
        Dispatch::new(client, self.target.clone())
    }
}
