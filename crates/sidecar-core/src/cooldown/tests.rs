//! What cells, sets of cells and the layer promise.

mod burst;
mod cell_set;
mod early;
mod half;
mod hang;
mod interleavings;
mod layer;
mod lies;
mod model;
mod observer;
mod outage;
mod poison;
mod probe;
mod ramp;
mod rest;
mod saved;

use std::time::Duration;

use super::cell_set::{Manner, Pass, Settlement};
use super::{Admission, Cell, CellSet, CooldownPolicy, RestSource};
use crate::clock::Instant;
use crate::verdict::{Class, Hint, HintSource, Verdict};

const LEASE: Duration = Duration::from_secs(65);
const START: Instant = Instant::from_nanos(86_400_000_000_000);

/// The cell keeps a bit of its time for itself: what it says may be this much late, never early.
const ROUNDING: Duration = Duration::from_nanos(2);

/// So many seconds after an arbitrary start.
fn at(seconds: u64) -> Instant {
    START + secs(seconds)
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A closed cell of 60 requests a minute that rests 30 s, doubling up to 600 s.
fn cell() -> Cell {
    Cell::new(CooldownPolicy::default(), 60)
}

fn admitted(cell: &Cell, now: Instant) -> Admission {
    cell.admit(now, LEASE).unwrap()
}

/// Without jitter, of a caller that nobody knows.
fn fail(cell: &Cell, admission: Admission, class: Class, now: Instant) -> bool {
    cell.fail(admission, &Verdict::of(class), None, now, 0.0).is_some()
}

/// To a caller that nobody knows.
fn succeed(cell: &Cell, admission: Admission, now: Instant) -> bool {
    cell.succeed(admission, None, now)
}

/// Two of them are as different as hashes are.
fn caller(number: u64) -> u64 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// A failure with a rest that the provider asked for.
fn asking(class: Class, wait: Duration, source: HintSource) -> Verdict {
    Verdict { hint: Some(Hint { wait, source }), ..Verdict::of(class) }
}

fn retry_after(wait: Duration) -> Verdict {
    asking(Class::RateLimited, wait, HintSource::Authoritative)
}

/// Fails until it rests, and says when it may be asked again.
fn trip(cell: &Cell, class: Class, now: Instant) -> Instant {
    while !fail(cell, admitted(cell, now), class, now) {}
    cell.ready_at(now).unwrap()
}

/// How long it still rests.
fn rest(cell: &Cell, now: Instant) -> Duration {
    cell.state_at(now).until.unwrap() - now
}

fn level(cell: &Cell, now: Instant) -> u8 {
    cell.state_at(now).level
}

/// Trips it `times` times, each time by a failed probe, lets a probe succeed, and passes the ramp.
/// Returns the time of the good probe; 20 s later the cell is closed.
fn recovered_from(cell: &Cell, times: u32) -> Instant {
    let mut now = at(0);
    for _ in 0..times {
        now = trip(cell, Class::RateLimited, now);
    }
    succeed(cell, admitted(cell, now), now);
    admitted(cell, now + secs(20));
    now
}

/// Four closed cells.
fn set() -> CellSet {
    CellSet::new(CooldownPolicy::default())
}

/// As requests for a stream pass.
fn manner() -> Manner {
    Manner { lease: LEASE, ..Manner::default() }
}

fn enter(set: &CellSet, now: Instant) -> Result<Pass, Instant> {
    set.admit(now, manner())
}

/// Without jitter, of a caller that nobody knows.
fn settle(set: &CellSet, pass: Pass, verdict: &Verdict, now: Instant) {
    settle_for(None, set, pass, verdict, now);
}

fn settle_for(caller: Option<u64>, set: &CellSet, pass: Pass, verdict: &Verdict, now: Instant) {
    let answered = !matches!(verdict.class, Class::Timeout | Class::Transport | Class::Unreachable);
    set.settle(pass, Settlement { verdict, answered, caller, jitter: 0.0 }, now);
}
