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
    /// From a refusal of the `count`-th send of a minute. No refusal takes more than half of the
    /// `stated` limit away: beyond that something else is wrong, and cooldowns are there for it.
    pub(super) fn of(stated: NonZeroU32, count: u32, now: Instant) -> Option<Self> {
        let rpm = count.saturating_sub(1).max(stated.get().div_ceil(2));
        let rpm = NonZeroU32::new(rpm).filter(|rpm| *rpm < stated)?;
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
