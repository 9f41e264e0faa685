//! [`RelayLayer`].

use std::sync::Arc;
use std::time::Duration;

use tower::Layer;

use super::Relay;
use super::watch::OnCut;
use crate::clock::Clock;
use crate::provider::StreamUsage;
use crate::verdict::Class;

/// Applies [`Relay`] to a service.
#[derive(Clone, Debug)]
pub struct RelayLayer {
    config: RelayConfig,
    on_cut: Option<OnCut>,
}

/// What [`Relay`] goes by.
#[derive(Clone, Debug)]
pub struct RelayConfig {
    /// The longest silence between two frames of a body. The first one may take as long as
    /// whatever stands further in lets it.
    pub idle_timeout: Duration,
    /// How the model says what a stream used: what the caller sees of it follows from that and
    /// from what it asked for.
    pub stream_usage: StreamUsage,
    /// Tells the time.
    pub clock: Clock,
}

impl RelayLayer {
    /// Passes answers on under `config`.
    pub fn new(config: RelayConfig) -> Self {
        Self { config, on_cut: None }
    }

    /// Calls `hook` for each answer that was begun and does not come to its end by the provider's
    /// fault, once: [`Class::Transport`] for a cut, [`Class::Timeout`] for a silence,
    /// [`Class::Lying`] for an error inside the stream. It is called before the provider's body is
    /// dropped, from within a poll, so it should be quick.
    pub fn on_cut(mut self, hook: Arc<dyn Fn(Class) + Send + Sync>) -> Self {
        self.on_cut = Some(OnCut(hook));
        self
    }
}

impl<S> Layer<S> for RelayLayer {
    type Service = Relay<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Relay::new(inner, self.config.clone()).hooked(self.on_cut.clone())
    }
}
