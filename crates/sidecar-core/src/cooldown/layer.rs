//! [`CooldownLayer`].

use std::time::Duration;

use tower::Layer;

use super::{CellSet, Cooldown};
use crate::clock::Clock;

/// Applies [`Cooldown`] to a service.
#[derive(Clone, Debug)]
pub struct CooldownLayer {
    cells: CellSet,
    clock: Clock,
    lease: Duration,
}

impl CooldownLayer {
    /// Admits by `cells`. A probe that is never judged is given up after 65 s.
    pub fn new(cells: CellSet, clock: Clock) -> Self {
        Self { cells, clock, lease: Duration::from_secs(65) }
    }

    /// Gives a probe up after `lease`: the time to the first event, and a little more.
    #[must_use]
    pub fn probe_lease(self, lease: Duration) -> Self {
        Self { lease, ..self }
    }
}

impl<S> Layer<S> for CooldownLayer {
    type Service = Cooldown<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Cooldown::new(inner, self.cells.clone(), self.clock.clone(), self.lease)
    }
}
