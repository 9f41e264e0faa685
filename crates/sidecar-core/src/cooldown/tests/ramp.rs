//! The way back to the full rate.

use super::*;

/// How many requests pass in `[from, to)`, each as soon as it may.
fn passed(cell: &Cell, from: Instant, to: Instant) -> usize {
    let (mut now, mut count) = (from, 0);
    while now < to && count < 1_000 {
        match cell.admit(now, LEASE) {
            Ok(admission) => {
                assert!(!admission.is_probe());
                count += 1;
            }
            Err(ready_at) => now = ready_at,
        }
    }
    count
}

#[test]
fn a_good_probe_leads_back_in_steps_of_a_quarter_and_a_half() {
    // 60 a minute: one in 4 s, then one in 2 s.
    let cell = cell();
    let now = trip(&cell, Class::RateLimited, at(0));
    succeed(&cell, admitted(&cell, now), now);
    assert_eq!(passed(&cell, now, now + secs(10)), 3);
    assert_eq!(passed(&cell, now + secs(10), now + secs(20)), 4);
    assert_eq!(passed(&cell, now + secs(21), now + secs(22)), 1_000);
    assert_eq!(level(&cell, now + secs(22)), 1);
}

#[test]
fn the_slowest_ramp_is_one_request_a_minute() {
    let cell = Cell::new(CooldownPolicy::default(), 1);
    let now = trip(&cell, Class::RateLimited, at(0));
    succeed(&cell, admitted(&cell, now), now);
    assert_eq!(passed(&cell, now, now + secs(59)), 1);
    assert_eq!(passed(&cell, now + secs(61), now + secs(62)), 1_000);
}

#[test]
fn a_new_rate_counts_in_the_ramp_to_come() {
    let cell = cell();
    let now = trip(&cell, Class::RateLimited, at(0));
    cell.configure(CooldownPolicy::default(), 240);
    succeed(&cell, admitted(&cell, now), now);
    assert_eq!(passed(&cell, now, now + secs(10)), 10);
}

#[test]
fn a_ramp_is_no_rest() {
    let cell = cell();
    let now = trip(&cell, Class::RateLimited, at(0));
    succeed(&cell, admitted(&cell, now), now);
    let state = cell.state_at(now + secs(1));
    assert_eq!((state.level, state.until), (1, None));
}

#[test]
fn any_failure_on_the_ramp_opens_the_cell_again() {
    for class in [Class::RateLimited, Class::Transport, Class::ServerError] {
        let cell = cell();
        let now = trip(&cell, class, at(0));
        let first = rest(&cell, at(0));
        succeed(&cell, admitted(&cell, now), now);
        let now = now + secs(5);
        assert!(fail(&cell, admitted(&cell, now), class, now), "{class:?}");
        assert_eq!((level(&cell, now), rest(&cell, now)), (2, 2 * first));
    }
}

#[test]
fn once_the_ramp_is_passed_a_fault_may_be_chance_again() {
    let cell = cell();
    let now = recovered_from(&cell, 1) + secs(21);
    assert!(!fail(&cell, admitted(&cell, now), Class::Transport, now));
    assert_eq!(cell.ready_at(now), None);
}
