//! Where requests wait for a free slot.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::Error;

/// How many requests wait, and at most may.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    waiting: Arc<AtomicU32>,
}

/// A place in the [`Queue`], given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<AtomicU32>);

impl Queue {
    /// Takes a place, unless `max` requests wait already.
    pub(super) fn enter(&self, max: u32) -> Result<Place, Error> {
        let enter = |waiting: u32| (waiting < max).then_some(waiting + 1);
        match self.waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, enter) {
            Ok(_) => Ok(Place(self.waiting.clone())),
            Err(_) => Err(Error::QueueFull),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_is_bounded_and_places_are_given_back() {
        let queue = Queue::default();
        let first = queue.enter(2).unwrap();
        let _second = queue.enter(2).unwrap();
        assert!(matches!(queue.enter(2), Err(Error::QueueFull)));
        drop(first);
        queue.enter(2).unwrap();
    }
}
