//! [`CooldownLayer`].

use std::time::Duration;

use tower::Layer;

use super::cell_set::Manner;
use super::{CellSet, Cooldown};
use crate::clock::Clock;

/// Applies [`Cooldown`] to a service.
#[derive(Clone, Debug)]
pub struct CooldownLayer {
    cells: CellSet,
    clock: Clock,
    manner: Manner,
}

impl CooldownLayer {
    /// Admits by `cells`. A probe that is never judged is given up after 65 s.
    pub fn new(cells: CellSet, clock: Clock) -> Self {
        Self { cells, clock, manner: Manner::default() }
    }

    /// Gives a probe up after `lease`: the time to the first event, and a little more.
    #[must_use]
    pub fn probe_lease(self, lease: Duration) -> Self {
        Self { manner: Manner { lease, ..self.manner }, ..self }
    }

    /// Whether answers are expected to begin soon, as those of streams do; they are unless this
    /// says otherwise. The head of a document comes when all of it is there: to wait for that is
    /// no sign that the endpoint hangs, so such requests are not counted as one.
    #[must_use]
    pub fn streaming(self, streaming: bool) -> Self {
        Self { manner: Manner { streaming, ..self.manner }, ..self }
    }

    /// Lets a request that would be refused through all the same if it can be an early probe, see
    /// [`super::Cell::admit_early`]. How often is for the caller to limit.
    #[must_use]
    pub fn early_probe(self, early: bool) -> Self {
        Self { manner: Manner { early, ..self.manner }, ..self }
    }
}

impl<S> Layer<S> for CooldownLayer {
    type Service = Cooldown<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Cooldown::with_manner(inner, self.cells.clone(), self.clock.clone(), self.manner)
    }
}
