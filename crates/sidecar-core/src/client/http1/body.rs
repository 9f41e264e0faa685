//! [`Http1Body`].

use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::link::Link;
use super::pool::Shelf;

/// The body of an answer. It drives its connection while it is polled, and gives it back at its end;
/// dropped before that, it closes the connection.
#[derive(Debug)]
pub(in super::super) struct Http1Body {
    inner: Incoming,
    /// The connection, and where it goes afterwards; none once it is not needed any more.
    link: Option<(Link, Option<Arc<Shelf>>)>,
    /// Whether a frame was given that may still be in use.
    has_given: bool,
}

impl Http1Body {
    pub(super) fn driven(inner: Incoming, link: Link) -> Self {
        Self { inner, link: Some((link, None)), has_given: false }
    }

    /// All of it has come: the connection is free for another request.
    fn finish(&mut self) {
        if let Some((link, Some(shelf))) = self.link.take() {
            shelf.put(link);
        }
    }
}

/// `answer`, whose connection goes to `shelf` at its end.
pub(super) fn kept_by(shelf: Arc<Shelf>, answer: Response<Http1Body>) -> Response<Http1Body> {
    answer.map(|mut body| {
        if let Some((_, home)) = &mut body.link {
            *home = Some(shelf);
        }
        if body.inner.is_end_stream() {
            body.finish();
        }
        body
    })
}

impl Body for Http1Body {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let mut polled = Pin::new(&mut self.inner).poll_frame(cx);
        if polled.is_pending()
            && let Self { link: Some((link, _)), has_given, inner } = &mut *self
        {
            if mem::take(has_given) {
                // Most often a stream has nothing more to say yet. To look for it now would take a
                // new buffer, because the last frame stands in the old one until it is sent on.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let has_ended = link.poll_driven(cx).is_ready();
            polled = Pin::new(inner).poll_frame(cx);
            if has_ended {
                self.link = None;
            }
        }
        match &polled {
            Poll::Ready(Some(Ok(_))) if !self.inner.is_end_stream() => {
                // A document is waited for as a whole.
                self.has_given = self.inner.size_hint().exact().is_none();
            }
            Poll::Ready(Some(Ok(_)) | None) => self.finish(),
            Poll::Ready(Some(Err(_))) => self.link = None,
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
