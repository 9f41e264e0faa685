//! One cooldown cell: a state machine that takes `now` and owns no timer.
//!
//! ```text
//!             failures reach the threshold       `until` passed, one compare-and-swap won
//!  CLOSED(level) ------------> OPEN(until, level) -------------------> HALF-OPEN(lease)
//!     ^                            ^        ^                           |     |     |
//!     |                            |        +-- probe failed, level+1 --+     |     |
//!     |                            +-- lease ended, or its caller left -------+     |
//!     +-- RAMP: a quarter, then half of the rate, 10 s each <---------- probe good -+
//! ```
//!
//! One atomic word says whether to admit, so a closed cell costs one load. The mutex is taken only
//! by transitions.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::policy::{CooldownPolicy, MAX_LEVEL};
use crate::clock::Instant;
use crate::verdict::{Class, Verdict};

/// A cooldown cell: closed, resting, tried by one probe, or coming back at a growing pace.
#[derive(Debug)]
pub struct Cell {
    /// When the next request may pass, in nanoseconds, and what that means: [`CLOSED`]; with
    /// [`PACED`] set it needs no probe, as while the cell paces requests after a good one; with
    /// [`LEASED`] set a probe is under way until then.
    gate: AtomicU64,
    /// Rises with every trip. What was sent under an older epoch is a straggler.
    epoch: AtomicU32,
    /// Whether a success has anything to mend.
    marked: AtomicBool,
    /// Whether the rest has an end that is worth waiting for.
    promising: AtomicBool,
    state: Mutex<State>,
}

/// Leave to send, and what is needed to judge the outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    epoch: u32,
    /// The gate that makes this the probe; 0 if it is none.
    lease: u64,
}

/// What a cell looks like from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CellState {
    /// How often it has tripped without proven recovery.
    pub level: u8,
    /// Why it tripped last.
    pub class: Option<Class>,
    /// The end of the rest, if it rests.
    pub until: Option<Instant>,
}

#[derive(Debug)]
struct State {
    policy: CooldownPolicy,
    /// Requests per minute at full rate, which the ramp takes its fractions of.
    rpm: u32,
    level: u8,
    class: Option<Class>,
    until: Instant,
    /// Failures in a row that have not tripped it.
    failures: u32,
    /// Since when there has been no failure; a minute lowers the level.
    clean_since: Instant,
    ramp_since: Option<Instant>,
}

impl Cell {
    /// A closed cell. `rpm` is the full rate that the ramp after a probe leads back to.
    pub fn new(policy: CooldownPolicy, rpm: u32) -> Self {
        let epoch_start = Instant::from_nanos(0);
        Self {
            gate: AtomicU64::new(CLOSED),
            epoch: AtomicU32::new(0),
            marked: AtomicBool::new(false),
            promising: AtomicBool::new(true),
            state: Mutex::new(State {
                policy,
                rpm,
                level: 0,
                class: None,
                until: epoch_start,
                failures: 0,
                clean_since: epoch_start,
                ramp_since: None,
            }),
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
        match self.gate.load(Ordering::Acquire) {
            CLOSED => None,
            gate if gate_instant(gate) <= now => None,
            gate if gate & LEASED != 0 => Some(gate_instant(gate).min(now + PROBE_PATIENCE)),
            gate => Some(gate_instant(gate)),
        }
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
        let epoch = self.epoch.load(Ordering::Acquire);
        let gate = self.gate.load(Ordering::Acquire);
        if gate == CLOSED {
            return Ok(Admission { epoch, lease: 0 });
        }
        if gate_instant(gate) > now {
            return Err(gate_instant(gate));
        }
        if gate & PACED != 0 {
            return self.admit_paced(gate, epoch, now);
        }
        let leased = pack(now + lease) | LEASED;
        match self.gate.compare_exchange(gate, leased, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Ok(Admission { epoch, lease: leased }),
            Err(CLOSED) => Ok(Admission { epoch, lease: 0 }),
            Err(other) => Err(gate_instant(other)),
        }
    }

    /// Gives an admission back uncounted: nothing was sent, or its caller left. The next request
    /// may be the probe at once.
    pub fn release(&self, admission: Admission, now: Instant) {
        if admission.lease == 0 {
            return;
        }
        let state = self.state();
        // Rounded down, so that "at once" is this very instant. A straggler may have lengthened
        // the rest meanwhile.
        let at = if state.until > now { pack(state.until) } else { now.as_nanos() & !BITS };
        // Fails if somebody else has moved on since, and then there is nothing to give back.
        let (acquire, release) = (Ordering::Acquire, Ordering::AcqRel);
        let _ = self.gate.compare_exchange(admission.lease, at, release, acquire);
    }

    /// A good answer. Ends a probe well, and lowers the level once a clean minute.
    pub fn succeed(&self, admission: Admission, now: Instant) {
        if !self.marked.load(Ordering::Acquire) {
            return;
        }
        let mut state = self.state();
        if self.is_straggler(admission) {
            return;
        }
        state.failures = 0;
        if admission.lease != 0 {
            // Also a probe that was given up and answered late: of the same epoch, it has tried
            // the very rest that still lasts.
            let gate = self.gate.load(Ordering::Acquire);
            if gate != CLOSED && gate & PACED == 0 {
                state.ramp_since = Some(now);
                state.clean_since = now;
                state.until = now;
                self.gate.store(pack(now) | PACED, Ordering::Release);
            }
            return;
        }
        let clean = (now - state.clean_since).as_secs() >= 60;
        if clean && self.gate.load(Ordering::Acquire) == CLOSED {
            // Idle minutes prove nothing: one step for each minute that has seen a success.
            state.level = state.level.saturating_sub(1);
            state.clean_since = now;
            if state.level == 0 {
                state.class = None;
                self.marked.store(false, Ordering::Release);
            }
        }
    }

    /// A failure that is charged to this cell. Returns whether it tripped. A burst of failures
    /// that were sent under the same epoch is one strike; a straggler may only lengthen the rest,
    /// and only by what the provider itself asked for. `jitter` in 0..=1 spreads the returns; it
    /// is only ever added.
    pub fn fail(&self, admission: Admission, verdict: &Verdict, now: Instant, jitter: f64) -> bool {
        let mut state = self.state();
        if self.is_straggler(admission) {
            if let Some(hint) = verdict.hint {
                let asked = state.policy.length(verdict.class, 1, Some(hint)).min(hint.wait);
                self.lengthen(&mut state, now + asked);
            }
            return false;
        }
        self.marked.store(true, Ordering::Release);
        state.clean_since = now;
        state.failures = state.failures.saturating_add(1);
        // A probe that was given up and has a successor is no longer one.
        let gate = self.gate.load(Ordering::Acquire);
        let is_probe = admission.lease != 0
            && (gate == admission.lease || (gate != CLOSED && gate & BITS == 0));
        let tender = is_probe || state.ramp_since.is_some();
        if !tender && state.failures < CooldownPolicy::threshold(verdict) {
            return false;
        }
        state.failures = 0;
        state.ramp_since = None;
        state.level = (state.level + 1).min(MAX_LEVEL);
        state.class = Some(verdict.class);
        let length = state.policy.length(verdict.class, state.level, verdict.hint);
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.promising.store(verdict.class.is_promising(), Ordering::Relaxed);
        let spread = CooldownPolicy::spread(verdict.class, length).mul_f64(jitter.clamp(0.0, 1.0));
        let until = state.until.max(now + length + spread);
        state.until = until;
        self.gate.store(pack(until), Ordering::Release);
        true
    }

    /// Rests until `until` although nothing has failed: a good answer said that it was the last one
    /// for now. The level stays, and afterwards no probe is needed.
    pub fn rest(&self, until: Instant, now: Instant) {
        let mut state = self.state();
        if until <= now || self.gate.load(Ordering::Acquire) != CLOSED {
            return;
        }
        state.until = until;
        state.class = Some(Class::RateLimited);
        self.promising.store(true, Ordering::Relaxed);
        self.marked.store(true, Ordering::Release);
        self.gate.store(pack(until) | PACED, Ordering::Release);
    }

    /// Closes the cell and forgets its level, as an operator asks for it.
    pub fn reset(&self) {
        let mut state = self.state();
        self.epoch.fetch_add(1, Ordering::AcqRel);
        state.level = 0;
        state.class = None;
        state.failures = 0;
        state.ramp_since = None;
        state.until = Instant::from_nanos(0);
        self.marked.store(false, Ordering::Release);
        self.gate.store(CLOSED, Ordering::Release);
    }

    /// What it looks like at `now`.
    pub fn state_at(&self, now: Instant) -> CellState {
        let state = self.state();
        let resting = state.until > now;
        CellState { level: state.level, class: state.class, until: resting.then_some(state.until) }
    }

    /// Whether it is as good as new: nothing would be lost with it.
    pub(crate) fn is_untouched(&self) -> bool {
        !self.marked.load(Ordering::Acquire) && self.gate.load(Ordering::Acquire) == CLOSED
    }

    /// Paces requests at a quarter, then half of the full rate; the full rate is the limiter's.
    fn admit_paced(&self, gate: u64, epoch: u32, now: Instant) -> Result<Admission, Instant> {
        let mut state = self.state();
        if self.gate.load(Ordering::Acquire) != gate {
            return Err(gate_instant(self.gate.load(Ordering::Acquire)).max(now));
        }
        let step = state.ramp_since.map_or(u64::MAX, |since| (now - since).as_secs() / RAMP_STEP);
        let share = match step {
            0 => 4,
            1 => 2,
            _ => {
                state.ramp_since = None;
                self.gate.store(CLOSED, Ordering::Release);
                return Ok(Admission { epoch, lease: 0 });
            }
        };
        let spacing = Duration::from_secs(60) * share / state.rpm.max(1);
        let next = now + spacing.min(Duration::from_secs(60));
        self.gate.store(pack(next) | PACED, Ordering::Release);
        Ok(Admission { epoch, lease: 0 })
    }

    /// Lengthens a running rest; never shortens one, and never starts one. While a probe is under
    /// way nobody else gets through before its lease ends either way.
    fn lengthen(&self, state: &mut State, until: Instant) {
        let gate = self.gate.load(Ordering::Acquire);
        if gate != CLOSED && gate & PACED == 0 && until > state.until {
            state.until = until;
            let (acquire, release) = (Ordering::Acquire, Ordering::AcqRel);
            let _ = self
                .gate
                .fetch_update(release, acquire, |gate| (gate < pack(until)).then_some(pack(until)));
        }
    }

    fn is_straggler(&self, admission: Admission) -> bool {
        admission.epoch != self.epoch.load(Ordering::Acquire)
    }

    /// A poisoned mutex guards plain numbers that are valid at every step.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Admission {
    pub(super) const NONE: Self = Self { epoch: 0, lease: 0 };

    /// Whether this is the one request that tries a resting cell.
    pub const fn is_probe(self) -> bool {
        self.lease != 0
    }
}

/// Rounds up to a multiple of four, so that a rest never ends early and two bits are free.
const fn pack(at: Instant) -> u64 {
    at.as_nanos().saturating_add(BITS) & !BITS
}

const fn gate_instant(gate: u64) -> Instant {
    Instant::from_nanos(gate & !BITS)
}

const CLOSED: u64 = 0;
const PACED: u64 = 1;
const LEASED: u64 = 2;
const BITS: u64 = PACED | LEASED;
/// Seconds of each step of the ramp.
const RAMP_STEP: u64 = 10;
/// When to look again while a probe is under way.
const PROBE_PATIENCE: Duration = Duration::from_millis(250);
