//! A caller's requests per minute: governor's GCRA.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{NotKeyed, StateStore};
use governor::{Quota, RateLimiter};

use crate::clock::Instant;

/// A limit of `rpm` requests per minute, up to [`MOST_AT_ONCE`] of them at once. It is the lasting
/// rate that is kept: a minute that begins after a pause may hold the burst on top. Used under a
/// lock, one call at a time.
pub(super) struct Pace {
    rpm: NonZeroU32,
    burst: NonZeroU32,
    /// The time between two requests.
    period: Duration,
    /// When the next request would be due if they came evenly, in nanoseconds; 0 before the first.
    /// governor's own cell can neither be read nor kept under a new limit.
    arrival: Arc<AtomicU64>,
    now: Now,
    limiter: RateLimiter<NotKeyed, Arrival, Now, NoOpMiddleware<Nanos>>,
}

/// The `now` of the call in progress; governor wants to ask for it.
#[derive(Clone, Debug, Default)]
struct Now(Arc<AtomicU64>);

#[derive(Debug)]
struct Arrival(Arc<AtomicU64>);

impl Pace {
    pub(super) fn new(rpm: NonZeroU32) -> Self {
        Self::over(rpm, Arc::default())
    }

    /// Changes the limit. What was just sent counts on, up to a whole burst of the new one.
    pub(super) fn set_rpm(&mut self, rpm: NonZeroU32, now: Instant) {
        if self.rpm == rpm {
            return;
        }
        *self = Self::over(rpm, self.arrival.clone());
        let spent = now + self.period * self.burst.get();
        self.arrival.fetch_min(spent.as_nanos(), Ordering::Relaxed);
    }

    /// Takes a request, or says when one is due.
    pub(super) fn admit(&mut self, now: Instant) -> Result<(), Instant> {
        self.now.0.store(now.as_nanos(), Ordering::Relaxed);
        self.limiter
            .check()
            .map_err(|not_until| Instant::from_nanos(not_until.earliest_possible().as_u64()))
    }

    /// How many requests would be admitted now.
    pub(super) fn free(&self, now: Instant) -> u32 {
        let arrival = Instant::from_nanos(self.arrival.load(Ordering::Relaxed));
        let free = (self.period * self.burst.get()).saturating_sub(arrival - now);
        u32::try_from(free.as_nanos() / self.period.as_nanos().max(1)).unwrap_or(u32::MAX)
    }

    fn over(rpm: NonZeroU32, arrival: Arc<AtomicU64>) -> Self {
        let burst = rpm.min(MOST_AT_ONCE);
        let quota = Quota::per_minute(rpm).allow_burst(burst);
        let now = Now::default();
        let limiter = RateLimiter::new(quota, Arrival(arrival.clone()), now.clone());
        Self { rpm, burst, period: quota.replenish_interval(), arrival, now, limiter }
    }
}

impl fmt::Debug for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pace").field("rpm", &self.rpm).finish_non_exhaustive()
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
        let known = self.0.load(Ordering::Relaxed);
        let (outcome, next) = decide((known != 0).then(|| Nanos::new(known)))?;
        // Nobody else has written in between: there is a lock around every use.
        self.0.store(next.as_u64(), Ordering::Relaxed);
        Ok(outcome)
    }
}

/// How many requests may come at once.
const MOST_AT_ONCE: NonZeroU32 = NonZeroU32::new(10).expect("10 is not 0");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rpm(rpm: u32) -> NonZeroU32 {
        NonZeroU32::new(rpm).unwrap()
    }

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(1) + Duration::from_millis(millis)
    }

    #[test]
    fn ten_may_come_at_once_and_then_one_at_a_time() {
        let mut pace = Pace::new(rpm(60));
        for left in (0..10).rev() {
            pace.admit(at(0)).unwrap();
            assert_eq!(pace.free(at(0)), left);
        }
        assert_eq!(pace.admit(at(0)), Err(at(1_000)));
        assert_eq!(pace.free(at(999)), 0);
        pace.admit(at(1_000)).unwrap();
        assert_eq!(pace.free(at(60_000)), 10);
    }

    #[test]
    fn a_small_limit_is_its_own_burst() {
        let mut pace = Pace::new(rpm(2));
        pace.admit(at(0)).unwrap();
        pace.admit(at(0)).unwrap();
        assert_eq!(pace.admit(at(0)), Err(at(30_000)));
    }

    #[test]
    fn a_new_limit_neither_forgets_nor_punishes() {
        let mut pace = Pace::new(rpm(1));
        pace.admit(at(0)).unwrap();
        // One a minute was used up, which is no more than a burst of the new limit.
        pace.set_rpm(rpm(60), at(0));
        assert_eq!(pace.admit(at(0)), Err(at(1_000)));
        pace.set_rpm(rpm(60), at(0));
        assert_eq!(pace.free(at(1_000)), 1);
        pace.set_rpm(rpm(1), at(1_000));
        assert_eq!(pace.free(at(1_000)), 0);
        assert_eq!(pace.free(at(70_000)), 1);
    }

    #[test]
    fn what_may_come_at_once_is_admitted_however_large_the_limit() {
        let mut pace = Pace::new(rpm(1_000_000));
        for _ in 0..10 {
            pace.admit(at(0)).unwrap();
        }
        assert!(pace.admit(at(0)).is_err());
    }

    proptest! {
        #[test]
        fn no_stretch_of_time_holds_more_than_rate_and_burst(
            limit in 1..100_u32,
            waits in proptest::collection::vec(0..20_000_u64, 1..150),
        ) {
            let (mut pace, mut now) = (Pace::new(rpm(limit)), 0);
            let mut sent: Vec<u64> = Vec::new();
            for wait in waits {
                now += wait / u64::from(limit);
                let free = pace.free(at(now));
                match pace.admit(at(now)) {
                    Ok(()) => {
                        prop_assert!(free > 0);
                        sent.push(now);
                    }
                    Err(due) => {
                        prop_assert_eq!(free, 0);
                        prop_assert!(due > at(now));
                    }
                }
            }
            for (index, first) in sent.iter().enumerate() {
                for (more, last) in sent[index..].iter().enumerate() {
                    let earned = (last - first) * u64::from(limit) / 60_000;
                    let most = earned + u64::from(limit.min(10)) + 1;
                    prop_assert!((more as u64) < most, "{} from {} to {}", more + 1, first, last);
                }
            }
        }
    }
}
