//! What outlives a restart.

use super::*;
use crate::cooldown::SavedRest;
use crate::cooldown::saved::CLASSES;

/// A cell of a new run that has taken up what `cell` exports at `now`.
fn restarted(cell: &Cell, now: Instant) -> Cell {
    let saved = cell.export(now).unwrap();
    let text = serde_json::to_string(&saved).unwrap();
    let read: SavedRest = serde_json::from_str(&text).unwrap();
    assert_eq!(read, SavedRest { remaining: Duration::ZERO, ..saved });
    let new = self::cell();
    new.restore(&read, saved.remaining, now);
    new
}

fn read(text: &str) -> serde_json::Result<SavedRest> {
    serde_json::from_str(text)
}

#[test]
fn a_rest_is_kept_to_its_end() {
    let cell = cell();
    let now = trip(&cell, Class::RateLimited, at(0));
    let ready_at = trip(&cell, Class::RateLimited, now);
    let new = restarted(&cell, now + secs(20));
    assert_eq!(new.state_at(at(50)), cell.state_at(at(50)));
    assert_eq!(new.admit(at(50), LEASE), Err(ready_at));
    assert!(new.is_promising());
    // It is as it was: one probe, which leads on from the level.
    let probe = admitted(&new, ready_at);
    assert!(probe.is_probe());
    assert!(new.admit(ready_at, LEASE).is_err());
    assert!(fail(&new, probe, Class::RateLimited, ready_at));
    assert_eq!((level(&new, ready_at), rest(&new, ready_at)), (3, secs(120)));
}

#[test]
fn a_broken_endpoint_is_not_worth_waiting_for_after_a_restart_either() {
    let cell = cell();
    trip(&cell, Class::Transport, at(0));
    assert!(!restarted(&cell, at(1)).is_promising());
}

#[test]
fn nothing_is_exported_of_a_cell_without_a_past() {
    let cell = cell();
    assert_eq!(cell.export(at(0)), None);
    fail(&cell, admitted(&cell, at(0)), Class::Transport, at(0));
    assert_eq!(cell.export(at(0)), None, "a failure is no strike yet");
    let recovered = recovered_from(&cell, 1);
    succeed(&cell, admitted(&cell, recovered + secs(60)), recovered + secs(60));
    assert_eq!(cell.export(recovered + secs(60)), None, "its level is 0 again");
    trip(&cell, Class::RateLimited, at(1_000));
    cell.reset();
    assert_eq!(cell.export(at(1_000)), None);
}

#[test]
fn a_level_is_kept_when_the_rest_is_over() {
    let cell = cell();
    let now = recovered_from(&cell, 3) + secs(30);
    assert_eq!(cell.export(now).unwrap().remaining, Duration::ZERO);
    let new = restarted(&cell, now);
    assert!(!admitted(&new, now).is_probe());
    assert_eq!(level(&new, now), 3);
    // It falls as ever: by one for a clean minute.
    succeed(&new, admitted(&new, now + secs(59)), now + secs(59));
    assert_eq!(level(&new, now + secs(59)), 3);
    succeed(&new, admitted(&new, now + secs(60)), now + secs(60));
    assert_eq!(level(&new, now + secs(60)), 2);
    trip(&new, Class::RateLimited, now + secs(61));
    assert_eq!(rest(&new, now + secs(61)), secs(120));
}

#[test]
fn no_clock_makes_more_of_a_rest_than_it_was() {
    let cell = cell();
    let verdict = retry_after(secs(40));
    cell.fail(admitted(&cell, at(0)), &verdict, None, at(0), 1.0);
    let saved = cell.export(at(10)).unwrap();
    assert_eq!((saved.length, saved.remaining), (secs(44), secs(34)));
    for (remaining, expected) in [(0, None), (34, Some(34)), (44, Some(44)), (86_400, Some(44))] {
        let new = self::cell();
        new.restore(&saved, secs(remaining), at(10));
        let left = new.state_at(at(10)).until.map(|until| (until - at(10)).as_secs());
        assert_eq!(left, expected, "{remaining} s left, says the clock");
    }
}

#[test]
fn who_said_it_is_kept() {
    let cell = cell();
    trip(&cell, Class::RateLimited, at(0));
    let new = restarted(&cell, at(10));
    assert_eq!(new.state_at(at(10)).source, Some(RestSource::Heuristic));
    assert!(!new.admits_early(at(14)));
    assert!(new.admits_early(at(15)), "half of its whole length is over");
    let cell = self::cell();
    cell.fail(admitted(&cell, at(0)), &retry_after(secs(40)), None, at(0), 0.0);
    let new = restarted(&cell, at(10));
    assert_eq!(new.state_at(at(10)).source, Some(RestSource::Authoritative));
    assert!(!new.admits_early(at(39)));
}

#[test]
fn a_rest_that_a_good_answer_asked_for_needs_no_probe_after_a_restart_either() {
    let cell = cell();
    cell.rest(at(100), at(0));
    let new = restarted(&cell, at(50));
    assert!(new.admit(at(99), LEASE).is_err());
    assert!(!admitted(&new, at(100)).is_probe());
    assert!(!admitted(&new, at(100)).is_probe(), "nor is there a ramp");
    assert_eq!(level(&new, at(100)), 0);
}

#[test]
fn a_probe_that_was_out_is_lost_with_the_run() {
    let cell = cell();
    trip(&cell, Class::Transport, at(0));
    cell.admit_early(at(1), LEASE).unwrap();
    let new = restarted(&cell, at(2));
    assert!(new.admit(at(9), LEASE).is_err());
    assert!(admitted(&new, at(10)).is_probe());
}

#[test]
fn what_was_sent_before_it_was_restored_is_a_straggler() {
    let old = cell();
    trip(&old, Class::RateLimited, at(0));
    let new = cell();
    let straggler = admitted(&new, at(0));
    new.restore(&old.export(at(1)).unwrap(), secs(29), at(1));
    assert!(!fail(&new, straggler, Class::RateLimited, at(2)));
    assert_eq!((level(&new, at(2)), rest(&new, at(2))), (1, secs(28)));
}

#[test]
fn a_cell_that_is_not_closed_knows_better() {
    let old = cell();
    let now = trip(&old, Class::RateLimited, at(0));
    trip(&old, Class::RateLimited, now);
    let new = cell();
    trip(&new, Class::RateLimited, now);
    let before = new.state_at(now);
    new.restore(&old.export(now).unwrap(), secs(60), now);
    assert_eq!(new.state_at(now), before);
}

#[test]
fn it_reads_what_it_writes() {
    let cell = cell();
    let now = trip(&cell, Class::RateLimited, at(0));
    trip(&cell, Class::RateLimited, now);
    let text = r#"{"class":"rate_limited","level":2,"length_ms":60000,"source":"heuristic"}"#;
    let saved = cell.export(now).unwrap();
    assert_eq!(serde_json::to_string(&saved).unwrap(), text);
    assert_eq!(read(text).unwrap(), SavedRest { remaining: Duration::ZERO, ..saved });
}

#[test]
fn a_length_is_rounded_up() {
    let cell = cell();
    let verdict = retry_after(Duration::from_nanos(40_000_000_001));
    cell.fail(admitted(&cell, at(0)), &verdict, None, at(0), 0.0);
    let text = serde_json::to_string(&cell.export(at(0)).unwrap()).unwrap();
    assert_eq!(read(&text).unwrap().length, Duration::from_millis(40_001));
}

#[test]
fn every_class_is_read_by_its_kind() {
    for (index, class) in CLASSES.into_iter().enumerate() {
        // A class that is new is missed here by the compiler, and then belongs into the list.
        let place = match class {
            Class::Accept => 0,
            Class::CallerFault => 1,
            Class::ContextTooLong => 2,
            Class::RateLimited => 3,
            Class::QuotaSpent => 4,
            Class::Concurrency => 5,
            Class::Billing => 6,
            Class::Auth => 7,
            Class::Overloaded => 8,
            Class::ServerError => 9,
            Class::Transport => 10,
            Class::Unreachable => 11,
            Class::Timeout => 12,
            Class::Lying => 13,
            Class::ModelGone => 14,
        };
        assert_eq!(index, place);
        let kind = class.kind();
        let text =
            format!(r#"{{"class":"{kind}","level":1,"length_ms":1,"source":"authoritative"}}"#);
        assert_eq!(read(&text).unwrap().class, class);
    }
}

#[test]
fn what_cannot_be_is_refused_or_bounded() {
    for text in [
        r#"{"class":"made_up","level":1,"length_ms":1,"source":"heuristic"}"#,
        r#"{"class":"timeout","level":1,"length_ms":1,"source":"made_up"}"#,
        r#"{"class":"timeout","level":1,"length_ms":-1,"source":"heuristic"}"#,
        r#"{"class":"timeout","level":1000,"length_ms":1,"source":"heuristic"}"#,
        r#"{"class":"timeout","level":1,"source":"heuristic"}"#,
    ] {
        assert!(read(text).is_err(), "{text}");
    }
    let most = u64::MAX;
    let text =
        format!(r#"{{"class":"timeout","level":255,"length_ms":{most},"source":"heuristic"}}"#);
    let cell = cell();
    cell.restore(&read(&text).unwrap(), Duration::MAX, at(0));
    assert_eq!((level(&cell, at(0)), rest(&cell, at(0))), (8, secs(86_460)));
    // A cell never rests for what is no failure.
    let text = r#"{"class":"accept","level":1,"length_ms":60000,"source":"heuristic"}"#;
    let cell = self::cell();
    cell.restore(&read(text).unwrap(), secs(60), at(0));
    assert!(cell.is_untouched());
}
