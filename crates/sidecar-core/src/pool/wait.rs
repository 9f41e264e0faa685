//! A request's patience: its place in the queue, and how long it has waited.

use std::time::Duration;

use super::pools::Pools;
use super::queue::{QueueKey, QueueLimits, Ticket};
use crate::call::Call;
use crate::clock::Instant;
use crate::error::Error;

/// What one request knows of its waiting.
pub(super) struct Waiting<'a> {
    pools: &'a Pools,
    call: &'a Call,
    ticket: Option<Ticket>,
    /// Since when it has been in the queue.
    since: Option<Instant>,
    queued: Duration,
    /// Refusals in a row of endpoints that had looked free.
    refusals: u32,
}

impl<'a> Waiting<'a> {
    pub(super) fn new(pools: &'a Pools, call: &'a Call) -> Self {
        let (ticket, since, queued) = (None, None, Duration::ZERO);
        Self { pools, call, ticket, since, queued, refusals: 0 }
    }

    /// Since when it waits, if it does.
    pub(super) fn since(&self) -> Option<Instant> {
        self.since
    }

    /// How long it has waited.
    pub(super) fn queued(&self) -> Duration {
        self.queued
    }

    /// Whether others wait for the same already.
    pub(super) fn must_queue(&self) -> bool {
        self.ticket.is_none() && self.pools.queue().has_waiters(&self.key())
    }

    /// Takes a place in the queue if it has none yet; then it gives how many are before it.
    pub(super) fn enter(&mut self) -> Result<Option<u32>, Error> {
        if self.ticket.is_some() {
            return Ok(None);
        }
        let limits =
            QueueLimits { max_depth: self.pools.settings().queue_max_depth, max_bytes: MOST_BYTES };
        let (head, bytes) = (self.call.head(), self.call.body().len());
        let ticket =
            self.pools.queue().enter(self.key(), &head.caller, head.weight, bytes, limits)?;
        let ahead = ticket.ahead();
        self.ticket = Some(ticket);
        self.since = Some(self.pools.clock().now());
        Ok(Some(ahead))
    }

    /// Waits for its turn, at most as long as its patience lasts.
    pub(super) async fn turn(&mut self) -> Result<(), Error> {
        let Some(ticket) = &mut self.ticket else { return Ok(()) };
        if ticket.holds_baton() {
            return Ok(());
        }
        let deadline = self.pools.clock().to_tokio(self.call.head().queue_until);
        tokio::time::timeout_at(deadline, ticket.front()).await.map_err(|_| Error::QueueTimeout)
    }

    /// In front of the queue, waits until `at`, or until it is worth looking again: a slot may
    /// come back early.
    pub(super) async fn until(&mut self, at: Instant) -> Result<(), Error> {
        let (clock, until) = (self.pools.clock(), self.call.head().queue_until);
        let now = clock.now();
        if now >= until {
            return Err(Error::QueueTimeout);
        }
        clock.sleep_until(at.min(now + LOOK_AGAIN).min(until)).await;
        Ok(())
    }

    /// A slot has been taken: the next in the queue may look for one.
    pub(super) fn served(&mut self) {
        self.refusals = 0;
        self.end_wait();
        if let Some(ticket) = self.ticket.take() {
            ticket.leave();
        }
    }

    /// Somebody else was faster. Time and again would be a loop that gets nowhere, so it pauses.
    pub(super) async fn after_refusal(&mut self) -> Result<(), Error> {
        self.refusals += 1;
        if self.refusals > PATIENT_REFUSALS {
            let clock = self.pools.clock();
            if clock.now() >= self.call.head().queue_until {
                return Err(Error::QueueTimeout);
            }
            clock.sleep_until(clock.now() + PAUSE).await;
        }
        Ok(())
    }

    fn end_wait(&mut self) {
        if let Some(since) = self.since.take() {
            let waited = self.pools.clock().now() - since;
            self.queued += waited;
            self.pools.metrics().waited(waited);
        }
    }

    fn key(&self) -> QueueKey {
        let head = self.call.head();
        QueueKey { model: head.model.clone(), family: head.family, pinned: head.pinned.clone() }
    }
}

impl Drop for Waiting<'_> {
    /// Who waited in vain has waited too.
    fn drop(&mut self) {
        self.end_wait();
    }
}

/// How often the one in front looks, should a slot come back early.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
const PATIENT_REFUSALS: u32 = 16;
const PAUSE: Duration = Duration::from_millis(5);
/// All waiting bodies together.
const MOST_BYTES: usize = 64 << 20;
