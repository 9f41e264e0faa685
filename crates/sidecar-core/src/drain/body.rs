//! [`DrainBody`].

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use tokio::task::coop::consume_budget;

use super::heir::{Heir, Rest};

/// Forwards frames untouched. Dropped before its end, it is read on without its caller.
#[derive(Debug)]
pub struct DrainBody<B>(Rest<B>);

impl<B> DrainBody<B>
where
    B: Body + Send + Unpin + 'static,
{
    pub(super) fn new(inner: B, heir: Option<Heir>) -> Self {
        Self(Rest::new(inner, heir, take_over))
    }
}

impl<B: Body + Unpin> Body for DrainBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let Self(rest) = self.get_mut();
        let frame = ready!(Pin::new(rest.get_mut()).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            rest.take_heir();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.0.get().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.get().size_hint()
    }
}

fn take_over<B>(body: B, heir: Heir)
where
    B: Body + Send + Unpin + 'static,
{
    // A server may stop polling after the last frame of a body that knows its end, and the end of a
    // stream may come before that of its body.
    if !body.is_end_stream() && heir.is_needed() {
        heir.spawn(read_on(body));
    }
}

/// Reads `body` to its end, unless that is too far.
pub(super) async fn read_on<B: Body + Unpin>(mut body: B) {
    let mut left = MOST_BYTES;
    while !body.is_end_stream() {
        let Some(length) = poll_fn(|cx| poll_length(&mut body, cx)).await else { return };
        let Some(rest) = left.checked_sub(length) else { return };
        left = rest;
        // A body that is always ready must keep neither others nor the time limit from their turn.
        consume_budget().await;
    }
}

/// The length of the next frame, in bytes; `None` if there is none.
fn poll_length<B: Body + Unpin>(body: &mut B, cx: &mut Context<'_>) -> Poll<Option<usize>> {
    let frame = ready!(Pin::new(body).poll_frame(cx));
    let length = |frame: Frame<B::Data>| frame.data_ref().map_or(0, Buf::remaining);
    Poll::Ready(frame.and_then(Result::ok).map(length))
}

/// How much of one answer is read on.
const MOST_BYTES: usize = 2 << 20;
