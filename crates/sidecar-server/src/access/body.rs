//! [`AccessBody`], and the line that is written at its end.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Buf as _;
use http::{Method, Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use sidecar_core::call::RequestId;
use sidecar_core::clock::{Clock, Instant};
use sidecar_core::ingest::{Family, usual_path};
use sidecar_core::pool::Served;

pin_project! {
    /// Counts the bytes of an answer, and writes its line once: at the end, at the last frame of a
    /// body that knows its end, on an error, or when it is dropped.
    #[derive(Debug)]
    pub struct AccessBody<B> {
        #[pin]
        inner: B,
        line: Option<Line>,
    }
}

/// What is known of a request. It is written when it is dropped.
#[derive(Debug)]
pub(super) struct Line {
    id: RequestId,
    method: Method,
    path: Cow<'static, str>,
    clock: Clock,
    started: Instant,
    status: Option<u16>,
    served: Option<(Arc<str>, u32)>,
    bytes: u64,
    /// How it ended; a line that is dropped before it is told was left by its caller.
    ending: &'static str,
}

impl<B> AccessBody<B> {
    pub(super) fn new(inner: B, line: Option<Line>) -> Self {
        Self { inner, line }
    }
}

impl<B: Body> Body for AccessBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let frame = ready!(this.inner.as_mut().poll_frame(cx));
        let ending = match &frame {
            Some(Ok(frame)) => {
                if let (Some(line), Some(data)) = (this.line.as_mut(), frame.data_ref()) {
                    line.bytes += data.remaining() as u64;
                }
                // The server may stop polling after the last frame.
                this.inner.is_end_stream().then_some(COMPLETE)
            }
            Some(Err(_)) => Some("cut"),
            None => Some(COMPLETE),
        };
        if let Some(ending) = ending
            && let Some(mut line) = this.line.take()
        {
            line.ending = ending;
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

impl Line {
    pub(super) fn start<T>(request: &Request<T>, id: RequestId, clock: Clock) -> Self {
        let path = request.uri().path();
        let path = path.char_indices().nth(MOST_CHARACTERS).map_or(path, |(end, _)| &path[..end]);
        Self {
            id,
            method: request.method().clone(),
            path: usual_path(path).map_or_else(|| Cow::Owned(path.to_owned()), Cow::Borrowed),
            started: clock.now(),
            clock,
            status: None,
            served: None,
            bytes: 0,
            ending: "caller left",
        }
    }

    pub(super) fn id(&self) -> &str {
        &self.id.0
    }

    /// The protocol family of its path, if it is one that is proxied.
    pub(super) fn family(&self) -> Option<Family> {
        Family::of_path(&self.path)
    }

    pub(super) fn answered<B: Body>(&mut self, response: &Response<B>) {
        self.status = Some(response.status().as_u16());
        let served = response.extensions().get::<Served>();
        self.served = served.map(|served| (served.provider.clone(), served.attempts));
        if response.body().is_end_stream() {
            self.ending = COMPLETE;
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let micros = (self.clock.now() - self.started).as_micros();
        tracing::info!(
            request_id = &*self.id.0,
            method = self.method.as_str(),
            path = &*self.path,
            status = self.status,
            provider = self.served.as_ref().map(|(provider, _)| provider.as_ref()),
            attempts = self.served.as_ref().map(|(_, attempts)| attempts),
            bytes = self.bytes,
            duration_ms = micros as f64 / 1e3,
            ending = self.ending,
            "request"
        );
    }
}

const COMPLETE: &str = "complete";
const MOST_CHARACTERS: usize = 256;
