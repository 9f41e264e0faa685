//! [`ResponseFuture`].

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{HeaderName, HeaderValue, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use sidecar_core::ingest::Family;

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
            let has_id = response.headers().get(REQUEST_ID).is_some_and(|id| id == line.id());
            if !has_id && let Ok(id) = HeaderValue::from_str(line.id()) {
                if line.family() == Some(Family::Anthropic) {
                    // Its clients read no other.
                    response.headers_mut().insert(ANTHROPIC_REQUEST_ID, id.clone());
                }
                response.headers_mut().insert(REQUEST_ID, id);
            }
            line.answered(&response);
        }
        Poll::Ready(Ok(response.map(|body| AccessBody::new(body, line))))
    }
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const ANTHROPIC_REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

#[cfg(test)]
mod tests {
    use http::Request;
    use http_body_util::Empty;
    use sidecar_core::clock::Clock;
    use sidecar_core::error::BoxError;
    use tower::{Layer as _, ServiceExt as _, service_fn};

    use super::super::AccessLayer;
    use super::*;

    #[tokio::test]
    async fn an_answer_has_its_id_where_its_family_reads_it() {
        for (path, is_anthropic) in [
            ("/v1/messages", true),
            ("/messages/count_tokens", true),
            ("/v1/chat/completions", false),
            ("/health", false),
        ] {
            let answer =
                async |_: Request<()>| Ok::<_, BoxError>(Response::new(Empty::<&[u8]>::new()));
            let service = AccessLayer::new(Clock::simulated()).layer(service_fn(answer));
            let request = Request::get(path).body(()).unwrap();
            let answer = service.oneshot(request).await.unwrap();
            let id = answer.headers().get(REQUEST_ID).unwrap();
            let again = answer.headers().get(ANTHROPIC_REQUEST_ID);
            assert_eq!(again, is_anthropic.then_some(id), "{path}");
        }
    }
}
