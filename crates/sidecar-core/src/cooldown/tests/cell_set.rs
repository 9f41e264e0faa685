//! Which cell is charged, and what the others learn.

use super::*;
use crate::verdict::Scope;

fn each(set: &CellSet) -> [&Cell; 4] {
    [&set.key, &set.quota, &set.endpoint, &set.origin]
}

/// The place of the cell that `scope` is charged to, in the order of [`each`].
fn place(scope: Scope) -> Option<usize> {
    match scope {
        Scope::None => None,
        Scope::Key => Some(0),
        Scope::Quota => Some(1),
        Scope::Endpoint => Some(2),
        Scope::Origin => Some(3),
    }
}

/// Sends through `set` and settles with `verdict` until a request is refused, at most six times.
fn settle_until_refused(set: &CellSet, verdict: &Verdict, now: Instant) {
    for _ in 0..6 {
        let Ok(pass) = enter(set, now) else {
            return;
        };
        settle(set, pass, verdict, now);
    }
}

fn levels(set: &CellSet, now: Instant) -> [u8; 4] {
    each(set).map(|cell| level(cell, now))
}

#[test]
fn a_failure_is_charged_to_one_cell_and_leaves_the_others() {
    for class in [
        Class::RateLimited,
        Class::QuotaSpent,
        Class::Concurrency,
        Class::Billing,
        Class::Auth,
        Class::Overloaded,
        Class::ServerError,
        Class::Transport,
        Class::Unreachable,
        Class::Timeout,
        Class::Lying,
        Class::ModelGone,
    ] {
        let set = set();
        settle_until_refused(&set, &Verdict::of(class), at(0));
        let charged = place(class.scope()).unwrap();
        let mut expected = [0; 4];
        expected[charged] = 1;
        assert_eq!(levels(&set, at(0)), expected, "{class:?}");
        for (index, cell) in each(&set).into_iter().enumerate() {
            assert_eq!(cell.ready_at(at(0)).is_some(), index == charged, "{class:?}");
        }
    }
}

#[test]
fn the_scopes_are_those_of_the_specification() {
    assert_eq!(Class::Auth.scope(), Scope::Key);
    assert_eq!(Class::Billing.scope(), Scope::Key);
    assert_eq!(Class::RateLimited.scope(), Scope::Quota);
    assert_eq!(Class::QuotaSpent.scope(), Scope::Quota);
    assert_eq!(Class::Overloaded.scope(), Scope::Endpoint);
    assert_eq!(Class::Unreachable.scope(), Scope::Origin);
}

#[test]
fn what_a_caller_can_provoke_is_charged_to_nobody() {
    for class in [Class::CallerFault, Class::ContextTooLong] {
        let set = set();
        for _ in 0..1_000 {
            let pass = enter(&set, at(0)).unwrap();
            settle(&set, pass, &asking(class, secs(60), HintSource::Authoritative), at(0));
        }
        assert_eq!(levels(&set, at(0)), [0; 4]);
        assert_eq!(set.ready_at(at(0)), None);
    }
}

#[test]
fn a_callers_own_fault_proves_nothing_about_a_resting_cell() {
    for class in [Class::CallerFault, Class::ContextTooLong] {
        let set = set();
        settle_until_refused(&set, &Verdict::of(Class::RateLimited), at(0));
        let now = set.ready_at(at(0)).unwrap();
        let pass = enter(&set, now).unwrap();
        settle(&set, pass, &Verdict::of(class), now);
        let later = now + secs(1);
        assert!(admitted(&set.quota, later).is_probe(), "{class:?}");
    }
}

#[test]
fn a_request_passes_only_if_every_cell_admits_it() {
    for closed in 0..4 {
        let set = set();
        trip(each(&set)[closed], Class::RateLimited, at(0));
        let ready_at = set.ready_at(at(1)).unwrap();
        assert!(ready_at >= at(30) && ready_at <= at(30) + ROUNDING);
        assert_eq!(enter(&set, at(1)).unwrap_err(), ready_at);
        enter(&set, ready_at).unwrap();
    }
}

#[test]
fn the_set_is_ready_when_its_last_cell_is() {
    let set = set();
    trip(&set.key, Class::RateLimited, at(0));
    trip(&set.endpoint, Class::RateLimited, at(20));
    let ready_at = set.ready_at(at(20)).unwrap();
    assert!(ready_at >= at(50) && ready_at <= at(50) + ROUNDING);
}

#[test]
fn a_refusal_by_a_later_cell_gives_the_probe_of_an_earlier_one_back() {
    let set = set();
    trip(&set.key, Class::RateLimited, at(0));
    trip(&set.endpoint, Class::RateLimited, at(20));
    assert!(enter(&set, at(40)).is_err());
    assert!(admitted(&set.key, at(41)).is_probe(), "nobody is out as the probe of the key");
}

#[test]
fn a_probe_of_two_cells_fails_only_the_one_that_is_charged() {
    let set = set();
    trip(&set.quota, Class::RateLimited, at(0));
    trip(&set.endpoint, Class::RateLimited, at(0));
    let now = set.ready_at(at(0)).unwrap();
    let pass = enter(&set, now).unwrap();
    settle(&set, pass, &Verdict::of(Class::RateLimited), now);
    assert_eq!(levels(&set, now), [0, 2, 1, 0]);
    assert!(admitted(&set.endpoint, now + secs(1)).is_probe());
}

#[test]
fn a_good_answer_ends_the_rest_of_every_cell() {
    let set = set();
    trip(&set.quota, Class::RateLimited, at(0));
    trip(&set.origin, Class::Unreachable, at(0));
    let now = set.ready_at(at(0)).unwrap();
    let pass = enter(&set, now).unwrap();
    settle(&set, pass, &Verdict::ACCEPT, now);
    assert_eq!(set.ready_at(now + secs(1)), None);
    assert!(enter(&set, now + secs(1)).is_ok());
    assert!(enter(&set, now + secs(2)).is_err(), "both are on the ramp");
}

#[test]
fn a_shared_cell_rests_for_every_set_that_has_it() {
    let (one, other) = (set(), set());
    let other = CellSet::of(
        other.key.clone(),
        other.quota.clone(),
        one.endpoint.clone(),
        other.origin.clone(),
    );
    settle_until_refused(&one, &Verdict::of(Class::Overloaded), at(0));
    assert!(enter(&other, at(1)).is_err());
    let apart = set();
    assert!(enter(&apart, at(1)).is_ok());
}
