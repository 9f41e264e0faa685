//! One cooldown cell: a state machine that takes `now` and owns no timer.
//!
//! ```text
//!             failures are enough                `until` passed, one compare-and-swap won
//!  CLOSED(level) ------------> OPEN(until, level) -------------------> HALF-OPEN(lease)
//!     ^                            ^        ^                           |     |     |
//!     |                            |        +-- probe failed, level+1 --+     |     |
//!     |                            +-- lease ended, or its caller left -------+     |
//!     +-- RAMP: a quarter, then half of the rate, 10 s each <---------- probe good -+
//! ```
//!
//! One atomic word says whether to admit, so a closed cell costs two loads, and an answer of a
//! cell without a past one addition. The mutex is taken only by transitions.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::gate::{Admission, Gate, Sight, Word};
use super::hang_guard::HangGuard;
use super::recent::Recent;
use super::state::State;
use super::{CellState, CooldownPolicy, SavedRest, Trip};
use crate::clock::Instant;
use crate::verdict::{Class, Verdict};

/// A cooldown cell: closed, resting, tried by one probe, or coming back at a growing pace.
#[derive(Debug)]
pub struct Cell {
    gate: Gate,
    /// Whether a success has anything to mend.
    marked: AtomicBool,
    /// Whether the rest has an end that is worth waiting for.
    promising: AtomicBool,
    recent: Recent,
    hangs: HangGuard,
    state: Mutex<State>,
}

/// What a failure has done to a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charge {
    /// Nothing that would have to outlive a restart.
    Noted,
    /// It rests longer now.
    Lengthened,
    /// It has opened.
    Tripped(Trip),
}

impl Cell {
    /// A closed cell. `rpm` is the full rate that the ramp after a probe leads back to.
    pub fn new(policy: CooldownPolicy, rpm: u32) -> Self {
        Self {
            gate: Gate::new(),
            marked: AtomicBool::new(false),
            promising: AtomicBool::new(true),
            recent: Recent::default(),
            hangs: HangGuard::default(),
            state: Mutex::new(State::new(policy, rpm)),
        }
    }

    /// Changes lengths and rate for the trips and ramps to come.
    pub fn configure(&self, policy: CooldownPolicy, rpm: u32) {
        let mut state = self.state();
        state.policy = policy;
        state.rpm = rpm;
    }

    /// When a request could pass: `None` now, or the instant to wait for. Reserves nothing. While
    /// a probe is under way that is soon, because it will be judged long before its lease ends.
    pub fn ready_at(&self, now: Instant) -> Option<Instant> {
        match self.gate.load().sight(now) {
            Sight::Open | Sight::Paced | Sight::Due => None,
            Sight::Shut(at) => Some(at),
            Sight::Leased(at) => Some(at.min(now + PROBE_PATIENCE)),
        }
    }

    /// Whether it neither rests nor comes back from a rest, so that anybody passes at any time.
    pub(super) fn is_closed(&self) -> bool {
        self.gate.load() == Word::CLOSED
    }

    /// Whether the end of the rest is worth waiting for: the provider answers and has said that
    /// it will serve again. Of one that is broken nobody knows, so nobody should wait for it.
    pub fn is_promising(&self) -> bool {
        self.promising.load(Ordering::Relaxed)
    }

    /// Lets a request through, or says when to ask again. After a rest exactly one caller gets
    /// through as the probe, on a lease of `lease`: everyone else sees the cell open until the
    /// probe is judged or its lease has ended.
    pub fn admit(&self, now: Instant, lease: Duration) -> Result<Admission, Instant> {
        // The epoch is read first: a trip in between makes this admission a straggler, never the
        // other way round.
        let epoch = self.gate.epoch();
        let word = self.gate.load();
        match word.sight(now) {
            Sight::Open => Ok(Admission::plain(epoch)),
            Sight::Shut(at) | Sight::Leased(at) => Err(at),
            Sight::Paced => self.admit_paced(epoch, now),
            Sight::Due => {
                self.gate.lease(word, epoch, now + lease).or_else(|other| match other.sight(now) {
                    Sight::Open => Ok(Admission::plain(epoch)),
                    Sight::Shut(at) | Sight::Leased(at) => Err(at),
                    Sight::Paced | Sight::Due => Err(now),
                })
            }
        }
    }

    /// Lets a request through before the rest is over, as the probe on a lease of `lease`: the
    /// last resort when nothing else is left. Only a rest that is a guess can be wrong, and one of
    /// a limit is given half of its time; what the provider asked for is kept, and a key that is
    /// wrong or out of money gets no better by trying.
    pub fn admit_early(&self, now: Instant, lease: Duration) -> Option<Admission> {
        let state = self.state();
        let word = self.gate.load();
        if !word.lacks_probe() || !state.may_be_tried_early(now) {
            return None;
        }
        // Should the probe be lost, what is left of the rest is still to be kept.
        self.gate.lease(word, self.gate.epoch(), state.until.max(now + lease)).ok()
    }

    /// Whether [`Cell::admit_early`] would let a request through. Reserves nothing.
    pub fn admits_early(&self, now: Instant) -> bool {
        let state = self.state();
        self.gate.load().lacks_probe() && state.may_be_tried_early(now)
    }

    /// Gives an admission back uncounted: nothing was sent, or its caller left. The next request
    /// may be the probe at once.
    pub fn release(&self, admission: Admission, now: Instant) {
        if !admission.is_probe() {
            return;
        }
        let state = self.state();
        // Rounded down, so that "at once" is this very instant. A straggler may have lengthened
        // the rest meanwhile, or the probe was early.
        let back = if state.until > now { Word::rest(state.until) } else { Word::due(now) };
        // Fails if somebody else has moved on since, and then there is nothing to give back.
        let _ = self.gate.exchange(admission.lease(), back);
    }

    /// A good answer to `caller`, a hash of who it was. Ends a probe well, and lowers the level
    /// once a clean minute. Returns whether anything has changed that should outlive a restart.
    pub fn succeed(&self, admission: Admission, caller: Option<u64>, now: Instant) -> bool {
        self.recent.note_success(caller, now);
        if !self.marked.load(Ordering::Acquire) {
            return false;
        }
        let mut state = self.state();
        if self.gate.is_straggler(admission) {
            return false;
        }
        if let Some(strikes) = &mut state.strikes {
            strikes.end_row();
        }
        let word = self.gate.load();
        if admission.is_probe() {
            // Also a probe that was given up and answered late: of the same epoch, it has tried
            // the very rest that still lasts.
            if word.needs_probe() {
                state.recover(now);
                self.gate.store(Word::paced(now));
            }
            return word.needs_probe();
        }
        if word != Word::CLOSED {
            return false;
        }
        let mended = state.mend(now);
        if mended.is_some_and(|mended| mended.is_whole) {
            self.marked.store(false, Ordering::Release);
        }
        mended.is_some_and(|mended| mended.fell)
    }

    /// Ends a rest as a good probe does; returns whether there was one. For what is known from
    /// elsewhere than a request.
    pub(crate) fn recover(&self, now: Instant) -> bool {
        let mut state = self.state();
        if let Some(strikes) = &mut state.strikes {
            strikes.end_row();
        }
        if !self.gate.load().needs_probe() {
            return false;
        }
        state.recover(now);
        self.gate.store(Word::paced(now));
        true
    }

    /// A failure that is charged to this cell. If it trips, says how. A burst of failures that
    /// were sent under the same epoch is one strike; a straggler may only lengthen the rest, and
    /// only by what the provider itself asked for.
    ///
    /// `caller` is a hash of who was failed: of failures that a caller can provoke
    /// ([`Class::Timeout`], [`Class::Lying`]) those of one caller weigh no more than those of all
    /// others, as long as there are others. `jitter` in 0..=1 spreads the returns; it is only ever
    /// added.
    pub fn fail(
        &self,
        admission: Admission,
        verdict: &Verdict,
        caller: Option<u64>,
        now: Instant,
        jitter: f64,
    ) -> Option<Trip> {
        match self.charge(admission, verdict, caller, now, jitter) {
            Charge::Tripped(trip) => Some(trip),
            Charge::Noted | Charge::Lengthened => None,
        }
    }

    /// [`Cell::fail`], and whether it has lengthened a rest.
    pub(super) fn charge(
        &self,
        admission: Admission,
        verdict: &Verdict,
        caller: Option<u64>,
        now: Instant,
        jitter: f64,
    ) -> Charge {
        self.recent.note_caller(caller, now);
        let mut state = self.state();
        let word = self.gate.load();
        if self.gate.is_straggler(admission) {
            // Never starts a rest. While a probe is under way nobody else gets through before its
            // lease ends either way.
            if !word.needs_probe() || !state.lengthen(verdict, now) {
                return Charge::Noted;
            }
            self.gate.put_off(Word::rest(state.until));
            return Charge::Lengthened;
        }
        self.marked.store(true, Ordering::Release);
        state.soil(now);
        // A probe that was given up and has a successor is no longer one.
        let is_probe = admission.is_probe() && (word == admission.lease() || word.lacks_probe());
        let is_tender =
            state.is_ramping() || (verdict.class == Class::Timeout && self.hangs.is_suspect(now));
        let enough = match CooldownPolicy::threshold(verdict) {
            _ if is_probe => 0,
            _ if is_tender => 1,
            threshold => threshold,
        };
        let strikes = state.strikes.get_or_insert_default();
        let Some(least) = strikes.note(verdict, caller, enough, &self.recent, now) else {
            return Charge::Noted;
        };
        let trip = state.trip(verdict, least, now, jitter);
        self.hangs.clear();
        self.promising.store(verdict.class.is_promising(), Ordering::Relaxed);
        self.gate.store(Word::rest(trip.until));
        self.gate.raise_epoch();
        Charge::Tripped(trip)
    }

    /// Rests until `until` although nothing has failed: a good answer said that it was the last one
    /// for now. The level stays, and afterwards no probe is needed. Returns whether it does.
    pub fn rest(&self, until: Instant, now: Instant) -> bool {
        let mut state = self.state();
        if until <= now || self.gate.load() != Word::CLOSED {
            return false;
        }
        state.rest(until, now);
        self.promising.store(true, Ordering::Relaxed);
        self.marked.store(true, Ordering::Release);
        self.gate.store(Word::paced(until));
        true
    }

    /// Closes the cell and forgets its level, as an operator asks for it.
    pub fn reset(&self) {
        let mut state = self.state();
        state.reset();
        self.hangs.clear();
        self.marked.store(false, Ordering::Release);
        self.gate.raise_epoch();
        self.gate.store(Word::CLOSED);
    }

    /// What it looks like at `now`.
    pub fn state_at(&self, now: Instant) -> CellState {
        self.state().at(now, self.hangs.is_suspect(now))
    }

    /// What of it should outlive a restart: nothing if it neither rests nor has a level.
    pub fn export(&self, now: Instant) -> Option<SavedRest> {
        self.state().export(now)
    }

    /// Takes up what an earlier run has exported. `remaining` is what is left of the rest; more
    /// than the rest's own length is never taken. A cell that is not closed knows better by now.
    pub fn restore(&self, saved: &SavedRest, remaining: Duration, now: Instant) {
        let mut state = self.state();
        if self.gate.load() != Word::CLOSED || !state.restore(saved, remaining, now) {
            return;
        }
        self.marked.store(true, Ordering::Release);
        if state.until > now {
            self.promising.store(saved.class.is_promising(), Ordering::Relaxed);
            // Without a strike there is nothing to be proven by a probe.
            let until = state.until;
            let is_struck = state.has_level();
            self.gate.store(if is_struck { Word::rest(until) } else { Word::paced(until) });
            self.gate.raise_epoch();
        }
    }

    /// Whether it is as good as new: nothing would be lost with it.
    pub(crate) fn is_untouched(&self) -> bool {
        !self.marked.load(Ordering::Acquire) && self.is_closed()
    }

    pub(super) const fn hangs(&self) -> &HangGuard {
        &self.hangs
    }

    /// The next request of the ramp, or the first after a rest that needs no probe.
    fn admit_paced(&self, epoch: u32, now: Instant) -> Result<Admission, Instant> {
        let mut state = self.state();
        match self.gate.load().sight(now) {
            Sight::Paced => {}
            Sight::Open => return Ok(Admission::plain(epoch)),
            Sight::Shut(at) | Sight::Leased(at) => return Err(at),
            Sight::Due => return Err(now),
        }
        self.gate.store(state.pace(now).map_or(Word::CLOSED, Word::paced));
        Ok(Admission::plain(epoch))
    }

    /// A poisoned mutex guards plain numbers that are valid at every step.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When to look again while a probe is under way.
const PROBE_PATIENCE: Duration = Duration::from_millis(250);
