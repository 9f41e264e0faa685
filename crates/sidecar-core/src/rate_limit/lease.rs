//! How far a limiter may run ahead of the store.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

/// Sends that are covered by a durable record before they happen.
///
/// A record says what was sent, and that up to a reserve of further sends may follow it. A run
/// never sends more than that without a newer record being durable, so whichever record the next
/// run finds, it counts at least what was sent.
pub(super) struct Lease {
    wake: Wake,
    /// The sends so far. One that was given back stays in it: a record may have been made
    /// meanwhile, which shows it as older than the send that takes its place.
    sent: u64,
    /// How far `sent` may go: to the end of the reserve of the last record known to be durable.
    covered: u64,
    /// The end of the last reserve that was handed out. No reserve ends before an earlier one: a
    /// later record may be durable without anybody knowing yet.
    promised: u64,
    /// How often there was something new to record.
    changes: u64,
    /// How many of these are durable.
    durable_changes: u64,
    /// What `wake` was called for since `covered` grew.
    announced: Level,
}

/// Tells the flusher to come at once.
pub(super) type Wake = Arc<dyn Fn() + Send + Sync>;

/// What a record knows of the lease it belongs to; means nothing to another run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    changes: u64,
    covers: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Enough,
    Low,
    UsedUp,
}

impl Lease {
    /// One that is used up until its first record is durable: what was sent before that, a run
    /// after a crash could not know of.
    pub(super) fn new(wake: Wake) -> Self {
        Self {
            wake,
            sent: 0,
            covered: 0,
            promised: 0,
            changes: 1,
            durable_changes: 0,
            announced: Level::Enough,
        }
    }

    /// From now on `wake` is called.
    pub(super) fn set_wake(&mut self, wake: Wake) {
        self.wake = wake;
        self.announced = Level::Enough;
    }

    /// Counts a send. Whether the lease allows one has been asked before.
    pub(super) fn send(&mut self) {
        self.sent += 1;
        self.change();
    }

    /// There is something new to record.
    pub(super) fn change(&mut self) {
        self.changes += 1;
    }

    pub(super) fn has_changed(&self) -> bool {
        self.changes > self.durable_changes
    }

    pub(super) fn is_used_up(&self) -> bool {
        self.left() == 0
    }

    /// Allows at least `reserve` sends from now, once a record that says so is durable. Gives the
    /// reserve for this record.
    pub(super) fn promise(&mut self, reserve: u32) -> u32 {
        self.promised = self.promised.max(self.sent + u64::from(reserve));
        u32::try_from(self.promised - self.sent).unwrap_or(u32::MAX)
    }

    /// The mark of a record that is made now.
    pub(super) fn mark(&self) -> Mark {
        Mark { changes: self.changes, covers: self.promised }
    }

    /// The record with this mark is durable.
    pub(super) fn acknowledge(&mut self, mark: Mark) {
        self.durable_changes = self.durable_changes.max(mark.changes);
        if mark.covers > self.covered {
            self.covered = mark.covers;
            self.announced = Level::Enough;
        }
    }

    /// Whom to call, once for each level, if less than `reserve` is left to send.
    pub(super) fn announce(&mut self, reserve: u32) -> Option<Wake> {
        let level = match self.left() {
            0 => Level::UsedUp,
            left if left <= u64::from(reserve / 2) => Level::Low,
            _ => Level::Enough,
        };
        if level <= self.announced {
            return None;
        }
        self.announced = level;
        Some(self.wake.clone())
    }

    fn left(&self) -> u64 {
        self.covered.saturating_sub(self.sent)
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("left", &self.left()).finish_non_exhaustive()
    }
}

/// How far a limiter of `rpm` may be ahead of the store: enough that it never waits for it in
/// normal traffic, and so little that a crash costs little.
pub(super) fn reserve(rpm: NonZeroU32) -> u32 {
    (rpm.get() / 4).clamp(5, 1_000).min(rpm.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_a_quarter_within_bounds() {
        for (rpm, expected) in [
            (1, 1),
            (4, 4),
            (5, 5),
            (6, 5),
            (20, 5),
            (24, 6),
            (40, 10),
            (4_000, 1_000),
            (1_000_000, 1_000),
            (u32::MAX, 1_000),
        ] {
            assert_eq!(reserve(NonZeroU32::new(rpm).unwrap()), expected, "of {rpm}");
        }
    }

    #[test]
    fn no_reserve_ends_before_an_earlier_one() {
        let mut lease = Lease::new(Arc::new(|| {}));
        assert_eq!(lease.promise(10), 10);
        lease.acknowledge(lease.mark());
        (0..4).for_each(|_| lease.send());
        assert_eq!(lease.promise(2), 6);
        (0..5).for_each(|_| lease.send());
        assert_eq!(lease.promise(2), 2);
    }
}
