//! What a caller can provoke, and how little that does to the others.

use super::*;

const PROVOKED: [Class; 2] = [Class::Timeout, Class::Lying];

/// A cell that somebody else has used with success.
fn shared_cell(now: Instant) -> Cell {
    let cell = cell();
    cell.succeed(admitted(&cell, now), Some(caller(9)), now);
    cell
}

fn fail_for(cell: &Cell, who: u64, class: Class, now: Instant) -> bool {
    let (sent, verdict) = (admitted(cell, now), Verdict::of(class));
    cell.fail(sent, &verdict, Some(caller(who)), now, 0.0).is_some()
}

/// A failure of each of the callers in turn; says how many it took to open the cell.
fn opened_by(cell: &Cell, callers: &[u64], class: Class) -> Option<usize> {
    let opens = |&who: &u64| fail_for(cell, who, class, at(1));
    callers.iter().position(opens).map(|index| index + 1)
}

#[test]
fn one_caller_alone_closes_nothing_to_the_others() {
    for class in PROVOKED {
        let cell = shared_cell(at(0));
        assert_eq!(opened_by(&cell, &[1; 100], class), None, "{class:?}");
        assert_eq!(level(&cell, at(1)), 0);
    }
}

#[test]
fn nor_does_it_among_answers_to_others() {
    let cell = shared_cell(at(0));
    for second in 0..60 {
        assert!(!fail_for(&cell, 1, Class::Timeout, at(second)));
        cell.succeed(admitted(&cell, at(second)), Some(caller(2)), at(second));
    }
}

#[test]
fn where_there_are_no_others_one_caller_counts_in_full() {
    for class in PROVOKED {
        assert_eq!(opened_by(&cell(), &[1; 5], class), Some(5), "{class:?}");
        let cell = cell();
        cell.succeed(admitted(&cell, at(0)), Some(caller(1)), at(0));
        assert_eq!(opened_by(&cell, &[1; 5], class), Some(5), "{class:?}");
    }
}

#[test]
fn others_who_left_minutes_ago_do_not_count() {
    let cell = shared_cell(at(0));
    for second in 155..160 {
        assert!(!fail_for(&cell, 1, Class::Timeout, at(second)));
    }
    assert!(fail_for(&cell, 1, Class::Timeout, at(160)));
}

#[test]
fn of_the_failures_that_open_it_at_most_half_are_of_one_caller() {
    let cases: [(&[u64], Option<usize>); 6] = [
        (&[1, 1, 2, 2, 3], Some(5)),
        (&[1, 2, 3, 4, 5], Some(5)),
        (&[1, 2, 1, 2, 1, 2], Some(6)),
        (&[1, 1, 1, 1, 1, 2, 2], None),
        (&[1, 1, 1, 1, 1, 2, 2, 2], Some(8)),
        // More callers than are told apart.
        (&[1, 2, 3, 4, 5, 6, 7, 8], Some(5)),
    ];
    for (callers, opened) in cases {
        assert_eq!(opened_by(&shared_cell(at(0)), callers, Class::Timeout), opened, "{callers:?}");
    }
}

#[test]
fn a_caller_with_many_failures_is_not_forgotten_for_many_callers_with_few() {
    let cell = shared_cell(at(0));
    let callers = [1, 1, 1, 1, 1, 1, 2, 3];
    assert_eq!(opened_by(&cell, &callers, Class::Timeout), None);
    assert_eq!(opened_by(&cell, &[4], Class::Timeout), Some(1));
    let cell = shared_cell(at(0));
    assert_eq!(opened_by(&cell, &[1; 20], Class::Timeout), None);
    // However many they are: three of others are needed, and are enough.
    assert_eq!(opened_by(&cell, &[2, 3], Class::Timeout), None);
    assert_eq!(opened_by(&cell, &[4, 5], Class::Timeout), Some(1));
}

#[test]
fn what_nobody_can_provoke_counts_whoever_it_happens_to() {
    for class in [Class::Transport, Class::ServerError] {
        assert_eq!(opened_by(&shared_cell(at(0)), &[1; 5], class), Some(5), "{class:?}");
    }
    assert_eq!(opened_by(&shared_cell(at(0)), &[1], Class::Overloaded), Some(1));
    // Together with what can be provoked, too.
    let cell = shared_cell(at(0));
    assert_eq!(opened_by(&cell, &[1, 1], Class::Timeout), None);
    assert_eq!(opened_by(&cell, &[1, 1, 1], Class::ServerError), Some(3));
    let cell = shared_cell(at(0));
    assert_eq!(opened_by(&cell, &[1; 4], Class::Timeout), None);
    assert_eq!(opened_by(&cell, &[1], Class::ServerError), None);
}

#[test]
fn a_hint_makes_nothing_of_what_can_be_provoked() {
    let (cell, verdict) = (cell(), asking(Class::Lying, secs(600), HintSource::Authoritative));
    assert_eq!(cell.fail(admitted(&cell, at(0)), &verdict, None, at(0), 0.0), None);
}

#[test]
fn on_the_ramp_one_caller_alone_does_not_throw_the_others_back() {
    let cell = shared_cell(at(0));
    let now = trip(&cell, Class::Overloaded, at(0));
    cell.succeed(admitted(&cell, now), Some(caller(2)), now);
    assert!(!fail_for(&cell, 1, Class::Timeout, now));
    assert!(!fail_for(&cell, 1, Class::Timeout, now + secs(4)));
    assert!(fail_for(&cell, 2, Class::Timeout, now + secs(8)), "now it happens to two of them");
    assert_eq!(level(&cell, now + secs(8)), 2);
}

#[test]
fn a_failed_probe_counts_whoever_it_was() {
    let cell = shared_cell(at(0));
    let now = trip(&cell, Class::Overloaded, at(0));
    assert!(fail_for(&cell, 1, Class::Timeout, now));
    assert_eq!(level(&cell, now), 2);
}
