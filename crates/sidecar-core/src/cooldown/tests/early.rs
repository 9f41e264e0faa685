//! Probes before the rest is over.

use super::*;

fn early(cell: &Cell, now: Instant) -> Option<Admission> {
    let expected = cell.admits_early(now);
    let admission = cell.admit_early(now, LEASE);
    assert_eq!(admission.is_some(), expected, "it does what it says");
    assert!(admission.is_none_or(Admission::is_probe));
    admission
}

/// A cell that has rested since the start for `class`, and for 30 s if that is a limit.
fn resting(class: Class, hint: Option<Hint>) -> Cell {
    let cell = cell();
    let verdict = Verdict { hint, ..Verdict::of(class) };
    while cell.fail(admitted(&cell, at(0)), &verdict, None, at(0), 0.0).is_none() {}
    cell
}

fn hint(seconds: u64, source: HintSource) -> Option<Hint> {
    Some(Hint { wait: secs(seconds), source })
}

#[test]
fn a_guess_at_a_limit_is_given_half_of_its_time() {
    for (class, length) in [
        (Class::RateLimited, 30),
        (Class::QuotaSpent, 3_600),
        (Class::Concurrency, 5),
        (Class::ModelGone, 43_200),
    ] {
        let cell = resting(class, None);
        let half = at(0) + secs(length) / 2;
        for too_soon in [at(0), half.saturating_sub(Duration::from_nanos(1))] {
            assert_eq!(early(&cell, too_soon), None, "{class:?}");
        }
        assert!(early(&cell, half).is_some(), "{class:?}");
    }
}

#[test]
fn what_the_provider_asked_for_is_kept() {
    for class in [
        Class::RateLimited,
        Class::QuotaSpent,
        Class::Concurrency,
        Class::Overloaded,
        Class::ServerError,
    ] {
        for source in [HintSource::Authoritative, HintSource::Computed] {
            // Also if it is shorter than the guess.
            for wait in [1, 100] {
                let cell = resting(class, hint(wait, source));
                let until = cell.state_at(at(0)).until.unwrap();
                let last = until.saturating_sub(Duration::from_nanos(1));
                assert_eq!(early(&cell, last), None, "{class:?}");
            }
        }
    }
}

#[test]
fn what_a_straggler_was_asked_for_is_kept() {
    let cell = cell();
    let straggler = admitted(&cell, at(0));
    trip(&cell, Class::RateLimited, at(0));
    cell.fail(straggler, &retry_after(secs(40)), None, at(1), 0.0);
    assert_eq!(cell.state_at(at(1)).source, Some(RestSource::Authoritative));
    assert_eq!(early(&cell, at(40)), None);
}

#[test]
fn a_key_gets_no_better_by_trying() {
    for class in [Class::Auth, Class::Billing] {
        let cell = resting(class, None);
        let until = cell.state_at(at(0)).until.unwrap();
        assert_eq!(early(&cell, until.saturating_sub(secs(1))), None, "{class:?}");
    }
}

#[test]
fn a_broken_endpoint_may_be_tried_at_any_time() {
    for class in [
        Class::Overloaded,
        Class::ServerError,
        Class::Timeout,
        Class::Transport,
        Class::Unreachable,
        Class::Lying,
    ] {
        assert!(early(&resting(class, None), at(0)).is_some(), "{class:?}");
    }
}

#[test]
fn nobody_is_early_where_there_is_no_rest() {
    let cell = cell();
    assert_eq!(early(&cell, at(0)), None, "it is closed");
    let now = trip(&cell, Class::Transport, at(0));
    assert_eq!(early(&cell, now), None, "the rest is over");
    succeed(&cell, admitted(&cell, now), now);
    admitted(&cell, now);
    assert_eq!(early(&cell, now), None, "it is on the ramp");
    let cell = self::cell();
    cell.rest(at(100), at(0));
    assert_eq!(early(&cell, at(99)), None, "the provider asked for it");
}

#[test]
fn one_at_a_time() {
    let cell = resting(Class::Transport, None);
    let probe = early(&cell, at(1)).unwrap();
    assert_eq!(early(&cell, at(1)), None);
    assert!(cell.admit(at(1), LEASE).is_err());
    assert!(cell.ready_at(at(1)).unwrap() <= at(2), "it will be judged soon");
    cell.release(probe, at(2));
    assert_eq!(cell.ready_at(at(2)), Some(at(10)), "the rest goes on");
    assert!(early(&cell, at(2)).is_some());
}

#[test]
fn exactly_one_of_many_threads_is_early() {
    for _ in 0..50 {
        let cell = resting(Class::Transport, None);
        let start = std::sync::Barrier::new(8);
        let probes: usize = std::thread::scope(|scope| {
            let race = || {
                start.wait();
                usize::from(cell.admit_early(at(1), LEASE).is_some())
            };
            let racers: Vec<_> = (0..8).map(|_| scope.spawn(race)).collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).sum()
        });
        assert_eq!(probes, 1);
    }
}

#[test]
fn a_lost_one_does_not_shorten_the_rest() {
    let cell = cell();
    let mut now = at(0);
    for _ in 0..5 {
        now = trip(&cell, Class::Transport, now);
    }
    let until = now;
    let start = until.saturating_sub(secs(160));
    let lost = early(&cell, start).unwrap();
    for second in [64, 66, 159] {
        assert!(cell.admit(start + secs(second), LEASE).is_err(), "{second} s after it");
        assert_eq!(early(&cell, start + secs(second)), None, "{second} s after it");
    }
    assert!(admitted(&cell, until).is_probe());
    // The lost one turns up after all, and has nothing to give back.
    cell.release(lost, until);
    assert!(cell.admit(until + secs(1), LEASE).is_err());
}

#[test]
fn one_that_fails_rests_longer() {
    let cell = resting(Class::Transport, None);
    let probe = early(&cell, at(1)).unwrap();
    assert!(fail(&cell, probe, Class::Transport, at(4)));
    assert_eq!((level(&cell, at(4)), rest(&cell, at(4))), (2, secs(20)));
}

#[test]
fn one_that_fails_never_shortens_the_rest() {
    let cell = resting(Class::ModelGone, None);
    let probe = early(&cell, at(30_000)).unwrap();
    assert!(fail(&cell, probe, Class::RateLimited, at(30_001)));
    assert_eq!(cell.state_at(at(30_001)).until, Some(at(43_200)));
}

#[test]
fn one_that_succeeds_leads_to_the_ramp() {
    let cell = resting(Class::Transport, None);
    let probe = early(&cell, at(1)).unwrap();
    assert!(succeed(&cell, probe, at(2)));
    assert_eq!(cell.state_at(at(2)).until, None);
    assert!(!admitted(&cell, at(3)).is_probe());
    assert!(cell.admit(at(3), LEASE).is_err());
    assert_eq!(level(&cell, at(3)), 1);
}

#[test]
fn a_set_is_early_only_as_a_whole() {
    let set = set();
    trip(&set.endpoint, Class::Transport, at(0));
    trip(&set.quota, Class::RateLimited, at(0));
    assert!(!set.admits_early(at(5)), "the limit is not half over");
    assert!(set.admit_early(at(5), manner()).is_none());
    assert!(set.endpoint.admits_early(at(5)), "nobody is out as its probe");
    assert!(set.admits_early(at(16)));
    set.admit_early(at(16), manner()).unwrap();
    assert!(!set.admits_early(at(16)));
    assert!(set.admit_early(at(16), manner()).is_none());
}

#[test]
fn a_set_that_needs_nobody_early_lets_nobody_through_as_such() {
    let set = set();
    assert!(!set.admits_early(at(0)));
    assert!(set.admit_early(at(0), manner()).is_none());
    let now = trip(&set.quota, Class::RateLimited, at(0));
    assert!(set.admit_early(now, manner()).is_none());
    assert!(admitted(&set.quota, now).is_probe(), "nobody is out as its probe");
}

#[test]
fn a_set_with_a_key_at_rest_is_never_early() {
    let set = set();
    trip(&set.endpoint, Class::Transport, at(0));
    trip(&set.key, Class::Auth, at(0));
    assert!(!set.admits_early(at(9)));
    assert!(set.admit_early(at(9), manner()).is_none());
}

#[test]
fn a_set_gives_an_early_probe_back_and_the_rest_goes_on() {
    let set = set();
    trip(&set.endpoint, Class::Transport, at(0));
    let pass = set.admit_early(at(1), manner()).unwrap();
    set.release(pass, at(2));
    assert_eq!(set.ready_at(at(2)), Some(at(10)));
    let pass = set.admit_early(at(2), manner()).unwrap();
    settle(&set, pass, &Verdict::ACCEPT, at(3));
    enter(&set, at(3)).unwrap();
}
