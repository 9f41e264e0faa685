//! Delivery `complete`: an answer is held back until it is whole.

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::Response;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;

use super::attempt::Step;
use crate::call::Call;
use crate::callers::Delivery;
use crate::endpoint::Endpoint;
use crate::error::{AttemptError, BoxError};
use crate::verdict::Class;

/// What was held back, then the rest as it comes.
pub(super) struct Gathered<B> {
    text: Bytes,
    /// `None` if nothing is missing.
    rest: Option<B>,
}

/// `step` with a good answer the way the caller wants it: as it comes, or whole. One that does not
/// come to its end is a failure like any other: another endpoint may do better.
///
/// More than `most` bytes are not held back (the last piece may go beyond): what has come until
/// then is released, and the rest follows as it comes. Nothing of it is lost, but from there on it
/// is a stream as without this.
pub(super) async fn deliver<B>(
    step: Step<B>,
    endpoint: &Endpoint,
    call: &Call,
    most: usize,
) -> Step<Gathered<B>>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let response = match step {
        Step::Done(response) => response,
        Step::Fault(error, is_too_long) => return Step::Fault(error, is_too_long),
        Step::Refused => return Step::Refused,
        Step::Failed(class) => return Step::Failed(class),
    };
    if call.head().delivery == Delivery::Stream {
        return Step::Done(response.map(|body| Gathered { text: Bytes::new(), rest: Some(body) }));
    }
    // The provider is at work until it is whole.
    let _in_flight = endpoint.provider.in_flight.clone();
    let (head, body) = response.into_parts();
    // In a box of its own, because few want it and it would make every request larger.
    match Box::pin(gather(body, most)).await {
        Ok(gathered) => Step::Done(Response::from_parts(head, gathered)),
        // The cells have been charged where the answer broke.
        Err(class) => {
            tracing::warn!(
                request_id = %call.head().id,
                provider = %endpoint.provider.name,
                verdict = class.kind(),
                "an answer was cut while it was gathered"
            );
            Step::Failed(class)
        }
    }
}

async fn gather<B>(mut body: B, most: usize) -> Result<Gathered<B>, Class>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    // In one piece, because a frame may be a few bytes that keep a large buffer alive.
    let mut text = BytesMut::new();
    while text.len() <= most {
        match body.frame().await {
            // Trailers say nothing to a caller.
            Some(Ok(frame)) => text.extend_from_slice(&frame.into_data().unwrap_or_default()),
            Some(Err(error)) => return Err(class_of(error.into())),
            None => return Ok(Gathered { text: text.freeze(), rest: None }),
        }
    }
    Ok(Gathered { text: text.freeze(), rest: Some(body) })
}

fn class_of(error: BoxError) -> Class {
    error.downcast_ref::<AttemptError>().map_or(Class::Transport, |error| error.verdict.class)
}

impl<B: Body<Data = Bytes> + Unpin> Body for Gathered<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if !self.text.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(mem::take(&mut self.text)))));
        }
        match &mut self.rest {
            Some(rest) => Pin::new(rest).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.text.is_empty() && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let text = self.text.len() as u64;
        let rest = self.rest.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint);
        let mut hint = SizeHint::new();
        hint.set_lower(text.saturating_add(rest.lower()));
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(text)) {
            hint.set_upper(upper);
        }
        hint
    }
}
