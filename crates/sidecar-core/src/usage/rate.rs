//! [`Rate`]: how much was booked in the last minute.

use crate::clock::Timestamp;

/// How many attempts were booked in each of the last sixty seconds. It goes by the calendar, so a
/// clock that jumps spoils one minute.
#[derive(Clone, Debug)]
pub(super) struct Rate {
    /// By second modulo sixty.
    seconds: [Second; SECONDS],
}

#[derive(Clone, Copy, Debug, Default)]
struct Second {
    /// Which second it is: whole seconds since the Unix epoch.
    at: i64,
    requests: u32,
    errors: u32,
}

impl Default for Rate {
    fn default() -> Self {
        Self { seconds: [Second::default(); SECONDS] }
    }
}

impl Rate {
    /// Counts what was booked at `now`.
    pub(super) fn add(&mut self, now: Timestamp, requests: u64, errors: u64) {
        let at = second_of(now);
        let second = &mut self.seconds[index_of(at)];
        if second.at != at {
            *second = Second { at, ..Second::default() };
        }
        second.requests = second.requests.saturating_add(clamped(requests));
        second.errors = second.errors.saturating_add(clamped(errors));
    }

    /// Attempts of the minute before `now`, and those of them that failed.
    pub(super) fn last_minute(&self, now: Timestamp) -> (u64, u64) {
        let now = second_of(now);
        let minute = now - (SECONDS as i64 - 1)..=now;
        let counted = self.seconds.iter().filter(|second| minute.contains(&second.at));
        counted.fold((0, 0), |(requests, errors), second| {
            (requests + u64::from(second.requests), errors + u64::from(second.errors))
        })
    }
}

fn second_of(now: Timestamp) -> i64 {
    now.as_millis().div_euclid(1_000)
}

fn index_of(second: i64) -> usize {
    usize::try_from(second.rem_euclid(SECONDS as i64)).unwrap_or(0)
}

fn clamped(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

const SECONDS: usize = 60;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_older_than_a_minute_does_not_count() {
        let mut rate = Rate::default();
        let at = Timestamp::from_millis;
        rate.add(at(1_000), 2, 1);
        rate.add(at(60_900), 3, 0);
        assert_eq!(rate.last_minute(at(60_999)), (5, 1));
        assert_eq!(rate.last_minute(at(61_000)), (3, 0));
        assert_eq!(rate.last_minute(at(121_000)), (0, 0));
    }

    proptest! {
        #[test]
        fn it_is_the_sum_over_the_last_sixty_seconds(steps in prop::collection::vec(0_i64..40_000, 1..200)) {
            let (mut rate, mut all, mut now) = (Rate::default(), Vec::new(), 0);
            for step in steps {
                now += step;
                rate.add(Timestamp::from_millis(now), 1, 0);
                all.push(now / 1_000);
                let first = now / 1_000 - 59;
                let expected = all.iter().filter(|second| **second >= first).count() as u64;
                prop_assert_eq!(rate.last_minute(Timestamp::from_millis(now)).0, expected);
            }
        }
    }
}
