//! The exact window: the send times of the last minute.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::clock::Instant;

/// The send times of the last [`WINDOW`], oldest first.
#[derive(Debug)]
pub(super) struct Window {
    rpm: NonZeroU32,
    sends: VecDeque<Instant>,
}

impl Window {
    pub(super) fn new(rpm: NonZeroU32) -> Self {
        Self { rpm, sends: VecDeque::new() }
    }

    pub(super) fn set_rpm(&mut self, rpm: NonZeroU32) {
        self.rpm = rpm;
    }

    pub(super) fn rpm(&self) -> NonZeroU32 {
        self.rpm
    }

    /// Counts a send. Whether there is a slot has been asked before.
    pub(super) fn admit(&mut self, now: Instant) {
        self.sends.push_back(now);
    }

    /// Whether there was such a send to forget.
    pub(super) fn give_back(&mut self, taken_at: Instant) -> bool {
        let index = self.sends.iter().rposition(|&at| at == taken_at);
        index.and_then(|index| self.sends.remove(index)).is_some()
    }

    pub(super) fn ready_at(&mut self, now: Instant) -> Option<Instant> {
        let used = self.used(now);
        let over = used.checked_sub(self.rpm.get())?;
        // After a lowered limit more than one send has to leave the window first.
        self.sends.get(over as usize).map(|&at| at + WINDOW)
    }

    pub(super) fn used(&mut self, now: Instant) -> u32 {
        while self.sends.front().is_some_and(|&at| at + WINDOW <= now) {
            self.sends.pop_front();
        }
        u32::try_from(self.sends.len()).unwrap_or(u32::MAX)
    }
}

/// A minute, and a little: requests take different times to arrive, so that sends 60 s apart here
/// can be a few milliseconds less apart at the vendor.
pub(super) const WINDOW: Duration = Duration::from_millis(60_250);
