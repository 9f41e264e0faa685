//! A place in the queue, and how to wait at it.

use std::sync::Arc;

use tokio::sync::Notify;

use super::lanes::Place;
use super::{Queue, QueueKey};

/// A place in the [`Queue`]. Dropping it, at whatever moment, gives the place and its bytes back
/// and passes the baton on if it was here.
#[derive(Debug)]
#[must_use = "a dropped ticket has left the queue"]
pub(in crate::pool) struct Ticket {
    pub(super) queue: Queue,
    pub(super) key: QueueKey,
    /// The caller whose lane it stands in.
    pub(super) lane: Arc<str>,
    pub(super) place: Place,
    pub(super) bytes: usize,
    /// Says that the baton may have come here; this ticket alone listens.
    pub(super) turn: Arc<Notify>,
}

impl Ticket {
    /// Waits until this ticket holds the baton of its key, which it then keeps until it leaves.
    /// The future may be dropped and asked for again without losing anything.
    pub(in crate::pool) async fn front(&mut self) {
        // Whoever passes the baton on changes the state first and wakes then, and a wake-up that
        // finds nobody listening is kept. So one that comes between the look and the wait is not
        // missed, and an old one costs one more look.
        while !self.holds_baton() {
            self.turn.notified().await;
        }
    }

    /// Whether this ticket is the one of its key that may take the next slot.
    pub(in crate::pool) fn holds_baton(&self) -> bool {
        self.queue.look(&self.key, |lanes| lanes.holder() == Some(self.place)) == Some(true)
    }

    /// How many places will be served before this one if nobody comes or gives up. Takes time
    /// linear in the callers that wait under the key and in those ahead of it in its lane.
    pub(in crate::pool) fn ahead(&self) -> u32 {
        let ahead = self.queue.look(&self.key, |lanes| lanes.ahead(&self.lane, self.place));
        ahead.flatten().unwrap_or(0)
    }

    /// Leaves the queue and hands the baton on, as dropping the ticket does.
    pub(in crate::pool) fn leave(self) {
        drop(self);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.queue.give_back(self);
    }
}
