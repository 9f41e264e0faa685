//! [`Http2Body`].

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Response};
use http_body::{Body, Frame, SizeHint};

use super::link::Place;
use super::upload::Upload;

/// The body of an answer by HTTP/2. It keeps its place on the connection to its end.
///
/// It ends where the provider said that it ends. A stream that is reset before that is an error
/// whatever the reason: hyper takes one reset without an error for the end.
#[derive(Debug)]
pub(in super::super) struct Http2Body {
    open: Option<Open>,
    /// How many bytes are still to come, if that is known.
    left: Option<u64>,
}

/// The fields are dropped in this order: a place is free once its stream has been given up.
#[derive(Debug)]
struct Open {
    stream: RecvStream,
    /// What the provider has not taken yet, although it answers already.
    upload: Option<Upload>,
    _place: Place,
}

impl Http2Body {
    pub(super) fn of(
        answer: Response<RecvStream>,
        upload: Option<Upload>,
        place: Place,
    ) -> Response<Self> {
        let left = length(answer.headers());
        answer.map(|stream| {
            let mut body = Self { open: Some(Open { stream, upload, _place: place }), left };
            body.close_at_end();
            body
        })
    }

    fn close_at_end(&mut self) {
        if self.open.as_ref().is_some_and(|open| open.stream.is_end_stream()) {
            self.open = None;
        }
    }
}

impl Body for Http2Body {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let Some(Open { stream, upload, .. }) = &mut self.open else { return Poll::Ready(None) };
        if upload.as_mut().is_some_and(|upload| upload.poll_done(cx).is_ready()) {
            *upload = None;
        }
        match ready!(stream.poll_data(cx)) {
            Some(Ok(data)) => {
                // Whoever asks for the next frame has passed this one on. It fails only if more is
                // given back than was taken.
                let _ = stream.flow_control().release_capacity(data.len());
                self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                self.close_at_end();
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            Some(Err(error)) => {
                self.open = None;
                return Poll::Ready(Some(Err(error)));
            }
            None => {}
        }
        let trailers = ready!(stream.poll_trailers(cx));
        self.open = None;
        Poll::Ready(trailers.transpose().map(|trailers| trailers.map(Frame::trailers)))
    }

    fn is_end_stream(&self) -> bool {
        self.open.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.open, self.left) {
            (None, _) => SizeHint::with_exact(0),
            (Some(_), Some(left)) => SizeHint::with_exact(left),
            (Some(_), None) => SizeHint::default(),
        }
    }
}

/// The length that is announced. Whether it is kept to is watched by the connection.
fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
