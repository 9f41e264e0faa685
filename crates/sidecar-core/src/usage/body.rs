//! [`UsageBody`].

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::meter::{Attempt, Used};
use super::report::{Ended, Report};
use super::scan::Scanner;
use super::tokens::{Tokens, estimate};
use super::{Attribution, Meter};
use crate::call::Caller;
use crate::callers::CallerPermit;
use crate::clock::{Clock, Instant};

pin_project! {
    /// Forwards frames untouched and reads the usage beside them. Books exactly once: at the end,
    /// at the last frame of a body that knows its end, on an error, or when it is dropped. Where a
    /// word on how it ended is promised, when it is dropped.
    #[derive(Debug)]
    pub struct UsageBody<B> {
        #[pin]
        inner: B,
        state: Option<State>,
    }
}

#[derive(Debug)]
struct State {
    booking: Booking,
    scanner: Scanner,
    first_byte: Option<Duration>,
    judged: Judged,
    /// Who passes the answer on may know more of its end.
    report: Option<Report>,
    /// Whether the body came to its end; `None` while it has not ended.
    is_whole: Option<bool>,
}

/// What is known of an answer once its head is there.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Judged {
    /// Whether the attempt counts as failed, even if the rest of the body is well.
    pub(super) failed: bool,
    /// Whether it is an answer that a provider charges for.
    pub(super) is_good: bool,
    /// Whether the request may be run twice.
    pub(super) is_possible_duplicate: bool,
}

/// An attempt in progress. Dropped unfinished, its caller has left, which is no failure.
#[derive(Debug)]
pub(super) struct Booking {
    open: Option<(Meter, Caller)>,
    permit: Option<Arc<CallerPermit>>,
    request_bytes: u64,
    clock: Clock,
    started: Instant,
}

impl<B> UsageBody<B> {
    pub(super) fn new(
        inner: B,
        booking: Option<Booking>,
        scanner: Scanner,
        judged: Judged,
        report: Option<Report>,
    ) -> Self {
        let (first_byte, is_whole) = (None, None);
        let state =
            booking.map(|booking| State { booking, scanner, first_byte, judged, report, is_whole });
        Self { inner, state }
    }
}

impl<B: Body> Body for UsageBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let frame = ready!(this.inner.as_mut().poll_frame(cx));
        let is_whole = match &frame {
            Some(Ok(frame)) => {
                if let (Some(state), Some(data)) = (this.state.as_mut(), frame.data_ref()) {
                    state.first_byte.get_or_insert_with(|| state.booking.elapsed());
                    // Every body in this crate is one contiguous piece per frame.
                    state.scanner.feed(data.chunk());
                }
                // A server may stop polling after the last frame of a body that knows its end.
                this.inner.is_end_stream().then_some(true)
            }
            Some(Err(_)) => Some(false),
            None => Some(true),
        };
        if let (Some(is_whole), Some(state)) = (is_whole, this.state.as_mut()) {
            state.is_whole.get_or_insert(is_whole);
            if !state.is_to_be_told() {
                *this.state = None;
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let said = self.report.as_ref().and_then(Report::ended);
        match (said, self.is_whole) {
            (Some(Ended::Whole), _) => self.close(true, self.judged.failed),
            (Some(Ended::Cut { is_sent_on }), _) => {
                self.judged.is_possible_duplicate |= is_sent_on;
                self.close(false, true);
            }
            (None, Some(is_whole)) => self.close(is_whole, self.judged.failed || !is_whole),
            // The caller left, which is no fault of the provider's.
            (None, None) => self.close(false, self.judged.failed),
        }
    }
}

impl State {
    /// Whether somebody will say how the answer ended.
    fn is_to_be_told(&self) -> bool {
        self.report.as_ref().is_some_and(Report::is_promised)
    }

    fn close(&mut self, is_whole: bool, failed: bool) {
        let scanner = std::mem::replace(&mut self.scanner, Scanner::opaque());
        let Judged { is_good, is_possible_duplicate, .. } = self.judged;
        let attempt = Attempt {
            failed,
            is_possible_duplicate,
            used: scanner.finish(is_whole, is_good, self.booking.request_bytes),
            latency: self.booking.elapsed(),
            // What an error takes to begin says nothing of the model.
            first_byte: self.first_byte.filter(|_| is_good),
        };
        self.booking.close(&attempt);
    }
}

impl Booking {
    pub(super) fn start<R: Attribution>(meter: Meter, request: &R, clock: Clock) -> Self {
        let started = clock.now();
        let open = Some((meter, request.caller()));
        let (permit, request_bytes) = (request.permit(), request.request_bytes());
        Self { open, permit, request_bytes, clock, started }
    }

    /// Nothing was sent, so there is nothing to book.
    pub(super) fn cancel(&mut self) {
        self.open = None;
    }

    /// It was sent and there is no answer. It most likely used nothing.
    pub(super) fn fail(&mut self, is_possible_duplicate: bool) {
        let latency = self.elapsed();
        self.close(&Attempt { failed: true, is_possible_duplicate, latency, ..Attempt::default() });
    }

    fn is_open(&self) -> bool {
        self.open.is_some()
    }

    fn elapsed(&self) -> Duration {
        self.clock.now() - self.started
    }

    fn close(&mut self, attempt: &Attempt) {
        let Some((meter, caller)) = self.open.take() else { return };
        let wall = self.clock.wall();
        let cost = meter.book(&caller, wall, attempt);
        if let Some(permit) = self.permit.take() {
            permit.settle(cost, wall);
        }
    }
}

impl Drop for Booking {
    /// The caller left before there was an answer, which is no fault of the provider's. It may
    /// charge for the prompt.
    fn drop(&mut self) {
        if !self.is_open() {
            return;
        }
        let tokens = Tokens { prompt: estimate(self.request_bytes), ..Tokens::default() };
        let used = Used { tokens, is_estimated: true, ..Used::default() };
        let latency = self.elapsed();
        self.close(&Attempt { used, latency, ..Attempt::default() });
    }
}
