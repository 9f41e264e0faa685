//! How much is sent to providers that are down.

use super::*;

/// A thousand requests in a minute, each to the first of four endpoints that admits it. Returns
/// how many were sent in all.
fn sent_in_an_outage(class: Class) -> usize {
    let sets: Vec<CellSet> = (0..4).map(|_| set()).collect();
    let mut sent = 0;
    for request in 0..1_000 {
        let now = at(0) + Duration::from_millis(60) * request;
        for set in &sets {
            if let Ok(pass) = enter(set, now) {
                sent += 1;
                settle(set, pass, &Verdict::of(class), now);
            }
        }
    }
    sent
}

#[test]
fn an_outage_is_not_multiplied() {
    for class in [Class::Unreachable, Class::Transport, Class::ServerError, Class::Overloaded] {
        let sent = sent_in_an_outage(class);
        assert!(sent <= 60, "{sent} sends of {class:?}");
    }
}

#[test]
fn an_endpoint_that_hangs_takes_the_requests_of_fifteen_seconds() {
    let set = set();
    let mut waiting: Vec<(Instant, Pass)> = Vec::new();
    let mut sent = 0;
    for request in 0..1_000 {
        let now = at(0) + Duration::from_millis(60) * request;
        if let Ok(pass) = enter(&set, now) {
            sent += 1;
            waiting.push((now + secs(60), pass));
        }
        while waiting.first().is_some_and(|(timeout, _)| *timeout <= now) {
            let (_, pass) = waiting.remove(0);
            settle(&set, pass, &Verdict::timeout(), now);
        }
    }
    assert!(sent <= 250 + 20, "{sent}");
}

#[test]
fn what_recovers_is_back_in_bounded_time() {
    let set = set();
    // An hour of failures, each as soon as may be.
    let mut now = at(0);
    while now < at(3_600) {
        match enter(&set, now) {
            Ok(pass) => settle(&set, pass, &Verdict::of(Class::ServerError), now),
            Err(ready_at) => now = ready_at,
        }
    }
    assert_eq!(level(&set.endpoint, now), 8);
    // One probe, the ramp, and a minute for each level.
    let back = now + secs(300 + 20 + 9 * 60);
    while now < back {
        match enter(&set, now) {
            Ok(pass) => settle(&set, pass, &Verdict::ACCEPT, now),
            Err(ready_at) => now = ready_at,
        }
        now = now + secs(1);
    }
    assert_eq!(level(&set.endpoint, now), 0);
    assert!(set.endpoint.is_untouched());
}
