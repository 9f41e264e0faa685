//! What a vendor has shown of its real limit.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::clock::Instant;

/// A limit below the stated one, learned from refusals. It creeps back so slowly that trying it
/// out costs next to nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Learned {
    pub(super) rpm: NonZeroU32,
    since: Instant,
}

impl Learned {
    /// From a refusal of the `count`-th send of a minute. One that comes before half of the
    /// `stated` limit teaches nothing: something else is wrong, such as somebody else who uses the
    /// key, and cooldowns are there for it.
    pub(super) fn of(stated: NonZeroU32, count: u32, now: Instant) -> Option<Self> {
        let likely = stated.get().div_ceil(2)..stated.get();
        let rpm = NonZeroU32::new(count.saturating_sub(1))?;
        if !likely.contains(&rpm.get()) {
            return None;
        }
        Some(Self { rpm, since: now })
    }

    /// One more each hour, until it is the `stated` limit again.
    pub(super) fn creep(self, stated: NonZeroU32, now: Instant) -> Option<Self> {
        if now - self.since < HOUR {
            return Some(self);
        }
        let rpm = self.rpm.saturating_add(1);
        (rpm < stated).then_some(Self { rpm, since: now })
    }
}

const HOUR: Duration = Duration::from_secs(3_600);
