//! An endpoint that takes requests and answers none.

use super::*;

/// A set whose endpoint has let eight requests wait since the start.
fn hanging() -> (CellSet, Vec<Pass>) {
    let set = set();
    let waiting = (0..8).map(|_| enter(&set, at(0)).unwrap()).collect();
    (set, waiting)
}

fn is_suspect(set: &CellSet, now: Instant) -> bool {
    set.endpoint.state_at(now).suspect
}

const JUST: Duration = Duration::from_millis(1);

#[test]
fn eight_that_wait_for_more_than_fifteen_seconds_are_suspect() {
    let (set, _waiting) = hanging();
    assert!(!is_suspect(&set, at(15)));
    let now = at(15) + JUST;
    assert!(is_suspect(&set, now));
    assert_eq!(set.endpoint.state_at(now).until, None, "it is no rest");
    for cell in [&set.key, &set.quota, &set.origin] {
        assert!(!cell.state_at(now).suspect);
    }
}

#[test]
fn the_eighth_has_to_wait_so_long() {
    let set = set();
    for second in 0..7 {
        enter(&set, at(second)).unwrap();
    }
    assert!(!is_suspect(&set, at(500)), "seven may be chance");
    enter(&set, at(500)).unwrap();
    assert!(!is_suspect(&set, at(515)));
    assert!(is_suspect(&set, at(516)));
}

#[test]
fn a_suspect_takes_one_at_a_time() {
    let (set, _waiting) = hanging();
    let now = at(16);
    assert_eq!(set.ready_at(now), None);
    let alone = enter(&set, now).unwrap();
    for second in [0, 5, 59] {
        let later = now + secs(second);
        assert_eq!(enter(&set, later).unwrap_err(), later + secs(1));
        assert_eq!(set.ready_at(later), Some(later + secs(1)));
    }
    assert!(!set.are_promising(now), "nobody knows when it will answer");
    // Given back, it makes room for the next.
    set.release(alone, now + secs(2));
    enter(&set, now + secs(2)).unwrap();
    assert!(enter(&set, now + secs(2)).is_err());
}

#[test]
fn a_lost_one_is_given_up_after_its_lease() {
    let (set, _waiting) = hanging();
    enter(&set, at(16)).unwrap();
    assert!(enter(&set, at(16) + (LEASE - JUST)).is_err());
    enter(&set, at(16) + LEASE).unwrap();
    assert!(enter(&set, at(16) + LEASE).is_err());
}

#[test]
fn any_answer_ends_the_suspicion() {
    for class in [
        Class::Accept,
        Class::CallerFault,
        Class::ContextTooLong,
        Class::RateLimited,
        Class::Auth,
        Class::ServerError,
        Class::Lying,
    ] {
        let (set, mut waiting) = hanging();
        let now = at(20);
        assert!(is_suspect(&set, now));
        settle(&set, waiting.pop().unwrap(), &Verdict::of(class), now);
        assert!(!is_suspect(&set, now), "{class:?}");
        // The seven others began to wait before it, and are no evidence any more.
        for _ in 0..7 {
            let _ = enter(&set, now);
        }
        assert!(!is_suspect(&set, now + secs(600)), "{class:?}");
    }
}

#[test]
fn the_answer_to_the_one_that_passes_ends_it_too() {
    let (set, _waiting) = hanging();
    let alone = enter(&set, at(16)).unwrap();
    settle(&set, alone, &Verdict::ACCEPT, at(18));
    for _ in 0..100 {
        enter(&set, at(18)).unwrap();
    }
}

#[test]
fn silence_is_no_answer() {
    for class in [Class::Transport, Class::Unreachable] {
        let (set, mut waiting) = hanging();
        let alone = enter(&set, at(16)).unwrap();
        // One fault of the way; it waits no longer, and eight still do.
        settle(&set, alone, &Verdict::of(class), at(17));
        assert!(is_suspect(&set, at(17)), "{class:?}");
        set.release(waiting.pop().unwrap(), at(17));
        assert!(!is_suspect(&set, at(17)), "{class:?}");
    }
}

#[test]
fn who_leaves_or_was_not_sent_proves_nothing() {
    let (set, mut waiting) = hanging();
    set.release(waiting.pop().unwrap(), at(16));
    assert!(!is_suspect(&set, at(100)));
    // What the dispatch refused was not answered by the provider.
    let local = Settlement {
        verdict: &Verdict::of(Class::CallerFault),
        answered: false,
        caller: None,
        jitter: 0.0,
    };
    let (set, mut waiting) = hanging();
    set.settle(enter(&set, at(1)).unwrap(), local, at(1));
    assert!(is_suspect(&set, at(16)));
    set.settle(waiting.pop().unwrap(), local, at(16));
    assert!(!is_suspect(&set, at(16)));
}

#[test]
fn a_refusal_further_in_leaves_no_trace() {
    let set = set();
    for _ in 0..1_000 {
        set.release(enter(&set, at(0)).unwrap(), at(0));
    }
    assert!(!is_suspect(&set, at(100)));
}

#[test]
fn a_timeout_trips_a_suspect() {
    // Of the one that passes, and of those that made it suspect.
    for which in [0, 8] {
        let (set, mut sent) = hanging();
        sent.push(enter(&set, at(16)).unwrap());
        settle(&set, sent[which], &Verdict::timeout(), at(60));
        assert_eq!(level(&set.endpoint, at(60)), 1);
        assert_eq!(set.endpoint.state_at(at(60)).class, Some(Class::Timeout));
        assert!(!is_suspect(&set, at(60)), "now it rests");
    }
}

#[test]
fn before_it_is_suspect_a_timeout_may_be_chance() {
    let (set, mut sent) = hanging();
    sent.truncate(7);
    for timed_out in sent.into_iter().take(4) {
        settle(&set, timed_out, &Verdict::timeout(), at(10));
    }
    assert_eq!(level(&set.endpoint, at(10)), 0);
}

#[test]
fn the_timeouts_of_one_caller_alone_do_not_trip_it() {
    let set = set();
    let one = enter(&set, at(0)).unwrap();
    settle_for(Some(caller(2)), &set, one, &Verdict::ACCEPT, at(0));
    let waiting: Vec<Pass> = (0..8).map(|_| enter(&set, at(0)).unwrap()).collect();
    for timed_out in waiting {
        settle_for(Some(caller(1)), &set, timed_out, &Verdict::timeout(), at(60));
        assert_eq!(level(&set.endpoint, at(60)), 0);
    }
    // It stays suspect, because nobody has been answered. The others find out one at a time.
    assert!(is_suspect(&set, at(60)));
    let alone = enter(&set, at(61)).unwrap();
    assert!(enter(&set, at(61)).is_err());
    settle_for(Some(caller(2)), &set, alone, &Verdict::timeout(), at(121));
    assert_eq!(level(&set.endpoint, at(121)), 1);
}

#[test]
fn documents_are_slow_and_prove_nothing() {
    let slow = Manner { streaming: false, ..manner() };
    let set = set();
    let documents: Vec<Pass> = (0..100).map(|_| set.admit(at(0), slow).unwrap()).collect();
    assert!(!is_suspect(&set, at(300)));
    // But a suspect takes them one at a time, too, and their answers count.
    for _ in 0..8 {
        enter(&set, at(300)).unwrap();
    }
    set.admit(at(316), slow).unwrap();
    assert!(set.admit(at(316), slow).is_err());
    assert!(enter(&set, at(316)).is_err());
    set.release(documents[0], at(316));
    assert!(is_suspect(&set, at(316)));
    settle(&set, documents[1], &Verdict::ACCEPT, at(316));
    assert!(!is_suspect(&set, at(316)));
}

#[test]
fn a_new_start_clears_the_suspicion() {
    let (set, _waiting) = hanging();
    set.reset();
    assert!(!is_suspect(&set, at(100)));
    let (set, _waiting) = hanging();
    trip(&set.endpoint, Class::Overloaded, at(20));
    assert!(!is_suspect(&set, at(20)));
}

#[test]
fn a_suspect_is_shared_with_every_set_that_has_the_endpoint() {
    let (one, _waiting) = hanging();
    let other = set();
    let other = CellSet::of(
        other.key.clone(),
        other.quota.clone(),
        one.endpoint.clone(),
        other.origin.clone(),
    );
    enter(&other, at(16)).unwrap();
    assert!(enter(&one, at(16)).is_err());
    assert!(enter(&other, at(16)).is_err());
}

#[test]
fn a_suspect_that_refuses_keeps_no_lease_of_the_other_cells() {
    let (one, _waiting) = hanging();
    let other = set();
    let other = CellSet::of(
        other.key.clone(),
        other.quota.clone(),
        one.endpoint.clone(),
        other.origin.clone(),
    );
    let now = trip(&one.key, Class::RateLimited, at(0));
    enter(&other, now).unwrap();
    assert!(enter(&one, now).is_err());
    assert!(admitted(&one.key, now).is_probe(), "nobody is out as the probe of the key");
}
