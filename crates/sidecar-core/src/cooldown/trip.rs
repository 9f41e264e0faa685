//! [`Trip`]: a cell that has opened, and who is told of it.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Instant;
use crate::verdict::{Class, Hint, HintSource, Scope};

/// A cell that has opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trip {
    /// How often it has tripped without proven recovery, this time included.
    pub level: u8,
    /// What the failure was that opened it.
    pub class: Class,
    /// How long it rests, the random spread included.
    pub length: Duration,
    /// When the rest is over.
    pub until: Instant,
    /// Who says that it takes so long.
    pub source: RestSource,
}

/// Who says how long a rest takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RestSource {
    /// The provider, in a header or in the body.
    Authoritative,
    /// The provider's calendar: a day or month that resets at a known instant.
    Computed,
    /// Nobody: it is a guess, by class and level.
    Heuristic,
}

/// Learns what happens to the cells of a [`super::CellSet`], in the thread of the request it
/// happened to and outside of the cells' locks. It should be quick.
pub trait TripObserver: fmt::Debug + Send + Sync {
    /// The cell of `scope` has opened.
    fn tripped(&self, scope: Scope, trip: &Trip);

    /// Something else about the cell of `scope` has changed that should outlive a restart: its
    /// level fell, a probe was good, its rest was lengthened, an operator reset it.
    fn changed(&self, scope: Scope);
}

impl RestSource {
    /// A label for logs and answers, out of a bounded set.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Authoritative => "authoritative",
            Self::Computed => "computed",
            Self::Heuristic => "heuristic",
        }
    }

    pub(super) fn of(hint: Option<Hint>) -> Self {
        match hint.map(|hint| hint.source) {
            Some(HintSource::Authoritative) => Self::Authoritative,
            Some(HintSource::Computed) => Self::Computed,
            None => Self::Heuristic,
        }
    }
}
