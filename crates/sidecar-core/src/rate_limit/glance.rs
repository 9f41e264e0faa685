//! What can be seen of a limiter without its lock.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::clock::Instant;

/// How free a limiter was when it was last unlocked, and how long that holds by itself.
///
/// Whoever chooses among many limiters looks at all of them and takes a slot of one, so a look
/// costs three loads and holds nobody up. One that meets a change may see the old state once more;
/// it is the limiter that admits or refuses.
#[derive(Debug, Default)]
pub(super) struct Glance {
    /// In nanoseconds; 0 while nothing is free.
    until: AtomicU64,
    /// In nanoseconds.
    from: AtomicU64,
    /// The bits of a number from 0 to 1.
    headroom: AtomicU32,
}

/// A time in which slots are free, as long as nobody takes or gives one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Free {
    pub(super) from: Instant,
    /// When the headroom grows, so that it has to be counted anew.
    pub(super) until: Instant,
    /// The share of the limit that is free, from 0 to 1.
    pub(super) headroom: f32,
}

impl Glance {
    /// Shows what is to be seen from now on. Only under the limiter's lock.
    pub(super) fn show(&self, free: Option<Free>) {
        let Some(Free { from, until, headroom }) = free else {
            self.until.store(0, Ordering::Release);
            return;
        };
        self.headroom.store(headroom.to_bits(), Ordering::Relaxed);
        self.from.store(from.as_nanos(), Ordering::Relaxed);
        // Last, so that who sees the new end sees nothing older with it.
        self.until.store(until.as_nanos(), Ordering::Release);
    }

    /// The headroom if a slot is free; `None` if only the limiter itself can tell.
    pub(super) fn headroom(&self, now: Instant) -> Option<f32> {
        let (until, now) = (self.until.load(Ordering::Acquire), now.as_nanos());
        let is_free = now < until && self.from.load(Ordering::Relaxed) <= now;
        is_free.then(|| f32::from_bits(self.headroom.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_to_be_free_is_seen() {
        let glance = Glance::default();
        let at = Instant::from_nanos;
        assert_eq!(glance.headroom(at(0)), None, "before anything was shown");
        glance.show(Some(Free { from: at(5), until: at(9), headroom: 0.25 }));
        for (now, expected) in [(4, None), (5, Some(0.25)), (8, Some(0.25)), (9, None)] {
            assert_eq!(glance.headroom(at(now)), expected, "at {now}");
        }
        glance.show(None);
        assert_eq!(glance.headroom(at(5)), None);
    }
}
