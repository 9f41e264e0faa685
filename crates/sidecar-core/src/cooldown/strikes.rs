//! Which failures open a closed cell.

use std::time::Duration;

use super::policy::CooldownPolicy;
use super::recent::{Recent, slot_at};
use crate::clock::Instant;
use crate::verdict::{Class, Verdict};

/// The failures of a cell that have not opened it yet. They open it when there are enough of them
/// in a row, when they are half of what was sent in the last half minute, or when several callers
/// were lied to.
///
/// Of failures that a caller can provoke, by a huge prompt say, those of one caller weigh no more
/// than those of everybody else together, so that nobody alone can close a provider to the others.
/// Where there are no others, all of them weigh.
#[derive(Debug, Default)]
pub(super) struct Strikes {
    row: Tally,
    slots: [Slot; SLOTS],
    /// The last lies to two different callers.
    lies: [Option<Lie>; 2],
}

/// The failures of ten seconds.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    number: u64,
    tally: Tally,
}

/// A number of failures, and who may have provoked how many of them. Of more than four callers
/// those with the least are nobody in particular.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    total: u32,
    callers: [(u64, u32); 4],
}

#[derive(Clone, Copy, Debug)]
struct Lie {
    caller: u64,
    at: Instant,
}

impl Strikes {
    /// Notes a failure. If it opens the cell, says how long that has to rest at least. `enough` is
    /// how many in a row do; with 0 any failure does, whoever may have provoked it.
    pub(super) fn note(
        &mut self,
        verdict: &Verdict,
        caller: Option<u64>,
        enough: u32,
        recent: &Recent,
        now: Instant,
    ) -> Option<Duration> {
        let provoker = caller.filter(|_| may_be_provoked(verdict.class));
        self.row.add(provoker);
        self.slot(now).add(provoker);
        let may_be_chance = CooldownPolicy::threshold(verdict) > 1;
        if verdict.class == Class::Lying && self.is_third_lie(caller, now) {
            return Some(LIARS_REST);
        }
        let is_strike = weight(&[self.row], recent, now) >= enough
            || (may_be_chance && self.are_half(recent, now));
        is_strike.then_some(Duration::ZERO)
    }

    /// A good answer ends the row.
    pub(super) fn end_row(&mut self) {
        self.row = Tally::default();
    }

    /// Whether the failures of the last half minute are enough to tell, and half of all answers.
    fn are_half(&self, recent: &Recent, now: Instant) -> bool {
        let newest = slot_at(now);
        let is_recent = |slot: Slot| newest.saturating_sub(slot.number) < SLOTS as u64;
        let tallies =
            self.slots.map(|slot| if is_recent(slot) { slot.tally } else { Tally::default() });
        let failures = weight(&tallies, recent, now);
        let successes = recent.successes(SLOTS as u64, now);
        failures.saturating_add(successes) >= LEAST_TO_TELL && failures >= successes
    }

    /// Whether it is the third lie in a quarter of an hour, each to a caller of its own.
    fn is_third_lie(&mut self, caller: Option<u64>, now: Instant) -> bool {
        let Some(caller) = caller else { return false };
        let others = self.lies.into_iter().flatten().filter(|lie| lie.caller != caller);
        let lately = others.clone().filter(|lie| now - lie.at <= LIARS_WINDOW).count();
        self.lies = [Some(Lie { caller, at: now }), others.max_by_key(|lie| lie.at)];
        lately >= 2
    }

    fn slot(&mut self, now: Instant) -> &mut Tally {
        let number = slot_at(now);
        let slot = &mut self.slots[(number % SLOTS as u64) as usize];
        if slot.number != number {
            *slot = Slot { number, tally: Tally::default() };
        }
        &mut slot.tally
    }
}

impl Tally {
    fn add(&mut self, provoker: Option<u64>) {
        self.total = self.total.saturating_add(1);
        let Some(provoker) = provoker else { return };
        let known =
            self.callers.iter_mut().find(|(caller, count)| *caller == provoker && *count > 0);
        if let Some((_, count)) = known {
            *count = count.saturating_add(1);
        } else if let Some(least) = self.callers.iter_mut().min_by_key(|(_, count)| *count) {
            *least = (provoker, 1);
        }
    }

    fn of(&self, provoker: u64) -> u32 {
        let theirs = self.callers.iter().find(|(caller, _)| *caller == provoker);
        theirs.map_or(0, |(_, count)| *count)
    }
}

/// How many of the failures count: of those of one caller no more than of all others, unless there
/// has been no other caller lately.
fn weight(tallies: &[Tally], recent: &Recent, now: Instant) -> u32 {
    let total = tallies.iter().map(|tally| tally.total).fold(0, u32::saturating_add);
    let share = |caller| tallies.iter().map(|tally| tally.of(caller)).fold(0, u32::saturating_add);
    let callers = tallies.iter().flat_map(|tally| tally.callers).filter(|(_, count)| *count > 0);
    let most = callers.map(|(caller, _)| (share(caller), caller)).max();
    match most {
        Some((share, caller)) if recent.has_other(caller, now) => {
            total.min(total.saturating_sub(share).saturating_mul(2))
        }
        _ => total,
    }
}

/// Whether a caller can make a good provider fail like this.
const fn may_be_provoked(class: Class) -> bool {
    matches!(class, Class::Timeout | Class::Lying)
}

/// Half a minute of slots of ten seconds.
const SLOTS: usize = 3;
/// Of fewer answers the share that failed says nothing.
const LEAST_TO_TELL: u32 = 10;
const LIARS_WINDOW: Duration = Duration::from_secs(900);
const LIARS_REST: Duration = Duration::from_secs(600);
