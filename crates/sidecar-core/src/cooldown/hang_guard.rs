//! Notices an endpoint that takes requests and answers none of them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Instant;

/// Suspects an endpoint when eight requests have waited for more than fifteen seconds for their
/// first byte and none has been answered since. While it is suspect one request at a time passes,
/// until any is answered. It counts when a request is sent, because of one that hangs there is
/// nothing to count for a long time.
#[derive(Debug, Default)]
pub(super) struct HangGuard {
    /// From the top: how many requests are unanswered, in 14 bits; the era, which rises with every
    /// answer, in 12 bits; and by when the eighth of them had been sent, in milliseconds and 38
    /// bits, 0 while there are fewer.
    unanswered: AtomicU64,
    /// When the one request that may pass is given up, in nanoseconds; 0 if there is none.
    alone_until: AtomicU64,
}

/// A request that has been counted, so that it can be taken out again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    /// In the place it has in the guard's word. What an answer has cleared counts no more.
    era: u64,
    sent_at: u64,
    /// Whether it counts: it should be answered soon.
    counts: bool,
    /// If it is the one request that passes, the time that says so; else 0.
    alone: u64,
}

impl HangGuard {
    /// A request is about to be sent; of one that `counts` the first byte is expected soon. While
    /// the endpoint is suspect it passes only if it is the only one, and else should be tried
    /// again at the instant returned.
    pub(super) fn send(
        &self,
        counts: bool,
        now: Instant,
        lease: Duration,
    ) -> Result<Ticket, Instant> {
        let before = if counts {
            self.unanswered.fetch_add(ONE, Ordering::Relaxed)
        } else {
            self.unanswered.load(Ordering::Relaxed)
        };
        let mut ticket = Ticket { era: before & ERA, sent_at: millis(now), counts, alone: 0 };
        if is_overdue(before, now) {
            match self.pass_alone(now, lease) {
                Some(alone) => ticket.alone = alone,
                None => {
                    self.leave(ticket, now);
                    return Err(now + PAUSE);
                }
            }
        } else if counts && count(before) + 1 >= ENOUGH && before & EIGHTH_AT == 0 {
            self.update(|word| {
                let is_eighth = word & ERA == ticket.era && word & EIGHTH_AT == 0;
                (is_eighth && count(word) >= ENOUGH).then_some(word | ticket.sent_at)
            });
        }
        Ok(ticket)
    }

    /// Some request was answered, if only by an error, or there is something better than
    /// suspicion: whoever still waits counts no more, wherever it ends.
    pub(super) fn clear(&self) {
        self.update(|word| (count(word) > 0).then_some((word & ERA).wrapping_add(ONE_ERA) & ERA));
        if self.alone_until.load(Ordering::Relaxed) != 0 {
            self.alone_until.store(0, Ordering::Relaxed);
        }
    }

    /// The request waited in vain. That is what it was counted for, so it counts on.
    pub(super) fn timed_out(&self, ticket: Ticket) {
        if ticket.alone != 0 {
            let (relaxed, alone_until) = (Ordering::Relaxed, &self.alone_until);
            let _ = alone_until.compare_exchange(ticket.alone, 0, relaxed, relaxed);
        }
    }

    /// The request was not sent after all, its way broke, or its caller left: it proves nothing.
    pub(super) fn leave(&self, ticket: Ticket, now: Instant) {
        self.timed_out(ticket);
        if !ticket.counts {
            return;
        }
        self.update(|word| {
            if word & ERA != ticket.era || count(word) == 0 {
                return None;
            }
            let fewer = word - ONE;
            Some(match fewer & EIGHTH_AT {
                _ if count(fewer) < ENOUGH => fewer & !EIGHTH_AT,
                // One of the oldest eight has gone, and when the next oldest was sent nobody
                // knows but that it was before now.
                eighth_at if ticket.sent_at <= eighth_at && !is_overdue(word, now) => {
                    (fewer & !EIGHTH_AT) | millis(now)
                }
                _ => fewer,
            })
        });
    }

    pub(super) fn is_suspect(&self, now: Instant) -> bool {
        is_overdue(self.unanswered.load(Ordering::Relaxed), now)
    }

    /// When a request could pass: `None` now, or when to look again.
    pub(super) fn ready_at(&self, now: Instant) -> Option<Instant> {
        let taken = || self.alone_until.load(Ordering::Relaxed) > now.as_nanos();
        (self.is_suspect(now) && taken()).then(|| now + PAUSE)
    }

    /// Takes the place of the one request that may pass, if it is free.
    fn pass_alone(&self, now: Instant, lease: Duration) -> Option<u64> {
        let (relaxed, alone) = (Ordering::Relaxed, (now + lease).as_nanos());
        let free = |until: u64| (until <= now.as_nanos()).then_some(alone);
        self.alone_until.fetch_update(relaxed, relaxed, free).ok().map(|_| alone)
    }

    fn update(&self, change: impl FnMut(u64) -> Option<u64>) {
        let _ = self.unanswered.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
    }
}

/// Whether the eighth of the unanswered requests has waited too long.
fn is_overdue(word: u64, now: Instant) -> bool {
    let eighth_at = word & EIGHTH_AT;
    count(word) >= ENOUGH && eighth_at != 0 && millis(now).saturating_sub(eighth_at) > PATIENCE
}

const fn count(word: u64) -> u64 {
    word / ONE
}

/// Never 0, for which the clock's epoch is too long ago, and enough for eight years.
const fn millis(at: Instant) -> u64 {
    (at.as_nanos() / 1_000_000) & EIGHTH_AT
}

/// So many requests that wait are no chance.
const ENOUGH: u64 = 8;
/// So long is too long for a first byte, in milliseconds.
const PATIENCE: u64 = 15_000;
/// When to look again while the one request is out.
const PAUSE: Duration = Duration::from_secs(1);
const ONE_ERA: u64 = 1 << 38;
const EIGHTH_AT: u64 = ONE_ERA - 1;
/// What overflows the count falls off the top.
const ONE: u64 = 1 << 50;
const ERA: u64 = (ONE - 1) & !EIGHTH_AT;

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const LEASE: Duration = Duration::from_secs(65);
    const START: Instant = Instant::from_nanos(86_400_000_000_000);

    /// What happens to a request names it by a number, of those that are out.
    #[derive(Clone, Debug)]
    enum Step {
        Advance { millis: u64 },
        Send { counts: bool },
        Answer(usize),
        TimeOut(usize),
        Leave(usize),
    }

    #[derive(Clone, Copy, Debug)]
    struct Sent {
        ticket: Ticket,
        number: usize,
        at: Instant,
    }

    /// The guard beside the whole list of what it only counts.
    #[derive(Debug, Default)]
    struct Pair {
        guard: HangGuard,
        out: Vec<Sent>,
        sent: usize,
        /// What counts and has not been answered since, if only because it timed out.
        unanswered: Vec<Sent>,
        /// Whether any of them has left.
        any_left: bool,
        /// The one that passes, and when it is given up.
        alone: Option<(usize, Instant)>,
        was_suspect: bool,
    }

    impl Pair {
        fn step(&mut self, step: &Step, now: Instant) -> Result<(), TestCaseError> {
            match *step {
                Step::Advance { .. } => {}
                Step::Send { counts } => self.send(counts, now)?,
                Step::Answer(which) => {
                    if self.take(which).is_some() {
                        self.guard.clear();
                        self.unanswered.clear();
                        self.alone = None;
                        self.any_left = false;
                    }
                }
                Step::TimeOut(which) => {
                    if let Some(sent) = self.take(which) {
                        self.guard.timed_out(sent.ticket);
                    }
                }
                Step::Leave(which) => {
                    if let Some(sent) = self.take(which) {
                        self.guard.leave(sent.ticket, now);
                        self.unanswered.retain(|other| other.number != sent.number);
                        self.any_left = true;
                    }
                }
            }
            self.check(now)
        }

        fn send(&mut self, counts: bool, now: Instant) -> Result<(), TestCaseError> {
            let (is_suspect, ready_at) = (self.guard.is_suspect(now), self.guard.ready_at(now));
            let is_taken = self.alone.is_some_and(|(_, until)| until > now);
            match self.guard.send(counts, now, LEASE) {
                Err(at) => {
                    prop_assert!(is_suspect && is_taken, "refused without a reason");
                    prop_assert_eq!(ready_at, Some(at));
                }
                Ok(ticket) => {
                    prop_assert!(!is_suspect || !is_taken, "two at a time");
                    prop_assert_eq!(ready_at, None);
                    let sent = Sent { ticket, number: self.sent, at: now };
                    self.sent += 1;
                    self.out.push(sent);
                    if counts {
                        self.unanswered.push(sent);
                    }
                    if is_suspect {
                        self.alone = Some((sent.number, now + LEASE));
                    }
                }
            }
            Ok(())
        }

        fn take(&mut self, which: usize) -> Option<Sent> {
            let index = which.checked_rem(self.out.len())?;
            let sent = self.out.swap_remove(index);
            if self.alone.is_some_and(|(number, _)| number == sent.number) {
                self.alone = None;
            }
            Some(sent)
        }

        fn check(&mut self, now: Instant) -> Result<(), TestCaseError> {
            let counted = count(self.guard.unanswered.load(Ordering::Relaxed));
            prop_assert_eq!(counted, self.unanswered.len() as u64);
            let is_suspect = self.guard.is_suspect(now);
            let waited = |least: u64| {
                let least = Duration::from_millis(least);
                self.unanswered.iter().filter(|sent| now - sent.at > least).count()
            };
            if is_suspect && !self.was_suspect {
                prop_assert!(waited(15_000) >= 8, "too soon");
            }
            if !self.any_left && waited(15_001) >= 8 {
                prop_assert!(is_suspect, "too late");
            }
            self.was_suspect = is_suspect;
            Ok(())
        }
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..3_000_u64).prop_map(|millis| Step::Advance { millis }),
            1 => (0..70_000_u64).prop_map(|millis| Step::Advance { millis }),
            12 => any::<bool>().prop_map(|counts| Step::Send { counts }),
            1 => any::<usize>().prop_map(Step::Answer),
            2 => any::<usize>().prop_map(Step::TimeOut),
            2 => any::<usize>().prop_map(Step::Leave),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn it_counts_as_if_it_had_a_list(steps in vec(step(), 1..200)) {
            let (mut pair, mut now) = (Pair::default(), START);
            for step in steps {
                if let Step::Advance { millis } = step {
                    now = now + Duration::from_millis(millis);
                }
                pair.step(&step, now)?;
            }
        }
    }

    #[test]
    fn the_oldest_that_leave_take_their_time_with_them() {
        let guard = HangGuard::default();
        let old: Vec<Ticket> = (0..8).map(|_| guard.send(true, START, LEASE).unwrap()).collect();
        let later = START + Duration::from_secs(14);
        for _ in 0..92 {
            guard.send(true, later, LEASE).unwrap();
        }
        for ticket in old {
            guard.leave(ticket, later);
        }
        // The other 92 have waited for one second.
        assert!(!guard.is_suspect(START + Duration::from_secs(16)));
        assert!(guard.is_suspect(later + Duration::from_secs(16)));
    }

    #[test]
    fn who_was_sent_before_an_answer_takes_nothing_out_after_it() {
        let guard = HangGuard::default();
        let old: Vec<Ticket> = (0..8).map(|_| guard.send(true, START, LEASE).unwrap()).collect();
        guard.clear();
        for _ in 0..8 {
            guard.send(true, START, LEASE).unwrap();
        }
        for ticket in old {
            guard.leave(ticket, START);
        }
        assert!(guard.is_suspect(START + Duration::from_secs(16)));
    }

    #[test]
    fn eras_come_round_without_a_trace() {
        let guard = HangGuard::default();
        for _ in 0..10_000 {
            guard.send(true, START, LEASE).unwrap();
            guard.clear();
        }
        assert_eq!(count(guard.unanswered.load(Ordering::Relaxed)), 0);
        assert!(!guard.is_suspect(START + Duration::from_secs(600)));
    }

    #[test]
    fn exactly_one_of_many_threads_passes_a_suspect() {
        for _ in 0..50 {
            let guard = HangGuard::default();
            for _ in 0..8 {
                guard.send(true, START, LEASE).unwrap();
            }
            let (now, start) = (START + Duration::from_secs(16), std::sync::Barrier::new(8));
            let passed: usize = std::thread::scope(|scope| {
                let race = || {
                    start.wait();
                    usize::from(guard.send(true, now, LEASE).is_ok())
                };
                let racers: Vec<_> = (0..8).map(|_| scope.spawn(race)).collect();
                racers.into_iter().map(|racer| racer.join().unwrap()).sum()
            });
            assert_eq!(passed, 1);
            // Those who were refused left no trace.
            assert_eq!(count(guard.unanswered.load(Ordering::Relaxed)), 9);
        }
    }
}
