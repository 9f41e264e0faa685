//! Delivery `complete` of a stream: comments keep the caller's connection alive until there is an
//! answer, or none.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::time::{Interval, MissedTickBehavior, Sleep, interval, sleep, timeout};

use super::ResponseBody;
use super::service::{Answer, Running};
use crate::call::{Call, Head};
use crate::callers::Delivery;
use crate::dispatch::response_headers;
use crate::error::{AttemptError, BoxError};
use crate::ingest::Family;
use crate::relay::{LAST_WORDS, error_event, failure_event};
use crate::sse::is_event_stream;
use crate::verdict::{Class, Verdict};

/// A body that owns the request: comments while it runs, then what came of it. Dropped, it ends the
/// request.
struct Heartbeats {
    stage: Stage,
}

enum Stage {
    Waiting {
        run: Running,
        call: Call,
        beats: Interval,
    },
    Passing(ResponseBody),
    /// The error event has been passed on. The pause starts with the next poll.
    Failed(BoxError, Option<Pin<Box<Sleep>>>),
    Over,
}

/// Whether a request may have to wait long for the first byte of a stream of events.
pub(super) fn is_needed(head: &Head) -> bool {
    head.delivery == Delivery::Complete && head.stream && gets_events(head)
}

/// Answers as `run` does, if that is soon. Otherwise the head is sent before there is an answer:
/// clients and proxies give up a connection on which nothing moves. What it says of the provider
/// is not known yet then, and an error can only be told inside the stream.
pub(super) async fn keep_alive(mut run: Running, call: Call) -> Answer {
    match timeout(HEARTBEAT, &mut run).await {
        Ok(answer) => answer,
        Err(_) => Ok(begin(run, call)),
    }
}

fn begin(run: Running, call: Call) -> Response<ResponseBody> {
    let stream = (CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    let mut headers = response_headers(&HeaderMap::from_iter([stream]), false);
    if let Ok(id) = HeaderValue::from_str(&call.head().id) {
        headers.insert(REQUEST_ID, id);
    }
    let mut beats = interval(HEARTBEAT);
    // A slow reader gets no comments in a heap.
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let body = Heartbeats { stage: Stage::Waiting { run, call, beats } };
    let mut response = Response::new(body.boxed_unsync());
    *response.headers_mut() = headers;
    response
}

/// What follows the comments: the answer's body, or an event that says why there is none, and the
/// error to abort with.
fn outcome(answer: Answer, head: &Head) -> Result<ResponseBody, (String, BoxError)> {
    match answer {
        Ok(response) if is_event_stream(response.headers()) => Ok(response.into_body()),
        // A document cannot follow any more.
        Ok(_) => {
            let error = AttemptError::new(Verdict::of(Class::Lying), true, None);
            Err((failure_event(head), error.into()))
        }
        Err(error) => {
            let code = error.code();
            tracing::warn!(request_id = %head.id, code, "failed after the head was sent");
            Err((error_event(&error, head), error.into()))
        }
    }
}

/// Gemini streams a JSON array unless it is asked for events.
fn gets_events(head: &Head) -> bool {
    let query = head.query.as_deref().unwrap_or_default();
    head.family != Family::Gemini || query.split('&').any(|parameter| parameter == "alt=sse")
}

impl Body for Heartbeats {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let stage = &mut self.stage;
        loop {
            match stage {
                Stage::Waiting { run, call, beats } => {
                    let Poll::Ready(answer) = run.as_mut().poll(cx) else {
                        // The first one is due at once: it goes out with the head.
                        ready!(beats.poll_tick(cx));
                        return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(COMMENT)))));
                    };
                    match outcome(answer, call.head()) {
                        Ok(body) => *stage = Stage::Passing(body),
                        Err((event, error)) => {
                            *stage = Stage::Failed(error, None);
                            return Poll::Ready(Some(Ok(Frame::data(event.into()))));
                        }
                    }
                }
                Stage::Passing(body) => {
                    let frame = ready!(Pin::new(body).poll_frame(cx));
                    if !matches!(frame, Some(Ok(_))) {
                        *stage = Stage::Over;
                    }
                    return Poll::Ready(frame);
                }
                Stage::Failed(_, pause) => {
                    // A server that is told of the failure at once drops what it has not sent.
                    let pause = pause.get_or_insert_with(|| Box::pin(sleep(LAST_WORDS)));
                    ready!(pause.as_mut().poll(cx));
                    let failed = mem::replace(stage, Stage::Over);
                    let Stage::Failed(error, _) = failed else { return Poll::Ready(None) };
                    return Poll::Ready(Some(Err(error)));
                }
                Stage::Over => return Poll::Ready(None),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.stage {
            Stage::Waiting { .. } | Stage::Failed(..) => false,
            Stage::Passing(body) => body.is_end_stream(),
            Stage::Over => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.stage {
            Stage::Waiting { .. } | Stage::Failed(..) => SizeHint::default(),
            Stage::Passing(body) => body.size_hint(),
            Stage::Over => SizeHint::with_exact(0),
        }
    }
}

/// How long a caller waits without a sign of life. Proxies close what is silent for a minute.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// The one thing that every client skips.
const COMMENT: &[u8] = b": waiting\n\n";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::clock::Instant;

    #[test]
    fn only_a_stream_of_events_that_is_gathered_can_have_comments() {
        for (delivery, stream, family, query, expected) in [
            (Delivery::Complete, true, Family::OpenAi, None, true),
            (Delivery::Complete, true, Family::Anthropic, None, true),
            (Delivery::Complete, true, Family::Responses, None, true),
            (Delivery::Complete, true, Family::Gemini, Some("a=1&alt=sse"), true),
            (Delivery::Complete, true, Family::Gemini, Some("alt=json"), false),
            (Delivery::Complete, true, Family::Gemini, None, false),
            (Delivery::Complete, false, Family::OpenAi, None, false),
            (Delivery::Stream, true, Family::OpenAi, None, false),
        ] {
            let now = Instant::from_nanos(0);
            let head = Head {
                delivery,
                stream,
                query: query.map(str::to_owned),
                ..Head::of_our_own("req_1", Method::POST, family, String::new(), now)
            };
            assert_eq!(is_needed(&head), expected, "{delivery:?} {stream} {family:?} {query:?}");
        }
    }
}
