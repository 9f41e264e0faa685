//! Failures that are half of what was sent.

use super::*;

/// Sends one request a second from `at(from)` on, which succeeds for `s` and fails for `f`, and
/// says which of them opened the cell.
fn opened_by(cell: &Cell, from: u64, outcomes: &str, class: Class) -> Option<usize> {
    outcomes.chars().enumerate().find_map(|(index, outcome)| {
        let now = at(from + index as u64);
        let sent = admitted(cell, now);
        match outcome {
            's' => {
                succeed(cell, sent, now);
                None
            }
            _ => fail(cell, sent, class, now).then_some(index),
        }
    })
}

#[test]
fn half_of_ten_answers_in_half_a_minute_are_enough() {
    for class in
        [Class::Transport, Class::Unreachable, Class::Timeout, Class::ServerError, Class::Lying]
    {
        let opened = opened_by(&cell(), 0, "sfsfsfsfsf", class);
        assert_eq!(opened, Some(9), "{class:?}");
    }
}

#[test]
fn fewer_than_half_are_not() {
    assert_eq!(opened_by(&cell(), 0, &"ssf".repeat(100), Class::ServerError), None);
    // Half of the last ten, but not of the last half minute.
    let opened = opened_by(&cell(), 0, &format!("{}fsfsfsfsf", "s".repeat(20)), Class::ServerError);
    assert_eq!(opened, None);
}

#[test]
fn of_fewer_than_ten_nothing_can_be_told() {
    let cell = cell();
    for step in 0..100 {
        let now = at(step * 10);
        fail(&cell, admitted(&cell, now), Class::Transport, now);
        let now = now + secs(5);
        succeed(&cell, admitted(&cell, now), now);
    }
    assert_eq!(level(&cell, at(1_000)), 0);
}

#[test]
fn what_was_long_ago_hides_nothing() {
    let cell = cell();
    for _ in 0..1_000 {
        succeed(&cell, admitted(&cell, at(0)), at(0));
    }
    assert_eq!(opened_by(&cell, 20, "sfsfsfsfs", Class::ServerError), None);
    assert_eq!(opened_by(&cell, 30, "f", Class::ServerError), Some(0));
}

#[test]
fn a_busy_cell_is_judged_by_its_share_not_by_its_number() {
    let cell = cell();
    for second in 0..60 {
        for number in 0..100 {
            let sent = admitted(&cell, at(second));
            if number % 3 == 0 {
                assert!(!fail(&cell, sent, Class::ServerError, at(second)));
            } else {
                succeed(&cell, sent, at(second));
            }
        }
    }
}

#[test]
fn after_a_trip_nothing_counts_that_was_before() {
    let cell = cell();
    assert_eq!(opened_by(&cell, 0, "sfsfsfsfsf", Class::ServerError), Some(9));
    let now = cell.ready_at(at(9)).unwrap();
    succeed(&cell, admitted(&cell, now), now);
    let now = now + secs(20);
    assert!(!admitted(&cell, now).is_probe());
    for _ in 0..4 {
        assert!(!fail(&cell, admitted(&cell, now), Class::ServerError, now));
    }
}
