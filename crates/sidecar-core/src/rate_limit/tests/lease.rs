//! What a lease promises, and what a record holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::{NANO, START, at, drain, n};
use crate::clock::Instant;
use crate::rate_limit::lease::reserve;
use crate::rate_limit::window::WINDOW;
use crate::rate_limit::{Limiter, WindowRecord};

const MILLI: Duration = Duration::from_millis(1);

/// How often a limiter has asked for a record.
#[derive(Clone, Default)]
struct Asked(Arc<AtomicUsize>);

impl Asked {
    fn since_last(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }
}

/// A window with a lease that no record has renewed yet.
fn leased(rpm: u32) -> (Limiter, Asked) {
    let (limiter, asked) = (Limiter::window(n(rpm)), Asked::default());
    let counter = asked.clone();
    limiter.lease(Arc::new(move || {
        counter.0.fetch_add(1, Ordering::Relaxed);
    }));
    (limiter, asked)
}

/// One that is renewed, and has not asked for anything since.
fn renewed(rpm: u32) -> (Limiter, Asked) {
    let (limiter, asked) = leased(rpm);
    flush(&limiter, at(0));
    asked.since_last();
    (limiter, asked)
}

/// Makes a record durable, if one is due.
fn flush(limiter: &Limiter, now: Instant) {
    if let Some(record) = limiter.record(now) {
        limiter.acknowledge(&record);
    }
}

fn send(limiter: &Limiter, count: usize, now: Instant) {
    for _ in 0..count {
        let _ = limiter.admit(now).unwrap();
    }
}

/// What the next run reads.
fn stored(record: &WindowRecord) -> WindowRecord {
    serde_json::from_str(&serde_json::to_string(record).unwrap()).unwrap()
}

fn buckets(record: &WindowRecord) -> Vec<(u32, u32)> {
    let json = serde_json::to_value(record).unwrap();
    serde_json::from_value(json["buckets"].clone()).unwrap()
}

// The lease.

#[test]
fn nothing_is_sent_before_the_first_record_is_durable() {
    let (limiter, asked) = leased(40);
    assert_eq!(asked.since_last(), 1, "it is due at once");
    assert_eq!(limiter.admit(at(0)), Err(at(0) + MILLI * 2));
    assert_eq!(limiter.ready_at(at(0)), Some(at(0) + MILLI * 2));
    let record = limiter.record(at(0)).unwrap();
    assert!(limiter.admit(at(0)).is_err());
    limiter.acknowledge(&record);
    assert_eq!(drain(&limiter, at(0)), 10);
}

#[test]
fn a_lease_asks_once_when_half_of_it_is_used_and_once_at_its_end() {
    let (limiter, asked) = renewed(40);
    let mut after_each = Vec::new();
    for _ in 0..10 {
        send(&limiter, 1, at(1));
        after_each.push(asked.since_last());
    }
    assert_eq!(after_each, [0, 0, 0, 0, 1, 0, 0, 0, 0, 1]);
    assert_eq!(drain(&limiter, at(1)), 0);
    assert_eq!(asked.since_last(), 0);
}

#[test]
fn a_lease_is_renewed_less_what_was_sent_since_the_record() {
    let (limiter, asked) = renewed(40);
    send(&limiter, 1, at(1));
    let record = limiter.record(at(1)).unwrap();
    assert_eq!(drain(&limiter, at(1)), 9);
    assert_eq!(asked.since_last(), 2);
    limiter.acknowledge(&record);
    assert_eq!(asked.since_last(), 1, "it is low again, and nobody may call for a while");
    assert_eq!(drain(&limiter, at(1)), 1);
}

#[test]
fn a_record_is_due_until_one_like_it_is_durable() {
    let (limiter, _) = renewed(40);
    assert_eq!(limiter.record(at(1)), None);
    send(&limiter, 1, at(1));
    let record = limiter.record(at(2));
    assert!(record.is_some());
    assert_eq!(limiter.record(at(2)), record);
    flush(&limiter, at(2));
    assert_eq!(limiter.record(at(2)), None);
    // What merely grows older needs no new record.
    assert_eq!(limiter.record(at(120)), None);
}

#[test]
fn an_acknowledgement_may_come_late_or_never() {
    for (acknowledged, left) in [([0, 0], 6), ([1, 1], 10), ([1, 0], 10), ([0, 1], 10)] {
        let (limiter, _) = renewed(40);
        send(&limiter, 3, at(1));
        let first = limiter.record(at(1)).unwrap();
        send(&limiter, 4, at(1));
        let records = [first, limiter.record(at(1)).unwrap()];
        for which in acknowledged {
            limiter.acknowledge(&records[which]);
        }
        assert_eq!(drain(&limiter, at(1)), left, "{acknowledged:?}");
        assert!(limiter.record(at(1)).is_some());
    }
}

#[test]
fn a_slot_given_back_does_not_come_back_to_the_lease() {
    let (limiter, _) = renewed(40);
    for _ in 0..10 {
        let slot = limiter.admit(at(1)).unwrap();
        limiter.give_back(slot);
    }
    assert_eq!(limiter.free(at(1)), 40);
    assert_eq!(limiter.admit(at(1)), Err(at(1) + MILLI * 2));
    assert!(buckets(&limiter.record(at(1)).unwrap()).is_empty());
}

#[test]
fn a_raised_limit_asks_for_a_larger_reserve() {
    let (limiter, asked) = renewed(8);
    limiter.configure(n(8), None, at(1));
    assert_eq!(limiter.record(at(1)), None);
    limiter.configure(n(400), None, at(1));
    assert_eq!(asked.since_last(), 1);
    flush(&limiter, at(1));
    assert_eq!(drain(&limiter, at(1)), 100);
}

#[test]
fn a_second_lease_goes_on_with_the_first() {
    let (limiter, asked) = renewed(40);
    send(&limiter, 10, at(1));
    asked.since_last();
    let second = Asked::default();
    let counter = second.clone();
    limiter.lease(Arc::new(move || {
        counter.0.fetch_add(1, Ordering::Relaxed);
    }));
    assert_eq!((asked.since_last(), second.since_last()), (0, 1));
    assert!(limiter.admit(at(1)).is_err());
}

#[test]
fn without_a_lease_there_is_nothing_to_record() {
    let limiter = Limiter::window(n(40));
    send(&limiter, 40, at(0));
    assert_eq!(limiter.record(at(0)), None);
}

#[test]
fn timely_flushes_never_hold_a_request_up() {
    const INTERVAL: Duration = Duration::from_millis(200);
    for rpm in [1, 5, 6, 20, 40, 1_000, 20_000, 1_000_000] {
        let (limiter, _) = renewed(rpm);
        let unleased = Limiter::window(n(rpm));
        for interval in 0..400 {
            let start = START + INTERVAL * interval;
            flush(&limiter, start);
            for send in 0..reserve(n(rpm)) {
                let now = start + MILLI * 2 + Duration::from_micros(100) * send;
                assert_eq!(limiter.admit(now).is_ok(), unleased.admit(now).is_ok(), "{rpm} rpm");
            }
        }
    }
}

// The record.

#[test]
fn after_a_crash_the_reserve_counts_as_sent_now() {
    let (limiter, _) = renewed(40);
    send(&limiter, 4, at(10));
    let record = limiter.record(at(12)).unwrap();
    let json = serde_json::to_string(&record).unwrap();
    assert_eq!(json, r#"{"buckets":[[2000,4]],"reserve":10}"#);
    let next = Limiter::window(n(40));
    // Seven seconds ago, by clocks that show milliseconds.
    next.restore(&stored(&record), Duration::from_secs(5), at(100));
    assert_eq!(next.free(at(100)), 26);
    let fours_leave = at(93) + MILLI + WINDOW;
    assert_eq!(next.free(fours_leave.saturating_sub(NANO)), 26);
    assert_eq!(next.free(fours_leave), 30);
    assert_eq!(next.free((at(100) + WINDOW).saturating_sub(NANO)), 30);
    assert_eq!(next.free(at(100) + WINDOW), 40);
}

#[test]
fn an_age_that_cannot_be_is_no_harm() {
    let (limiter, _) = renewed(40);
    send(&limiter, 4, at(10));
    let record = stored(&limiter.record(at(10)).unwrap());
    for (age, free) in [(Duration::ZERO, 26), (Duration::from_secs(86_400 * 365), 30)] {
        let next = Limiter::window(n(40));
        next.restore(&record, age, at(100));
        assert_eq!(next.free(at(100)), free);
        assert_eq!(next.free(at(101) + WINDOW), 40, "nothing counts for longer than a minute");
    }
    let damaged: WindowRecord = serde_json::from_str(
        r#"{"buckets":[[4294967295,4294967295],[0,4294967295],[0,4294967295]],"reserve":4294967295}"#,
    )
    .unwrap();
    limiter.restore(&damaged, Duration::MAX, at(100));
    limiter.restore(&damaged, Duration::ZERO, at(100));
    assert_eq!(limiter.free(at(100)), 0);
    assert!(limiter.record(at(100)).is_some());
    assert_eq!(limiter.free(at(101) + WINDOW), 40);
}

#[test]
fn an_orderly_restart_loses_no_capacity() {
    let (limiter, _) = renewed(40);
    for second in 0..30 {
        flush(&limiter, at(second));
        send(&limiter, 1, at(second));
    }
    let record = limiter.close(at(30));
    let next = Limiter::window(n(40));
    next.restore(&stored(&record), Duration::from_secs(5), at(35));
    assert_eq!(next.free(at(35)), 10);
    for (second, free) in (0..30).zip(11..) {
        assert_eq!(next.free(at(second) + WINDOW), free - 1);
        assert_eq!(next.free(at(second) + WINDOW + MILLI), free);
    }
}

#[test]
fn a_closed_limiter_refuses_and_asks_for_nothing() {
    let (limiter, asked) = renewed(40);
    send(&limiter, 4, at(1));
    let record = limiter.close(at(1));
    assert_eq!(limiter.admit(at(2)), Err(at(2) + WINDOW));
    assert_eq!(limiter.record(at(1)).as_ref(), Some(&record), "whoever looks again finds the same");
    limiter.acknowledge(&record);
    assert_eq!(limiter.record(at(2)), None);
    assert_eq!(asked.since_last(), 0);
    assert!(limiter.admit(at(2)).is_err());
}

#[test]
fn a_record_of_a_large_limit_is_small_and_counts_nothing_as_older_than_it_is() {
    let limiter = Limiter::window(n(1_000_000));
    for n in 0..100_000 {
        send(&limiter, 1, START + Duration::from_micros(600) * n);
    }
    // Without a lease the shutdown is only a look at the window.
    let record = limiter.close(at(60));
    let buckets = buckets(&record);
    assert!(buckets.len() <= 62, "{} buckets", buckets.len());
    assert_eq!(buckets.iter().map(|&(_, count)| count).sum::<u32>(), 100_000);
    let next = Limiter::window(n(1_000_000));
    next.restore(&stored(&record), Duration::ZERO, at(60));
    let mut late = limiter.free(at(60));
    for second in 60..122 {
        let (real, restored) = (limiter.free(at(second)), next.free(at(second)));
        assert!(restored <= real && restored >= late, "{late} {restored} {real} at {second}");
        // What has left by now will have left the restored window in a second.
        late = real;
    }
    assert_eq!(next.free(at(122)), 1_000_000);
}

#[test]
fn a_restored_smooth_limit_keeps_its_distance() {
    let limiter = Limiter::smooth(n(10), n(4));
    assert_eq!(drain(&limiter, at(0)), 4);
    let expected = limiter.ready_at(at(2)).unwrap();
    let record = stored(&limiter.close(at(1)));
    let next = Limiter::smooth(n(10), n(4));
    next.restore(&record, Duration::from_secs(1), at(2));
    assert_eq!(next.ready_at(at(2)), Some(expected + MILLI));
    assert_eq!(next.free(at(2)), 6);
}
