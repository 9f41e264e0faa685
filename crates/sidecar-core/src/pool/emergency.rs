//! The last resort: trying a resting provider early, a few times a minute.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Instant;
use crate::provider::PoolName;

/// Allows early probes of each pool: a share of its requests per minute, one at a time. Never a
/// bypass: which rests may be tried early is for the cells to say.
#[derive(Debug, Default)]
pub(super) struct Emergency {
    pools: [Mutex<Probes>; PoolName::ALL.len()],
    count: AtomicU64,
}

#[derive(Debug, Default)]
struct Probes {
    /// When the probes of the last minute were made, oldest first.
    made: VecDeque<Instant>,
    /// Held by the one that is under way.
    running: Arc<()>,
}

/// Leave for one early probe; the next one waits until it is dropped.
#[derive(Debug)]
pub(super) struct Leave(#[expect(dead_code, reason = "its count is what is looked at")] Arc<()>);

impl Emergency {
    /// Leave to probe `pool`, whose limits add up to `rpm`, if `permille` of them are not used up.
    pub(super) fn leave(
        &self,
        pool: PoolName,
        rpm: u64,
        permille: u32,
        now: Instant,
    ) -> Option<Leave> {
        if permille == 0 {
            return None;
        }
        let mut probes = self.probes(pool);
        while probes.made.front().is_some_and(|&at| at + MINUTE <= now) {
            probes.made.pop_front();
        }
        let allowed = (rpm * u64::from(permille) / 1_000).max(1);
        if Arc::strong_count(&probes.running) > 1 || probes.made.len() as u64 >= allowed {
            return None;
        }
        probes.made.push_back(now);
        self.count.fetch_add(1, Ordering::Relaxed);
        Some(Leave(probes.running.clone()))
    }

    /// How many there were.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// A poisoned mutex guards plain times that are valid at every step.
    fn probes(&self, pool: PoolName) -> MutexGuard<'_, Probes> {
        let index = match pool {
            PoolName::Primary => 0,
            PoolName::Fallback => 1,
        };
        self.pools[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const MINUTE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    const POOL: PoolName = PoolName::Primary;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(86_400_000_000_000) + Duration::from_secs(seconds)
    }

    #[test]
    fn a_tenth_of_the_limits_and_one_at_a_time() {
        let emergency = Emergency::default();
        let first = emergency.leave(POOL, 30, 100, at(0)).unwrap();
        assert!(emergency.leave(POOL, 30, 100, at(1)).is_none());
        assert!(emergency.leave(PoolName::Fallback, 30, 100, at(1)).is_some());
        drop(first);
        drop(emergency.leave(POOL, 30, 100, at(2)).unwrap());
        drop(emergency.leave(POOL, 30, 100, at(3)).unwrap());
        assert!(emergency.leave(POOL, 30, 100, at(59)).is_none());
        assert!(emergency.leave(POOL, 30, 100, at(60)).is_some());
        assert_eq!(emergency.count(), 5);
    }

    #[test]
    fn small_limits_have_one_a_minute_and_zero_is_off() {
        let emergency = Emergency::default();
        drop(emergency.leave(POOL, 1, 100, at(0)).unwrap());
        assert!(emergency.leave(POOL, 1, 100, at(30)).is_none());
        assert!(Emergency::default().leave(POOL, 1_000, 0, at(0)).is_none());
    }
}
