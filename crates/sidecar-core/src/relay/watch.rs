//! [`Watch`]: how long a body may be silent, and who hears of it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Sleep, sleep_until};

use crate::clock::Clock;
use crate::error::{AttemptError, BoxError};
use crate::usage::{Ended, Report};
use crate::verdict::{Class, Verdict};

/// Who hears of an answer that did not come to its end.
#[derive(Clone)]
pub(super) struct OnCut(pub(super) Arc<dyn Fn(Class) + Send + Sync>);

/// How long a body may be silent. Time counts only while somebody waits for a frame, so that a
/// caller who reads slowly does not make a provider look slow.
#[derive(Debug)]
pub(super) struct Watch {
    idle: Duration,
    clock: Clock,
    on_cut: Option<OnCut>,
    /// Where the books are told how it ended.
    report: Option<Report>,
    /// Whether a request whose answer is cut goes on to another provider.
    is_sent_on: bool,
    /// Made at the first wait: most documents need none.
    sleep: Option<Pin<Box<Sleep>>>,
    is_waiting: bool,
    has_begun: bool,
}

impl Watch {
    pub(super) fn new(idle: Duration, clock: Clock, on_cut: Option<OnCut>) -> Self {
        let (report, sleep) = (None, None);
        let (is_sent_on, is_waiting, has_begun) = (false, false, false);
        Self { idle, clock, on_cut, report, is_sent_on, sleep, is_waiting, has_begun }
    }

    /// Says how the answer ended at `report`, too. `is_sent_on`: if it is cut, the request goes on
    /// to another provider.
    pub(super) fn reporting(self, report: Option<Report>, is_sent_on: bool) -> Self {
        if let Some(report) = &report {
            report.promise();
        }
        Self { report, is_sent_on, ..self }
    }

    /// A frame has come.
    pub(super) fn moved(&mut self) {
        self.is_waiting = false;
        self.has_begun = true;
    }

    /// Ready once the body has been silent for `patience`, or for the idle timeout if that is
    /// less. Never before the first frame.
    pub(super) fn poll_silence(&mut self, patience: Duration, cx: &mut Context<'_>) -> Poll<()> {
        if self.has_begun { self.poll_pause(patience.min(self.idle), cx) } else { Poll::Pending }
    }

    /// Ready `wait` after the first poll since the last move.
    pub(super) fn poll_pause(&mut self, wait: Duration, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_waiting {
            self.is_waiting = true;
            let until = self.clock.to_tokio(self.clock.now() + wait);
            if let Some(sleep) = &mut self.sleep {
                sleep.as_mut().reset(until);
            } else {
                self.sleep = Some(Box::pin(sleep_until(until)));
            }
        }
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }

    /// Says that the caller has all of the answer.
    pub(super) fn whole(&mut self) {
        if let Some(report) = self.report.take() {
            report.say(Ended::Whole);
        }
    }

    /// Says that the answer does not come to its end, and makes the error that aborts it.
    pub(super) fn cut(&mut self, class: Class, source: Option<BoxError>) -> BoxError {
        if let Some(OnCut(hook)) = self.on_cut.take() {
            hook(class);
        }
        if let Some(report) = self.report.take() {
            report.say(Ended::Cut { is_sent_on: self.is_sent_on });
        }
        AttemptError::new(Verdict::of(class), true, source).into()
    }
}

impl fmt::Debug for OnCut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnCut")
    }
}
