//! What is held back, what is judged, and what comes out.

use std::collections::VecDeque;
use std::future::{Future, pending};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use proptest::prelude::*;
use tokio::time::{Sleep, sleep};
use tower::{Layer, ServiceExt, service_fn};

use super::*;
use crate::clock::Clock;
use crate::error::{AttemptError, BoxError};
use crate::provider::Api;
use crate::verdict::{Class, Verdict};

const PATIENCE: Patience =
    Patience { head: Duration::from_secs(20), first_event: Duration::from_secs(10) };
const KEPT: usize = 64 << 10;

const SSE: &str = "text/event-stream";
const JSON: &str = "application/json";

const STREAM: &str = ": keep-alive\n\n\r\ndata: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\
    \n\ndata: {\"choices\":[{\"delta\":{\"content\":\"an \\\"error\\\"\"}}]}\n\ndata: [DONE]\n\n";
const DOCUMENT: &str = "\n\n{\"choices\":[{\"message\":{\"content\":\"an \\\"error\\\"\"}}],\
    \"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}";

/// What a scripted body does next.
enum Step {
    Data(Bytes),
    Wait(Duration),
    Cut,
    Hang,
}

/// A body that follows a script, and panics if it is asked for more than that.
struct Script {
    steps: VecDeque<Step>,
    waiting: Option<Pin<Box<Sleep>>>,
    ended: bool,
}

impl Script {
    fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self { steps: steps.into_iter().collect(), waiting: None, ended: false }
    }

    /// `text` cut at `cuts`.
    fn cut(text: &[u8], cuts: &[usize]) -> Self {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        Self::new(cuts.windows(2).map(|cut| data(&text[cut[0]..cut[1]])))
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        assert!(!self.ended, "asked for more after its end");
        loop {
            if let Some(sleep) = &mut self.waiting {
                ready!(sleep.as_mut().poll(cx));
                self.waiting = None;
            }
            match self.steps.pop_front() {
                Some(Step::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Some(Step::Wait(wait)) => self.waiting = Some(Box::pin(sleep(wait))),
                Some(Step::Cut) => return Poll::Ready(Some(Err("connection reset".into()))),
                Some(Step::Hang) => {
                    self.steps.push_front(Step::Hang);
                    return Poll::Pending;
                }
                None => {
                    self.ended = true;
                    return Poll::Ready(None);
                }
            }
        }
    }
}

fn data(text: impl AsRef<[u8]>) -> Step {
    Step::Data(Bytes::copy_from_slice(text.as_ref()))
}

fn full(text: &'static str) -> Full<Bytes> {
    Full::from(text)
}

fn response<B>(status: u16, content_type: &str, body: B) -> Response<B> {
    Response::builder().status(status).header(CONTENT_TYPE, content_type).body(body).unwrap()
}

/// `response` after the layer.
async fn held<B>(response: Response<B>) -> Result<Response<FirstByteBody<B>>, BoxError>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let mut response = Some(response);
    let service = service_fn(move |()| {
        let response = response.take().expect("called once");
        async move { Ok::<_, BoxError>(response) }
    });
    let layer = FirstByteLayer::new(Api::OpenaiCompletions, PATIENCE, Clock::simulated());
    layer.layer(service).oneshot(()).await
}

async fn held_steps(
    status: u16,
    content_type: &str,
    steps: impl IntoIterator<Item = Step>,
) -> Result<Response<FirstByteBody<Script>>, BoxError> {
    held(response(status, content_type, Script::new(steps))).await
}

/// The class of a failure. Whatever a provider answered, it has seen the request.
fn failure<B>(result: Result<Response<B>, BoxError>) -> Class {
    let Err(error) = result else { panic!("it was passed on") };
    let error = error.downcast_ref::<AttemptError>().unwrap();
    assert!(error.sent);
    error.verdict.class
}

async fn bytes<B>(response: Response<B>) -> Vec<u8>
where
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    response.into_body().collect().await.unwrap().to_bytes().to_vec()
}

/// Runs `future` in a time of its own.
fn simulated<F: Future>(future: F) -> F::Output {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(future)
}

// What has not started yet.

#[tokio::test(start_paused = true)]
async fn comments_and_blank_lines_are_not_the_start() {
    let clock = Clock::simulated();
    let start = clock.now();
    let steps = [
        data(": keep-alive\n\n"),
        Step::Wait(Duration::from_secs(4)),
        data("\r\n\nevent: message\ndata:\n\ndata: \n\n"),
        Step::Wait(Duration::from_secs(4)),
        data("data: {\"choices\":[]}\n\n"),
    ];
    let response = held_steps(200, SSE, steps).await.unwrap();
    assert_eq!(clock.now() - start, Duration::from_secs(8));
    let expected =
        ": keep-alive\n\n\r\n\nevent: message\ndata:\n\ndata: \n\ndata: {\"choices\":[]}\n\n";
    assert_eq!(bytes(response).await, expected.as_bytes());
}

#[tokio::test(start_paused = true)]
async fn an_event_counts_once_its_line_is_complete() {
    let clock = Clock::simulated();
    let start = clock.now();
    let steps = [
        data("data: {\"choices\""),
        Step::Wait(Duration::from_secs(3)),
        data(":[]}\n"),
        Step::Hang,
    ];
    held_steps(200, SSE, steps).await.unwrap();
    assert_eq!(clock.now() - start, Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn white_space_before_a_document_is_not_the_start() {
    let clock = Clock::simulated();
    let start = clock.now();
    let steps =
        [data("\n\n"), Step::Wait(Duration::from_secs(5)), data(" \n"), data("{\"choices\":[]}")];
    let response = held_steps(200, JSON, steps).await.unwrap();
    assert_eq!(clock.now() - start, Duration::from_secs(5));
    assert_eq!(bytes(response).await, b"\n\n \n{\"choices\":[]}");
}

#[tokio::test(start_paused = true)]
async fn a_document_has_the_patience_for_a_whole_answer() {
    let steps = [
        data("\n"),
        Step::Wait(PATIENCE.first_event + Duration::from_secs(1)),
        data("{\"choices\":[]}"),
    ];
    held_steps(200, JSON, steps).await.unwrap();
}

// What fails over.

#[tokio::test(start_paused = true)]
async fn an_error_frame_inside_a_200_fails() {
    let error = "data: {\"error\":{\"message\":\"ResourceExhausted: Worker local total request \
        limit reached (16/16)\",\"type\":\"Service Unavailable\",\"code\":503}}\n\n";
    for steps in [vec![data(error)], vec![data(": hold on\n\n"), data(error), Step::Hang]] {
        assert!(failure(held_steps(200, SSE, steps).await).is_failure());
    }
    for cut in 0..error.len() {
        let script = Script::cut(error.as_bytes(), &[cut]);
        assert!(failure(held(response(200, SSE, script)).await).is_failure(), "cut at {cut}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_document_inside_a_200_fails_however_it_is_cut() {
    let error = "{\"error\":{\"message\":\"no healthy upstream\",\"code\":502}}";
    for cut in 0..error.len() {
        let script = Script::cut(error.as_bytes(), &[cut]);
        assert!(failure(held(response(200, JSON, script)).await).is_failure(), "cut at {cut}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_says_nothing_is_a_lie() {
    for text in [
        "",
        ": keep-alive\n\n",
        "\n\n\n",
        "data: [DONE]\n\n",
        ": hello\n\ndata: [DONE]\n\n",
        "<html><body>Bad gateway</body></html>",
        "\n<!DOCTYPE html>\n<html>",
    ] {
        let result = held(response(200, SSE, full(text))).await;
        assert_eq!(failure(result), Class::Lying, "{text:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn endless_comments_are_a_lie() {
    let comment = ": keep-alive\n\n".repeat(1_024);
    let steps = (0..1_000).map(|_| data(&comment));
    assert_eq!(failure(held_steps(200, SSE, steps).await), Class::Lying);
}

#[tokio::test(start_paused = true)]
async fn a_page_is_a_lie_whatever_it_calls_itself() {
    for content_type in ["text/html", JSON, "text/plain"] {
        for page in ["<html>Bad gateway</html>", "\n<!doctype html>"] {
            let result = held(response(200, content_type, full(page))).await;
            assert_eq!(failure(result), Class::Lying, "{content_type} {page:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_come_is_a_timeout() {
    let clock = Clock::simulated();
    let start = clock.now();
    let silent = service_fn(|()| pending::<Result<Response<Full<Bytes>>, BoxError>>());
    let layer = FirstByteLayer::new(Api::OpenaiCompletions, PATIENCE, clock.clone());
    assert_eq!(failure(layer.layer(silent).oneshot(()).await), Class::Timeout);
    assert_eq!(clock.now() - start, PATIENCE.head);
}

#[tokio::test(start_paused = true)]
async fn a_first_event_that_does_not_come_is_a_timeout() {
    let clock = Clock::simulated();
    for steps in [vec![Step::Hang], vec![data(": ping\n\n"), data("data: {\"cho"), Step::Hang]] {
        let start = clock.now();
        assert_eq!(failure(held_steps(200, SSE, steps).await), Class::Timeout);
        assert_eq!(clock.now() - start, PATIENCE.first_event);
    }
}

#[tokio::test(start_paused = true)]
async fn comments_do_not_prolong_the_wait_for_the_first_event() {
    let clock = Clock::simulated();
    let start = clock.now();
    let steps = (0..100).flat_map(|_| [data(": ping\n\n"), Step::Wait(Duration::from_secs(1))]);
    assert_eq!(failure(held_steps(200, SSE, steps).await), Class::Timeout);
    assert_eq!(clock.now() - start, PATIENCE.first_event);
}

#[tokio::test(start_paused = true)]
async fn a_cut_before_the_first_event_is_a_fault_of_the_way() {
    for content_type in [SSE, JSON] {
        let steps = [data("\n"), Step::Cut];
        assert_eq!(failure(held_steps(200, content_type, steps).await), Class::Transport);
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_inner_service_is_passed_on_as_it_is() {
    let refused = service_fn(|()| async {
        let error = AttemptError::new(Verdict::of(Class::Unreachable), false, None);
        Err::<Response<Full<Bytes>>, BoxError>(error.into())
    });
    let layer = FirstByteLayer::new(Api::OpenaiCompletions, PATIENCE, Clock::simulated());
    let error = layer.layer(refused).oneshot(()).await.map(drop).unwrap_err();
    let error = error.downcast_ref::<AttemptError>().unwrap();
    assert_eq!((error.verdict.class, error.sent), (Class::Unreachable, false));
}

// Answers that are not 2xx.

#[tokio::test(start_paused = true)]
async fn an_error_answer_keeps_its_status_its_body_and_a_verdict() {
    let body = "{\"error\":{\"message\":\"Too many requests\"}}";
    let response = held(response(429, JSON, full(body))).await.unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    let verdict = response.extensions().get::<Verdict>().unwrap();
    assert_eq!(verdict.class, Class::RateLimited);
    assert_eq!(bytes(response).await, body.as_bytes());
}

#[tokio::test(start_paused = true)]
async fn of_an_error_body_64_kib_are_kept_at_most() {
    let body: Vec<u8> = (0..200_u32 << 10).map(|at| b'a' + (at % 26) as u8).collect();
    for chunk in [1_000, 60_000, 200 << 10] {
        let response = held_steps(500, JSON, body.chunks(chunk).map(data)).await.unwrap();
        let kept = bytes(response).await;
        assert!(kept.len() <= KEPT, "{} bytes are kept of chunks of {chunk}", kept.len());
        assert!(kept.len() > KEPT / 2 && body.starts_with(&kept));
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_body_that_hangs_or_is_cut_is_judged_by_what_has_come() {
    let clock = Clock::simulated();
    let start = clock.now();
    for last in [Step::Hang, Step::Cut] {
        let response = held_steps(503, JSON, [data("{\"error\":\"over"), last]).await.unwrap();
        assert!(response.extensions().get::<Verdict>().unwrap().class.is_failure());
        assert_eq!(bytes(response).await, b"{\"error\":\"over");
    }
    assert!(clock.now() - start < PATIENCE.first_event);
}

#[tokio::test(start_paused = true)]
async fn a_redirect_is_no_good_answer() {
    let response = held(response(302, "text/html", full("<a>moved</a>"))).await.unwrap();
    assert!(response.extensions().get::<Verdict>().unwrap().class.is_failure());
}

// What comes out.

#[tokio::test(start_paused = true)]
async fn a_good_answer_carries_the_verdict_that_it_is_one() {
    for (content_type, text) in [(SSE, STREAM), (JSON, DOCUMENT), ("audio/mpeg", "ID3")] {
        let response = held(response(200, content_type, full(text))).await.unwrap();
        let verdict = response.extensions().get::<Verdict>().unwrap();
        assert_eq!(verdict.class, Class::Accept, "{content_type}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_a_body_may_be_right() {
    let response = Response::builder().status(204).body(Script::new([])).unwrap();
    let response = held(response).await.unwrap();
    assert_eq!(response.extensions().get::<Verdict>(), Some(&Verdict::ACCEPT));
    assert!(bytes(response).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_error_in_the_middle_of_a_stream_is_passed_on_as_one() {
    let steps = [data("data: {\"choices\":[]}\n\n"), data("data: {\"cho"), Step::Cut];
    let mut body = held_steps(200, SSE, steps).await.unwrap().into_body();
    for expected in ["data: {\"choices\":[]}\n\n", "data: {\"cho"] {
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), expected);
    }
    assert!(!body.is_end_stream());
    let error = body.frame().await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "connection reset");
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_not_held_back_any_further() {
    let steps = [data("data: {\"choices\":[]}\n\n"), Step::Hang];
    let mut body = held_steps(200, SSE, steps).await.unwrap().into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "data: {\"choices\":[]}\n\n");
    let next = tokio::time::timeout(Duration::from_secs(3_600), body.frame()).await;
    assert!(next.is_err(), "a stream may take its time");
}

#[tokio::test(start_paused = true)]
async fn the_size_of_a_document_stays_exact() {
    let length = DOCUMENT.len() as u64;
    let mut body = held(response(200, JSON, full(DOCUMENT))).await.unwrap().into_body();
    assert_eq!(body.size_hint().exact(), Some(length));
    assert!(!body.is_end_stream());
    body.frame().await.unwrap().unwrap();
    assert_eq!(body.size_hint().exact(), Some(0));
    assert!(body.is_end_stream());

    let body = held(response(400, JSON, full(DOCUMENT))).await.unwrap().into_body();
    assert_eq!(body.size_hint().exact(), Some(length));
}

#[tokio::test(start_paused = true)]
async fn the_size_of_a_stream_is_what_is_held_or_more() {
    let steps = [data("data: {\"choices\":[]}\n\n"), Step::Hang];
    let body = held_steps(200, SSE, steps).await.unwrap().into_body();
    let hint: SizeHint = body.size_hint();
    assert_eq!((hint.lower(), hint.upper()), (22, None));
}

proptest! {
    #[test]
    fn bytes_come_out_as_they_went_in_whatever_their_chunks(
        cuts in proptest::collection::vec(any::<usize>(), 0..10),
        opaque in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let audio = [b"ID3".as_slice(), &opaque].concat();
        for (content_type, text) in [
            (SSE, STREAM.as_bytes()),
            ("text/event-stream; charset=utf-8", STREAM.as_bytes()),
            (JSON, DOCUMENT.as_bytes()),
            ("audio/mpeg", audio.as_slice()),
        ] {
            let script = Script::cut(text, &cuts);
            let came_out = simulated(async {
                bytes(held(response(200, content_type, script)).await.unwrap()).await
            });
            prop_assert_eq!(came_out.as_slice(), text);
        }
    }

    #[test]
    fn no_answer_makes_it_panic(
        status in 200..600_u16,
        is_stream in any::<bool>(),
        pieces in proptest::collection::vec(any::<Vec<u8>>(), 0..6),
    ) {
        let content_type = if is_stream { SSE } else { JSON };
        let steps: Vec<Step> = pieces.iter().map(data).collect();
        simulated(async {
            if let Ok(response) = held_steps(status, content_type, steps).await {
                bytes(response).await;
            }
        });
    }
}
