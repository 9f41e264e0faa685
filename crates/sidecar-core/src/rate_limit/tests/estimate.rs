//! How long a queue in front of a limiter takes.

use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::{START, at, drain, n};
use crate::rate_limit::Limiter;
use crate::rate_limit::window::WINDOW;

#[test]
fn the_next_slots_of_a_full_window_are_free_as_its_sends_leave_it() {
    let limiter = Limiter::window(n(3));
    for second in [0, 10, 20] {
        let _ = limiter.admit(at(second)).unwrap();
    }
    for (ahead, expected) in [
        (0, at(0) + WINDOW),
        (1, at(10) + WINDOW),
        (2, at(20) + WINDOW),
        (3, at(0) + WINDOW * 2),
        (7, at(10) + WINDOW * 3),
    ] {
        assert_eq!(limiter.nth_free(ahead, at(30)), expected, "behind {ahead} others");
    }
}

#[test]
fn a_slot_that_is_free_is_free_now() {
    let limiter = Limiter::window(n(3));
    let _ = limiter.admit(at(0)).unwrap();
    assert_eq!(limiter.nth_free(0, at(5)), at(5));
    assert_eq!(limiter.nth_free(1, at(5)), at(5));
    assert_eq!(limiter.nth_free(2, at(5)), at(0) + WINDOW);
    assert_eq!(limiter.nth_free(3, at(5)), at(5) + WINDOW);
}

#[test]
fn a_smooth_limit_spaces_the_estimate() {
    let limiter = Limiter::smooth(n(10), n(4));
    assert_eq!(limiter.nth_free(3, at(0)), at(0));
    assert_eq!(limiter.nth_free(4, at(0)), at(0) + WINDOW / 6);
    assert_eq!(drain(&limiter, at(0)), 4);
    assert_eq!(limiter.nth_free(0, at(0)), at(0) + WINDOW / 6);
    assert_eq!(limiter.nth_free(4, at(0)), at(0) + WINDOW / 6 * 5);
}

#[test]
fn what_refuses_now_delays_the_estimate() {
    let limiter = Limiter::window(n(3));
    limiter.lease(Arc::new(|| {}));
    assert_eq!(Some(limiter.nth_free(0, at(0))), limiter.ready_at(at(0)));
    let _ = limiter.close(at(1));
    assert_eq!(limiter.nth_free(0, at(1)), at(1) + WINDOW);
}

proptest! {
    #[test]
    fn the_waiters_of_a_window_go_when_the_estimate_says(
        rpm in 1..13_u32,
        gaps in vec(0..9_000_u64, 0..40),
        changed in 1..13_u32,
    ) {
        let limiter = Limiter::window(n(rpm));
        let mut now = START;
        for gap in gaps {
            now = now + Duration::from_millis(gap);
            let _ = limiter.admit(now);
        }
        limiter.configure(n(changed), None, now);
        let estimates: Vec<_> = (0..40).map(|ahead| limiter.nth_free(ahead, now)).collect();
        for estimate in estimates {
            now = limiter.ready_at(now).unwrap_or(now);
            prop_assert_eq!(now, estimate);
            prop_assert!(limiter.admit(now).is_ok());
        }
    }
}
