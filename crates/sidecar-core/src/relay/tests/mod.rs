//! How bodies end, when, and who hears of it. What passes is tested in `events`.

mod books;
mod ending;
pub(in crate::relay) mod recorded;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Method, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use proptest::prelude::*;
use tokio::time::{Sleep, sleep};
use tower::{Layer, ServiceExt, service_fn};

use self::recorded::{ALL, ANTHROPIC, OPENAI};
use super::*;
use crate::call::{Call, Caller, Head};
use crate::clock::Clock;
use crate::error::{AttemptError, BoxError};
use crate::ingest::Family;
use crate::provider::StreamUsage;
use crate::verdict::Class;

const IDLE: Duration = Duration::from_secs(60);
const SSE: &str = "text/event-stream; charset=utf-8";
const JSON: &str = "application/json";
const CHAT: (Family, &str) = (Family::OpenAi, "/v1/chat/completions");
const CHUNK: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";
const FINISH: &str = "data: {\"choices\":[{\"index\":0,\"finish_reason\":\"stop\"}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";

/// What a scripted body does next.
enum Step {
    Data(Bytes),
    Wait(Duration),
    Trailers,
    Cut,
    Hang,
}

/// A body that follows a script, and panics if it is asked for more than that.
struct Script {
    steps: VecDeque<Step>,
    waiting: Option<Pin<Box<Sleep>>>,
    is_over: bool,
    /// Counted down when it is dropped.
    alive: Arc<()>,
}

impl Script {
    fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        let steps = steps.into_iter().collect();
        Self { steps, waiting: None, is_over: false, alive: Arc::new(()) }
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        assert!(!self.is_over, "asked for more after its end");
        loop {
            if let Some(sleep) = &mut self.waiting {
                ready!(sleep.as_mut().poll(cx));
                self.waiting = None;
            }
            match self.steps.pop_front() {
                Some(Step::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Some(Step::Wait(wait)) => self.waiting = Some(Box::pin(sleep(wait))),
                Some(Step::Trailers) => {
                    return Poll::Ready(Some(Ok(Frame::trailers(HeaderMap::new()))));
                }
                Some(Step::Cut) => {
                    self.is_over = true;
                    return Poll::Ready(Some(Err("connection reset".into())));
                }
                Some(Step::Hang) => {
                    self.steps.push_front(Step::Hang);
                    return Poll::Pending;
                }
                None => {
                    self.is_over = true;
                    return Poll::Ready(None);
                }
            }
        }
    }
}

fn data(text: impl AsRef<[u8]>) -> Step {
    Step::Data(Bytes::copy_from_slice(text.as_ref()))
}

fn head((family, path): (Family, &str), clock: &Clock) -> Head {
    let now = clock.now();
    Head {
        model: Some("m".into()),
        stream: true,
        caller: Caller::anonymous(),
        ..Head::of_our_own("req_1", Method::POST, family, path.to_owned(), now)
    }
}

fn response<B>(status: u16, content_type: &str, body: B) -> Response<B> {
    Response::builder().status(status).header(CONTENT_TYPE, content_type).body(body).unwrap()
}

/// What was reported as cut.
type Reports = Arc<Mutex<Vec<Class>>>;

/// `response` after the layer, and what is reported of it.
async fn relay<B>(head: Head, response: Response<B>) -> (Response<RelayBody<B>>, Reports)
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let reports = Reports::default();
    let hook = reports.clone();
    let config = RelayConfig {
        idle_timeout: IDLE,
        stream_usage: StreamUsage::Native,
        clock: Clock::simulated(),
    };
    let layer =
        RelayLayer::new(config).on_cut(Arc::new(move |class| hook.lock().unwrap().push(class)));
    let mut response = Some(response);
    let service = service_fn(move |_: Call| {
        let response = response.take().expect("called once");
        async move { Ok::<_, BoxError>(response) }
    });
    let call = Call::new(head, Bytes::new());
    (layer.layer(service).oneshot(call).await.unwrap(), reports)
}

async fn relay_steps(
    endpoint: (Family, &str),
    content_type: &str,
    steps: impl IntoIterator<Item = Step>,
) -> (RelayBody<Script>, Reports) {
    let head = head(endpoint, &Clock::simulated());
    let (response, reports) = relay(head, response(200, content_type, Script::new(steps))).await;
    (response.into_body(), reports)
}

/// All that comes of a body, and how it fails if it does.
async fn read<B>(body: &mut RelayBody<B>) -> (String, Option<BoxError>)
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let mut text = Vec::new();
    let error = loop {
        match body.frame().await {
            Some(Ok(frame)) => text.extend_from_slice(&frame.into_data().unwrap_or_default()),
            Some(Err(error)) => break Some(error),
            None => break None,
        }
    };
    assert!(body.is_end_stream());
    assert_eq!(body.size_hint().exact(), Some(0));
    // Asking again is harmless.
    assert!(body.frame().await.is_none());
    (String::from_utf8(text).unwrap(), error)
}

fn class(error: &BoxError) -> Class {
    let error = error.downcast_ref::<AttemptError>().unwrap();
    assert!(error.sent);
    error.verdict.class
}

/// Runs `future` in a time of its own.
fn simulated<F: Future>(future: F) -> F::Output {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(future)
}

// What is left alone.

#[tokio::test(start_paused = true)]
async fn an_error_answer_is_not_touched() {
    for (status, text) in [(429, "id: 1\n\nevent: x\n"), (503, "{\"error\":{}}"), (302, "")] {
        let head = head(CHAT, &Clock::simulated());
        let (answer, reports) = relay(head, response(status, SSE, Full::from(text))).await;
        assert_eq!(answer.status(), status);
        let mut body = answer.into_body();
        assert_eq!(body.size_hint().exact(), Some(text.len() as u64));
        let (passed, error) = read(&mut body).await;
        assert!(passed == text && error.is_none());
        assert!(reports.lock().unwrap().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn the_answer_to_a_head_request_has_no_body_to_complain_of() {
    let head = Head { method: Method::HEAD, ..head(CHAT, &Clock::simulated()) };
    let (answer, reports) = relay(head, response(200, SSE, Full::from(""))).await;
    let (passed, error) = read(&mut answer.into_body()).await;
    assert!(passed.is_empty() && error.is_none() && reports.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_document_passes_untouched() {
    let text = "\n{\"id: 1\":\n\n\n\"[DONE]\"}";
    let head = head(CHAT, &Clock::simulated());
    let (answer, _) = relay(head, response(200, JSON, Full::from(text))).await;
    let mut body = answer.into_body();
    assert_eq!(body.size_hint().exact(), Some(text.len() as u64));
    assert!(!body.is_end_stream());
    let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(frame.as_ptr(), text.as_ptr());
    assert!(body.is_end_stream());
    assert_eq!(body.size_hint().exact(), Some(0));
}

#[tokio::test(start_paused = true)]
async fn a_stream_has_no_length_beforehand() {
    let head = head(CHAT, &Clock::simulated());
    let mut answer = response(200, SSE, Full::from(OPENAI));
    answer.headers_mut().insert(CONTENT_LENGTH, OPENAI.len().into());
    let (answer, _) = relay(head, answer).await;
    assert!(!answer.headers().contains_key(CONTENT_LENGTH));
    let mut body = answer.into_body();
    let hint: SizeHint = body.size_hint();
    assert_eq!((hint.lower(), hint.upper()), (0, None));
    assert!(!body.is_end_stream());
    let (passed, error) = read(&mut body).await;
    assert!(passed == OPENAI && error.is_none());
}

// Documents that do not come to their end.

#[tokio::test(start_paused = true)]
async fn a_document_that_is_cut_or_silent_fails() {
    for (last, expected) in [(Step::Cut, Class::Transport), (Step::Hang, Class::Timeout)] {
        let clock = Clock::simulated();
        let steps = [
            Step::Wait(10 * IDLE),
            data("{\"a\":"),
            Step::Wait(IDLE - Duration::from_secs(1)),
            data("1"),
            last,
        ];
        let (mut body, reports) = relay_steps(CHAT, JSON, steps).await;
        let start = clock.now();
        let (passed, error) = read(&mut body).await;
        assert_eq!(passed, "{\"a\":1");
        assert_eq!(class(&error.unwrap()), expected);
        assert_eq!(*reports.lock().unwrap(), [expected]);
        let silence = if expected == Class::Timeout { IDLE } else { Duration::ZERO };
        let took = clock.now() - start - (11 * IDLE - Duration::from_secs(1));
        assert!(took >= silence && took < silence + Duration::from_secs(1), "{took:?}");
    }
}

// Streams that do not come to their end.

#[tokio::test(start_paused = true)]
async fn a_cut_stream_ends_with_one_error_and_fails() {
    for last in [vec![], vec![Step::Cut], vec![data("data: {\"cho"), Step::Cut]] {
        let steps = [data(CHUNK)].into_iter().chain(last);
        let (mut body, reports) = relay_steps(CHAT, SSE, steps).await;
        let (passed, error) = read(&mut body).await;
        let event = passed.strip_prefix(CHUNK).unwrap();
        assert!(event.starts_with("data: {\"error\":{\"message\":\"") && event.ends_with("}}\n\n"));
        assert!(event.contains("\"type\":\"server_error\",\"param\":null,\"code\":\"stream_cut\""));
        assert_eq!(event.matches("data:").count(), 1);
        assert_eq!(class(&error.unwrap()), Class::Transport);
        assert_eq!(*reports.lock().unwrap(), [Class::Transport]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_cut_within_a_long_line_only_fails() {
    let half = format!("data: {{\"b64_json\":\"{}", "A".repeat(100_000));
    for endpoint in [CHAT, (Family::OpenAi, "/v1/images/generations")] {
        for (last, expected) in [
            (None, Class::Transport),
            (Some(Step::Cut), Class::Transport),
            (Some(Step::Hang), Class::Timeout),
        ] {
            let steps = [data(CHUNK), data(&half)].into_iter().chain(last);
            let (mut body, reports) = relay_steps(endpoint, SSE, steps).await;
            let (passed, error) = read(&mut body).await;
            let rest = passed.strip_prefix(CHUNK).unwrap();
            assert!(rest == half, "{}", &rest[half.len()..]);
            assert_eq!(class(&error.unwrap()), expected);
            assert_eq!(*reports.lock().unwrap(), [expected]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_is_given_up_after_the_idle_timeout() {
    let clock = Clock::simulated();
    let start = clock.now();
    let almost = IDLE - Duration::from_secs(1);
    let steps = [
        Step::Wait(10 * IDLE),
        data(CHUNK),
        Step::Wait(almost),
        data(": still here\n\n"),
        Step::Wait(almost),
        data("data: {\"cho"),
        Step::Hang,
    ];
    let (mut body, reports) = relay_steps(CHAT, SSE, steps).await;
    let (passed, error) = read(&mut body).await;
    let event = passed.strip_prefix(&format!("{CHUNK}: still here\n\n")).unwrap();
    assert!(event.contains("\"code\":\"stream_stalled\""), "{event}");
    assert_eq!(class(&error.unwrap()), Class::Timeout);
    assert_eq!(*reports.lock().unwrap(), [Class::Timeout]);
    let took = (clock.now() - start).as_secs();
    assert_eq!(took, (10 * IDLE + 2 * almost + IDLE).as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_does_not_make_a_provider_look_slow() {
    let steps = [data(CHUNK), Step::Wait(Duration::from_secs(1)), data(FINISH), data(DONE)];
    let (mut body, reports) = relay_steps(CHAT, SSE, steps).await;
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, CHUNK);
    sleep(10 * IDLE).await;
    let (passed, error) = read(&mut body).await;
    assert!(passed == format!("{FINISH}{DONE}") && error.is_none());
    assert!(reports.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_error_frame_is_a_lie_and_the_provider_is_left_at_once() {
    let steps = [data(CHUNK), data("data: {\"error\":{\"message\":\"needle\"}}\n\n"), Step::Hang];
    let script = Script::new(steps);
    let alive = Arc::downgrade(&script.alive);
    let head = head(CHAT, &Clock::simulated());
    let (answer, reports) = relay(head, response(200, SSE, script)).await;
    let mut body = answer.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), CHUNK);
    let event = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(event.starts_with(b"data: {\"error\"") && !event.windows(6).any(|w| w == b"needle"));
    assert_eq!(alive.strong_count(), 0);
    assert!(!body.is_end_stream());
    let (passed, error) = read(&mut body).await;
    assert!(passed.is_empty());
    assert_eq!(class(&error.unwrap()), Class::Lying);
    assert_eq!(*reports.lock().unwrap(), [Class::Lying]);
}

#[tokio::test(start_paused = true)]
async fn a_server_gets_time_to_send_the_error_before_the_body_fails() {
    let (mut body, _) = relay_steps(CHAT, SSE, [data(CHUNK), Step::Cut]).await;
    body.frame().await.unwrap().unwrap();
    body.frame().await.unwrap().unwrap();
    let mut context = Context::from_waker(std::task::Waker::noop());
    assert!(Pin::new(&mut body).poll_frame(&mut context).is_pending());
    assert!(body.frame().await.unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn every_family_is_told_in_its_own_words() {
    for (endpoint, front, expected) in [
        (CHAT, CHUNK, "data: {\"error\":{\"message\":"),
        ((Family::OpenAi, "/v1/completions"), CHUNK, "data: {\"error\":{\"message\":"),
        ((Family::OpenAi, "/v1/audio/speech"), "data: {}\n\n", "data: {\"error\":{\"message\":"),
        (
            (Family::Responses, "/v1/responses"),
            "event: x\ndata: {}\n\n",
            "event: error\ndata: {\"type\":\"error\",\"code\":\"stream_cut\",",
        ),
        (
            (Family::Anthropic, "/v1/messages"),
            "event: x\ndata: {}\n\n",
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",",
        ),
        (
            (Family::Gemini, "/v1beta/models/m:streamGenerateContent"),
            "data: {}\r\n\r\n",
            "data: {\"error\":{\"code\":502,",
        ),
    ] {
        let (mut body, _) = relay_steps(endpoint, SSE, [data(front), Step::Cut]).await;
        let (passed, error) = read(&mut body).await;
        assert!(passed.strip_prefix(front).unwrap().starts_with(expected), "{passed}");
        assert!(error.is_some());
    }
}

// Streams that do.

#[tokio::test(start_paused = true)]
async fn usage_is_shown_as_it_was_asked_for() {
    let clock = Clock::simulated();
    for (stream_usage, usage_asked, chunks) in [
        (StreamUsage::Inject, false, 3),
        (StreamUsage::Inject, true, 4),
        (StreamUsage::Native, false, 4),
        (StreamUsage::Forbid, true, 4),
    ] {
        let config = RelayConfig { idle_timeout: IDLE, stream_usage, clock: clock.clone() };
        let provider = service_fn(async |_: Call| {
            Ok::<_, BoxError>(response(200, SSE, Full::<Bytes>::from(OPENAI)))
        });
        let head = Head { usage_asked, ..head(CHAT, &clock) };
        let call = Call::new(head, Bytes::new());
        let answer = RelayLayer::new(config).layer(provider).oneshot(call).await.unwrap();
        let (passed, error) = read(&mut answer.into_body()).await;
        assert_eq!(passed.matches("data: {").count(), chunks, "{stream_usage:?} {usage_asked}");
        assert!(passed.ends_with(DONE) && error.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_that_does_not_pass_keeps_nobody_from_their_turn() {
    let steps = (0..1_000).map(|_| data("id: 1\n")).chain([data(DONE)]);
    let (mut body, _) = relay_steps(CHAT, SSE, steps).await;
    let mut context = Context::from_waker(std::task::Waker::noop());
    let mut polls = 0;
    let frame = loop {
        polls += 1;
        match Pin::new(&mut body).poll_frame(&mut context) {
            Poll::Ready(frame) => break frame.unwrap().unwrap().into_data().unwrap(),
            Poll::Pending => assert!(polls < 1_000),
        }
    };
    assert_eq!(frame, DONE);
    assert!(polls > 10, "{polls}");
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_inner_service_is_passed_on() {
    let clock = Clock::simulated();
    let config =
        RelayConfig { idle_timeout: IDLE, stream_usage: StreamUsage::Native, clock: clock.clone() };
    let provider =
        service_fn(async |_: Call| Err::<Response<Full<Bytes>>, BoxError>("no answer".into()));
    let call = Call::new(head(CHAT, &clock), Bytes::new());
    let error = RelayLayer::new(config).layer(provider).oneshot(call).await.map(drop).unwrap_err();
    assert_eq!(error.to_string(), "no answer");
}

#[test]
fn a_body_can_be_sent_to_another_task() {
    fn is_sendable<T: Send + Unpin + 'static>() {}
    is_sendable::<RelayBody<Full<Bytes>>>();
}

proptest! {
    #[test]
    fn frames_of_any_size_come_out_as_the_same_bytes(
        index in any::<prop::sample::Index>(),
        size in 1..400_usize,
        wait in 0..100_u64,
    ) {
        let recorded = index.get(ALL);
        let endpoint = match recorded.grammar {
            grammar::Grammar::Chat => CHAT,
            grammar::Grammar::Other => (Family::OpenAi, "/v1/images/generations"),
            grammar::Grammar::Responses => (Family::Responses, "/v1/responses"),
            grammar::Grammar::Anthropic => (Family::Anthropic, "/v1/messages"),
            grammar::Grammar::Gemini => (Family::Gemini, "/v1beta/models/m:streamGenerateContent"),
        };
        // The pauses stay below what a provider has to end its body.
        let steps = recorded.text.as_bytes().chunks(size);
        let steps = steps.flat_map(|piece| [data(piece), Step::Wait(Duration::from_millis(wait))]);
        let (passed, error) = simulated(async {
            let (mut body, _) = relay_steps(endpoint, SSE, steps).await;
            read(&mut body).await
        });
        prop_assert_eq!(passed, recorded.text);
        prop_assert!(error.is_none());
    }
}
