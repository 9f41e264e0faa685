//! A provider's limit, of either shape.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::smooth::Smooth;
use super::window::Window;
use crate::clock::Instant;

/// A provider's limit. Clones share it, and so do the providers of one account.
///
/// Whatever its shape, no 60 seconds hold more than `rpm` sends, also across changes of either.
#[derive(Clone, Debug)]
pub struct Limiter {
    inner: Arc<Mutex<Inner>>,
}

/// One request's share of a [`Limiter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a slot that is not used must be given back"]
pub struct Slot {
    taken_at: Instant,
}

#[derive(Debug)]
struct Inner {
    window: Window,
    /// Spaces sends evenly inside the window.
    pacing: Option<Smooth>,
}

impl Limiter {
    /// At most `rpm` in any 60 seconds, however close together. This is how vendors count; a
    /// token bucket of the same size admits up to `2 * rpm - 1` in its first minute.
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
        let mut inner = self.inner();
        inner.window.set_rpm(rpm);
        let burst = burst.filter(|burst| *burst < rpm);
        let unchanged = match (&inner.pacing, burst) {
            (None, None) => true,
            (Some(pacing), Some(burst)) => pacing.is(rpm, burst),
            _ => false,
        };
        if !unchanged {
            let used = inner.window.used(now);
            inner.pacing = burst.map(|burst| Smooth::with_used(rpm, burst, used, now));
        }
    }

    /// Takes a slot, or says when the next one is free.
    pub fn admit(&self, now: Instant) -> Result<Slot, Instant> {
        let mut inner = self.inner();
        if let Some(at) = inner.ready_at(now) {
            return Err(at);
        }
        if let Some(pacing) = &mut inner.pacing {
            pacing.admit(now)?;
        }
        inner.window.admit(now);
        Ok(Slot { taken_at: now })
    }

    /// Gives a slot back. Only for what was never sent.
    pub fn give_back(&self, slot: Slot) {
        let mut inner = self.inner();
        if inner.window.give_back(slot.taken_at)
            && let Some(pacing) = &mut inner.pacing
        {
            pacing.give_back();
        }
    }

    /// When a slot is free: `None` now, or the instant to wait for. Reserves nothing.
    pub fn ready_at(&self, now: Instant) -> Option<Instant> {
        self.inner().ready_at(now)
    }

    /// The share of the limit that is free, from 0 to 1.
    pub fn headroom(&self, now: Instant) -> f32 {
        let mut inner = self.inner();
        let used = inner.window.used(now) as f32;
        (1.0 - used / inner.window.rpm().get() as f32).clamp(0.0, 1.0)
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

    /// Whether anybody else holds a clone.
    pub(crate) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.inner) > 1
    }

    fn of(rpm: NonZeroU32, burst: Option<NonZeroU32>) -> Self {
        let burst = burst.filter(|burst| *burst < rpm);
        let pacing = burst.map(|burst| Smooth::new(rpm, burst));
        let inner = Inner { window: Window::new(rpm), pacing };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// A poisoned mutex guards plain numbers that are valid at every step.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn ready_at(&mut self, now: Instant) -> Option<Instant> {
        let pacing = self.pacing.as_ref().and_then(|pacing| pacing.ready_at(now));
        self.window.ready_at(now).max(pacing)
    }
}
