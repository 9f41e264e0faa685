//! The one request that tries a resting cell.

use super::*;

#[test]
fn exactly_one_request_is_the_probe_when_the_rest_is_over() {
    let cell = cell();
    let now = trip(&cell, Class::RateLimited, at(0));
    assert!(admitted(&cell, now).is_probe());
    for later in [Duration::ZERO, secs(1), secs(64)] {
        let until = cell.admit(now + later, LEASE).unwrap_err();
        assert!(until >= now + LEASE && until <= now + LEASE + ROUNDING);
        // It will be judged sooner than that, so it is worth asking again soon.
        assert!(cell.ready_at(now + later).unwrap() <= now + later + secs(1));
    }
}

#[test]
fn exactly_one_of_a_thousand_threads_is_the_probe() {
    for _ in 0..3 {
        let cell = cell();
        let now = trip(&cell, Class::RateLimited, at(0));
        let start = std::sync::Barrier::new(1_000);
        let probes: usize = std::thread::scope(|scope| {
            let race = || {
                start.wait();
                cell.admit(now, LEASE).map_or(0, |admission| usize::from(admission.is_probe()))
            };
            let spawn = |_| {
                let small = std::thread::Builder::new().stack_size(128 << 10);
                small.spawn_scoped(scope, race).unwrap()
            };
            let racers: Vec<_> = (0..1_000).map(spawn).collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).sum()
        });
        assert_eq!(probes, 1);
        assert!(cell.admit(now, LEASE).is_err());
    }
}

#[test]
fn a_burst_in_many_threads_is_one_strike() {
    for _ in 0..50 {
        let cell = cell();
        let start = std::sync::Barrier::new(8);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    start.wait();
                    for _ in 0..20 {
                        if let Ok(sent) = cell.admit(at(0), LEASE) {
                            fail(&cell, sent, Class::RateLimited, at(0));
                        }
                    }
                });
            }
        });
        assert_eq!(level(&cell, at(0)), 1);
    }
}

#[test]
fn a_lost_probe_heals_when_its_lease_ends() {
    let cell = cell();
    let now = trip(&cell, Class::RateLimited, at(0));
    let lost = admitted(&cell, now);
    let lease_end = cell.admit(now, LEASE).unwrap_err();
    let second = admitted(&cell, lease_end);
    assert!(second.is_probe());
    assert_eq!(level(&cell, lease_end), 1);
    // The lost one turns up after all, and has nothing to give back.
    cell.release(lost, lease_end);
    assert!(cell.admit(lease_end + secs(1), LEASE).is_err());
    succeed(&cell, second, lease_end + secs(2));
    assert_eq!(cell.ready_at(lease_end + secs(3)), None);
}

#[test]
fn a_probe_given_back_counts_nothing_and_the_next_request_is_the_probe() {
    let cell = cell();
    let now = trip(&cell, Class::RateLimited, at(0));
    cell.release(admitted(&cell, now), now + secs(1));
    let later = now + secs(1) + ROUNDING;
    assert_eq!(level(&cell, later), 1);
    assert!(admitted(&cell, later).is_probe());
    assert!(cell.admit(later, LEASE).is_err());
}

#[test]
fn a_failed_probe_rests_longer_and_a_single_failure_is_enough() {
    for class in [Class::RateLimited, Class::Transport] {
        let cell = cell();
        let now = trip(&cell, class, at(0));
        let first = rest(&cell, at(0));
        assert!(fail(&cell, admitted(&cell, now), class, now + secs(3)), "{class:?}");
        assert_eq!(rest(&cell, now + secs(3)), 2 * first);
        assert_eq!(level(&cell, now + secs(3)), 2);
    }
}

#[test]
fn a_failed_probe_does_not_rest_for_its_lease() {
    let cell = cell();
    let now = trip(&cell, Class::Overloaded, at(0));
    let probe = cell.admit(now, secs(500)).unwrap();
    assert!(fail(&cell, probe, Class::Overloaded, now + secs(1)));
    assert_eq!(rest(&cell, now + secs(1)), secs(10));
    assert!(cell.admit(now + secs(12), LEASE).unwrap().is_probe());
}

#[test]
fn giving_a_plain_request_back_changes_nothing() {
    let cell = cell();
    let plain = admitted(&cell, at(0));
    trip(&cell, Class::RateLimited, at(0));
    cell.release(plain, at(1));
    assert_eq!(cell.state_at(at(1)).until, Some(at(30)));
}
