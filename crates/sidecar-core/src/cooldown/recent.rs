//! What has gone well in the last half minute, and who has been here in the last minutes.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Instant;

/// Good answers and callers, by slots of ten seconds. A good answer costs one addition, and no
/// lock, but for the first of its caller in a slot.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// A slot's number decides its place. A word holds, from the top: a count of 20 bits, 20 bits
    /// of the slot's number, without which the word would be of an earlier slot in the same place,
    /// and a set of callers in 24 bits.
    words: [AtomicU64; SLOTS],
}

impl Recent {
    /// A good answer.
    pub(super) fn note_success(&self, caller: Option<u64>, now: Instant) {
        self.note(ONE, caller, now);
    }

    /// An answer that was not good: its caller has been here.
    pub(super) fn note_caller(&self, caller: Option<u64>, now: Instant) {
        self.note(0, caller, now);
    }

    /// The good answers in the slot of `now` and the `slots - 1` before it.
    pub(super) fn successes(&self, slots: u64, now: Instant) -> u32 {
        self.latest(slots, now).map(|word| (word >> COUNT) as u32).sum()
    }

    /// Whether anybody but `caller` has been here in the last minutes. Whoever looks the same in a
    /// set of 24 bits does not count.
    pub(super) fn has_other(&self, caller: u64, now: Instant) -> bool {
        let others = CALLERS & !marks(Some(caller));
        self.latest(SLOTS as u64, now).any(|word| word & others != 0)
    }

    fn note(&self, ones: u64, caller: Option<u64>, now: Instant) {
        let (slot, marks) = (slot_at(now), marks(caller));
        let (word, number) = (&self.words[place(slot)], number(slot));
        // An addition to a word of an earlier slot is lost with it.
        let before = word.fetch_add(ones, Ordering::Relaxed);
        let counted = before & NUMBER == number;
        if counted && before & marks == marks {
            return;
        }
        let missing = if counted { 0 } else { ones };
        let _ = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| {
            Some(if word & NUMBER == number {
                word.wrapping_add(missing) | marks
            } else {
                ones | number | marks
            })
        });
    }

    /// The words of the latest slots, as far as there are any.
    fn latest(&self, slots: u64, now: Instant) -> impl Iterator<Item = u64> {
        let newest = slot_at(now);
        (0..slots).filter_map(move |age| {
            let slot = newest.checked_sub(age)?;
            let word = self.words[place(slot)].load(Ordering::Relaxed);
            (word & NUMBER == number(slot)).then_some(word)
        })
    }
}

/// The number of the ten seconds that `at` belongs to.
pub(super) const fn slot_at(at: Instant) -> u64 {
    at.as_nanos() / SLOT_NANOS
}

const fn place(slot: u64) -> usize {
    (slot % SLOTS as u64) as usize
}

const fn number(slot: u64) -> u64 {
    (slot << CALLER_BITS) & NUMBER
}

/// The places of a caller in the set: three, so that of several hundred callers hardly any looks
/// like a given one.
fn marks(caller: Option<u64>) -> u64 {
    let mark = |hash: u64| 1_u64 << (hash % CALLER_BITS);
    caller.map_or(0, |hash| mark(hash) | mark(hash >> 16) | mark(hash >> 32))
}

/// Two minutes and a half.
const SLOTS: usize = 16;
const SLOT_NANOS: u64 = 10_000_000_000;
const CALLER_BITS: u64 = 24;
const CALLERS: u64 = (1 << CALLER_BITS) - 1;
/// Where the count begins. What overflows it falls off the top.
const COUNT: u64 = 44;
const ONE: u64 = 1 << COUNT;
const NUMBER: u64 = (ONE - 1) & !CALLERS;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const START: Instant = Instant::from_nanos(86_400_000_000_000);

    fn at(seconds: u64) -> Instant {
        START + Duration::from_secs(seconds)
    }

    /// As different as hashes are.
    fn caller(number: u64) -> u64 {
        number.wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }

    #[test]
    fn good_answers_count_for_three_slots() {
        let recent = Recent::default();
        for (second, times) in [(0, 3), (9, 2), (10, 4), (29, 1)] {
            for _ in 0..times {
                recent.note_success(Some(caller(1)), at(second));
            }
        }
        for (second, expected) in [(0, 5), (29, 10), (30, 5), (40, 1), (49, 1), (50, 0)] {
            // Slots that are still to come are none of the latest.
            assert_eq!(recent.successes(3, at(second)), expected, "at {second} s");
        }
    }

    #[test]
    fn a_slot_is_forgotten_when_its_place_is_taken_again() {
        let recent = Recent::default();
        recent.note_success(None, at(0));
        assert_eq!(recent.successes(1, at(160)), 0);
        recent.note_success(None, at(160));
        recent.note_success(None, at(161));
        assert_eq!(recent.successes(1, at(169)), 2);
        assert_eq!(recent.successes(1, at(0)), 0);
    }

    #[test]
    fn callers_are_remembered_for_two_minutes_and_a_half() {
        let recent = Recent::default();
        recent.note_success(Some(caller(1)), at(0));
        assert!(!recent.has_other(caller(1), at(0)));
        recent.note_caller(Some(caller(2)), at(5));
        recent.note_success(Some(caller(1)), at(100));
        for (second, expected) in [(5, true), (100, true), (159, true), (160, false)] {
            assert_eq!(recent.has_other(caller(1), at(second)), expected, "at {second} s");
        }
        assert!(recent.has_other(caller(2), at(160)));
    }

    #[test]
    fn an_answer_that_was_not_good_is_not_counted() {
        let recent = Recent::default();
        recent.note_caller(Some(caller(1)), at(0));
        recent.note_caller(Some(caller(1)), at(0));
        assert_eq!(recent.successes(3, at(0)), 0);
    }

    #[test]
    fn hardly_any_caller_looks_like_another() {
        let alike = |one: u64, other: u64| {
            let recent = Recent::default();
            recent.note_caller(Some(caller(other)), at(0));
            !recent.has_other(caller(one), at(0))
        };
        let pairs = (1..40).flat_map(|one| (1..40).map(move |other| (one, other)));
        let count = pairs.filter(|(one, other)| one != other && alike(*one, *other)).count();
        assert!(count < 15, "{count} of 1482 pairs");
    }

    #[test]
    fn no_answer_is_lost_when_many_threads_begin_a_slot() {
        for round in 0..50 {
            let recent = Recent::default();
            recent.note_success(None, at(0));
            // The same place, sixteen slots later.
            let now = at(160);
            let start = std::sync::Barrier::new(8);
            std::thread::scope(|scope| {
                for number in 0..8 {
                    let (recent, start) = (&recent, &start);
                    scope.spawn(move || {
                        start.wait();
                        for _ in 0..10 {
                            recent.note_success(Some(caller(number)), now);
                        }
                    });
                }
            });
            assert_eq!(recent.successes(1, now), 80, "round {round}");
        }
    }
}
