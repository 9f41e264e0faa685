//! When callers send. Open loop: nobody waits for an answer before the next request.

use std::time::Duration;

use super::rng::Rng;

/// A caller's next request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    /// Since the start of the play.
    pub(super) at: Duration,
    pub(super) caller: usize,
}

/// Callers who send a handful of requests and then fall silent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bursts {
    pub(super) callers: usize,
    /// From one burst of a caller to its next.
    pub(super) every: Duration,
    /// Requests in a burst.
    pub(super) size: usize,
    /// How long a burst takes.
    pub(super) lasts: Duration,
    /// How late a burst may be. The next one is not later for it, so that demand stays the same
    /// from minute to minute.
    pub(super) late: Duration,
    /// All callers burst together; otherwise each has a beat of its own.
    pub(super) in_step: bool,
}

impl Bursts {
    /// Everything that arrives during `span`, in order.
    pub(super) fn over(&self, span: Duration, rng: &mut Rng) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        for caller in 0..self.callers {
            let mut beat = if self.in_step { Duration::ZERO } else { rng.up_to(self.every) };
            while beat < span {
                let start = beat + rng.up_to(self.late);
                for _ in 0..self.size {
                    arrivals.push(Arrival { at: start + rng.up_to(self.lasts), caller });
                }
                beat += self.every;
            }
        }
        arrivals.retain(|arrival| arrival.at < span);
        arrivals.sort_by_key(|arrival| arrival.at);
        arrivals
    }
}

/// One request somewhere in each `every` of `span`, the callers by turns.
pub(super) fn evenly(
    callers: usize,
    every: Duration,
    span: Duration,
    rng: &mut Rng,
) -> Vec<Arrival> {
    let mut arrivals = Vec::new();
    let mut start = Duration::ZERO;
    while start < span {
        arrivals.push(Arrival { at: start + rng.up_to(every), caller: arrivals.len() % callers });
        start += every;
    }
    arrivals
}

/// `count` requests in the same instant, `at` from the start, the callers by turns.
pub(super) fn at_once(at: Duration, count: usize, callers: usize) -> Vec<Arrival> {
    (0..count).map(|index| Arrival { at, caller: index % callers }).collect()
}
