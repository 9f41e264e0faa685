//! Choosing, failing over and waiting, over scripted providers.

use std::collections::{HashMap, VecDeque};
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tokio::time::{advance, sleep, timeout};
use tower::{Layer, Service, ServiceExt};

use super::plan::{Next, Walk};
use super::*;
use crate::call::{Call, Caller, Head};
use crate::clock::{Clock, Instant, Timestamp};
use crate::error::{BoxError, Error};
use crate::ingest::Family;
use crate::provider::{Provider, ProviderPatch};
use crate::settings::Settings;
use crate::verdict::{Class, Verdict};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const GOOD: Reply = Reply::Answer(200, r#"{"choices":[{"message":{"content":"hi"}}]}"#);
const LIMITED: Reply = Reply::Answer(429, r#"{"error":{"message":"Too many requests"}}"#);
const BROKEN: Reply = Reply::Answer(500, r#"{"error":{"message":"oops"}}"#);
const BAD: Reply = Reply::Answer(
    400,
    r#"{"error":{"message":"temperature is too high","type":"invalid_request_error","param":"temperature","code":"invalid_value"}}"#,
);
const TOO_LONG: Reply = Reply::Answer(
    400,
    r#"{"error":{"message":"This model's maximum context length is 8192 tokens","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#,
);

/// What a provider does with one request.
#[derive(Clone, Copy, Debug)]
enum Reply {
    Answer(u16, &'static str),
    /// The same, after a while.
    Slowly(Duration, u16, &'static str),
    Reset,
    Hang,
}

/// All providers, told apart by the host that a request names. A provider that has come to the
/// end of its script repeats the last reply.
#[derive(Clone, Default)]
struct Upstream {
    scripts: Arc<Mutex<HashMap<String, VecDeque<Reply>>>>,
    /// The providers that were asked, in order.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Service<Request<Full<Bytes>>> for Upstream {
    type Response = Response<Full<Bytes>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Full<Bytes>>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let host = request.headers()[HOST].to_str().unwrap();
        let name = host.strip_suffix(".example").unwrap().to_owned();
        let mut scripts = self.scripts.lock().unwrap();
        let script = scripts.entry(name.clone()).or_insert_with(|| [GOOD].into());
        let reply = if script.len() > 1 { script.pop_front().unwrap() } else { script[0] };
        self.asked.lock().unwrap().push(name);
        Box::pin(async move {
            match reply {
                Reply::Answer(status, body) => Ok(json_answer(status, body)),
                Reply::Slowly(wait, status, body) => {
                    sleep(wait).await;
                    Ok(json_answer(status, body))
                }
                Reply::Reset => Err("connection reset by peer".into()),
                Reply::Hang => pending().await,
            }
        })
    }
}

fn json_answer(status: u16, body: &'static str) -> Response<Full<Bytes>> {
    let builder = Response::builder().status(status).header(CONTENT_TYPE, "application/json");
    builder.body(Full::from(body)).unwrap()
}

/// A pool over scripted providers.
struct Rig {
    clock: Clock,
    pools: Pools,
    upstream: Upstream,
}

impl Rig {
    fn new(providers: impl IntoIterator<Item = Provider>) -> Self {
        Self::with(Settings::default(), providers)
    }

    fn with(settings: Settings, providers: impl IntoIterator<Item = Provider>) -> Self {
        let clock = Clock::simulated();
        let pools = Pools::new(Settings::default(), clock.clone());
        pools.replace(providers, settings);
        Self { clock, pools, upstream: Upstream::default() }
    }

    /// What the provider `name` will do, one reply after the other.
    fn script(self, name: &str, replies: impl Into<VecDeque<Reply>>) -> Self {
        self.upstream.scripts.lock().unwrap().insert(name.to_owned(), replies.into());
        self
    }

    fn asked(&self) -> Vec<String> {
        self.upstream.asked.lock().unwrap().clone()
    }

    fn pool(&self) -> Pool<Upstream> {
        PoolLayer::new(self.pools.clone()).layer(self.upstream.clone())
    }

    /// A request for the model `m` that waits at most `patience` for a slot.
    fn head(&self, patience: Duration) -> Head {
        let (now, path) = (self.clock.now(), "/v1/chat/completions".to_owned());
        Head {
            model: Some("m".into()),
            caller: Caller::anonymous(),
            queue_until: now + patience,
            ..Head::of_our_own("req_1", Method::POST, Family::OpenAi, path, now)
        }
    }

    async fn send_head(&self, head: Head) -> Result<Response<ResponseBody>, Error> {
        self.pool().oneshot(Call::new(head, Bytes::from_static(b"{\"model\":\"m\"}"))).await
    }

    async fn send(&self, patience: Duration) -> Result<Response<ResponseBody>, Error> {
        self.send_head(self.head(patience)).await
    }

    /// Sends a request that will not wait.
    async fn send_now(&self) -> Result<Response<ResponseBody>, Error> {
        self.send(Duration::ZERO).await
    }

    fn live(&self, name: &str) -> Arc<LiveProvider> {
        self.pools.provider(&format!("id-{name}")).unwrap()
    }

    /// How many requests are in flight at the provider `name`.
    fn in_flight(&self, name: &str) -> usize {
        let live = self.live(name);
        // One count is the provider's own.
        Arc::strong_count(&live.in_flight) - 1
    }
}

/// A provider at `https://{name}.example` that serves the model `m`; `extra` goes over it.
fn provider_with(name: &str, extra: Value) -> Provider {
    let mut fields = json!({
        "name": name,
        "api_base_url": format!("https://{name}.example/v1"),
        "api_key": format!("sk-{name}-0123456789"),
        "model_mappings": {"m": {}},
    });
    let Value::Object(extra) = extra else { panic!("not an object") };
    fields.as_object_mut().unwrap().extend(extra);
    let patch: ProviderPatch = serde_json::from_value(fields).unwrap();
    patch.create(format!("id-{name}"), Timestamp::from_millis(0), true).unwrap()
}

fn provider(name: &str) -> Provider {
    provider_with(name, json!({}))
}

fn fallback(name: &str) -> Provider {
    provider_with(name, json!({"pool": "fallback"}))
}

fn limited_to(name: &str, rpm: u32) -> Provider {
    provider_with(name, json!({"rpm_limit": rpm}))
}

fn with_window(name: &str, tokens: u32) -> Provider {
    provider_with(name, json!({"model_mappings": {"m": {"context_window": tokens}}}))
}

/// The value of an `x-sidecar-` header.
fn said<'a>(response: &'a Response<ResponseBody>, name: &str) -> &'a str {
    response.headers()[format!("x-sidecar-{name}")].to_str().unwrap()
}

fn queued_ms(response: &Response<ResponseBody>) -> u64 {
    said(response, "queued-ms").parse().unwrap()
}

mod choosing {
    use super::*;

    /// The provider that comes next.
    fn next(walk: &Walk<'_>, now: Instant) -> String {
        match walk.next(now, now) {
            Next::Try(_, endpoint) => endpoint.provider.name.to_string(),
            other => panic!("nobody is next: {other:?}"),
        }
    }

    /// Excludes the provider that comes next, and says which.
    fn exclude_next(walk: &mut Walk<'_>, now: Instant) -> String {
        let Next::Try(position, endpoint) = walk.next(now, now) else { panic!("nobody is next") };
        let name = endpoint.provider.name.to_string();
        walk.exclude(position);
        name
    }

    /// Rests the account of the provider that comes next for 30 s from `now` on.
    fn rest_next(walk: &Walk<'_>, now: Instant) {
        let Next::Try(_, endpoint) = walk.next(now, now) else { panic!("nobody is next") };
        let quota = &endpoint.cells.quota;
        quota.fail(
            quota.admit(now, MINUTE).unwrap(),
            &Verdict::of(Class::RateLimited),
            None,
            now,
            0.0,
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_most_headroom_comes_first() {
        let rig = Rig::new([limited_to("one", 10), limited_to("two", 10), limited_to("ten", 100)]);
        let (head, now) = (rig.head(MINUTE), rig.clock.now());
        let plan = rig.pools.plan(&head).unwrap();
        let walk = Walk::new(&plan, &head);
        for (name, times) in [("one", 2), ("two", 1), ("ten", 11)] {
            for _ in 0..times {
                let _ = rig.live(name).limiter.admit(now).unwrap();
            }
        }
        // 80, 90 and 89 of a hundred are free, whoever's turn it is.
        for _ in 0..3 {
            assert_eq!(next(&walk, now), "two");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn of_equal_headroom_the_fewest_in_flight_come_first() {
        let rig = Rig::new([provider("one"), provider("two"), provider("three")]);
        let (head, now) = (rig.head(MINUTE), rig.clock.now());
        let plan = rig.pools.plan(&head).unwrap();
        let walk = Walk::new(&plan, &head);
        let _busy = [rig.live("one").in_flight.clone(), rig.live("three").in_flight.clone()];
        for _ in 0..3 {
            assert_eq!(next(&walk, now), "two");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn equals_take_turns() {
        let rig = Rig::new([provider("one"), provider("two"), provider("three")]);
        let (head, now) = (rig.head(MINUTE), rig.clock.now());
        let plan = rig.pools.plan(&head).unwrap();
        let turns: Vec<String> = (0..6).map(|_| next(&Walk::new(&plan, &head), now)).collect();
        assert_eq!(turns[..3], turns[3..]);
        let mut once = turns[..3].to_vec();
        once.sort_unstable();
        assert_eq!(once, ["one", "three", "two"]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_fallback_comes_when_the_primary_pool_is_done() {
        let rig = Rig::new([fallback("three"), provider("one"), provider("two")]);
        let (head, now) = (rig.head(MINUTE), rig.clock.now());
        let plan = rig.pools.plan(&head).unwrap();
        let mut walk = Walk::new(&plan, &head);
        let mut primary = [exclude_next(&mut walk, now), exclude_next(&mut walk, now)];
        primary.sort_unstable();
        assert_eq!(primary, ["one", "two"]);
        assert_eq!(exclude_next(&mut walk, now), "three");
        assert!(matches!(walk.next(now, now), Next::Nothing(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_resting_provider_is_passed_over_and_the_soonest_is_waited_for() {
        let rig = Rig::new([provider("one"), fallback("two")]);
        let (head, start) = (rig.head(MINUTE), rig.clock.now());
        let plan = rig.pools.plan(&head).unwrap();
        let walk = Walk::new(&plan, &head);
        rest_next(&walk, start);
        assert_eq!(next(&walk, start), "two");
        advance(SECOND).await;
        let now = rig.clock.now();
        rest_next(&walk, now);
        let Next::Wait(at) = walk.next(now, now) else { panic!("somebody is ready") };
        assert!(at >= start + SECOND * 30 && at < start + SECOND * 31);
        assert_eq!(next(&walk, at), "one");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_goes_to_the_provider_it_insists_on() {
        let rig = Rig::new([provider("one"), provider("two")]);
        let now = rig.clock.now();
        for pinned in ["two", "id-two"] {
            let head = Head { pinned: Some(pinned.into()), ..rig.head(MINUTE) };
            let plan = rig.pools.plan(&head).unwrap();
            let mut walk = Walk::new(&plan, &head);
            assert_eq!(exclude_next(&mut walk, now), "two");
            assert!(matches!(walk.next(now, now), Next::Nothing(_)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_goes_only_to_providers_of_its_protocol() {
        let rig =
            Rig::new([provider("one"), provider_with("two", json!({"api": "anthropic-messages"}))]);
        let now = rig.clock.now();
        for (family, expected) in [(Family::OpenAi, "one"), (Family::Anthropic, "two")] {
            let head = Head { family, ..rig.head(MINUTE) };
            let plan = rig.pools.plan(&head).unwrap();
            let mut walk = Walk::new(&plan, &head);
            assert_eq!(exclude_next(&mut walk, now), expected);
            assert!(matches!(walk.next(now, now), Next::Nothing(_)));
        }
    }
}

mod failing_over {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_good_answer_says_who_gave_it() {
        let rig = Rig::new([provider("one")]);
        let response = rig.send_now().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!((said(&response, "provider"), said(&response, "attempts")), ("one", "1"));
        assert_eq!(queued_ms(&response), 0);
        assert_eq!(response.headers()["x-request-id"], "req_1");
        assert_eq!(&*response.extensions().get::<Served>().unwrap().provider, "one");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, r#"{"choices":[{"message":{"content":"hi"}}]}"#);
    }

    #[tokio::test(start_paused = true)]
    async fn a_limited_provider_is_left_alone_and_the_fallback_answers() {
        let rig = Rig::new([provider("one"), fallback("two")]).script("one", [LIMITED]);
        let first = rig.send_now().await.unwrap();
        assert_eq!((said(&first, "provider"), said(&first, "attempts")), ("two", "2"));
        let second = rig.send_now().await.unwrap();
        assert_eq!((said(&second, "provider"), said(&second, "attempts")), ("two", "1"));
        assert_eq!(rig.asked(), ["one", "two", "two"]);
        // It comes back by a probe.
        let rig = rig.script("one", [GOOD]);
        advance(MINUTE).await;
        assert_eq!(said(&rig.send_now().await.unwrap(), "provider"), "one");
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_breaks_or_cannot_be_reached_or_lies_is_passed_over() {
        const ERROR: &str = r#"{"error":{"message":"no healthy upstream","code":502}}"#;
        const PAGE: &str = "<html>Bad gateway</html>";
        for reply in [BROKEN, Reply::Reset, Reply::Answer(200, ERROR), Reply::Answer(200, PAGE)] {
            let rig = Rig::new([provider("one"), fallback("two")]).script("one", [reply]);
            let response = rig.send_now().await.unwrap();
            let by = (said(&response, "provider"), said(&response, "attempts"));
            assert_eq!(by, ("two", "2"), "{reply:?}");
            assert_eq!(rig.asked(), ["one", "two"], "{reply:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_bad_key_or_an_empty_purse_never_reaches_a_caller() {
        for status in [401, 402, 403] {
            let reply = Reply::Answer(status, r#"{"error":{"message":"no"}}"#);
            let rig = Rig::new([provider("one"), fallback("two")]).script("one", [reply]);
            assert_eq!(said(&rig.send_now().await.unwrap(), "provider"), "two", "{status}");
            let rig = Rig::new([provider("one")]).script("one", [reply]);
            assert!(matches!(rig.send_now().await, Err(Error::Exhausted { .. })), "{status}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_provider_is_passed_over_when_its_time_is_up() {
        let slow = provider_with("one", json!({"timeout_seconds": 7}));
        let rig = Rig::new([slow, fallback("two")]).script("one", [Reply::Hang]);
        let start = rig.clock.now();
        assert_eq!(said(&rig.send_now().await.unwrap(), "provider"), "two");
        assert_eq!(rig.clock.now() - start, SECOND * 7);
        assert_eq!(rig.in_flight("one"), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_callers_own_fault_is_answered_once_as_it_is() {
        let rig = Rig::new([provider("one"), provider("two"), fallback("three")])
            .script("one", [BAD])
            .script("two", [BAD]);
        for round in 1..=50 {
            let Err(Error::CallerFault { status, message }) = rig.send_now().await else {
                panic!("not the caller's fault")
            };
            assert_eq!(status, StatusCode::BAD_REQUEST);
            assert_eq!(message.message, "temperature is too high");
            assert_eq!(message.param.as_deref(), Some("temperature"));
            assert_eq!(rig.asked().len(), round);
            advance(SECOND * 10).await;
        }
        assert!(!rig.asked().contains(&"three".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn the_callers_own_fault_inside_a_200_is_not_failed_over_either() {
        let filtered = Reply::Answer(
            200,
            r#"{"error":{"message":"The prompt was filtered","code":"content_filter"}}"#,
        );
        let rig = Rig::new([provider("one"), fallback("two")]).script("one", [filtered]);
        let error = rig.send_now().await.map(drop).unwrap_err();
        assert!(error.status().is_client_error(), "{error:?}");
        assert_eq!(rig.asked(), ["one"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_prompt_that_is_too_long_goes_to_larger_windows_only() {
        let rig = Rig::new([
            with_window("small", 8_192),
            with_window("same", 8_192),
            provider("unknown"),
            provider_with(
                "large",
                json!({"pool": "fallback", "model_mappings": {"m": {"context_window": 131_072}}}),
            ),
        ]);
        let rig = ["small", "same"].into_iter().fold(rig, |rig, name| rig.script(name, [TOO_LONG]));
        // One of the two small ones comes first.
        let _ = rig.live("unknown").limiter.admit(rig.clock.now()).unwrap();
        let response = rig.send_now().await.unwrap();
        assert_eq!((said(&response, "provider"), said(&response, "attempts")), ("large", "2"));
        assert_eq!(rig.asked().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_prompt_that_is_too_long_for_everybody_is_the_callers_fault() {
        let rig =
            Rig::new([with_window("one", 8_192), with_window("two", 4_096), fallback("three")])
                .script("one", [TOO_LONG])
                .script("two", [TOO_LONG]);
        let Err(Error::CallerFault { status, message }) = rig.send(MINUTE).await else {
            panic!("not the caller's fault")
        };
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(message.is_context_too_long);
        assert!(!rig.asked().contains(&"three".to_owned()), "its window is not known");
    }

    #[tokio::test(start_paused = true)]
    async fn a_larger_window_that_fails_leaves_the_callers_fault() {
        let rig = Rig::new([with_window("one", 8_192), with_window("two", 131_072)])
            .script("one", [TOO_LONG])
            .script("two", [LIMITED]);
        let _ = rig.live("two").limiter.admit(rig.clock.now()).unwrap();
        assert!(matches!(rig.send(MINUTE).await, Err(Error::CallerFault { .. })));
        assert_eq!(rig.asked(), ["one", "two"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_model_that_nobody_serves_is_unknown() {
        let rig = Rig::new([
            provider("one"),
            provider_with("off", json!({"enabled": false, "model_mappings": {"x": {}}})),
        ]);
        for model in ["x", "M", ""] {
            let head = Head { model: Some(model.into()), ..rig.head(MINUTE) };
            match rig.send_head(head).await {
                Err(Error::UnknownModel(name)) => assert_eq!(name, model),
                other => panic!("{other:?}"),
            }
        }
        let head = Head { pinned: Some("nobody".into()), ..rig.head(MINUTE) };
        assert!(matches!(rig.send_head(head).await, Err(Error::UnknownModel(_))));
        assert!(rig.asked().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn one_request_is_sent_so_often_and_no_more() {
        let settings = Settings { max_pool_retries: 2, ..Settings::default() };
        let names = ["one", "two", "three", "four"];
        let rig = Rig::with(settings, names.map(provider));
        let rig = names.into_iter().fold(rig, |rig, name| rig.script(name, [BROKEN]));
        let Err(Error::Exhausted { attempts, .. }) = rig.send(MINUTE).await else {
            panic!("somebody answered")
        };
        assert_eq!((attempts, rig.asked().len()), (2, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lone_provider_that_breaks_is_asked_once_more_after_a_pause() {
        for reply in [BROKEN, Reply::Reset] {
            let rig = Rig::new([provider("one")]).script("one", [reply, GOOD]);
            let start = rig.clock.now();
            let response = rig.send_now().await.unwrap();
            assert_eq!(said(&response, "attempts"), "2", "{reply:?}");
            let pause = rig.clock.now() - start;
            let (least, most) = (Duration::from_millis(250), Duration::from_millis(502));
            assert!(pause >= least && pause <= most, "{pause:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lone_provider_is_not_asked_a_third_time() {
        let rig = Rig::new([provider("one")]).script("one", [BROKEN, BROKEN, GOOD]);
        let Err(Error::Exhausted { attempts, .. }) = rig.send(MINUTE).await else {
            panic!("it was asked again")
        };
        assert_eq!((attempts, rig.asked().len()), (2, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_times_out_is_not_asked_again_at_once() {
        let slow = provider_with("one", json!({"timeout_seconds": 7}));
        let rig = Rig::new([slow]).script("one", [Reply::Hang]);
        assert!(matches!(rig.send_now().await, Err(Error::Exhausted { attempts: 1, .. })));
        assert_eq!(rig.asked().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn every_attempt_is_booked_once() {
        let rig = Rig::new([provider("one"), fallback("two")]).script("one", [LIMITED]);
        let response = rig.send_now().await.unwrap();
        response.into_body().collect().await.unwrap();
        let mut booked: Vec<(String, u64, u64)> = rig
            .pools
            .ledger()
            .take()
            .into_iter()
            .map(|(key, counts)| (key.provider, counts.requests, counts.errors))
            .collect();
        booked.sort_unstable();
        assert_eq!(booked, [("id-one".to_owned(), 1, 1), ("id-two".to_owned(), 1, 0)]);
    }
}

mod waiting {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_until_a_slot_is_free_and_says_how_long() {
        let rig = Rig::new([limited_to("one", 1)]);
        let first = rig.send(MINUTE * 2).await.unwrap();
        assert_eq!(queued_ms(&first), 0);
        let start = rig.clock.now();
        let second = rig.send(MINUTE * 2).await.unwrap();
        let waited = rig.clock.now() - start;
        assert!(waited > MINUTE && waited < MINUTE + SECOND, "{waited:?}");
        assert_eq!(u128::from(queued_ms(&second)), waited.as_millis());
        assert_eq!(said(&second, "attempts"), "1");
    }

    #[tokio::test(start_paused = true)]
    async fn the_soonest_slot_of_any_provider_is_waited_for() {
        let rig = Rig::new([
            limited_to("one", 1),
            provider_with("two", json!({"rpm_limit": 1, "pool": "fallback"})),
        ]);
        rig.send_now().await.unwrap();
        advance(SECOND * 20).await;
        assert_eq!(said(&rig.send_now().await.unwrap(), "provider"), "two");
        let start = rig.clock.now();
        let third = rig.send(MINUTE * 2).await.unwrap();
        assert_eq!(said(&third, "provider"), "one");
        let waited = rig.clock.now() - start;
        assert!(waited > SECOND * 40 && waited < SECOND * 41, "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_a_slot_that_comes_too_late() {
        let rig = Rig::new([limited_to("one", 1)]);
        rig.send_now().await.unwrap();
        let start = rig.clock.now();
        let Err(Error::Exhausted { next_available, attempts, retry_after, .. }) =
            rig.send(SECOND * 30).await
        else {
            panic!("it was let through")
        };
        assert_eq!(rig.clock.now(), start, "it left at once");
        let next_available = next_available.unwrap();
        assert!(next_available > MINUTE && next_available < MINUTE + SECOND, "{next_available:?}");
        assert_eq!((attempts, retry_after), (0, MINUTE * 2));
        assert_eq!(rig.asked().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_retry_after_is_no_earlier_than_the_next_slot() {
        let settings = Settings { exhausted_retry_after_seconds: 10, ..Settings::default() };
        let rig = Rig::with(settings, [limited_to("one", 1)]);
        rig.send_now().await.unwrap();
        let error = rig.send_now().await.map(drop).unwrap_err();
        assert_eq!(error.retry_after().unwrap().as_secs(), 61);
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiter_waits_for_a_rest_to_end_only_if_it_may_ask_then() {
        let settings = Settings { cooldown_base: SECOND * 2, ..Settings::default() };
        let rig = Rig::with(settings, [provider("one")]).script("one", [LIMITED, GOOD]);
        let start = rig.clock.now();
        match rig.send(SECOND * 30).await {
            Ok(response) => {
                assert_eq!(said(&response, "attempts"), "2");
                assert!(queued_ms(&response) >= 2_000);
            }
            Err(_) => assert_eq!(rig.clock.now(), start, "it waited for nothing"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiter_outlasts_the_probe_of_another_request() {
        const BODY: &str = r#"{"choices":[]}"#;
        let settings = Settings { cooldown_base: SECOND, ..Settings::default() };
        let rig = Rig::with(settings, [provider("one")])
            .script("one", [LIMITED, Reply::Slowly(SECOND * 2, 200, BODY)]);
        rig.send_now().await.map(drop).unwrap_err();
        let (first, second) = tokio::join!(rig.send(SECOND * 30), rig.send(SECOND * 30));
        first.unwrap();
        second.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn many_waiters_never_exceed_the_limit_and_all_are_served() {
        let rig = Arc::new(Rig::new([limited_to("one", 3)]));
        let waiters: Vec<_> = (0..9)
            .map(|_| {
                let rig = rig.clone();
                tokio::spawn(async move { rig.send(MINUTE * 5).await.map(drop) })
            })
            .collect();
        for (minutes, served) in [(0, 3), (1, 6), (2, 9)] {
            advance(if minutes == 0 { SECOND } else { MINUTE + SECOND }).await;
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            assert_eq!(rig.asked().len(), served, "after {minutes} minutes");
        }
        for waiter in waiters {
            waiter.await.unwrap().unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_refuses_at_once() {
        let settings = Settings { queue_max_depth: 1, ..Settings::default() };
        let rig = Rig::with(settings, [limited_to("one", 1)]);
        rig.send_now().await.unwrap();
        let start = rig.clock.now();
        let refused_at = async {
            let result = rig.send(MINUTE * 2).await;
            (result, rig.clock.now())
        };
        let (waited, (refused, refused_at)) =
            tokio::join!(biased; rig.send(MINUTE * 2), refused_at);
        waited.unwrap();
        assert!(matches!(refused, Err(Error::QueueFull)));
        assert_eq!(refused_at, start);
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiter_who_leaves_gives_the_place_back() {
        let settings = Settings { queue_max_depth: 1, ..Settings::default() };
        let rig = Rig::with(settings, [limited_to("one", 1)]);
        rig.send_now().await.unwrap();
        timeout(SECOND, rig.send(MINUTE * 2)).await.map(drop).unwrap_err();
        rig.send(MINUTE * 2).await.unwrap();
        assert_eq!(rig.asked().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn the_callers_deadline_ends_the_request() {
        let rig = Rig::new([provider("one")]).script("one", [Reply::Hang]);
        let start = rig.clock.now();
        let head = Head { deadline: Some(start + SECOND * 5), ..rig.head(SECOND * 5) };
        assert!(matches!(rig.send_head(head).await, Err(Error::UpstreamTimeout)));
        assert_eq!(rig.clock.now() - start, SECOND * 5);
        assert_eq!(rig.in_flight("one"), 0);
    }
}

mod state {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_a_provider_has_sent_counts_on_in_the_account_it_moves_to() {
        let rig = Rig::new([limited_to("one", 10), provider("two")]);
        let now = rig.clock.now();
        for _ in 0..7 {
            let _ = rig.live("one").limiter.admit(now).unwrap();
        }
        let moved = provider_with("one", json!({"rpm_limit": 10, "account": "shared"}));
        rig.pools.replace([moved, provider("two")], Settings::default());
        assert_eq!(rig.live("one").limiter.free(now), 3);
        // Once only, however often the providers change.
        let moved = provider_with("one", json!({"rpm_limit": 10, "account": "shared"}));
        rig.pools.replace([moved], Settings::default());
        assert_eq!(rig.live("one").limiter.free(now), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_is_in_flight_until_its_body_is_dropped() {
        let rig = Rig::new([provider("one"), fallback("two")]).script("one", [LIMITED]);
        let response = rig.send_now().await.unwrap();
        assert_eq!((rig.in_flight("one"), rig.in_flight("two")), (0, 1));
        let (_, body) = response.into_parts();
        assert_eq!(rig.in_flight("two"), 1);
        drop(body);
        assert_eq!(rig.in_flight("two"), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_who_leaves_is_no_longer_in_flight() {
        let rig = Rig::new([provider("one")]).script("one", [Reply::Hang]);
        timeout(SECOND, rig.send_now()).await.map(drop).unwrap_err();
        assert_eq!(rig.in_flight("one"), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn providers_of_one_account_share_their_limit_and_their_rest() {
        let of_account = |name| provider_with(name, json!({"account": "acme", "rpm_limit": 2}));
        let rig = Rig::new([of_account("one"), of_account("two")]);
        rig.send_now().await.unwrap();
        rig.send_now().await.unwrap();
        assert!(matches!(rig.send_now().await, Err(Error::Exhausted { attempts: 0, .. })));

        let rig = Rig::new([of_account("one"), of_account("two")])
            .script("one", [LIMITED])
            .script("two", [LIMITED]);
        assert!(matches!(rig.send_now().await, Err(Error::Exhausted { attempts: 1, .. })));
        assert_eq!(rig.asked().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_on_one_model_leaves_the_others() {
        let both = json!({"model_mappings": {"m": {}, "n": {}}});
        let rig = Rig::new([provider_with("one", both)]).script("one", [LIMITED, GOOD]);
        rig.send_now().await.map(drop).unwrap_err();
        let head = Head { model: Some("n".into()), ..rig.head(Duration::ZERO) };
        rig.send_head(head).await.unwrap();
        rig.send_now().await.map(drop).unwrap_err();
        assert_eq!(rig.asked().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_of_the_providers_keeps_limits_and_rests() {
        let rig = Rig::new([limited_to("one", 1), fallback("two")]).script("two", [LIMITED]);
        rig.send_now().await.unwrap();
        rig.send_now().await.map(drop).unwrap_err();
        let again = [limited_to("one", 1), fallback("two"), fallback("three")];
        rig.pools.replace(again, Settings::default());
        assert_eq!(said(&rig.send_now().await.unwrap(), "provider"), "three");
        assert_eq!(rig.asked(), ["one", "two", "three"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_model_served_by_any_name_keeps_its_rest_over_a_change() {
        let any = || provider_with("one", json!({"model_mappings": {"*": {}}}));
        let rig = Rig::new([any()]).script("one", [LIMITED]);
        rig.send_now().await.map(drop).unwrap_err();
        rig.pools
            .replace([any(), provider_with("two", json!({"enabled": false}))], Settings::default());
        rig.send_now().await.map(drop).unwrap_err();
        assert_eq!(rig.asked(), ["one"], "it is still resting");
    }

    #[tokio::test(start_paused = true)]
    async fn made_up_model_names_make_no_rest_forgotten() {
        let rig = Rig::new([provider_with("one", json!({"model_mappings": {"*": {}}}))])
            .script("one", [LIMITED, GOOD]);
        rig.send_now().await.map(drop).unwrap_err();
        for number in 0..2_000 {
            let head = Head { model: Some(format!("x-{number}").into()), ..rig.head(MINUTE) };
            assert!(rig.pools.plan(&head).is_some());
        }
        rig.send_now().await.map(drop).unwrap_err();
        assert_eq!(rig.asked(), ["one"], "it is still resting");
    }

    #[tokio::test(start_paused = true)]
    async fn models_are_listed_once_with_their_largest_window() {
        let rig = Rig::new([
            with_window("one", 8_192),
            with_window("two", 131_072),
            provider_with("three", json!({"model_mappings": {"*": {}, "a": {}}})),
            provider_with("off", json!({"enabled": false, "model_mappings": {"z": {}}})),
        ]);
        let models = rig.pools.models();
        let listed: Vec<_> =
            models.iter().map(|model| (model.name.as_str(), model.context_window)).collect();
        assert_eq!(listed, [("a", None), ("m", Some(131_072))]);
    }
}
