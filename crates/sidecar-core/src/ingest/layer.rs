//! [`IngestLayer`].

use tower::Layer;

use super::Ingest;
use crate::clock::Clock;
use crate::settings::Settings;
use crate::shared::Shared;

/// Applies [`Ingest`] to a service of calls.
#[derive(Clone, Debug)]
pub struct IngestLayer {
    settings: Shared<Settings>,
    clock: Clock,
}

impl IngestLayer {
    /// Reads requests under fixed `settings`.
    pub fn new(settings: Settings, clock: Clock) -> Self {
        Self::following(Shared::new(settings), clock)
    }

    pub(crate) fn following(settings: Shared<Settings>, clock: Clock) -> Self {
        Self { settings, clock }
    }
}

impl<S> Layer<S> for IngestLayer {
    type Service = Ingest<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Ingest::new(inner, self.settings.clone(), self.clock.clone())
    }
}
