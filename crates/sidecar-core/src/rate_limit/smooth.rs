//! The smooth shape: governor's GCRA with a stated burst.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{NotKeyed, StateStore};
use governor::{Quota, RateLimiter};

use super::window::WINDOW;
use crate::clock::Instant;

/// GCRA over a state cell of our own, because governor's can neither be read nor given back to.
pub(super) struct Smooth {
    rpm: NonZeroU32,
    burst: NonZeroU32,
    /// The time between two sends.
    period: Duration,
    /// The theoretical arrival time of the next send, in nanoseconds; 0 before the first.
    arrival: Arc<AtomicU64>,
    now: Now,
    limiter: RateLimiter<NotKeyed, Arrival, Now, NoOpMiddleware<Nanos>>,
}

/// The `now` of the call in progress; governor wants to ask for it.
#[derive(Clone, Debug, Default)]
struct Now(Arc<AtomicU64>);

#[derive(Debug)]
struct Arrival(Arc<AtomicU64>);

impl Smooth {
    pub(super) fn new(rpm: NonZeroU32, burst: NonZeroU32) -> Self {
        // At most n in any window w needs burst + w / period <= n: a window holds the burst and
        // what is refilled during it. A quota of n per minute with burst n admits 2n - 1.
        let period = WINDOW / rpm.get().saturating_sub(burst.get()).max(1);
        let (now, arrival) = (Now::default(), Arc::new(AtomicU64::new(0)));
        let quota =
            Quota::with_period(period).unwrap_or_else(|| Quota::per_minute(rpm)).allow_burst(burst);
        let limiter = RateLimiter::new(quota, Arrival(arrival.clone()), now.clone());
        Self { rpm, burst, period, arrival, now, limiter }
    }

    pub(super) fn is(&self, rpm: NonZeroU32, burst: NonZeroU32) -> bool {
        self.rpm == rpm && self.burst == burst
    }

    pub(super) fn admit(&mut self, now: Instant) -> Result<(), Instant> {
        self.now.0.store(now.as_nanos(), Ordering::Relaxed);
        self.limiter
            .check()
            .map_err(|not_until| Instant::from_nanos(not_until.earliest_possible().as_u64()))
    }

    pub(super) fn give_back(&mut self) {
        let period = nanos(self.period);
        // The closure never declines, so the update always succeeds.
        let _ = self.arrival.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |arrival| {
            Some(arrival.saturating_sub(period))
        });
    }

    /// Takes `sends`, oldest first, for its own. It never owes more than its burst; the window
    /// guards the rest.
    pub(super) fn replay(&mut self, sends: impl Iterator<Item = (Instant, u32)>) {
        let burst = self.period * self.burst.get();
        let arrival = sends.fold(Instant::from_nanos(0), |arrival, (at, count)| {
            (arrival.max(at) + self.period * count).min(at + burst)
        });
        self.arrival.store(arrival.as_nanos(), Ordering::Relaxed);
    }

    pub(super) fn ready_at(&self, now: Instant) -> Option<Instant> {
        let at = self.free_from();
        (at > now).then_some(at)
    }

    /// From when on the next send may go.
    pub(super) fn free_from(&self) -> Instant {
        let arrival = Instant::from_nanos(self.arrival.load(Ordering::Relaxed));
        arrival.saturating_sub(self.tolerance())
    }

    /// When the `n`-th of the next sends may go, if each of them, counted from 0, goes as soon as
    /// it may.
    pub(super) fn nth_free(&self, n: u32, now: Instant) -> Instant {
        let arrival = Instant::from_nanos(self.arrival.load(Ordering::Relaxed)).max(now);
        (arrival + self.period * n).saturating_sub(self.tolerance()).max(now)
    }

    /// How far the sends may run ahead of even spacing.
    fn tolerance(&self) -> Duration {
        self.period * (self.burst.get() - 1)
    }
}

impl std::fmt::Debug for Smooth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Smooth").field("rpm", &self.rpm).field("burst", &self.burst).finish()
    }
}

impl Clock for Now {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::new(self.0.load(Ordering::Relaxed))
    }
}

impl StateStore for Arrival {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _key: &NotKeyed, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut previous = self.0.load(Ordering::Acquire);
        loop {
            let known = (previous != 0).then(|| Nanos::new(previous));
            let (outcome, next) = decide(known)?;
            match self.0.compare_exchange_weak(
                previous,
                next.as_u64(),
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return Ok(outcome),
                Err(current) => previous = current,
            }
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
