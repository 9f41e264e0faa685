//! Tells when a write makes no progress.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use sidecar_core::clock::{Clock, Instant};
use tokio::time::Sleep;

/// Measures how long the write under way has been waiting. It costs nothing while writes go
/// through, and one reading of the clock for each wait: the timer is left to run, and asked only
/// when it fires whether it was about the present wait.
#[derive(Debug)]
pub(super) struct StallTimer {
    limit: Duration,
    clock: Clock,
    /// When the present wait has lasted too long; none while no write waits.
    deadline: Option<Instant>,
    /// Set for the present wait or an earlier one.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl StallTimer {
    pub(super) fn new(limit: Duration, clock: Clock) -> Self {
        Self { limit, clock, deadline: None, alarm: None }
    }

    /// A write went through, or failed.
    pub(super) fn progressed(&mut self) {
        self.deadline = None;
    }

    /// A write has to wait. Ready when it has waited for too long, counted from the first call
    /// after the last progress.
    pub(super) fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = *self.deadline.get_or_insert_with(|| self.clock.now() + self.limit);
        let deadline = self.clock.to_tokio(deadline);
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        loop {
            ready!(alarm.as_mut().poll(cx));
            if alarm.deadline() >= deadline {
                return Poll::Ready(());
            }
            alarm.as_mut().reset(deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);
    const ALMOST: Duration = Duration::from_secs(59);
    const REST: Duration = Duration::from_secs(2);

    async fn is_stalled(timer: &mut StallTimer) -> bool {
        poll_fn(|cx| Poll::Ready(timer.poll_stalled(cx).is_ready())).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_stalls_at_the_limit() {
        let mut timer = StallTimer::new(LIMIT, Clock::simulated());
        assert!(!is_stalled(&mut timer).await);
        tokio::time::advance(ALMOST).await;
        assert!(!is_stalled(&mut timer).await);
        tokio::time::advance(REST).await;
        assert!(is_stalled(&mut timer).await);
    }

    #[tokio::test(start_paused = true)]
    async fn progress_begins_a_new_wait() {
        let mut timer = StallTimer::new(LIMIT, Clock::simulated());
        for _ in 0..3 {
            assert!(!is_stalled(&mut timer).await);
            tokio::time::advance(ALMOST).await;
            assert!(!is_stalled(&mut timer).await);
            timer.progressed();
        }
        assert!(!is_stalled(&mut timer).await);
        tokio::time::advance(ALMOST + REST).await;
        assert!(is_stalled(&mut timer).await);
    }

    #[tokio::test(start_paused = true)]
    async fn time_without_a_write_does_not_count() {
        let mut timer = StallTimer::new(LIMIT, Clock::simulated());
        assert!(!is_stalled(&mut timer).await);
        timer.progressed();
        tokio::time::advance(LIMIT * 2).await;
        assert!(!is_stalled(&mut timer).await);
    }

    #[tokio::test(start_paused = true)]
    async fn the_task_is_woken_when_a_later_wait_stalls() {
        let clock = Clock::simulated();
        let mut timer = StallTimer::new(LIMIT, clock.clone());
        assert!(!is_stalled(&mut timer).await);
        tokio::time::advance(ALMOST).await;
        timer.progressed();
        let start = clock.now();
        poll_fn(|cx| timer.poll_stalled(cx)).await;
        let waited = clock.now() - start;
        assert!(waited >= LIMIT && waited < LIMIT + REST, "{waited:?}");
    }
}
