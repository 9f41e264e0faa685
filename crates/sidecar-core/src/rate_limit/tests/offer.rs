//! What can be seen of a limiter without its lock is what it says itself.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::{MINUTE, NANO, START, at, drain, n};
use crate::clock::Instant;
use crate::rate_limit::Limiter;
use crate::rate_limit::window::WINDOW;

#[derive(Clone, Debug)]
enum Step {
    Advance { millis: u64 },
    AdvanceToReady,
    Admit { count: u32 },
    GiveBackLast,
    Configure { rpm: u32, burst: Option<u32> },
    Learn,
    Lease,
    Flush,
    Restore,
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    let configure = (1..13_u32, option::of(1..15_u32));
    prop_oneof![
        4 => (0..5_000_u64).prop_map(|millis| Step::Advance { millis }),
        2 => (0..70_000_u64).prop_map(|millis| Step::Advance { millis }),
        3 => Just(Step::AdvanceToReady),
        12 => (1..4_u32).prop_map(|count| Step::Admit { count }),
        2 => Just(Step::GiveBackLast),
        2 => configure.prop_map(|(rpm, burst)| Step::Configure { rpm, burst }),
        1 => Just(Step::Learn),
        1 => Just(Step::Lease),
        2 => Just(Step::Flush),
        1 => Just(Step::Restore),
        1 => prop_oneof![9 => Just(Step::Flush), 1 => Just(Step::Close)],
    ]
}

fn flush(limiter: &Limiter, now: Instant) {
    if let Some(record) = limiter.record(now) {
        limiter.acknowledge(&record);
    }
}

/// The limiter's own words. They renew what can be seen, so the offer has to be asked for before.
fn said(limiter: &Limiter, now: Instant) -> Result<f32, Instant> {
    limiter.ready_at(now).map_or_else(|| Ok(limiter.headroom(now)), Err)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn an_offer_is_what_the_limiter_itself_says(
        rpm in 1..13_u32,
        burst in option::of(1..15_u32),
        steps in vec(step(), 1..120),
    ) {
        let limiter = Limiter::window(n(rpm));
        limiter.configure(n(rpm), burst.map(n), START);
        let (mut now, mut last) = (START, None);
        for step in steps {
            match step {
                Step::Advance { millis } => now = now + Duration::from_millis(millis),
                Step::AdvanceToReady => {
                    if let Err(ready_at) = limiter.offer(now) {
                        let before = ready_at.saturating_sub(NANO).max(now);
                        prop_assert_eq!(limiter.offer(before), said(&limiter, before));
                        now = ready_at;
                    }
                }
                Step::Admit { count } => {
                    for _ in 0..count {
                        let offer = limiter.offer(now);
                        let slot = limiter.admit(now);
                        prop_assert_eq!(offer.err(), slot.err());
                        last = slot.ok().or(last);
                    }
                }
                Step::GiveBackLast => {
                    if let Some(slot) = last.take() {
                        limiter.give_back(slot);
                    }
                }
                Step::Configure { rpm, burst } => limiter.configure(n(rpm), burst.map(n), now),
                Step::Learn => limiter.learn(now, now),
                Step::Lease => limiter.lease(Arc::new(|| {})),
                Step::Flush => flush(&limiter, now),
                Step::Restore => {
                    limiter.restore(&limiter.export(now), Duration::from_secs(1), now);
                }
                Step::Close => {
                    let _ = limiter.close(now);
                }
            }
            prop_assert_eq!(limiter.offer(now), said(&limiter, now));
        }
    }
}

#[test]
fn the_headroom_grows_by_itself_as_sends_leave_the_window() {
    let limiter = Limiter::window(n(4));
    for second in [0, 10] {
        let _ = limiter.admit(at(second)).unwrap();
    }
    assert_eq!(limiter.offer(at(20)), Ok(0.5));
    assert_eq!(limiter.offer((at(0) + WINDOW).saturating_sub(NANO)), Ok(0.5));
    assert_eq!(limiter.offer(at(0) + WINDOW), Ok(0.75));
    assert_eq!(limiter.offer(at(10) + WINDOW), Ok(1.0));
}

#[test]
fn a_full_limiter_offers_the_time_of_its_next_slot() {
    let limiter = Limiter::window(n(2));
    assert_eq!(drain(&limiter, at(0)), 2);
    assert_eq!(limiter.offer(at(1)), Err(at(0) + WINDOW));
    let paced = Limiter::smooth(n(10), n(1));
    assert_eq!(drain(&paced, at(0)), 1);
    let next = at(0) + WINDOW / 9;
    assert_eq!(paced.offer(at(1)), Err(next));
    assert_eq!(paced.offer(next.saturating_sub(NANO)), Err(next));
    assert_eq!(paced.offer(next), Ok(0.9));
}

#[test]
fn a_limiter_that_may_not_send_offers_nothing() {
    let limiter = Limiter::window(n(40));
    assert_eq!(limiter.offer(at(0)), Ok(1.0));
    limiter.lease(Arc::new(|| {}));
    assert!(limiter.offer(at(0)).is_err(), "no record is durable yet");
    flush(&limiter, at(0));
    assert_eq!(limiter.offer(at(0)), Ok(1.0));
    assert_eq!(drain(&limiter, at(0)), 10);
    assert!(limiter.offer(at(0)).is_err(), "the lease is used up");
    flush(&limiter, at(0));
    assert_eq!(limiter.offer(at(0)), Ok(0.75));
    let _ = limiter.close(at(0));
    assert!(limiter.offer(at(0) + MINUTE).is_err(), "it is closed");
}

#[test]
fn after_any_race_an_offer_is_what_the_limiter_itself_says() {
    // Each thread keeps 250 and holds one more at a time, so that it is never full.
    let limiter = Limiter::window(n(1_004));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for turn in 0..500 {
                    assert!(limiter.offer(at(0)).is_ok());
                    let slot = limiter.admit(at(0)).unwrap();
                    if turn % 2 == 0 {
                        limiter.give_back(slot);
                    }
                }
            });
        }
    });
    assert_eq!(limiter.offer(at(0)), said(&limiter, at(0)));
    assert_eq!(drain(&limiter, at(0)), 4);
    assert_eq!(limiter.offer(at(0)), Err(at(0) + WINDOW));
}
