//! Callers who leave, and what is booked of them.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use serde_json::json;
use tokio::time::{Sleep, sleep, timeout};
use tower::{Layer, Service, ServiceExt, service_fn};

use super::*;
use crate::Sidecar;
use crate::call::{Call, Caller, Head};
use crate::clock::{Clock, Timestamp};
use crate::error::BoxError;
use crate::ingest::Family;
use crate::pool::{PoolLayer, Pools, ResponseBody};
use crate::provider::ProviderPatch;
use crate::settings::Settings;
use crate::usage::{Attribution, Ledger, Meter, UsageBody, UsageCounts, UsageLayer};

const TEXT: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"12345678\"}}]}\n\n";
const END: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}],\
                   \"usage\":{\"prompt_tokens\":11,\"completion_tokens\":7}}\n\n";
const DONE: &str = "data: [DONE]\n\n";
const SECOND: Duration = Duration::from_secs(1);
const MOMENT: Duration = Duration::from_millis(1);

/// What a body does next.
#[derive(Clone)]
enum Step {
    Say(Bytes),
    Wait(Duration),
    Hang,
}

fn say(text: &'static str) -> Step {
    Step::Say(Bytes::from_static(text.as_bytes()))
}

/// A whole stream that pauses after its first event.
fn whole() -> Vec<Step> {
    vec![say(TEXT), Step::Wait(10 * SECOND), say(END), say(DONE)]
}

/// A stream that falls silent after its first event.
fn silent() -> Vec<Step> {
    vec![say(TEXT), Step::Hang]
}

/// A body that follows a script.
struct Script {
    steps: VecDeque<Step>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Body for Script {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            match self.steps.pop_front() {
                Some(Step::Say(text)) => return Poll::Ready(Some(Ok(Frame::data(text)))),
                Some(Step::Wait(wait)) => self.pause = Some(Box::pin(sleep(wait))),
                Some(Step::Hang) => {
                    self.steps.push_front(Step::Hang);
                    return Poll::Pending;
                }
                None => return Poll::Ready(None),
            }
        }
    }
}

fn stream(status: u16, steps: Vec<Step>) -> Response<Script> {
    let response = Response::builder().status(status).header(CONTENT_TYPE, "text/event-stream");
    response.body(Script { steps: steps.into(), pause: None }).unwrap()
}

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

/// An answer on its way, and one that has begun.
type Answering = Pin<Box<dyn Future<Output = Result<Response<Script>, BoxError>> + Send>>;
type Begun = DrainBody<UsageBody<Script>>;

/// The books of one provider, and what reads its answers on.
struct Rig {
    clock: Clock,
    ledger: Ledger,
    drains: Drains,
    in_flight: Arc<()>,
}

impl Rig {
    fn new() -> Self {
        let (clock, ledger) = (Clock::simulated(), Ledger::default());
        let drains = Drains::new(clock.clone());
        Self { clock, ledger, drains, in_flight: Arc::default() }
    }

    /// A request whose answer has its head after `wait`.
    fn ask(
        &self,
        drains: Option<Drains>,
        wait: Duration,
        response: Response<Script>,
    ) -> impl Future<Output = Result<Response<Begun>, BoxError>> + use<> {
        let meter = Meter::new(self.ledger.clone(), "provider", "model", None);
        let mut response = Some(response);
        let provider = service_fn(move |_: Asked| -> Answering {
            let response = response.take().unwrap();
            Box::pin(async move {
                sleep(wait).await;
                Ok(response)
            })
        });
        let books = UsageLayer::new(meter, self.clock.clone()).layer(provider);
        DrainLayer::new(drains).holding(&self.in_flight).layer(books).call(Asked)
    }

    /// A stream with drain, of which the first event has been read.
    async fn begin(&self, steps: Vec<Step>) -> Begun {
        begin(self.ask(Some(self.drains.clone()), Duration::ZERO, stream(200, steps))).await
    }

    /// Everything that is booked: requests, errors, and how many of them are estimated.
    fn booked(&self) -> (u64, u64, u64) {
        let UsageCounts { requests, errors, estimated, .. } = self.ledger.booked();
        (requests, errors, estimated)
    }

    /// How many answers are read on, by the guards they hold.
    fn read_on(&self) -> usize {
        Arc::strong_count(&self.in_flight) - 1
    }
}

/// The body of `answer`, of which the first event has been read.
async fn begin(answer: impl Future<Output = Result<Response<Begun>, BoxError>>) -> Begun {
    let mut body = answer.await.unwrap().into_body();
    assert!(body.frame().await.unwrap().is_ok());
    body
}

#[tokio::test(start_paused = true)]
async fn who_leaves_in_mid_stream_is_billed_exactly() {
    let rig = Rig::new();
    let body = rig.begin(whole()).await;
    assert_eq!(rig.read_on(), 0);
    drop(body);
    assert_eq!((rig.booked(), rig.read_on()), ((0, 0, 0), 1));
    sleep(9 * SECOND).await;
    assert_eq!((rig.booked(), rig.read_on()), ((0, 0, 0), 1));
    sleep(2 * SECOND).await;
    assert_eq!((rig.booked(), rig.read_on()), ((1, 0, 0), 0));
    let booked = rig.ledger.booked();
    assert_eq!((booked.prompt_tokens, booked.completion_tokens), (11, 7));
}

#[tokio::test(start_paused = true)]
async fn without_it_the_answer_is_dropped_with_its_caller() {
    let rig = Rig::new();
    let body = begin(rig.ask(None, Duration::ZERO, stream(200, whole()))).await;
    drop(body);
    assert_eq!((rig.booked(), rig.read_on()), ((1, 0, 1), 0));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_read_to_its_end_is_read_once() {
    let rig = Rig::new();
    let mut body = rig.begin(whole()).await;
    while let Some(frame) = body.frame().await {
        assert!(frame.is_ok());
    }
    drop(body);
    assert_eq!((rig.booked(), rig.read_on()), ((1, 0, 0), 0));
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_silent_is_given_up_after_half_a_minute() {
    let rig = Rig::new();
    drop(rig.begin(silent()).await);
    sleep(29 * SECOND).await;
    assert_eq!((rig.booked(), rig.read_on()), ((0, 0, 0), 1));
    sleep(2 * SECOND).await;
    assert_eq!((rig.booked(), rig.read_on()), ((1, 0, 1), 0));
}

#[tokio::test(start_paused = true)]
async fn no_more_than_two_mebibytes_are_read_on() {
    let comment = Step::Say(Bytes::from([&[b':'; (32 << 10) - 1][..], b"\n"].concat()));
    for (frames, estimated) in [(63, 0), (65, 1), (500, 1)] {
        let rig = Rig::new();
        let mut steps = vec![say(TEXT)];
        steps.extend(vec![comment.clone(); frames]);
        steps.extend([say(END), say(DONE)]);
        drop(rig.begin(steps).await);
        sleep(MOMENT).await;
        assert_eq!((rig.booked(), rig.read_on()), ((1, 0, estimated), 0), "{frames}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_sixty_fifth_at_a_time_is_dropped_at_once() {
    let rig = Rig::new();
    for _ in 0..64 {
        drop(rig.begin(silent()).await);
    }
    assert_eq!((rig.booked(), rig.read_on()), ((0, 0, 0), 64));
    drop(rig.begin(whole()).await);
    assert_eq!((rig.booked(), rig.read_on()), ((1, 0, 1), 64));
    sleep(31 * SECOND).await;
    assert_eq!((rig.booked(), rig.read_on()), ((65, 0, 65), 0));
    // Their places are free again.
    drop(rig.begin(whole()).await);
    assert_eq!(rig.read_on(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_before_the_head_is_billed_exactly() {
    let rig = Rig::new();
    let answer = rig.ask(Some(rig.drains.clone()), 5 * SECOND, stream(200, whole()));
    assert!(timeout(SECOND, answer).await.is_err());
    assert_eq!((rig.booked(), rig.read_on()), ((0, 0, 0), 1));
    sleep(15 * SECOND).await;
    assert_eq!((rig.booked(), rig.read_on()), ((1, 0, 0), 0));
}

#[tokio::test(start_paused = true)]
async fn what_was_never_sent_is_not_waited_for() {
    let rig = Rig::new();
    drop(rig.ask(Some(rig.drains.clone()), SECOND, stream(200, whole())));
    assert_eq!((rig.booked(), rig.read_on()), ((1, 0, 1), 0));
}

#[tokio::test(start_paused = true)]
async fn an_error_is_not_read_on() {
    let rig = Rig::new();
    let answer = rig.ask(Some(rig.drains.clone()), Duration::ZERO, stream(500, silent()));
    drop(answer.await);
    assert_eq!((rig.booked().0, rig.read_on()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_read_on_is_booked_when_it_is_given_up() {
    let rig = Rig::new();
    drop(rig.begin(silent()).await);
    drop(rig.begin(silent()).await);
    rig.drains.close().await;
    assert_eq!((rig.booked(), rig.read_on()), ((2, 0, 2), 0));
    drop(rig.begin(whole()).await);
    sleep(MOMENT).await;
    assert_eq!((rig.booked(), rig.read_on()), ((3, 0, 3), 0), "none after that");
}

#[tokio::test(start_paused = true)]
async fn a_body_can_be_dropped_outside_of_any_runtime() {
    let rig = Rig::new();
    let body = rig.begin(whole()).await;
    thread::spawn(move || drop(body)).join().unwrap();
    assert_eq!((rig.booked(), rig.read_on()), ((1, 0, 1), 0));
}

/// A client for which every provider streams as `steps` say.
fn client(
    steps: fn() -> Vec<Step>,
) -> impl Service<
    Request<Full<Bytes>>,
    Response = Response<Script>,
    Error = BoxError,
    Future: Send + 'static,
> + Clone
+ Send
+ Sync
+ 'static {
    service_fn(
        move |_: Request<Full<Bytes>>| async move { Ok::<_, BoxError>(stream(200, steps())) },
    )
}

/// Pools of one provider of the model `m`.
fn pools_with(drain: bool) -> Pools {
    let pools = Pools::new(Settings::default(), Clock::simulated());
    let patch: ProviderPatch = serde_json::from_value(json!({
        "name": "one", "api_base_url": "https://one.example/v1", "api_key": "sk-0123456789",
        "model_mappings": {"m": {}}, "drain": drain,
    }))
    .unwrap();
    let one = patch.into_provider("id-one", Timestamp::from_millis(0)).unwrap();
    pools.replace([one], Settings::default());
    pools
}

/// The body of the answer to a request for a stream.
async fn ask(pools: &Pools, steps: fn() -> Vec<Step>) -> ResponseBody {
    let (now, path) = (pools.clock().now(), "/v1/chat/completions".to_owned());
    let head = Head {
        model: Some("m".into()),
        stream: true,
        ..Head::of_our_own("req_1", Method::POST, Family::OpenAi, path, now)
    };
    let call = Call::new(head, Bytes::from_static(b"{\"model\":\"m\",\"stream\":true}"));
    let answer = PoolLayer::new(pools.clone()).layer(client(steps)).oneshot(call).await;
    answer.unwrap().into_body()
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_over_for_its_caller_is_not_read_on() {
    fn whole_with_an_open_end() -> Vec<Step> {
        vec![say(TEXT), say(END), say(DONE), Step::Hang]
    }
    for (steps, failed) in [(whole_with_an_open_end as fn() -> Vec<Step>, 0), (silent, 1)] {
        let pools = pools_with(true);
        let mut body = ask(&pools, steps).await;
        while let Some(Ok(_)) = body.frame().await {}
        drop(body);
        assert_eq!(pools.provider("one").unwrap().in_flight_count(), 0);
        let booked = pools.ledger().booked();
        assert_eq!((booked.requests, booked.errors), (1, failed));
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_says_whether_its_answers_are_read_on() {
    for (drain, estimated) in [(true, 0), (false, 1)] {
        let pools = pools_with(drain);
        let mut body = ask(&pools, whole).await;
        assert!(body.frame().await.unwrap().is_ok());
        let live = pools.provider("one").unwrap();
        assert_eq!(live.in_flight_count(), 1);
        drop(body);
        assert_eq!(live.in_flight_count(), usize::from(drain));
        sleep(11 * SECOND).await;
        let booked = pools.ledger().booked();
        assert_eq!((booked.requests, booked.errors, booked.estimated), (1, 0, estimated));
        assert_eq!(live.in_flight_count(), 0);
    }
}

#[tokio::test]
async fn closing_books_what_is_read_on() {
    let sidecar = Sidecar::builder().clock(Clock::simulated()).open().await.unwrap();
    let patch = json!({
        "name": "one", "api_base_url": "https://one.example/v1", "api_key": "sk-0123456789",
        "model_mappings": {"m": {}}, "drain": true,
    });
    let patch = serde_json::from_value(patch).unwrap();
    assert!(sidecar.admin().add_provider(patch).await.unwrap().drain);
    let request = Request::post("/v1/chat/completions")
        .header(CONTENT_TYPE, "application/json")
        .body(Full::<Bytes>::from(r#"{"model":"m","stream":true}"#));
    let answer = sidecar.service(client(whole)).oneshot(request.unwrap()).await;
    let mut body = answer.unwrap().into_body();
    assert!(body.frame().await.unwrap().is_ok());
    drop(body);
    assert_eq!(sidecar.pools().ledger().booked().requests, 0);
    sidecar.close().await.unwrap();
    let written = sidecar.pools().ledger();
    assert_eq!((written.booked().requests, written.peek().len()), (1, 0));
}
