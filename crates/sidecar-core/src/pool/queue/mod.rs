//! Where requests wait for a free slot: bounded, and fair between callers.
//!
//! Requests that want the same compete under one [`QueueKey`]. There every caller has a lane, and
//! the lanes take turns, so that a caller with 200 waiting requests delays another caller's first
//! by one slot. The first by that order holds the baton of its key: it alone sleeps until a slot is
//! free. When it leaves, served or not, the next holds the baton and is woken, and nobody else is.
//!
//! Who holds the baton follows from who waits. It is never sent, so it cannot be lost on the way
//! to somebody who has just left: a wake-up only says that it is worth looking. There is no task
//! and no timer here.

mod lanes;
mod ticket;

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use self::lanes::Lanes;
pub(super) use self::ticket::Ticket;
use crate::call::Caller;
use crate::error::Error;
use crate::ingest::Family;

/// Which waiters compete: same model, family and pin.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct QueueKey {
    pub(super) model: Option<Arc<str>>,
    pub(super) family: Family,
    pub(super) pinned: Option<Arc<str>>,
}

/// How much may wait, under all keys together.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueueLimits {
    /// Requests.
    pub(super) max_depth: u32,
    /// Bytes of their bodies.
    pub(super) max_bytes: usize,
}

/// All waiting requests. Cheap to clone; clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// How many places are taken. Changed only under the lock; apart from what it guards so that
    /// an empty queue costs a newcomer one load.
    depth: AtomicU32,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// No lanes here are empty.
    keys: HashMap<QueueKey, Lanes<Arc<Notify>>>,
    /// The bodies of all who wait.
    bytes: usize,
}

impl Queue {
    /// Takes a place at the end of the caller's lane, unless as many requests or bytes wait as
    /// may. `weight` is how many places the lane is served in a turn, from its next turn on.
    pub(super) fn enter(
        &self,
        key: QueueKey,
        lane: &Caller,
        weight: NonZeroU32,
        bytes: usize,
        limits: QueueLimits,
    ) -> Result<Ticket, Error> {
        let mut waiting = self.waiting();
        let depth = self.depth();
        let total = waiting.bytes.checked_add(bytes).filter(|total| *total <= limits.max_bytes);
        let Some(total) = total.filter(|_| depth < limits.max_depth) else {
            return Err(Error::QueueFull);
        };
        let turn = Arc::new(Notify::new());
        let lanes = waiting.keys.entry(key.clone()).or_default();
        let place = lanes.enter(&lane.0, weight, turn.clone());
        waiting.bytes = total;
        self.0.depth.store(depth + 1, Ordering::Release);
        drop(waiting);
        Ok(Ticket { queue: self.clone(), key, lane: lane.0.clone(), place, bytes, turn })
    }

    /// Whether anybody waits under `key`, the asker's own ticket included. If so, a newcomer has
    /// to queue too, and not take a slot from under them.
    pub(super) fn has_waiters(&self, key: &QueueKey) -> bool {
        self.depth() != 0 && self.waiting().keys.contains_key(key)
    }

    /// How many requests wait.
    pub(super) fn depth(&self) -> u32 {
        self.0.depth.load(Ordering::Acquire)
    }

    #[cfg(test)]
    /// How many bytes their bodies have.
    pub(super) fn bytes(&self) -> usize {
        self.waiting().bytes
    }

    /// Takes the place of `ticket` out of the queue and wakes who holds the baton now, if it has
    /// passed on.
    fn give_back(&self, ticket: &Ticket) {
        let mut waiting = self.waiting();
        let Some(lanes) = waiting.keys.get_mut(&ticket.key) else { return };
        let next = lanes.leave(&ticket.lane, ticket.place).cloned();
        if lanes.is_empty() {
            waiting.keys.remove(&ticket.key);
        }
        waiting.bytes = waiting.bytes.saturating_sub(ticket.bytes);
        self.0.depth.fetch_sub(1, Ordering::Release);
        // A waker may do anything, even drop another ticket.
        drop(waiting);
        if let Some(next) = next {
            next.notify_one();
        }
    }

    /// A look at the lanes of `key`, if anybody waits there.
    fn look<T>(&self, key: &QueueKey, look: impl FnOnce(&Lanes<Arc<Notify>>) -> T) -> Option<T> {
        self.waiting().keys.get(key).map(look)
    }

    /// Nothing under this lock can panic between two changes that belong together, so a poisoned
    /// one still guards a valid queue.
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
