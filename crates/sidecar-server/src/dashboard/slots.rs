//! [`Slots`]: how many feeds there may be.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The feeds that are open, by viewer. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Slots(Arc<Mutex<HashMap<Box<str>, usize>>>);

/// One open feed.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Slots,
    viewer: Box<str>,
}

impl Slots {
    /// One more feed for `viewer`, unless it or all together have too many.
    pub(super) fn take(&self, viewer: &str) -> Option<Slot> {
        let mut open = self.open();
        let (own, all) = (open.get(viewer).copied().unwrap_or(0), open.values().sum::<usize>());
        if own >= MOST_OF_ONE || all >= MOST {
            return None;
        }
        *open.entry(viewer.into()).or_default() += 1;
        Some(Slot { slots: self.clone(), viewer: viewer.into() })
    }

    /// A poisoned mutex guards counts that are valid at every step.
    fn open(&self) -> MutexGuard<'_, HashMap<Box<str>, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.slots.open();
        if let Some(own) = open.get_mut(&self.viewer) {
            *own -= 1;
            if *own == 0 {
                open.remove(&self.viewer);
            }
        }
    }
}

/// Feeds of one viewer: some windows, and a few that are about to be noticed as closed.
const MOST_OF_ONE: usize = 8;
const MOST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_viewer_and_all_together_have_a_bounded_number() {
        let slots = Slots::default();
        let mut taken: Vec<_> = (0..MOST_OF_ONE).filter_map(|_| slots.take("one")).collect();
        assert_eq!(taken.len(), MOST_OF_ONE);
        assert!(slots.take("one").is_none());
        taken.pop();
        assert!(slots.take("one").is_some());
        let others: Vec<_> = (0..MOST).filter_map(|n| slots.take(&n.to_string())).collect();
        assert_eq!(others.len() + taken.len(), MOST);
        drop((taken, others));
        assert!(slots.open().is_empty());
    }
}
