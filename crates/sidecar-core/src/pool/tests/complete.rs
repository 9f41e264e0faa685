//! Delivery `complete`: whole answers, late rather than half.

use std::future::{Ready, ready};
use std::sync::Weak;
use std::task::ready as poll_ready;

use http_body::{Body, Frame};
use tokio::time::Sleep;

use super::*;
use crate::callers::{CallerPatch, Callers, Delivery, LiveCaller};

const HELLO: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hello\"}}]}\n\n";
const FINISH: &str = "data: {\"choices\":[{\"index\":0,\"finish_reason\":\"stop\"}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";
const ERROR: &str = "data: {\"error\":{\"message\":\"needle\"}}\n\n";
const COMMENT: &str = ": waiting\n\n";
const SSE: &str = "text/event-stream";
const JSON: &str = "application/json";

/// What a body does next.
#[derive(Clone, Debug)]
enum Part {
    Say(Bytes),
    Wait(Duration),
    Cut,
    Hang,
}

fn say(text: &'static str) -> Part {
    Part::Say(Bytes::from_static(text.as_bytes()))
}

/// A body in parts.
struct Parts {
    parts: VecDeque<Part>,
    pause: Option<Pin<Box<Sleep>>>,
    /// Counted down when it is dropped.
    _alive: Arc<()>,
}

impl Body for Parts {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            if let Some(pause) = &mut self.pause {
                poll_ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            match self.parts.pop_front() {
                Some(Part::Say(text)) => return Poll::Ready(Some(Ok(Frame::data(text)))),
                Some(Part::Wait(wait)) => self.pause = Some(Box::pin(sleep(wait))),
                Some(Part::Cut) => return Poll::Ready(Some(Err("connection reset".into()))),
                Some(Part::Hang) => {
                    self.parts.push_front(Part::Hang);
                    return Poll::Pending;
                }
                None => return Poll::Ready(None),
            }
        }
    }
}

/// Providers that answer with bodies in parts, each the same every time.
#[derive(Clone, Default)]
struct Streams {
    scripts: HashMap<String, (&'static str, Vec<Part>)>,
    asked: Arc<Mutex<Vec<String>>>,
    bodies: Arc<Mutex<Vec<Weak<()>>>>,
}

impl Streams {
    fn script(mut self, name: &str, parts: impl Into<Vec<Part>>) -> Self {
        self.scripts.insert(name.to_owned(), (SSE, parts.into()));
        self
    }

    fn document(mut self, name: &str, parts: impl Into<Vec<Part>>) -> Self {
        self.scripts.insert(name.to_owned(), (JSON, parts.into()));
        self
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// How many bodies have not been dropped.
    fn alive(&self) -> usize {
        self.bodies.lock().unwrap().iter().filter(|body| body.strong_count() > 0).count()
    }

    async fn send(&self, rig: &Rig, head: Head) -> Result<Response<ResponseBody>, Error> {
        let call = Call::new(head, Bytes::from_static(b"{\"model\":\"m\",\"stream\":true}"));
        PoolLayer::new(rig.pools.clone()).layer(self.clone()).oneshot(call).await
    }
}

impl Service<Request<Full<Bytes>>> for Streams {
    type Response = Response<Parts>;
    type Error = BoxError;
    type Future = Ready<Result<Response<Parts>, BoxError>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let host = request.headers()[HOST].to_str().unwrap();
        let name = host.strip_suffix(".example").unwrap().to_owned();
        let (content_type, parts) = self.scripts[&name].clone();
        self.asked.lock().unwrap().push(name);
        let alive = Arc::new(());
        self.bodies.lock().unwrap().push(Arc::downgrade(&alive));
        let body = Parts { parts: parts.into(), pause: None, _alive: alive };
        ready(Ok(Response::builder().header(CONTENT_TYPE, content_type).body(body).unwrap()))
    }
}

fn pair() -> Rig {
    Rig::new([provider("one"), fallback("two")])
}

/// A request for a stream that is to be gathered.
fn complete(rig: &Rig) -> Head {
    Head { stream: true, delivery: Delivery::Complete, ..rig.head(Duration::ZERO) }
}

/// All that comes of a body, and how it fails if it does.
async fn read(body: &mut ResponseBody) -> (String, Option<BoxError>) {
    let mut text = Vec::new();
    let error = loop {
        match body.frame().await {
            Some(Ok(frame)) => text.extend_from_slice(&frame.into_data().unwrap()),
            Some(Err(error)) => break Some(error),
            None => break None,
        }
    };
    assert!(body.is_end_stream());
    (String::from_utf8(text).unwrap(), error)
}

async fn next_text(body: &mut ResponseBody) -> String {
    let data = body.frame().await.unwrap().unwrap().into_data().unwrap();
    String::from_utf8(data.to_vec()).unwrap()
}

/// What is booked: provider, requests, errors, possible duplicates.
fn booked(rig: &Rig) -> Vec<(String, u64, u64, u64)> {
    let rows = rig.pools.ledger().take().into_iter();
    let mut booked: Vec<_> = rows
        .map(|(key, counts)| {
            (key.provider, counts.requests, counts.errors, counts.possible_duplicates)
        })
        .collect();
    booked.sort_unstable();
    booked
}

fn whole() -> Vec<Part> {
    vec![say(HELLO), say(FINISH), say(DONE)]
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_cut_fails_over_and_the_caller_gets_one_whole_answer() {
    for rest in [
        vec![],
        vec![Part::Cut],
        vec![say(ERROR)],
        vec![say("data: {\"cho"), Part::Cut],
        vec![Part::Wait(SECOND), say(HELLO), Part::Cut],
    ] {
        let rig = pair();
        let cut: Vec<Part> = [say(HELLO)].into_iter().chain(rest).collect();
        let streams = Streams::default().script("one", cut).script("two", whole());
        let response = streams.send(&rig, complete(&rig)).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!((said(&response, "provider"), said(&response, "attempts")), ("two", "2"));
        let mut body = response.into_body();
        let expected = format!("{HELLO}{FINISH}{DONE}");
        assert_eq!(body.size_hint().exact(), Some(expected.len() as u64), "released whole");
        let (text, error) = read(&mut body).await;
        assert!(text == expected && error.is_none(), "{text}");
        assert_eq!(streams.asked(), ["one", "two"]);
        drop(body);
        let rows = [("id-one".to_owned(), 1, 1, 1), ("id-two".to_owned(), 1, 0, 0)];
        assert_eq!(booked(&rig), rows);
    }
}

#[tokio::test(start_paused = true)]
async fn a_document_that_is_cut_fails_over_too() {
    const REST: &str = "y\"}";
    let front: &'static str = format!("{{\"a\":\"{}", "x".repeat(70_000)).leak();
    let rig = pair();
    let streams = Streams::default()
        .document("one", [say(front), Part::Cut])
        .document("two", [say(front), Part::Wait(SECOND), say(REST)]);
    let head = Head { stream: false, ..complete(&rig) };
    let response = streams.send(&rig, head).await.unwrap();
    assert_eq!((said(&response, "provider"), said(&response, "attempts")), ("two", "2"));
    let (text, error) = read(&mut response.into_body()).await;
    assert!(text == format!("{front}{REST}") && error.is_none());
}

#[tokio::test(start_paused = true)]
async fn without_it_a_stream_is_passed_on_as_it_comes() {
    let rig = pair();
    let streams = Streams::default().script("one", [say(HELLO), Part::Wait(SECOND), Part::Cut]);
    let head = Head { delivery: Delivery::Stream, ..complete(&rig) };
    let start = rig.clock.now();
    let mut body = streams.send(&rig, head).await.unwrap().into_body();
    assert_eq!(next_text(&mut body).await, HELLO);
    assert_eq!(rig.clock.now(), start);
    let (text, error) = read(&mut body).await;
    assert!(text.contains("\"code\":\"stream_cut\"") && error.is_some());
    assert_eq!(streams.asked(), ["one"]);
    drop(body);
    assert_eq!(booked(&rig), [("id-one".to_owned(), 1, 1, 0)]);
}

#[tokio::test(start_paused = true)]
async fn when_all_are_cut_soon_the_answer_is_an_error() {
    let rig = pair();
    let cut = [say(HELLO), Part::Cut];
    let streams = Streams::default().script("one", cut.clone()).script("two", cut);
    let error = streams.send(&rig, complete(&rig)).await.map(drop).unwrap_err();
    assert!(matches!(error, Error::Exhausted { .. }), "{error:?}");
    assert_eq!(streams.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn when_all_are_cut_late_the_stream_ends_in_one_error_and_fails() {
    let rig = pair();
    let cut = [say(HELLO), Part::Wait(SECOND * 20), Part::Cut];
    let streams = Streams::default().script("one", cut.clone()).script("two", cut);
    let mut body = streams.send(&rig, complete(&rig)).await.unwrap().into_body();
    let mut comments = 0;
    let event = loop {
        let text = next_text(&mut body).await;
        if text != COMMENT {
            break text;
        }
        comments += 1;
    };
    assert!(comments >= 2, "{comments}");
    assert!(event.starts_with("data: {\"error\":{") && event.ends_with("}}\n\n"), "{event}");
    assert!(event.contains("\"code\":\"all_pools_exhausted\""), "{event}");
    // The server gets time to send it before the body fails.
    let mut context = Context::from_waker(std::task::Waker::noop());
    assert!(Pin::new(&mut body).poll_frame(&mut context).is_pending());
    let (text, error) = read(&mut body).await;
    assert_eq!(text, "");
    let error = error.unwrap();
    assert!(matches!(error.downcast_ref(), Some(Error::Exhausted { .. })), "{error}");
    assert_eq!(streams.asked()[..2], ["one", "two"]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_provider_is_bridged_with_a_comment_every_15_seconds() {
    let rig = pair();
    let wait = || Part::Wait(SECOND * 20);
    let parts = [say(HELLO), wait(), say(HELLO), wait(), say(FINISH), say(DONE)];
    let streams = Streams::default().script("one", parts);
    let start = rig.clock.now();
    let response = streams.send(&rig, complete(&rig)).await.unwrap();
    assert_eq!((rig.clock.now() - start).as_secs(), 15);
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[CONTENT_TYPE], SSE);
    assert!(response.headers()["cache-control"].to_str().unwrap().starts_with("no-cache"));
    assert_eq!(response.headers()["x-request-id"], "req_1");
    let mut body = response.into_body();
    let mut seen = Vec::new();
    while let Some(frame) = body.frame().await {
        let data = frame.unwrap().into_data().unwrap();
        let text = String::from_utf8(data.to_vec()).unwrap();
        seen.push(((rig.clock.now() - start).as_secs(), text));
    }
    let answer = format!("{HELLO}{HELLO}{FINISH}{DONE}");
    assert_eq!(seen, [(15, COMMENT.to_owned()), (30, COMMENT.to_owned()), (40, answer)]);
    drop(body);
    assert_eq!(booked(&rig), [("id-one".to_owned(), 1, 0, 0)]);
}

#[tokio::test(start_paused = true)]
async fn a_document_that_comes_late_in_place_of_a_stream_is_an_error() {
    let rig = pair();
    let late = [Part::Wait(SECOND * 20), say("{\"choices\":[]}")];
    let streams = Streams::default().document("one", late);
    let mut body = streams.send(&rig, complete(&rig)).await.unwrap().into_body();
    let (text, error) = read(&mut body).await;
    let event = text.strip_prefix(COMMENT).unwrap();
    assert!(event.starts_with("data: {\"error\":{") && error.is_some(), "{event}");
}

#[tokio::test(start_paused = true)]
async fn what_is_over_the_limit_is_released_and_goes_on_as_it_comes() {
    let most = u32::try_from(HELLO.len()).unwrap() + 1;
    let settings = Settings { complete_max_bytes: most, ..Settings::default() };
    for (last, is_whole) in [(vec![say(FINISH), say(DONE)], true), (vec![Part::Cut], false)] {
        let rig = Rig::with(settings.clone(), [provider("one"), fallback("two")]);
        let front = [say(HELLO), Part::Wait(SECOND), say(HELLO), Part::Wait(SECOND * 10)];
        let parts: Vec<Part> = front.into_iter().chain(last).collect();
        let streams = Streams::default().script("one", parts);
        let start = rig.clock.now();
        let response = streams.send(&rig, complete(&rig)).await.unwrap();
        assert_eq!((rig.clock.now() - start).as_secs(), 1);
        assert_eq!(said(&response, "provider"), "one");
        let mut body = response.into_body();
        assert_eq!(next_text(&mut body).await, format!("{HELLO}{HELLO}"));
        let (text, error) = read(&mut body).await;
        assert_eq!((rig.clock.now() - start).as_secs(), 11);
        assert_eq!((text == format!("{FINISH}{DONE}"), error.is_none()), (is_whole, is_whole));
        assert_eq!(text.contains("stream_cut"), !is_whole);
        assert_eq!(streams.asked(), ["one"]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_callers_deadline_ends_the_gathering() {
    let rig = pair();
    let streams = Streams::default().script("one", [say(HELLO), Part::Hang]);
    let start = rig.clock.now();
    let head = Head { deadline: Some(start + SECOND * 5), ..complete(&rig) };
    assert!(matches!(streams.send(&rig, head).await, Err(Error::UpstreamTimeout)));
    assert_eq!((rig.clock.now() - start).as_secs(), 5);
    assert_eq!((streams.alive(), rig.in_flight("one")), (0, 0));

    let start = rig.clock.now();
    let head = Head { deadline: Some(start + SECOND * 20), ..complete(&rig) };
    let mut body = streams.send(&rig, head).await.unwrap().into_body();
    let (text, error) = read(&mut body).await;
    assert_eq!((rig.clock.now() - start).as_secs(), 20);
    let event = text.strip_prefix(COMMENT).unwrap();
    assert!(event.contains("\"code\":\"upstream_timeout\""), "{event}");
    assert!(matches!(error.unwrap().downcast_ref(), Some(Error::UpstreamTimeout)));
}

fn agents() -> Arc<LiveCaller> {
    let patch: CallerPatch = serde_json::from_value(json!({"name": "agents"})).unwrap();
    let (record, _) = patch.create("id-agents", Timestamp::from_millis(0)).unwrap();
    let callers = Callers::default();
    callers.replace([record]);
    callers.find("agents").unwrap()
}

fn under_way(rig: &Rig, caller: &LiveCaller) -> u32 {
    caller.numbers(rig.clock.now(), rig.clock.wall()).in_flight
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_ends_the_request_and_everything_is_given_back() {
    let (rig, agents) = (pair(), agents());
    let streams = Streams::default().script("one", [say(HELLO), Part::Hang]);
    let head = Head { live_caller: Some(agents.clone()), ..complete(&rig) };
    let mut body = streams.send(&rig, head).await.unwrap().into_body();
    assert_eq!(next_text(&mut body).await, COMMENT);
    assert_eq!((streams.alive(), rig.in_flight("one"), under_way(&rig, &agents)), (1, 1, 1));
    drop(body);
    assert_eq!((streams.alive(), rig.in_flight("one"), under_way(&rig, &agents)), (0, 0, 0));
    assert_eq!(booked(&rig), [("id-one".to_owned(), 1, 0, 0)]);
}

#[tokio::test(start_paused = true)]
async fn a_request_is_under_way_until_its_caller_has_the_answer() {
    let (rig, agents) = (pair(), agents());
    let streams = Streams::default().script("one", whole());
    let head = Head { live_caller: Some(agents.clone()), ..complete(&rig) };
    let response = streams.send(&rig, head).await.unwrap();
    assert_eq!((streams.alive(), under_way(&rig, &agents)), (0, 1));
    read(&mut response.into_body()).await;
    assert_eq!((rig.in_flight("one"), under_way(&rig, &agents)), (0, 0));
}
