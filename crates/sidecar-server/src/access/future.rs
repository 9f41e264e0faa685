//! [`ResponseFuture`].

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{HeaderName, HeaderValue, Response};
use http_body::Body;
use pin_project_lite::pin_project;

use super::AccessBody;
use super::body::Line;

pin_project! {
    /// The future of [`super::Access`]. Dropped before it is done, the caller has left, and the
    /// line says so.
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        inner: F,
        line: Option<Line>,
    }
}

impl<F> ResponseFuture<F> {
    pub(super) fn new(inner: F, line: Line) -> Self {
        Self { inner, line: Some(line) }
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
{
    type Output = Result<Response<AccessBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.inner.poll(cx))?;
        let mut line = this.line.take();
        if let Some(line) = &mut line {
            if let Ok(id) = HeaderValue::from_str(line.id()) {
                response.headers_mut().insert(REQUEST_ID, id);
            }
            line.answered(&response);
        }
        Poll::Ready(Ok(response.map(|body| AccessBody::new(body, line))))
    }
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
