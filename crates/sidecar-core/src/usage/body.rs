//! [`UsageBody`].

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::meter::{Attempt, Used};
use super::scan::Scanner;
use super::tokens::{Tokens, estimate};
use super::{Attribution, Meter};
use crate::call::Caller;
use crate::callers::CallerPermit;
use crate::clock::{Clock, Instant};

pin_project! {
    /// Forwards frames untouched and reads the usage beside them. Books exactly once: at the end,
    /// at the last frame of a body that knows its end, on an error, or when it is dropped.
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

/// An attempt in progress. Dropped unfinished, it is booked as failed.
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
    ) -> Self {
        let state = booking.map(|booking| State { booking, scanner, first_byte: None, judged });
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
        match &frame {
            Some(Ok(frame)) => {
                if let (Some(state), Some(data)) = (this.state.as_mut(), frame.data_ref()) {
                    state.first_byte.get_or_insert_with(|| state.booking.elapsed());
                    // Every body in this crate is one contiguous piece per frame.
                    state.scanner.feed(data.chunk());
                }
                // A server may stop polling after the last frame of a body that knows its end.
                if this.inner.is_end_stream()
                    && let Some(state) = this.state.take()
                {
                    state.finish(true);
                }
            }
            Some(Err(_)) => {
                if let Some(state) = this.state.take() {
                    state.finish(false);
                }
            }
            None => {
                if let Some(state) = this.state.take() {
                    state.finish(true);
                }
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
    /// The caller left, which is no fault of the provider's. After [`State::finish`] the booking
    /// is empty and nothing is left to do.
    fn drop(&mut self) {
        self.close(false, self.judged.failed);
    }
}

impl State {
    fn finish(mut self, is_whole: bool) {
        self.close(is_whole, self.judged.failed || !is_whole);
    }

    fn close(&mut self, is_whole: bool, failed: bool) {
        if !self.booking.is_open() {
            return;
        }
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
    /// The caller left before there was an answer. The provider may charge for the prompt.
    fn drop(&mut self) {
        if !self.is_open() {
            return;
        }
        let tokens = Tokens { prompt: estimate(self.request_bytes), ..Tokens::default() };
        let used = Used { tokens, is_estimated: true, ..Used::default() };
        let latency = self.elapsed();
        self.close(&Attempt { failed: true, used, latency, ..Attempt::default() });
    }
}
