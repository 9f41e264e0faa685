//! How many retries are allowed, so that an outage is not multiplied.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clock::Instant;

/// Allows retries up to a fifth of the recent requests and three a second more, over ten seconds.
/// The floor is for quiet times, in which a fifth of the requests is none at all.
#[derive(Debug, Default)]
pub(super) struct RetryBudget(Mutex<Seconds>);

/// What happened in each of the last ten seconds, by the second's number modulo ten.
#[derive(Debug, Default)]
struct Seconds {
    buckets: [Bucket; SECONDS as usize],
}

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    second: u64,
    requests: u32,
    retries: u32,
}

impl RetryBudget {
    /// A request has come.
    pub(super) fn deposit(&self, now: Instant) {
        let bucket = &mut *self.seconds();
        let bucket = bucket.at(now);
        bucket.requests = bucket.requests.saturating_add(1);
    }

    /// Takes a retry out; `false` if there is none left.
    pub(super) fn withdraw(&self, now: Instant) -> bool {
        let mut seconds = self.seconds();
        let (requests, retries) = seconds.sums(now);
        let allowed = requests / SHARE + SECONDS * PER_SECOND;
        let granted = retries < allowed;
        if granted {
            let bucket = seconds.at(now);
            bucket.retries = bucket.retries.saturating_add(1);
        }
        granted
    }

    /// A poisoned mutex guards plain numbers that are valid at every step.
    fn seconds(&self) -> MutexGuard<'_, Seconds> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seconds {
    fn at(&mut self, now: Instant) -> &mut Bucket {
        let second = second(now);
        let bucket = &mut self.buckets[(second % SECONDS) as usize];
        if bucket.second != second {
            *bucket = Bucket { second, ..Bucket::default() };
        }
        bucket
    }

    fn sums(&self, now: Instant) -> (u64, u64) {
        let now = second(now);
        let recent = self.buckets.iter().filter(|bucket| bucket.second + SECONDS > now);
        recent.fold((0, 0), |(requests, retries), bucket| {
            (requests + u64::from(bucket.requests), retries + u64::from(bucket.retries))
        })
    }
}

fn second(at: Instant) -> u64 {
    at.as_nanos() / 1_000_000_000
}

const SECONDS: u64 = 10;
/// One retry for so many requests.
const SHARE: u64 = 5;
const PER_SECOND: u64 = 3;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(86_400_000_000_000) + Duration::from_millis(millis)
    }

    fn granted(budget: &RetryBudget, now: Instant) -> u32 {
        (0..10_000).take_while(|_| budget.withdraw(now)).count() as u32
    }

    #[test]
    fn a_fifth_of_the_requests_and_three_a_second_are_allowed() {
        let budget = RetryBudget::default();
        for request in 0..1_000 {
            budget.deposit(at(request * 10));
        }
        assert_eq!(granted(&budget, at(9_990)), 200 + 30);
        assert_eq!(granted(&budget, at(9_990)), 0);
    }

    #[test]
    fn what_was_taken_comes_back_after_ten_seconds() {
        let budget = RetryBudget::default();
        assert_eq!(granted(&budget, at(0)), 30);
        assert_eq!(granted(&budget, at(9_000)), 0);
        assert_eq!(granted(&budget, at(10_000)), 30);
    }

    #[test]
    fn requests_of_long_ago_allow_nothing() {
        let budget = RetryBudget::default();
        for _ in 0..1_000 {
            budget.deposit(at(0));
        }
        assert_eq!(granted(&budget, at(60_000)), 30);
    }
}
