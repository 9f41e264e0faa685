//! [`UsageBody`].

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::Meter;
use super::meter::Attempt;
use super::scan::Scanner;
use crate::call::Caller;
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
    /// Whether the attempt counts as failed if nothing better is known.
    failed: bool,
}

/// An attempt in progress. Dropped unfinished, it is booked as failed.
#[derive(Debug)]
pub(super) struct Booking {
    open: Option<(Meter, Caller)>,
    clock: Clock,
    started: Instant,
}

impl<B> UsageBody<B> {
    pub(super) fn new(inner: B, booking: Option<Booking>, scanner: Scanner, failed: bool) -> Self {
        let state = booking.map(|booking| State { booking, scanner, first_byte: None, failed });
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
    /// Not reached after [`State::finish`], which empties the booking.
    fn drop(&mut self) {
        if self.booking.open.is_some() {
            let scanner = std::mem::replace(&mut self.scanner, Scanner::Opaque);
            self.booking.close(self.failed, Some(scanner), self.first_byte);
        }
    }
}

impl State {
    fn finish(mut self, whole: bool) {
        let scanner = std::mem::replace(&mut self.scanner, Scanner::Opaque);
        self.booking.close(self.failed || !whole, Some(scanner), self.first_byte);
    }
}

impl Booking {
    pub(super) fn start(meter: Meter, caller: Caller, clock: Clock) -> Self {
        let started = clock.now();
        Self { open: Some((meter, caller)), clock, started }
    }

    /// Nothing was sent, so there is nothing to book.
    pub(super) fn cancel(&mut self) {
        self.open = None;
    }

    fn elapsed(&self) -> Duration {
        self.clock.now() - self.started
    }

    fn close(&mut self, failed: bool, scanner: Option<Scanner>, first_byte: Option<Duration>) {
        let Some((meter, caller)) = self.open.take() else { return };
        let opaque = scanner.as_ref().is_some_and(Scanner::is_opaque);
        let tokens = scanner.and_then(Scanner::finish);
        // What cannot say its usage (audio, images) used no tokens that could be estimated.
        let tokens = if opaque { Some(tokens.unwrap_or_default()) } else { tokens };
        let attempt = Attempt { failed, tokens, latency: self.elapsed(), first_byte };
        meter.book(&caller, self.clock.wall(), &attempt);
    }
}

impl Drop for Booking {
    fn drop(&mut self) {
        self.close(true, None, None);
    }
}
