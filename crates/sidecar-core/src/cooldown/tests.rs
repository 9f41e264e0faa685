//! What cells, sets of cells and the layer promise.

mod burst;
mod cell_set;
mod layer;
mod model;
mod probe;
mod ramp;
mod rest;

use std::time::Duration;

use super::{Admission, Cell, CooldownPolicy};
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

/// Without jitter.
fn fail(cell: &Cell, admission: Admission, class: Class, now: Instant) -> bool {
    cell.fail(admission, &Verdict::of(class), now, 0.0)
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
    cell.succeed(admitted(cell, now), now);
    admitted(cell, now + secs(20));
    now
}
