//! The answer that goes back to the caller.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;

use super::live::LiveProvider;
use crate::call::{Call, Head};
use crate::callers::CallerPermit;
use crate::dispatch::response_headers;
use crate::error::BoxError;
use crate::ingest::Family;
use crate::metrics::AgentRequest;

/// A provider's answer as it streams by.
pub type ResponseBody = UnsyncBoxBody<Bytes, BoxError>;

/// Who answered; an annotation in the extensions of a response.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Served {
    /// The provider's name.
    pub provider: Arc<str>,
    /// How many providers the request was sent to.
    pub attempts: u32,
    /// How long it waited for a free slot.
    pub queued: Duration,
    /// The one revision of providers and settings that it was planned with.
    pub revision: u64,
}

/// Keeps its guard until the body ends, so that a stream counts as in flight while it runs.
struct Guarded<B> {
    inner: B,
    _in_flight: Arc<()>,
    /// The caller's leave: it has one request more under way until then.
    _permit: Option<Arc<CallerPermit>>,
    /// Its agent waits until then, too.
    request: Option<AgentRequest>,
}

/// `response` with the headers a caller may see, and who served it; its revision stands beside it
/// as a header.
pub(super) fn answer<B>(
    response: Response<B>,
    provider: &LiveProvider,
    (served, revision): (Served, HeaderValue),
    call: &Call,
    mut request: Option<AgentRequest>,
) -> Response<ResponseBody>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let (mut head, inner) = response.into_parts();
    let in_flight = provider.in_flight.clone();
    let permit = call.head().permit.get().cloned();
    if let Some(request) = &mut request {
        request.answered();
    }
    let body = Guarded { inner, _in_flight: in_flight, _permit: permit, request }
        .map_err(Into::into)
        .boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    // What the provider's side noted is not for the caller's; the map itself is used again.
    head.extensions.clear();
    *response.extensions_mut() = head.extensions;
    let mut headers = response_headers(&head.headers, !head.status.is_success());
    // A name may hold what a header may not; the id of such a provider is in the logs.
    if let Some(name) = &provider.name_header {
        headers.insert(PROVIDER, name.clone());
    }
    headers.insert(REVISION, revision);
    annotate(&mut headers, &served, call.head());
    *response.headers_mut() = headers;
    tracing::debug!(provider = %provider.name, attempts = served.attempts, "served");
    response.extensions_mut().insert(served);
    response
}

fn annotate(headers: &mut HeaderMap, served: &Served, head: &Head) {
    if let Ok(id) = HeaderValue::from_str(&head.id) {
        if head.family == Family::Anthropic {
            // Its clients read no other.
            headers.insert(ANTHROPIC_REQUEST_ID, id.clone());
        }
        headers.insert(REQUEST_ID, id);
    }
    let queued = u64::try_from(served.queued.as_millis()).unwrap_or(u64::MAX);
    headers.insert(ATTEMPTS, number(served.attempts.into()));
    headers.insert(QUEUED, number(queued));
}

/// Most numbers are one of two.
fn number(number: u64) -> HeaderValue {
    match number {
        0 => HeaderValue::from_static("0"),
        1 => HeaderValue::from_static("1"),
        number => number.into(),
    }
}

impl<B: Body + Unpin> Body for Guarded<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.inner).poll_frame(cx));
        if let (Some(Err(_)), Some(request)) = (&frame, &mut this.request) {
            request.broke();
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

const PROVIDER: HeaderName = HeaderName::from_static("x-sidecar-provider");
const ATTEMPTS: HeaderName = HeaderName::from_static("x-sidecar-attempts");
const REVISION: HeaderName = HeaderName::from_static("x-sidecar-rev");
const QUEUED: HeaderName = HeaderName::from_static("x-sidecar-queued-ms");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const ANTHROPIC_REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
