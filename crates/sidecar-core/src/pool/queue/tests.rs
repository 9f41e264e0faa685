//! What the queue promises: bounds, one baton for each key, and that none is ever lost.

use std::cell::Cell;
use std::collections::HashSet;
use std::future::pending;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use tokio::time::{sleep, timeout};

use super::lanes::Place;
use super::*;

const ROOMY: QueueLimits = QueueLimits { max_depth: 500, max_bytes: 1 << 20 };

fn key(model: &str) -> QueueKey {
    QueueKey { model: Some(model.into()), family: Family::OpenAi, pinned: None }
}

fn caller(name: &str) -> Caller {
    Caller(name.into())
}

/// A place under the key `m`, without a body.
fn enter(queue: &Queue, name: &str) -> Ticket {
    queue.enter(key("m"), &caller(name), NonZeroU32::MIN, 0, ROOMY).unwrap()
}

/// Asks once.
fn is_at_front(ticket: &mut Ticket) -> bool {
    pin!(ticket.front()).poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

fn holders(tickets: &[Ticket]) -> Vec<usize> {
    (0..tickets.len()).filter(|index| tickets[*index].holds_baton()).collect()
}

/// A waker that knows whether it was used.
#[derive(Debug, Default)]
struct Woken(AtomicBool);

impl Woken {
    fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    fn take(&self) -> bool {
        self.0.swap(false, Ordering::AcqRel)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

mod bounds;

mod baton;

/// Every order in which four tickets can do what tickets do.
mod interleavings;

mod tasks;
