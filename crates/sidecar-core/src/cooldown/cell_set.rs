//! The cells one request has to pass.

use std::sync::Arc;
use std::time::Duration;

use super::{Admission, Cell, CooldownPolicy};
use crate::clock::Instant;
use crate::verdict::{Class, Scope, Verdict};

/// The four cells of one (provider, model): a failure is charged to the one it belongs to, and a
/// request passes only if all of them admit it. Cells are shared with every other pair they
/// belong to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CellSet {
    /// The credential.
    pub key: Arc<Cell>,
    /// The account and model.
    pub quota: Arc<Cell>,
    /// The origin and model.
    pub endpoint: Arc<Cell>,
    /// The origin, for faults of the way to it.
    pub origin: Arc<Cell>,
}

/// Leave of all four cells, in the order of [`CellSet::each`].
pub(super) type Pass = [Admission; 4];

impl CellSet {
    /// Four new cells of one policy, for a provider that shares none. The ramp after a probe is
    /// that of 60 requests a minute.
    pub fn new(policy: CooldownPolicy) -> Self {
        let cell = || Arc::new(Cell::new(policy, 60));
        Self { key: cell(), quota: cell(), endpoint: cell(), origin: cell() }
    }

    /// These cells together.
    pub fn of(key: Arc<Cell>, quota: Arc<Cell>, endpoint: Arc<Cell>, origin: Arc<Cell>) -> Self {
        Self { key, quota, endpoint, origin }
    }

    /// When a request could pass: `None` now, or the instant to wait for.
    pub fn ready_at(&self, now: Instant) -> Option<Instant> {
        self.each().into_iter().filter_map(|cell| cell.ready_at(now)).max()
    }

    /// Whether the end of every running rest is worth waiting for.
    pub(crate) fn are_promising(&self, now: Instant) -> bool {
        self.each().into_iter().all(|cell| cell.ready_at(now).is_none() || cell.is_promising())
    }

    /// All four admit, or none keeps a lease.
    pub(super) fn admit(&self, now: Instant, lease: Duration) -> Result<Pass, Instant> {
        let cells = self.each();
        let mut pass = [Admission::NONE; 4];
        for (index, cell) in cells.iter().enumerate() {
            match cell.admit(now, lease) {
                Ok(admission) => pass[index] = admission,
                Err(ready_at) => {
                    for (cell, admission) in cells.iter().zip(pass).take(index) {
                        cell.release(admission, now);
                    }
                    return Err(ready_at);
                }
            }
        }
        Ok(pass)
    }

    pub(super) fn release(&self, pass: Pass, now: Instant) {
        for (cell, admission) in self.each().into_iter().zip(pass) {
            cell.release(admission, now);
        }
    }

    /// Charges a failure to its cell; the others learn nothing from it, and from the caller's own
    /// fault nobody learns anything.
    pub(super) fn settle(&self, pass: Pass, verdict: &Verdict, now: Instant, jitter: f64) {
        let scope = verdict.class.scope();
        let charged = match scope {
            Scope::Key => Some(0),
            Scope::Quota => Some(1),
            Scope::Endpoint => Some(2),
            Scope::Origin => Some(3),
            Scope::None => None,
        };
        for (index, (cell, admission)) in self.each().into_iter().zip(pass).enumerate() {
            if charged == Some(index) {
                cell.fail(admission, verdict, now, jitter);
            } else if verdict.class == Class::Accept {
                cell.succeed(admission, now);
            } else {
                cell.release(admission, now);
            }
        }
        if let (Class::Accept, Some(hint)) = (verdict.class, verdict.hint) {
            self.quota.rest(now + hint.wait.min(MOST_REST), now);
        }
    }

    fn each(&self) -> [&Cell; 4] {
        [&self.key, &self.quota, &self.endpoint, &self.origin]
    }
}

/// The longest rest that a good answer can ask for.
const MOST_REST: Duration = Duration::from_secs(3_600);
