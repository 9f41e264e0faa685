//! The window: the send times of the last minute.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::clock::Instant;

/// The sends of the last [`WINDOW`]. Exact up to [`EXACT_RPM`]; above it a slot may come back up
/// to [`GRAIN`] late, never early, so that a large limit needs no memory for each send.
#[derive(Debug)]
pub(super) struct Window {
    rpm: NonZeroU32,
    /// Oldest first.
    runs: VecDeque<Run>,
    /// The sends in `runs`. A restored record may hold any number.
    total: u64,
}

/// Sends that leave the window together, when the last of them does.
#[derive(Clone, Copy, Debug)]
struct Run {
    first: Instant,
    last: Instant,
    count: u32,
}

impl Window {
    pub(super) fn new(rpm: NonZeroU32) -> Self {
        Self { rpm, runs: VecDeque::new(), total: 0 }
    }

    pub(super) fn set_rpm(&mut self, rpm: NonZeroU32) {
        self.rpm = rpm;
    }

    pub(super) fn rpm(&self) -> NonZeroU32 {
        self.rpm
    }

    /// Counts a send and gives the time it counts as. Whether there is a slot has been asked
    /// before.
    pub(super) fn admit(&mut self, now: Instant) -> Instant {
        self.total += 1;
        let grain = if self.rpm.get() > EXACT_RPM { GRAIN } else { Duration::ZERO };
        // Of two threads that read the clock one after the other, the second may be here first.
        let at = self.runs.back().map_or(now, |run| now.max(run.last));
        match self.runs.back_mut() {
            Some(run) if at == run.last || at - run.first < grain => {
                run.last = at;
                run.count += 1;
            }
            _ => self.runs.push_back(Run { first: at, last: at, count: 1 }),
        }
        at
    }

    /// Whether there was such a send to forget.
    pub(super) fn give_back(&mut self, taken_at: Instant) -> bool {
        let index = self.runs.partition_point(|run| run.last < taken_at);
        let Some(run) = self.runs.get_mut(index).filter(|run| run.first <= taken_at) else {
            return false;
        };
        run.count -= 1;
        if run.count == 0 {
            self.runs.remove(index);
        }
        self.total -= 1;
        true
    }

    /// Counts the sends of an earlier run, too.
    pub(super) fn add(&mut self, sends: impl Iterator<Item = (Instant, u32)>) {
        let sends = sends.filter(|&(_, count)| count > 0);
        self.runs.extend(sends.map(|(at, count)| Run { first: at, last: at, count }));
        self.runs.make_contiguous().sort_by_key(|run| run.last);
        self.total = self.runs.iter().map(|run| u64::from(run.count)).sum();
    }

    /// The sends that count, oldest first.
    pub(super) fn sends(
        &mut self,
        now: Instant,
    ) -> impl DoubleEndedIterator<Item = (Instant, u32)> + ExactSizeIterator {
        self.forget(now);
        self.runs.iter().map(|run| (run.last, run.count))
    }

    pub(super) fn ready_at(&mut self, now: Instant) -> Option<Instant> {
        self.forget(now);
        // After a lowered limit more than one send has to leave the window first.
        let over = self.total.checked_sub(u64::from(self.rpm.get()))?;
        self.leaves_at(over)
    }

    /// When the `n`-th of the next sends has a slot, if each of them, counted from 0, goes as soon
    /// as it may.
    pub(super) fn nth_free(&mut self, n: u32, now: Instant) -> Instant {
        self.forget(now);
        // Each of a full window of sends is followed by another one a window later.
        let (windows, n) = (n / self.rpm, n % self.rpm);
        let over = (self.total + u64::from(n)).checked_sub(u64::from(self.rpm.get()));
        let at = over.and_then(|over| self.leaves_at(over)).unwrap_or(now);
        at + WINDOW * windows
    }

    pub(super) fn used(&mut self, now: Instant) -> u32 {
        self.forget(now);
        u32::try_from(self.total).unwrap_or(u32::MAX)
    }

    /// The share of the limit that is free, from 0 to 1.
    pub(super) fn headroom(&mut self, now: Instant) -> f32 {
        self.forget(now);
        self.share_left()
    }

    /// If there is a slot, the headroom, and when it grows because a send leaves.
    pub(super) fn outlook(&self) -> Option<(f32, Instant)> {
        let is_free = self.total < u64::from(self.rpm.get());
        let until =
            self.runs.front().map_or(Instant::from_nanos(u64::MAX), |run| run.last + WINDOW);
        is_free.then(|| (self.share_left(), until))
    }

    fn share_left(&self) -> f32 {
        (1.0 - self.total as f32 / self.rpm.get() as f32).clamp(0.0, 1.0)
    }

    /// Forgets what has left the window.
    fn forget(&mut self, now: Instant) {
        while let Some(run) = self.runs.front()
            && run.last + WINDOW <= now
        {
            self.total -= u64::from(run.count);
            self.runs.pop_front();
        }
    }

    /// When the `index`-th send leaves the window; the oldest is number 0.
    fn leaves_at(&self, index: u64) -> Option<Instant> {
        let mut seen = 0;
        let run = self.runs.iter().find(|run| {
            seen += u64::from(run.count);
            seen > index
        })?;
        Some(run.last + WINDOW)
    }
}

/// A minute, and a little: requests take different times to arrive, so that sends 60 s apart here
/// can be a few milliseconds less apart at the vendor.
pub(super) const WINDOW: Duration = Duration::from_millis(60_250);
/// Up to this limit every send has its own time.
const EXACT_RPM: u32 = 10_000;
/// Above it, sends within this time leave the window together.
const GRAIN: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    const START: Instant = Instant::from_nanos(86_400_000_000_000);
    const MINUTE: Duration = Duration::from_secs(60);

    fn window(rpm: u32) -> Window {
        Window::new(NonZeroU32::new(rpm).unwrap())
    }

    #[test]
    fn a_large_limit_is_bounded_in_memory() {
        let mut window = window(1_000_000);
        for n in 0..1_000_000 {
            window.admit(START + Duration::from_micros(60) * n);
        }
        assert_eq!(window.used(START + MINUTE), 1_000_000);
        assert!(window.runs.len() <= 6_026, "{} runs", window.runs.len());
    }

    #[test]
    fn a_slot_of_a_large_limit_comes_back_late_by_a_grain_at_most_and_never_early() {
        let mut window = window(20_000);
        // The lot of them within 1.7 grains.
        let sent: Vec<_> = (0..20_000).map(|n| START + Duration::from_nanos(850) * n).collect();
        for &at in &sent {
            assert_eq!(window.ready_at(at), None);
            window.admit(at);
        }
        for (n, &at) in (0..).zip(&sent) {
            let free = window.nth_free(n, START + Duration::from_secs(1));
            assert!(free >= at + WINDOW && free < at + WINDOW + GRAIN);
        }
    }

    #[test]
    fn a_slot_of_a_large_limit_is_given_back_also_when_others_followed() {
        let mut window = window(20_000);
        let taken: Vec<_> =
            (0..100).map(|n| window.admit(START + Duration::from_millis(1) * n)).collect();
        for at in taken {
            assert!(window.give_back(at));
        }
        assert_eq!((window.total, window.runs.len()), (0, 0));
        assert!(!window.give_back(START));
    }

    #[test]
    fn a_send_whose_time_was_read_before_that_of_the_last_one_counts_as_simultaneous() {
        let mut window = window(5);
        let later = START + Duration::from_micros(1);
        assert_eq!(window.admit(later), later);
        assert_eq!(window.admit(START), later);
        assert!(window.give_back(later) && window.give_back(later));
        assert!(!window.give_back(later));
    }
}
