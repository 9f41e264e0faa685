//! [`FirstByteBody`].

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// What was held back, then the rest as it comes.
#[derive(Debug)]
pub struct FirstByteBody<B> {
    held: Frames,
    /// `None` once the inner body has ended, or if the rest is of no interest.
    rest: Option<B>,
}

/// Frames in their order. One alone, as most often, takes no memory of its own.
#[derive(Debug, Default)]
pub(super) struct Frames {
    first: Option<Bytes>,
    more: VecDeque<Bytes>,
}

impl Frames {
    pub(super) fn push(&mut self, frame: Bytes) {
        if self.is_empty() {
            self.first = Some(frame);
        } else {
            self.more.push_back(frame);
        }
    }

    fn pop(&mut self) -> Option<Bytes> {
        self.first.take().or_else(|| self.more.pop_front())
    }

    fn is_empty(&self) -> bool {
        self.first.is_none() && self.more.is_empty()
    }

    fn length(&self) -> u64 {
        self.first.iter().chain(&self.more).map(|frame| frame.len() as u64).sum()
    }
}

impl From<Bytes> for Frames {
    fn from(frame: Bytes) -> Self {
        Self { first: Some(frame), more: VecDeque::new() }
    }
}

impl<B> FirstByteBody<B> {
    pub(super) fn new(held: Frames, rest: Option<B>) -> Self {
        Self { held, rest }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for FirstByteBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if let Some(held) = self.held.pop() {
            return Poll::Ready(Some(Ok(Frame::data(held))));
        }
        match &mut self.rest {
            Some(rest) => Pin::new(rest).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_empty() && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let held = self.held.length();
        let rest = self.rest.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint);
        let mut hint = SizeHint::new();
        hint.set_lower(held.saturating_add(rest.lower()));
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(held)) {
            hint.set_upper(upper);
        }
        hint
    }
}
