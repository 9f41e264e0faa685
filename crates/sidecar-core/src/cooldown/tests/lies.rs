//! A model that lies to several callers.

use super::*;

/// A lie to `who` at the second `second`, and then a good answer. Returns whether it opened the
/// cell.
fn lie_to(cell: &Cell, who: Option<u64>, second: u64) -> bool {
    let (sent, verdict) = (admitted(cell, at(second)), Verdict::of(Class::Lying));
    let trip = cell.fail(sent, &verdict, who.map(caller), at(second), 0.0);
    if trip.is_none() {
        cell.succeed(admitted(cell, at(second)), Some(caller(100)), at(second));
    }
    trip.is_some()
}

#[test]
fn three_lies_to_different_callers_in_a_quarter_of_an_hour_rest_for_ten_minutes() {
    let cell = cell();
    assert!(!lie_to(&cell, Some(1), 0));
    assert!(!lie_to(&cell, Some(2), 450));
    assert!(lie_to(&cell, Some(3), 900));
    assert_eq!(rest(&cell, at(900)), secs(600));
    let state = cell.state_at(at(900));
    assert_eq!((state.level, state.class), (1, Some(Class::Lying)));
}

#[test]
fn lies_to_one_or_two_callers_do_not() {
    let cell = cell();
    for second in 0..20 {
        assert!(!lie_to(&cell, Some(1 + second % 2), 40 * second));
    }
}

#[test]
fn lies_of_more_than_a_quarter_of_an_hour_do_not() {
    let cell = cell();
    assert!(!lie_to(&cell, Some(1), 0));
    assert!(!lie_to(&cell, Some(2), 450));
    assert!(!lie_to(&cell, Some(3), 901));
    // But the third of these comes soon enough.
    assert!(lie_to(&cell, Some(4), 902));
}

#[test]
fn the_last_lie_to_each_caller_counts() {
    let cell = cell();
    for (who, second) in [(1, 0), (2, 1), (1, 800)] {
        assert!(!lie_to(&cell, Some(who), second));
    }
    assert!(!lie_to(&cell, Some(3), 1_000), "that to the second was too long ago");
    assert!(lie_to(&cell, Some(4), 1_001));
}

#[test]
fn callers_that_nobody_knows_are_not_told_apart() {
    let cell = cell();
    for second in 0..20 {
        assert!(!lie_to(&cell, None, 40 * second));
    }
}

#[test]
fn five_in_a_row_are_enough_as_ever() {
    let cell = cell();
    trip(&cell, Class::Lying, at(0));
    assert_eq!(rest(&cell, at(0)), secs(10));
}
