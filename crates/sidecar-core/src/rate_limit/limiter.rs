//! A provider's limit, of either shape.

use std::num::NonZeroU32;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::WindowRecord;
use super::glance::{Free, Glance};
use super::learned::Learned;
use super::lease::{Lease, Mark, Wake, reserve};
use super::smooth::Smooth;
use super::window::{WINDOW, Window};
use crate::clock::Instant;

/// A provider's limit. Clones share it, and so do the providers of one account.
///
/// Whatever its shape, no 60 seconds hold more than `rpm` sends, also across changes of either.
/// With [`Limiter::lease`] this holds across a crash, too.
#[derive(Clone, Debug)]
pub struct Limiter {
    shared: Arc<Shared>,
}

/// One request's share of a [`Limiter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a slot that is not used must be given back"]
pub struct Slot {
    taken_at: Instant,
}

#[derive(Debug)]
struct Shared {
    glance: Glance,
    inner: Mutex<Inner>,
}

/// The lock. Whatever was done under it can be seen without it afterwards.
struct Locked<'a> {
    inner: MutexGuard<'a, Inner>,
    glance: &'a Glance,
}

#[derive(Debug)]
struct Inner {
    /// What the operator says; the window goes by what was learned, if that is less.
    stated: NonZeroU32,
    learned: Option<Learned>,
    window: Window,
    /// Spaces sends evenly inside the window.
    pacing: Option<Smooth>,
    /// None without a store.
    lease: Option<Lease>,
    closed: bool,
}

impl Limiter {
    /// At most `rpm` in any 60 seconds, however close together. This is how vendors count; a
    /// token bucket of the same size admits up to `2 * rpm - 1` in its first minute. Above 10 000
    /// a slot may come back up to 10 ms late.
    pub fn window(rpm: NonZeroU32) -> Self {
        Self::of(rpm, None)
    }

    /// At most `rpm` in any 60 seconds, `burst` of them at once and the others evenly spaced. A
    /// `burst` of `rpm` or more is no spacing at all.
    pub fn smooth(rpm: NonZeroU32, burst: NonZeroU32) -> Self {
        Self::of(rpm, Some(burst))
    }

    /// Changes limit and shape. What was sent in the last minute still counts. `burst` makes it
    /// smooth.
    pub fn configure(&self, rpm: NonZeroU32, burst: Option<NonZeroU32>, now: Instant) {
        self.update(|inner| inner.configure(rpm, burst, now));
    }

    /// Takes a slot, or says when the next one is free.
    pub fn admit(&self, now: Instant) -> Result<Slot, Instant> {
        self.update(|inner| inner.admit(now))
    }

    /// The vendor has refused what was sent at `sent_at` although the limit allowed it: it counts
    /// lower than was stated. From now on this goes by what the vendor has shown.
    pub fn learn(&self, sent_at: Instant, now: Instant) {
        self.update(|inner| inner.learn(sent_at, now));
    }

    /// Gives a slot back. Only for what was never sent.
    pub fn give_back(&self, slot: Slot) {
        let mut inner = self.inner();
        if !inner.window.give_back(slot.taken_at) {
            return;
        }
        if let Some(pacing) = &mut inner.pacing {
            pacing.give_back();
        }
        if let Some(lease) = &mut inner.lease {
            lease.change();
        }
    }

    /// When a slot is free: `None` now, or the instant to wait for. Reserves nothing.
    pub fn ready_at(&self, now: Instant) -> Option<Instant> {
        self.inner().ready_at(now)
    }

    /// The headroom if a slot is free, else when one is: [`Limiter::ready_at`] and
    /// [`Limiter::headroom`] in one, nearly always without the lock. Reserves nothing.
    pub(crate) fn offer(&self, now: Instant) -> Result<f32, Instant> {
        if let Some(headroom) = self.shared.glance.headroom(now) {
            return Ok(headroom);
        }
        let mut inner = self.inner();
        inner.ready_at(now).map_or_else(|| Ok(inner.window.headroom(now)), Err)
    }

    /// When `n + 1` slots will have been free, if nothing else is sent: the turn of the waiter
    /// behind `n` others. With more waiters than slots in a minute it counts that those before it
    /// go as soon as they may.
    pub fn nth_free(&self, n: u32, now: Instant) -> Instant {
        let mut inner = self.inner();
        let first = inner.ready_at(now).unwrap_or(now);
        let paced = inner.pacing.as_ref().map_or(now, |pacing| pacing.nth_free(n, now));
        inner.window.nth_free(n, now).max(paced).max(first)
    }

    /// The share of the limit that is free, from 0 to 1.
    pub fn headroom(&self, now: Instant) -> f32 {
        self.inner().window.headroom(now)
    }

    /// How many slots of the last minute are free.
    pub fn free(&self, now: Instant) -> u32 {
        let mut inner = self.inner();
        let used = inner.window.used(now);
        inner.window.rpm().get().saturating_sub(used)
    }

    /// Requests per minute.
    pub fn rpm(&self) -> NonZeroU32 {
        self.inner().window.rpm()
    }

    /// From now on sends are covered by durable records: at most a quarter of the limit (5 to
    /// 1000) may follow one, and none go before the first one is acknowledged.
    ///
    /// `wake` is called when a new record is due: now, when half of that is used, and when all of
    /// it is. Then calls are refused for 2 ms at a time. It is called on the request path: it must
    /// return at once, and should not hold a clone of the limiter.
    pub fn lease(&self, wake: Arc<dyn Fn() + Send + Sync>) {
        self.update(|inner| match &mut inner.lease {
            Some(lease) => lease.set_wake(wake),
            None => inner.lease = Some(Lease::new(wake)),
        });
    }

    /// A record to be made durable, if there is something new since the last one acknowledged;
    /// always `None` without a lease. The wall time to keep with it is one read afterwards.
    ///
    /// Records must become durable in the order in which they were taken; any of them may be
    /// lost.
    pub fn record(&self, now: Instant) -> Option<WindowRecord> {
        let mut inner = self.inner();
        let due = inner.lease.as_ref().is_some_and(Lease::has_changed);
        due.then(|| inner.record(now))
    }

    /// `record`, which this limiter gave, is durable: the lease is renewed, less what was sent
    /// since.
    pub fn acknowledge(&self, record: &WindowRecord) {
        self.update(|inner| {
            if let Some(lease) = &mut inner.lease {
                lease.acknowledge(record.mark());
            }
        });
    }

    /// What it has sent in the last minute, for another limiter that takes over from it.
    pub(crate) fn export(&self, now: Instant) -> WindowRecord {
        WindowRecord::new(self.inner().window.sends(now), 0, Mark::default(), now)
    }

    /// What was acknowledged last was not durable after all: a new record is due.
    pub fn touch(&self) {
        if let Some(lease) = &mut self.inner().lease {
            lease.change();
        }
    }

    /// Counts what an earlier run has sent. `age` is how long ago, by wall time, `record` was
    /// taken; zero if that seems to lie in the future. What may have followed the record counts as
    /// sent now.
    pub fn restore(&self, record: &WindowRecord, age: Duration, now: Instant) {
        let mut inner = self.inner();
        let Inner { window, pacing, lease, .. } = &mut *inner;
        window.add(record.sends(age, now));
        if let Some(pacing) = pacing {
            pacing.replay(window.sends(now));
        }
        if let Some(lease) = lease {
            lease.change();
        }
    }

    /// The record of an orderly shutdown, which nothing follows: from now on everything is
    /// refused.
    pub fn close(&self, now: Instant) -> WindowRecord {
        let mut inner = self.inner();
        inner.closed = true;
        if let Some(lease) = &mut inner.lease {
            lease.change();
        }
        inner.record(now)
    }

    /// Whether anybody else holds a clone.
    pub(crate) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.shared) > 1
    }

    fn of(rpm: NonZeroU32, burst: Option<NonZeroU32>) -> Self {
        let burst = burst.filter(|burst| *burst < rpm);
        let pacing = burst.map(|burst| Smooth::new(rpm, burst));
        let inner = Inner {
            stated: rpm,
            learned: None,
            window: Window::new(rpm),
            pacing,
            lease: None,
            closed: false,
        };
        Self { shared: Arc::new(Shared { glance: Glance::default(), inner: Mutex::new(inner) }) }
    }

    /// For what may use or renew the lease. Wakes the flusher outside the lock.
    fn update<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        let (result, wake) = {
            let mut inner = self.inner();
            (change(&mut inner), inner.announce())
        };
        if let Some(wake) = wake {
            wake();
        }
        result
    }

    /// A poisoned mutex guards plain numbers that are valid at every step.
    fn inner(&self) -> Locked<'_> {
        let Shared { glance, inner } = &*self.shared;
        Locked { inner: inner.lock().unwrap_or_else(PoisonError::into_inner), glance }
    }
}

impl Inner {
    fn configure(&mut self, rpm: NonZeroU32, burst: Option<NonZeroU32>, now: Instant) {
        if let Some(lease) = &mut self.lease
            && reserve(rpm) != reserve(self.window.rpm())
        {
            lease.change();
        }
        if rpm != self.stated {
            // Whoever states another limit knows something new.
            self.stated = rpm;
            self.follow(None);
        }
        let burst = burst.filter(|burst| *burst < rpm);
        let unchanged = match (&self.pacing, burst) {
            (None, None) => true,
            (Some(pacing), Some(burst)) => pacing.is(rpm, burst),
            _ => false,
        };
        if !unchanged {
            self.pacing = burst.map(|burst| {
                let mut pacing = Smooth::new(rpm, burst);
                pacing.replay(self.window.sends(now));
                pacing
            });
        }
    }

    fn learn(&mut self, sent_at: Instant, now: Instant) {
        let minute = self.window.sends(now).filter(|(at, _)| *at <= sent_at);
        let count = minute.map(|(_, count)| count).sum();
        let learned = Learned::of(self.stated, count, now);
        if learned.is_some_and(|learned| learned.rpm < self.window.rpm()) {
            self.follow(learned);
        }
    }

    /// Goes by what was learned, or by what is stated.
    fn follow(&mut self, learned: Option<Learned>) {
        self.learned = learned;
        self.window.set_rpm(learned.map_or(self.stated, |learned| learned.rpm));
        if let Some(lease) = &mut self.lease {
            lease.change();
        }
    }

    fn admit(&mut self, now: Instant) -> Result<Slot, Instant> {
        if let Some(learned) = self.learned {
            let crept = learned.creep(self.stated, now);
            if crept.map(|crept| crept.rpm) != Some(learned.rpm) {
                self.follow(crept);
            }
        }
        if let Some(at) = self.ready_at(now) {
            return Err(at);
        }
        if let Some(pacing) = &mut self.pacing {
            pacing.admit(now)?;
        }
        if let Some(lease) = &mut self.lease {
            lease.send();
        }
        Ok(Slot { taken_at: self.window.admit(now) })
    }

    fn ready_at(&mut self, now: Instant) -> Option<Instant> {
        let pacing = self.pacing.as_ref().and_then(|pacing| pacing.ready_at(now));
        self.window.ready_at(now).max(pacing).max(self.allowed_at(now))
    }

    /// When slots are free, as long as nothing is done; `None` if for now there are none.
    fn outlook(&self) -> Option<Free> {
        let is_used_up = self.lease.as_ref().is_some_and(Lease::is_used_up);
        if self.closed || is_used_up {
            return None;
        }
        let (headroom, until) = self.window.outlook()?;
        let from = self.pacing.as_ref().map_or(Instant::from_nanos(0), Smooth::free_from);
        Some(Free { from, until, headroom })
    }

    /// What lease and shutdown have to say to it.
    fn allowed_at(&self, now: Instant) -> Option<Instant> {
        if self.closed {
            Some(now + WINDOW)
        } else if self.lease.as_ref().is_some_and(Lease::is_used_up) {
            Some(now + RENEWAL)
        } else {
            None
        }
    }

    fn record(&mut self, now: Instant) -> WindowRecord {
        let (reserve, mark) = match &mut self.lease {
            Some(lease) if !self.closed => {
                (lease.promise(reserve(self.window.rpm())), lease.mark())
            }
            Some(lease) => (0, lease.mark()),
            None => (0, Mark::default()),
        };
        WindowRecord::new(self.window.sends(now), reserve, mark, now)
    }

    fn announce(&mut self) -> Option<Wake> {
        let lease = self.lease.as_mut().filter(|_| !self.closed)?;
        lease.announce(reserve(self.window.rpm()))
    }
}

impl Deref for Locked<'_> {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.inner
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Inner {
        &mut self.inner
    }
}

impl Drop for Locked<'_> {
    /// The lock itself is released after this.
    fn drop(&mut self) {
        self.glance.show(self.inner.outlook());
    }
}

/// About as long as it takes to make a record durable.
const RENEWAL: Duration = Duration::from_millis(2);
