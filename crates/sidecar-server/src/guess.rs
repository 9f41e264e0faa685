//! Slowing down those who guess tokens and keys.
//!
//! Tokens and keys have so many bits that guessing is hopeless at any speed; the limit is there so
//! that guessing makes no noise and is seen. So what is shown is compared first, and only a failure
//! beyond the limit is told to wait: a stranger who guesses from the same address, or as one of
//! thousands, keeps nobody out who has the right one.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sidecar_core::clock::Instant;

/// Counts what was shown in vain.
#[derive(Debug, Default)]
pub(crate) struct Guesses {
    /// The failures of the last minute that were within the limits, the oldest first: so it is
    /// bounded, whoever asks.
    recent: Mutex<VecDeque<(Instant, IpAddr)>>,
    failures: AtomicU64,
}

impl Guesses {
    /// Counts a failure of `peer`. `Err` says how long it is to wait because there were too many,
    /// of it or of all together.
    pub(crate) fn failed(&self, peer: IpAddr, now: Instant) -> Result<(), Duration> {
        self.failures.fetch_add(1, Ordering::Relaxed);
        crate::metrics::login_failed();
        let peer = network_of(peer);
        let mut recent = self.recent();
        while recent.front().is_some_and(|(at, _)| now - *at >= MINUTE) {
            recent.pop_front();
        }
        let own = recent.iter().filter(|(_, who)| *who == peer).map(|(at, _)| *at);
        let all = recent.iter().map(|(at, _)| *at);
        if let Some(at) = limiting(own, MOST_OF_ONE).max(limiting(all, MOST)) {
            return Err(MINUTE.saturating_sub(now - at));
        }
        recent.push_back((now, peer));
        Ok(())
    }

    /// How many failures there have been, those beyond the limits included.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// A poisoned mutex guards a plain list that is valid at every step.
    fn recent(&self) -> MutexGuard<'_, VecDeque<(Instant, IpAddr)>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The failure that has to be a minute old before there may be one more, if there are `most`.
fn limiting(failures: impl DoubleEndedIterator<Item = Instant>, most: usize) -> Option<Instant> {
    failures.rev().nth(most - 1)
}

/// One subscriber has a whole network of IPv6 addresses.
fn network_of(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        ip => ip,
    }
}

/// How many failures a minute an address may have.
const MOST_OF_ONE: usize = 10;
/// How many failures a minute there may be.
const MOST: usize = 100;
const MINUTE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: Instant = Instant::from_nanos(0);

    fn ip(n: u8) -> IpAddr {
        [10, 0, 0, n].into()
    }

    #[test]
    fn the_eleventh_failure_in_a_minute_waits_for_the_first_to_be_a_minute_old() {
        let guesses = Guesses::default();
        for second in 0..10 {
            assert_eq!(guesses.failed(ip(1), START + Duration::from_secs(second)), Ok(()));
        }
        let now = START + Duration::from_secs(10);
        assert_eq!(guesses.failed(ip(1), now), Err(Duration::from_secs(50)));
        assert_eq!(guesses.failed(ip(2), now), Ok(()));
        assert_eq!(guesses.failed(ip(1), START + MINUTE), Ok(()));
        assert_eq!(guesses.failed(ip(1), START + MINUTE), Err(Duration::from_secs(1)));
        assert_eq!(guesses.failures(), 14);
    }

    #[test]
    fn all_together_are_limited_too() {
        let guesses = Guesses::default();
        for n in 0..100 {
            assert_eq!(guesses.failed(ip(n), START), Ok(()));
        }
        assert_eq!(guesses.failed(ip(200), START), Err(MINUTE));
        assert_eq!(guesses.failed(ip(200), START + MINUTE), Ok(()));
    }

    #[test]
    fn the_addresses_of_one_network_are_one() {
        let guesses = Guesses::default();
        for n in 0..10 {
            let ip = format!("2001:db8::{n}:1").parse().unwrap();
            assert_eq!(guesses.failed(ip, START), Ok(()));
        }
        assert!(guesses.failed("2001:db8::".parse().unwrap(), START).is_err());
        assert!(guesses.failed("2001:db8:0:1::".parse().unwrap(), START).is_ok());
        for _ in 0..10 {
            guesses.failed("::ffff:10.0.0.1".parse().unwrap(), START).unwrap();
        }
        assert!(guesses.failed(ip(1), START).is_err());
    }

    proptest! {
        #[test]
        fn no_minute_has_more_than_the_limits(
            asked in prop::collection::vec((0_u64..9_000, 0_u8..20), 1..600),
        ) {
            let guesses = Guesses::default();
            let (mut now, mut admitted) = (START, Vec::new());
            for (millis, peer) in asked {
                now = now + Duration::from_millis(millis / 20);
                if guesses.failed(ip(peer), now).is_ok() {
                    admitted.push((now, peer));
                }
                let last: Vec<_> =
                    admitted.iter().filter(|(at, _)| now - *at < MINUTE).collect();
                prop_assert!(last.len() <= MOST);
                let own = last.iter().filter(|(_, who)| *who == peer).count();
                prop_assert!(own <= MOST_OF_ONE);
                prop_assert!(guesses.recent().len() <= MOST);
            }
        }

        #[test]
        fn whoever_waits_as_long_as_told_may_fail_again(times in 1_usize..40) {
            let guesses = Guesses::default();
            let mut now = START;
            for _ in 0..times {
                if let Err(wait) = guesses.failed(ip(1), now) {
                    now = now + wait;
                    prop_assert_eq!(guesses.failed(ip(1), now), Ok(()));
                }
            }
        }
    }
}
