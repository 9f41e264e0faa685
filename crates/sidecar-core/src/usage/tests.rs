//! Attempts of every ending, as they are booked.

use std::collections::VecDeque;
use std::future::{pending, ready};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tower::{Layer, ServiceExt, service_fn};

use super::*;
use crate::call::Caller;
use crate::clock::Clock;
use crate::error::{AttemptError, BoxError, RejectReason, Rejected};
use crate::provider::{Cost, Price};
use crate::verdict::{Class, Verdict};

/// A request of 400 bytes.
struct Asked;

impl Attribution for Asked {
    fn caller(&self) -> Caller {
        Caller("agent".into())
    }

    fn request_bytes(&self) -> u64 {
        400
    }
}

/// A body that gives these frames, then ends or breaks.
struct Script {
    frames: VecDeque<&'static str>,
    breaks: bool,
}

impl Body for Script {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(match self.frames.pop_front() {
            Some(frame) => Some(Ok(Frame::data(Bytes::from_static(frame.as_bytes())))),
            None if std::mem::take(&mut self.breaks) => Some(Err("broken".into())),
            None => None,
        })
    }
}

fn stream(frames: &[&'static str], breaks: bool) -> Result<Response<Script>, BoxError> {
    let script = Script { frames: frames.iter().copied().collect(), breaks };
    let response = Response::builder().header(CONTENT_TYPE, "text/event-stream");
    Ok(response.body(script).unwrap())
}

fn status(status: u16) -> Result<Response<Script>, BoxError> {
    let frames = VecDeque::from([r#"{"error":{"message":"no"}}"#]);
    let mut response = Response::new(Script { frames, breaks: false });
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    Ok(response)
}

fn layer() -> (Ledger, UsageLayer) {
    let price = |usd| Price::from_usd(usd).unwrap();
    let cost = Cost { input: price(1e-6), output: price(2e-6), ..Cost::default() };
    let ledger = Ledger::default();
    let meter = Meter::new(ledger.clone(), "provider", "model", Some(cost));
    (ledger, UsageLayer::new(meter, Clock::simulated()))
}

/// What is booked of an attempt with this answer, of whose body so many frames are read.
async fn booked(answer: Result<Response<Script>, BoxError>, frames: usize) -> Option<UsageCounts> {
    let (ledger, layer) = layer();
    let mut answer = Some(answer);
    let service = layer.layer(service_fn(move |_: Asked| ready(answer.take().unwrap())));
    if let Ok(response) = service.oneshot(Asked).await {
        let mut body = response.into_body();
        for _ in 0..frames {
            if !matches!(body.frame().await, Some(Ok(_))) {
                break;
            }
        }
    }
    let rows = ledger.take();
    assert!(rows.len() <= 1, "{rows:?}");
    rows.into_iter().next().map(|(key, counts)| {
        let UsageKey { provider, model, caller, .. } = key;
        assert_eq!([provider, model, caller], ["provider", "model", "agent"]);
        UsageCounts { latency_us: 0, first_byte_us: 0, ..counts }
    })
}

const TEXT: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"12345678\"}}]}\n\n";
const END: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}],\
                   \"usage\":{\"prompt_tokens\":11,\"completion_tokens\":7}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

/// As the provider said it.
fn exact() -> UsageCounts {
    UsageCounts {
        requests: 1,
        prompt_tokens: 11,
        completion_tokens: 7,
        cost_pico_usd: 25_000_000,
        first_byte_count: 1,
        ..UsageCounts::default()
    }
}

/// From the request and the text that came.
fn estimated() -> UsageCounts {
    UsageCounts {
        requests: 1,
        prompt_tokens: 100,
        completion_tokens: 2,
        cost_pico_usd: 104_000_000,
        estimated: 1,
        first_byte_count: 1,
        ..UsageCounts::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_whole_stream_is_booked_as_the_provider_says() {
    assert_eq!(booked(stream(&[TEXT, END, DONE], false), 9).await, Some(exact()));
}

#[tokio::test(start_paused = true)]
async fn a_whole_stream_without_usage_is_estimated() {
    assert_eq!(booked(stream(&[TEXT, DONE], false), 9).await, Some(estimated()));
}

#[tokio::test(start_paused = true)]
async fn a_cut_stream_has_failed_and_is_estimated() {
    let expected = UsageCounts { errors: 1, ..estimated() };
    assert_eq!(booked(stream(&[TEXT], true), 9).await, Some(expected));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_the_caller_leaves_has_not_failed_and_is_estimated() {
    assert_eq!(booked(stream(&[TEXT, END, DONE], false), 1).await, Some(estimated()));
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_has_heard_all_may_leave_before_the_end() {
    assert_eq!(booked(stream(&[TEXT, END, DONE], false), 2).await, Some(exact()));
}

#[tokio::test(start_paused = true)]
async fn an_impossible_usage_is_marked_and_estimated() {
    let impossible = "data: {\"choices\":[{\"delta\":{}}],\"usage\":{\"prompt_tokens\":-1}}\n\n";
    let expected = UsageCounts { suspect: 1, ..estimated() };
    assert_eq!(booked(stream(&[TEXT, impossible, DONE], false), 9).await, Some(expected));
}

#[tokio::test(start_paused = true)]
async fn the_providers_own_cost_is_kept_beside_ours() {
    let costly = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":7,\
                  \"cost\":0.00003}}\n\n";
    let expected = UsageCounts { provider_cost_pico_usd: 30_000_000, ..exact() };
    assert_eq!(booked(stream(&[TEXT, costly, DONE], false), 9).await, Some(expected));
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_before_the_answer_is_booked_for_the_prompt() {
    let (ledger, layer) = layer();
    let never = |_: Asked| pending::<Result<Response<Script>, BoxError>>();
    let asking = layer.layer(service_fn(never)).oneshot(Asked);
    assert!(tokio::time::timeout(Duration::from_secs(1), asking).await.is_err());
    let (_, counts) = ledger.take().remove(0);
    assert_eq!((counts.errors, counts.estimated, counts.prompt_tokens), (0, 1, 100));
    assert_eq!(counts.completion_tokens, 0);
    assert!(counts.latency_us >= 1_000_000);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_uses_nothing_and_an_unclear_failure_may_run_twice() {
    let failed = UsageCounts { requests: 1, errors: 1, ..UsageCounts::default() };
    let duplicate = UsageCounts { possible_duplicates: 1, ..failed };
    for (code, expected) in [(401, failed), (429, failed), (500, duplicate)] {
        assert_eq!(booked(status(code), 0).await, Some(expected), "{code}");
    }
    // The caller's own fault is nobody's failure.
    let fault = UsageCounts { errors: 0, ..failed };
    assert_eq!(booked(status(400), 9).await, Some(fault));

    for class in [Class::Timeout, Class::Transport, Class::Lying] {
        let error = AttemptError::new(Verdict::of(class), true, None);
        assert_eq!(booked(Err(error.into()), 0).await, Some(duplicate), "{class:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_never_sent_is_not_booked() {
    let unsent = AttemptError::new(Verdict::of(Class::Unreachable), false, None);
    assert_eq!(booked(Err(unsent.into()), 0).await, None);
    let rejected = Rejected::new(RejectReason::Cooling, None);
    assert_eq!(booked(Err(rejected.into()), 0).await, None);
}
