//! How long a rest is, and when the level falls.

use super::*;

#[test]
fn waits_double_up_to_the_cap() {
    for (class, base, cap) in [
        (Class::RateLimited, 30, 600),
        (Class::Concurrency, 5, 60),
        (Class::Overloaded, 5, 120),
        (Class::Transport, 10, 300),
        (Class::Unreachable, 10, 300),
        (Class::Timeout, 10, 300),
        (Class::ServerError, 10, 300),
        (Class::Lying, 10, 300),
    ] {
        let (cell, mut now, mut expected) = (cell(), at(0), base);
        for strike in 1..=10_u8 {
            let ready_at = trip(&cell, class, now);
            assert_eq!(rest(&cell, now), secs(expected), "strike {strike} of {class:?}");
            assert_eq!(level(&cell, now), strike.min(8));
            expected = u64::min(2 * expected, cap);
            now = ready_at;
        }
    }
}

#[test]
fn a_rest_is_a_second_at_least() {
    let cell = Cell::new(CooldownPolicy::new(Duration::ZERO, Duration::ZERO), 60);
    trip(&cell, Class::RateLimited, at(0));
    assert_eq!(rest(&cell, at(0)), secs(1));
}

#[test]
fn a_rest_follows_the_longer_of_the_guess_and_the_hint() {
    use HintSource::{Authoritative, Computed};
    const HOURS: u64 = 3_600;
    for (class, wait, source, expected) in [
        // The first time a provider says it, it is believed.
        (Class::RateLimited, 10, Authoritative, 10),
        (Class::Overloaded, 3, Authoritative, 5),
        (Class::RateLimited, 45, Authoritative, 45),
        // Longer than the cap of a guess, which is 600 s.
        (Class::RateLimited, 3_599, Authoritative, 3_599),
        (Class::RateLimited, 2 * HOURS, Authoritative, HOURS),
        (Class::RateLimited, u64::MAX / 4, Authoritative, HOURS),
        (Class::RateLimited, 20 * HOURS, Computed, 20 * HOURS),
        (Class::RateLimited, 30 * HOURS, Computed, 24 * HOURS),
        (Class::QuotaSpent, 20 * HOURS, Authoritative, 20 * HOURS),
        (Class::QuotaSpent, 30 * HOURS, Computed, 24 * HOURS),
        (Class::Overloaded, 300, Authoritative, 300),
    ] {
        let cell = cell();
        let verdict = asking(class, secs(wait), source);
        assert!(cell.fail(admitted(&cell, at(0)), &verdict, None, at(0), 0.0).is_some());
        assert_eq!(rest(&cell, at(0)), secs(expected), "{verdict:?}");
    }
}

#[test]
fn jitter_only_adds_and_at_most_a_tenth_or_five_seconds() {
    for (jitter, wait, expected) in [
        (0.0, 30, 30_000),
        (0.5, 30, 31_500),
        (1.0, 30, 33_000),
        (1.0, 600, 605_000),
        (7.0, 30, 33_000),
        (-1.0, 30, 30_000),
    ] {
        let cell = cell();
        assert!(
            cell.fail(admitted(&cell, at(0)), &retry_after(secs(wait)), None, at(0), jitter)
                .is_some()
        );
        assert_eq!(rest(&cell, at(0)), Duration::from_millis(expected), "jitter {jitter}");
    }
}

#[test]
fn nobody_passes_before_the_rest_is_over() {
    let cell = cell();
    let ready_at = trip(&cell, Class::RateLimited, at(0));
    assert!(ready_at >= at(30) && ready_at <= at(30) + ROUNDING);
    for now in [at(0), at(29), at(30).saturating_sub(Duration::from_nanos(1))] {
        assert_eq!(cell.admit(now, LEASE), Err(ready_at));
        assert_eq!(cell.ready_at(now), Some(ready_at));
    }
    assert_eq!(cell.ready_at(ready_at), None);
}

#[test]
fn expiry_alone_never_lowers_the_level() {
    let cell = cell();
    let mut now = at(0);
    for expected in [30, 60, 120, 240] {
        trip(&cell, Class::RateLimited, now);
        assert_eq!(rest(&cell, now), secs(expected));
        now = now + secs(86_400);
    }
    assert_eq!(level(&cell, now), 4);
}

#[test]
fn a_flapping_provider_rests_longer_each_time() {
    let cell = cell();
    let mut now = at(0);
    for expected in [30, 60, 120, 240] {
        let ready_at = trip(&cell, Class::RateLimited, now);
        assert_eq!(rest(&cell, now), secs(expected));
        succeed(&cell, admitted(&cell, ready_at), ready_at);
        now = ready_at + ROUNDING;
    }
}

#[test]
fn a_clean_minute_with_a_success_lowers_the_level_by_one() {
    let cell = cell();
    let recovered = recovered_from(&cell, 3);
    for (after, expected) in
        [(21, 3), (59, 3), (60, 2), (61, 2), (119, 2), (120, 1), (179, 1), (180, 0), (300, 0)]
    {
        let now = recovered + secs(after);
        succeed(&cell, admitted(&cell, now), now);
        assert_eq!(level(&cell, now), expected, "{after} s after the good probe");
    }
    assert_eq!(cell.state_at(recovered + secs(300)).class, None);
    let now = recovered + secs(301);
    trip(&cell, Class::RateLimited, now);
    assert_eq!(rest(&cell, now), secs(30));
}

#[test]
fn idle_minutes_prove_nothing() {
    let cell = cell();
    let now = recovered_from(&cell, 3) + secs(3_600);
    assert_eq!(level(&cell, now), 3);
    succeed(&cell, admitted(&cell, now), now);
    assert_eq!(level(&cell, now), 2);
}

#[test]
fn a_failure_starts_the_clean_minute_anew() {
    let cell = cell();
    let recovered = recovered_from(&cell, 1);
    let now = recovered + secs(50);
    assert!(!fail(&cell, admitted(&cell, now), Class::Transport, now));
    for (after, expected) in [(60, 1), (109, 1), (110, 0)] {
        let now = recovered + secs(after);
        succeed(&cell, admitted(&cell, now), now);
        assert_eq!(level(&cell, now), expected, "{after} s after the good probe");
    }
}

#[test]
fn a_new_policy_counts_from_the_next_strike() {
    let cell = cell();
    let now = trip(&cell, Class::RateLimited, at(0));
    cell.configure(CooldownPolicy::new(secs(5), secs(8)), 60);
    assert_eq!(cell.state_at(at(1)).until, Some(at(30)));
    trip(&cell, Class::RateLimited, now);
    assert_eq!(rest(&cell, now), secs(8));
}

#[test]
fn a_reset_closes_the_cell_and_forgets_its_level() {
    let cell = cell();
    let straggler = admitted(&cell, at(0));
    let now = trip(&cell, Class::RateLimited, at(0));
    let now = trip(&cell, Class::RateLimited, now);
    let probe = admitted(&cell, now);
    cell.reset();
    assert!(!admitted(&cell, now).is_probe());
    let state = cell.state_at(now);
    assert_eq!((state.level, state.class, state.until), (0, None, None));
    // What was sent before the reset says nothing about after it.
    assert_eq!(cell.fail(straggler, &retry_after(secs(600)), None, now, 0.0), None);
    assert!(!fail(&cell, probe, Class::RateLimited, now));
    cell.release(probe, now);
    assert_eq!(cell.ready_at(now), None);
    trip(&cell, Class::RateLimited, now);
    assert_eq!(rest(&cell, now), secs(30));
}
