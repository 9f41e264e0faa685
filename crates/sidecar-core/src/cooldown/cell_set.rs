//! The cells one request has to pass.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use super::cell::Charge;
use super::hang_guard::Ticket;
use super::{Admission, Cell, CooldownPolicy, TripObserver};
use crate::clock::Instant;
use crate::verdict::{Class, Scope, Verdict};

/// The four cells of one (provider, model): a failure is charged to the one it belongs to, and a
/// request passes only if all of them admit it. Cells are shared with every other pair they
/// belong to.
///
/// A clone costs one reference count.
#[derive(Clone, Debug)]
pub struct CellSet(Arc<Cells>);

/// The cells of a [`CellSet`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Cells {
    /// The credential.
    pub key: Arc<Cell>,
    /// The account and model.
    pub quota: Arc<Cell>,
    /// The origin and model.
    pub endpoint: Arc<Cell>,
    /// The origin, for faults of the way to it.
    pub origin: Arc<Cell>,
    observer: Option<Arc<dyn TripObserver>>,
}

/// How requests of one kind pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// When a probe that is never judged is given up.
    pub(super) lease: Duration,
    /// Whether the first byte is expected soon.
    pub(super) streaming: bool,
    /// Whether a rest may be cut short by an early probe.
    pub(super) early: bool,
}

/// Leave of all four cells, in the order of [`SCOPES`], and a place with the hang guard.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pass {
    admissions: [Admission; 4],
    ticket: Ticket,
}

/// What became of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settlement<'a> {
    pub(super) verdict: &'a Verdict,
    /// Whether the verdict is about an answer of the provider, not about the lack of one.
    pub(super) answered: bool,
    /// A hash of who sent it, if that is known.
    pub(super) caller: Option<u64>,
    /// In 0..=1, see [`Cell::fail`].
    pub(super) jitter: f64,
}

impl Deref for CellSet {
    type Target = Cells;

    fn deref(&self) -> &Cells {
        &self.0
    }
}

impl CellSet {
    /// Four new cells of one policy, for a provider that shares none. The ramp after a probe is
    /// that of 60 requests a minute.
    pub fn new(policy: CooldownPolicy) -> Self {
        let cell = || Arc::new(Cell::new(policy, 60));
        Self::of(cell(), cell(), cell(), cell())
    }

    /// These cells together.
    pub fn of(key: Arc<Cell>, quota: Arc<Cell>, endpoint: Arc<Cell>, origin: Arc<Cell>) -> Self {
        Self(Arc::new(Cells { key, quota, endpoint, origin, observer: None }))
    }

    /// Tells `observer` what happens to the cells by way of this set.
    #[must_use]
    pub fn observed(self, observer: Arc<dyn TripObserver>) -> Self {
        let cells = Arc::unwrap_or_clone(self.0);
        Self(Arc::new(Cells { observer: Some(observer), ..cells }))
    }

    /// When a request could pass: `None` now, or the instant to wait for.
    pub fn ready_at(&self, now: Instant) -> Option<Instant> {
        let (cells, of_hangs) = (self.each(), self.endpoint.hangs().ready_at(now));
        // Nearly always they are, and then the time does not matter.
        if cells.iter().all(|cell| cell.is_closed()) {
            return of_hangs;
        }
        cells.into_iter().filter_map(|cell| cell.ready_at(now)).max().max(of_hangs)
    }

    /// Whether a request that is refused could pass as an early probe, see [`Cell::admit_early`].
    /// Reserves nothing.
    pub fn admits_early(&self, now: Instant) -> bool {
        let resting = self.each().into_iter().filter(|cell| cell.ready_at(now).is_some());
        let (mut resting, hangs) = (resting.peekable(), self.endpoint.hangs());
        hangs.ready_at(now).is_none()
            && resting.peek().is_some()
            && resting.all(|cell| cell.admits_early(now))
    }

    /// Ends every rest and forgets why, as an operator asks for it.
    pub fn reset(&self) {
        for (cell, scope) in self.each().into_iter().zip(SCOPES) {
            let is_changed = !cell.is_untouched();
            cell.reset();
            if is_changed {
                self.changed(scope);
            }
        }
    }

    /// Whether the end of every running rest is worth waiting for.
    pub(crate) fn are_promising(&self, now: Instant) -> bool {
        let mut cells = self.each().into_iter();
        cells.all(|cell| cell.ready_at(now).is_none() || cell.is_promising())
            && self.endpoint.hangs().ready_at(now).is_none()
    }

    /// Charges a failure that no request of this set has met, or one that came after its answer had
    /// begun. A cell that rests already learns nothing from it.
    pub(crate) fn note_failure(&self, verdict: &Verdict, now: Instant, jitter: f64) {
        let charged = verdict.class.scope();
        for (cell, scope) in self.each().into_iter().zip(SCOPES) {
            if scope == charged
                && let Ok(admission) = cell.admit(now, MOMENT)
            {
                let charge = cell.charge(admission, verdict, None, now, jitter);
                self.report(scope, charge);
            }
        }
    }

    /// Ends the rest of `scope`: it is known to be well again.
    pub(crate) fn note_recovery(&self, scope: Scope, now: Instant) {
        for (cell, of_cell) in self.each().into_iter().zip(SCOPES) {
            if scope == of_cell && cell.recover(now) {
                self.changed(scope);
            }
        }
    }

    /// All four admit, or none keeps a lease.
    pub(super) fn admit(&self, now: Instant, manner: Manner) -> Result<Pass, Instant> {
        let mut admissions = [Admission::NONE; 4];
        for (index, cell) in self.each().into_iter().enumerate() {
            match cell.admit(now, manner.lease) {
                Ok(admission) => admissions[index] = admission,
                Err(ready_at) => {
                    self.give_back(admissions, now);
                    return Err(ready_at);
                }
            }
        }
        self.watch(admissions, now, manner)
    }

    /// As [`CellSet::admit`], but a cell that refuses may let it through as its early probe. At
    /// least one does, or none keeps a lease.
    pub(super) fn admit_early(&self, now: Instant, manner: Manner) -> Option<Pass> {
        let mut admissions = [Admission::NONE; 4];
        let mut any_early = false;
        for (index, cell) in self.each().into_iter().enumerate() {
            let admission = cell.admit(now, manner.lease).or_else(|_| {
                any_early = true;
                cell.admit_early(now, manner.lease).ok_or(())
            });
            match admission {
                Ok(admission) => admissions[index] = admission,
                Err(()) => {
                    self.give_back(admissions, now);
                    return None;
                }
            }
        }
        if !any_early {
            self.give_back(admissions, now);
            return None;
        }
        self.watch(admissions, now, manner).ok()
    }

    pub(super) fn release(&self, pass: Pass, now: Instant) {
        self.endpoint.hangs().leave(pass.ticket, now);
        self.give_back(pass.admissions, now);
    }

    /// Charges a failure to its cell; the others learn nothing from it, and from the caller's own
    /// fault nobody learns anything but that there was an answer.
    pub(super) fn settle(&self, pass: Pass, settlement: Settlement<'_>, now: Instant) {
        let Settlement { verdict, answered, caller, jitter } = settlement;
        let charged = verdict.class.scope();
        for ((cell, admission), scope) in self.each().into_iter().zip(pass.admissions).zip(SCOPES) {
            if scope == charged {
                self.report(scope, cell.charge(admission, verdict, caller, now, jitter));
            } else if verdict.class == Class::Accept {
                if cell.succeed(admission, caller, now) {
                    self.changed(scope);
                }
            } else {
                cell.release(admission, now);
            }
        }
        // Afterwards: whether the endpoint was suspect decides what a timeout means.
        let hangs = self.endpoint.hangs();
        match verdict.class {
            _ if answered => hangs.clear(),
            Class::Timeout => hangs.timed_out(pass.ticket),
            _ => hangs.leave(pass.ticket, now),
        }
        if let (Class::Accept, Some(hint)) = (verdict.class, verdict.hint)
            && self.quota.rest(now + hint.wait.min(MOST_REST), now)
        {
            self.changed(Scope::Quota);
        }
    }

    /// The last step of an admission: an endpoint that seems to hang takes one at a time.
    fn watch(
        &self,
        admissions: [Admission; 4],
        now: Instant,
        manner: Manner,
    ) -> Result<Pass, Instant> {
        match self.endpoint.hangs().send(manner.streaming, now, manner.lease) {
            Ok(ticket) => Ok(Pass { admissions, ticket }),
            Err(ready_at) => {
                self.give_back(admissions, now);
                Err(ready_at)
            }
        }
    }

    fn give_back(&self, admissions: [Admission; 4], now: Instant) {
        for (cell, admission) in self.each().into_iter().zip(admissions) {
            cell.release(admission, now);
        }
    }

    fn report(&self, scope: Scope, charge: Charge) {
        match charge {
            Charge::Noted => {}
            Charge::Lengthened => self.changed(scope),
            Charge::Tripped(trip) => {
                if let Some(observer) = &self.observer {
                    observer.tripped(scope, &trip);
                }
            }
        }
    }

    fn changed(&self, scope: Scope) {
        if let Some(observer) = &self.observer {
            observer.changed(scope);
        }
    }

    /// In the order of [`SCOPES`].
    fn each(&self) -> [&Cell; 4] {
        [&self.key, &self.quota, &self.endpoint, &self.origin]
    }
}

impl Default for Manner {
    fn default() -> Self {
        Self { lease: Duration::from_secs(65), streaming: true, early: false }
    }
}

const SCOPES: [Scope; 4] = [Scope::Key, Scope::Quota, Scope::Endpoint, Scope::Origin];
/// The lease of a failure that has happened already.
const MOMENT: Duration = Duration::from_secs(1);
/// The longest rest that a good answer can ask for.
const MOST_REST: Duration = Duration::from_secs(3_600);
