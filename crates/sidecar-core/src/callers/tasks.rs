//! How many requests each of a caller's tasks has had.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Instant;

/// The requests of a task so far, and how many it may have. Its text is `8/10`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rounds {
    /// With the one at hand.
    pub used: u32,
    /// The caller's `max_rounds`.
    pub max: u32,
}

/// The latest [`MOST_TASKS`] tasks of a caller. One that was quiet for a day is forgotten, so that
/// a name may be used again.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    known: HashMap<Arc<str>, Task>,
    /// By their last request, the oldest first.
    order: BTreeMap<Place, Arc<str>>,
    /// Tells apart what came at the same instant.
    sequence: u64,
}

#[derive(Debug)]
struct Task {
    rounds: u32,
    place: Place,
}

type Place = (Instant, u64);

/// Whether `text` can name a task: 1 to 128 visible ASCII characters.
pub fn is_task_id(text: &str) -> bool {
    (1..=MOST_ID).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

impl Rounds {
    /// Whether it is time to warn: from 80 % on.
    pub fn is_warning(&self) -> bool {
        u64::from(self.used) * 5 >= u64::from(self.max) * 4
    }
}

impl fmt::Display for Rounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.used, self.max)
    }
}

impl Tasks {
    /// Whether the task may have one more request. `Err` is how long until it is forgotten.
    pub(super) fn check(
        &mut self,
        id: &str,
        max: NonZeroU32,
        now: Instant,
    ) -> Result<(), Duration> {
        self.forget_quiet(now);
        match self.known.get(id) {
            Some(task) if task.rounds >= max.get() => Err((task.place.0 + QUIET) - now),
            _ => Ok(()),
        }
    }

    /// Counts one more request of the task; gives how many there are.
    pub(super) fn count(&mut self, id: &str, now: Instant) -> u32 {
        self.sequence += 1;
        let place = (now, self.sequence);
        let (id, rounds) = match self.known.get(id) {
            Some(task) => {
                let id = self.order.remove(&task.place).unwrap_or_else(|| id.into());
                (id, task.rounds.saturating_add(1))
            }
            None => {
                while self.known.len() >= MOST_TASKS
                    && let Some((_, oldest)) = self.order.pop_first()
                {
                    self.known.remove(&oldest);
                }
                (Arc::from(id), 1)
            }
        };
        self.order.insert(place, id.clone());
        self.known.insert(id, Task { rounds, place });
        rounds
    }

    /// How many tasks are known.
    pub(super) fn len(&mut self, now: Instant) -> usize {
        self.forget_quiet(now);
        self.known.len()
    }

    fn forget_quiet(&mut self, now: Instant) {
        while let Some(oldest) = self.order.first_entry()
            && oldest.key().0 + QUIET <= now
        {
            self.known.remove(&oldest.remove());
        }
    }
}

const MOST_TASKS: usize = 1_000;
const MOST_ID: usize = 128;
/// A day.
const QUIET: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(0) + Duration::from_secs(seconds)
    }

    const TWO: NonZeroU32 = NonZeroU32::new(2).unwrap();

    #[test]
    fn a_task_has_as_many_requests_as_it_may() {
        let mut tasks = Tasks::default();
        for used in 1..=2 {
            tasks.check("a", TWO, at(used)).unwrap();
            assert_eq!(u64::from(tasks.count("a", at(used))), used);
        }
        assert_eq!(tasks.check("a", TWO, at(10)), Err(Duration::from_secs(86_400 - 8)));
        tasks.check("b", TWO, at(10)).unwrap();
    }

    #[test]
    fn a_task_that_was_quiet_for_a_day_starts_anew() {
        let mut tasks = Tasks::default();
        tasks.count("a", at(0));
        tasks.count("a", at(1));
        assert!(tasks.check("a", TWO, at(86_400)).is_err());
        assert_eq!(tasks.len(at(86_400)), 1);
        tasks.check("a", TWO, at(86_401)).unwrap();
        assert_eq!(tasks.len(at(86_401)), 0);
        assert_eq!(tasks.count("a", at(86_401)), 1);
    }

    #[test]
    fn the_task_that_was_used_longest_ago_makes_room() {
        let mut tasks = Tasks::default();
        for task in 0..1_000 {
            tasks.count(&task.to_string(), at(1));
        }
        tasks.count("0", at(1));
        tasks.count("new", at(1));
        assert_eq!(tasks.len(at(1)), 1_000);
        assert!(tasks.known.contains_key("0") && !tasks.known.contains_key("1"));
    }

    #[test]
    fn a_warning_comes_at_four_fifths() {
        for (used, max, warns) in
            [(7, 10, false), (8, 10, true), (10, 10, true), (1, 1, true), (3, 4, false)]
        {
            assert_eq!(Rounds { used, max }.is_warning(), warns, "{used}/{max}");
        }
        assert_eq!(Rounds { used: 8, max: 10 }.to_string(), "8/10");
        assert!(Rounds { used: u32::MAX, max: u32::MAX }.is_warning());
    }

    #[test]
    fn a_task_is_named_by_visible_characters() {
        for id in ["a", "task-1", "~!{}", &"x".repeat(128)] {
            assert!(is_task_id(id), "{id}");
        }
        for id in ["", "a b", "a\n", "gr\u{fc}n", &"x".repeat(129)] {
            assert!(!is_task_id(id), "{id}");
        }
    }

    proptest! {
        #[test]
        fn what_is_kept_stays_bounded_and_in_step(
            uses in proptest::collection::vec((0..1_500_u32, 0..200_u64), 0..3_000),
        ) {
            let (mut tasks, mut now) = (Tasks::default(), at(0));
            for (task, seconds) in uses {
                now = now + Duration::from_secs(seconds);
                let id = task.to_string();
                if tasks.check(&id, TWO, now).is_ok() {
                    prop_assert!(tasks.count(&id, now) <= TWO.get());
                }
                prop_assert!(tasks.known.len() <= MOST_TASKS);
                prop_assert_eq!(tasks.known.len(), tasks.order.len());
            }
            for (place, id) in &tasks.order {
                prop_assert_eq!(tasks.known[id].place, *place);
            }
        }
    }
}
