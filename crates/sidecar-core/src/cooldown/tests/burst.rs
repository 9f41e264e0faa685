//! Failures that belong together.

use super::*;

#[test]
fn a_burst_of_failures_is_one_strike() {
    for class in [Class::RateLimited, Class::Overloaded, Class::Unreachable, Class::Transport] {
        let cell = cell();
        let burst: Vec<Admission> = (0..50).map(|_| admitted(&cell, at(0))).collect();
        let trips = burst.into_iter().filter(|&sent| fail(&cell, sent, class, at(1))).count();
        assert_eq!((trips, level(&cell, at(1))), (1, 1), "{class:?}");
        assert_eq!(cell.state_at(at(1)).class, Some(class));
    }
}

#[test]
fn a_straggler_changes_nothing() {
    let cell = cell();
    let straggler = admitted(&cell, at(0));
    trip(&cell, Class::RateLimited, at(1));
    let before = cell.state_at(at(2));
    assert!(!fail(&cell, straggler, Class::RateLimited, at(20)));
    assert!(!fail(&cell, straggler, Class::Overloaded, at(20)));
    succeed(&cell, straggler, at(20));
    cell.release(straggler, at(20));
    assert_eq!(cell.state_at(at(20)), before);
    assert_eq!(before.until, Some(at(31)));
}

#[test]
fn a_straggler_lengthens_a_rest_only_by_what_the_provider_asked_for() {
    let cell = cell();
    let straggler = admitted(&cell, at(0));
    trip(&cell, Class::RateLimited, at(0));
    for (wait, until) in [(10, 30), (29, 30), (45, 46), (20, 46), (7_200, 3_601)] {
        assert_eq!(cell.fail(straggler, &retry_after(secs(wait)), None, at(1), 1.0), None);
        assert_eq!(cell.state_at(at(1)).until, Some(at(until)), "after a hint of {wait} s");
    }
    assert_eq!(level(&cell, at(1)), 1);
}

#[test]
fn a_straggler_opens_no_cell_that_has_recovered() {
    let cell = cell();
    let straggler = admitted(&cell, at(0));
    let recovered = recovered_from(&cell, 1);
    let now = recovered + secs(25);
    assert_eq!(cell.fail(straggler, &retry_after(secs(600)), None, now, 0.0), None);
    assert_eq!(cell.ready_at(now), None);
    assert!(!admitted(&cell, now).is_probe());
}

#[test]
fn a_straggler_lets_no_second_probe_out() {
    let cell = cell();
    let straggler = admitted(&cell, at(0));
    let now = trip(&cell, Class::RateLimited, at(0));
    assert!(admitted(&cell, now).is_probe());
    cell.fail(straggler, &retry_after(secs(5)), None, now, 0.0);
    assert!(cell.admit(now + secs(10), LEASE).is_err(), "the first probe is still out");
}

#[test]
fn a_probe_given_back_does_not_shorten_what_a_straggler_asked_for() {
    let cell = cell();
    let straggler = admitted(&cell, at(0));
    let now = trip(&cell, Class::RateLimited, at(0));
    let probe = admitted(&cell, now);
    cell.fail(straggler, &retry_after(secs(40)), None, now, 0.0);
    cell.release(probe, now + secs(1));
    assert!(cell.admit(now + secs(39), LEASE).is_err());
    assert!(admitted(&cell, now + secs(41)).is_probe());
}

#[test]
fn a_failed_probe_does_not_shorten_what_a_straggler_asked_for() {
    let cell = cell();
    let straggler = admitted(&cell, at(0));
    let now = trip(&cell, Class::RateLimited, at(0));
    let probe = admitted(&cell, now);
    cell.fail(straggler, &retry_after(secs(1_800)), None, now, 0.0);
    assert!(fail(&cell, probe, Class::RateLimited, now + secs(1)));
    assert_eq!(cell.state_at(now + secs(1)).until, Some(now + secs(1_800)));
}

#[test]
fn faults_that_may_be_chance_take_five_in_a_row() {
    for class in [Class::Transport, Class::Timeout, Class::ServerError, Class::Lying] {
        let cell = cell();
        for second in 0..4 {
            assert!(!fail(&cell, admitted(&cell, at(second)), class, at(second)), "{class:?}");
        }
        succeed(&cell, admitted(&cell, at(4)), at(4));
        for second in 5..9 {
            assert!(!fail(&cell, admitted(&cell, at(second)), class, at(second)), "{class:?}");
        }
        assert!(fail(&cell, admitted(&cell, at(9)), class, at(9)), "{class:?}");
    }
}

#[test]
fn two_refused_connections_in_a_row_are_enough() {
    let cell = cell();
    assert!(!fail(&cell, admitted(&cell, at(0)), Class::Unreachable, at(0)));
    assert!(fail(&cell, admitted(&cell, at(1)), Class::Unreachable, at(1)));
}

#[test]
fn what_a_provider_says_of_itself_counts_at_once() {
    for class in [
        Class::RateLimited,
        Class::QuotaSpent,
        Class::Concurrency,
        Class::Overloaded,
        Class::Billing,
        Class::Auth,
        Class::ModelGone,
    ] {
        let cell = cell();
        assert!(fail(&cell, admitted(&cell, at(0)), class, at(0)), "{class:?}");
    }
}
