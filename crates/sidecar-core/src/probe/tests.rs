//! Asking over scripted providers.

use std::collections::{HashMap, VecDeque};
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::time::{advance, sleep};
use tower::Service;

use self::Reply::{Hang, Reset, Status};
use super::Prober;
use crate::clock::{Clock, Timestamp};
use crate::cooldown::Cell;
use crate::endpoint::Endpoint;
use crate::error::BoxError;
use crate::pool::{LiveProvider, Pools};
use crate::provider::{Provider, ProviderPatch};
use crate::settings::Settings;
use crate::verdict::{Class, Verdict};

const MINUTE: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(10);

/// What a provider does with one question.
#[derive(Clone, Copy, Debug)]
enum Reply {
    Status(u16),
    Reset,
    Hang,
}

/// All providers, told apart by the host that a request names. One that has come to the end of
/// its script lists its models. Everybody takes two seconds.
#[derive(Clone, Default)]
struct Vendors {
    scripts: Arc<Mutex<HashMap<String, VecDeque<Reply>>>>,
    /// The method, host and path of every question.
    asked: Arc<Mutex<Vec<String>>>,
    under_way: Arc<Mutex<UnderWay>>,
}

#[derive(Default)]
struct UnderWay {
    now: usize,
    most: usize,
}

impl Service<Request<Full<Bytes>>> for Vendors {
    type Response = Response<Full<Bytes>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Full<Bytes>>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let host = request.headers()[HOST].to_str().unwrap();
        let name = host.strip_suffix(".example").unwrap();
        let reply = self.scripts.lock().unwrap().get_mut(name).and_then(VecDeque::pop_front);
        let question = format!("{} {host}{}", request.method(), request.uri().path());
        self.asked.lock().unwrap().push(question);
        let under_way = self.under_way.clone();
        Box::pin(async move {
            {
                let mut counts = under_way.lock().unwrap();
                counts.now += 1;
                counts.most = counts.most.max(counts.now);
            }
            sleep(Duration::from_secs(2)).await;
            under_way.lock().unwrap().now -= 1;
            match reply.unwrap_or(Status(200)) {
                Status(status) => {
                    let list = r#"{"object":"list","data":[{"id":"m"}]}"#;
                    let body = if status == 200 { list } else { "{}" };
                    let builder = Response::builder().status(status);
                    Ok(builder.header(CONTENT_TYPE, "application/json").body(Full::from(body))?)
                }
                Reset => Err("connection reset by peer".into()),
                Hang => pending().await,
            }
        })
    }
}

struct Rig {
    clock: Clock,
    pools: Pools,
    vendors: Vendors,
    prober: Prober,
}

impl Rig {
    /// Providers that have been known to the prober for less than an instant.
    async fn new(providers: impl IntoIterator<Item = Provider>) -> Self {
        let clock = Clock::simulated();
        let pools = Pools::new(Settings::default(), clock.clone());
        pools.replace(providers, Settings::default());
        let prober = Prober::new(pools.clone());
        let mut rig = Self { clock, pools, vendors: Vendors::default(), prober };
        assert_eq!(rig.round().await, 0);
        rig
    }

    /// A single provider, `one`, and what it will say.
    async fn scripted(replies: &[Reply]) -> Self {
        let rig = Self::new([provider("one", json!({}))]).await;
        let script = replies.iter().copied().collect();
        rig.vendors.scripts.lock().unwrap().insert("one".to_owned(), script);
        rig
    }

    /// One round now. How many were asked in it?
    async fn round(&mut self) -> usize {
        let before = self.asked().len();
        self.prober.round(self.vendors.clone(), MINUTE, PATIENCE).await;
        self.asked().len() - before
    }

    /// One round a minute later.
    async fn next_round(&mut self) -> usize {
        advance(MINUTE).await;
        self.round().await
    }

    fn asked(&self) -> Vec<String> {
        self.vendors.asked.lock().unwrap().clone()
    }

    fn live(&self, name: &str) -> Arc<LiveProvider> {
        self.pools.provider(name).unwrap()
    }

    /// How `one` serves the model `m`.
    fn endpoint(&self) -> Endpoint {
        self.pools.endpoint_of(&self.live("one"), Some("m")).unwrap()
    }

    fn rests(&self, cell: &Cell) -> bool {
        cell.state_at(self.clock.now()).until.is_some()
    }

    /// Charges a failure of `one`.
    fn fail(&self, class: Class) {
        let cells = self.endpoint().cells;
        cells.note_failure(&Verdict::of(class), self.clock.now(), 0.0);
    }

    /// Rests the cell that `class` is charged to for as long as it ever does.
    async fn rest_long(&self, cell: &Cell, class: Class) {
        for _ in 0..10 {
            let now = self.clock.now();
            if let Some(at) = cell.ready_at(now) {
                advance(at - now).await;
            }
            self.fail(class);
        }
        assert!(self.rests(cell));
    }
}

/// A provider at `https://{name}.example` that serves the model `m`; `extra` goes over it.
fn provider(name: &str, extra: Value) -> Provider {
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

#[tokio::test(start_paused = true)]
async fn an_idle_provider_is_asked_once_an_interval() {
    let mut rig = Rig::scripted(&[]).await;
    assert_eq!(rig.next_round().await, 1);
    assert_eq!(rig.round().await, 0);
    assert_eq!(rig.next_round().await, 1);
    assert_eq!(rig.asked(), ["GET one.example/v1/models"; 2]);
    let health = rig.live("one").health.get();
    assert_eq!(health.last_status, Some(StatusCode::OK));
    assert_eq!(health.last_latency.unwrap().as_secs(), 2);
}

#[tokio::test(start_paused = true)]
async fn every_protocol_lists_by_its_own_path() {
    let google =
        json!({"api": "google-generative-ai", "api_base_url": "https://two.example/v1beta"});
    let anthropic = json!({"api": "anthropic-messages"});
    let mut rig = Rig::new([provider("one", anthropic), provider("two", google)]).await;
    rig.next_round().await;
    let mut asked = rig.asked();
    asked.sort_unstable();
    assert_eq!(asked, ["GET one.example/v1/models", "GET two.example/v1beta/models"]);
}

#[tokio::test(start_paused = true)]
async fn traffic_puts_the_question_off() {
    let mut rig = Rig::scripted(&[]).await;
    advance(MINUTE / 2).await;
    let health = rig.live("one").health.clone();
    health.note(Duration::ZERO, Some(StatusCode::OK), false, rig.clock.wall());
    for asked in [0, 0, 1] {
        assert_eq!(rig.round().await, asked);
        advance(MINUTE / 2).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_not_wanted_or_busy_is_left_alone() {
    let unwanted = provider("unwanted", json!({"enabled": false}));
    let mut rig = Rig::new([unwanted, provider("one", json!({}))]).await;
    let busy = rig.live("one").in_flight.clone();
    assert_eq!(rig.next_round().await, 0);
    drop(busy);
    assert_eq!(rig.next_round().await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_question_takes_a_slot_and_is_booked_or_is_not_asked() {
    let mut rig = Rig::new([provider("one", json!({"rpm_limit": 1}))]).await;
    let mut other = Prober::new(rig.pools.clone());
    assert_eq!(rig.next_round().await, 1);
    assert_eq!(rig.live("one").limiter.free(rig.clock.now()), 0);
    let booked = rig.pools.ledger().take();
    let [(key, counts)] = &booked[..] else { panic!("not one row: {booked:?}") };
    assert_eq!((&*key.caller, counts.requests), ("probe", 1));
    // There is no slot for a second one.
    for _ in 0..2 {
        other.round(rig.vendors.clone(), MINUTE / 2, PATIENCE).await;
        advance(MINUTE / 2).await;
    }
    assert_eq!(rig.asked().len(), 1);
    assert!(rig.pools.ledger().take().is_empty());
}

#[tokio::test(start_paused = true)]
async fn four_are_asked_at_a_time() {
    let names: Vec<String> = (0..10).map(|n| format!("p{n}")).collect();
    let mut rig = Rig::new(names.iter().map(|name| provider(name, json!({})))).await;
    assert_eq!(rig.next_round().await, 10);
    assert_eq!(rig.vendors.under_way.lock().unwrap().most, 4);
}

#[tokio::test(start_paused = true)]
async fn a_silent_provider_is_given_up_and_charged_with_nothing() {
    let mut rig = Rig::scripted(&[Hang]).await;
    let before = rig.clock.now();
    assert_eq!(rig.next_round().await, 1);
    assert!(rig.clock.now() - before < MINUTE + PATIENCE + Duration::from_secs(2));
    let health = rig.live("one").health.get();
    assert_eq!((health.consecutive_failures, health.last_status), (1, None));
    assert_eq!(rig.endpoint().ready_at(rig.clock.now()), None);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_after_an_answer_rests_the_key_and_an_answer_ends_that() {
    let mut rig = Rig::scripted(&[Status(200), Status(401), Status(401), Status(200)]).await;
    let live = rig.live("one");
    for (rests, failures) in [(false, 0), (true, 1), (true, 2), (false, 0)] {
        assert_eq!(rig.next_round().await, 1);
        assert_eq!(rig.rests(&live.key_cell), rests);
        assert_eq!(live.health.get().consecutive_failures, failures);
    }
}

#[tokio::test(start_paused = true)]
async fn a_vendor_that_lists_to_everybody_vouches_for_no_key() {
    let mut rig = Rig::scripted(&[]).await;
    let live = rig.live("one");
    rig.next_round().await;
    for class in [Class::Auth, Class::Billing] {
        live.key_cell.reset();
        rig.fail(class);
        for _ in 0..3 {
            assert_eq!(rig.next_round().await, 1);
            assert!(rig.rests(&live.key_cell));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_may_never_list_is_not_rested() {
    let mut rig = Rig::scripted(&[Status(401), Status(403), Status(401)]).await;
    let live = rig.live("one");
    for _ in 0..3 {
        assert_eq!(rig.next_round().await, 1);
        assert!(!rig.rests(&live.key_cell));
    }
}

#[tokio::test(start_paused = true)]
async fn an_origin_that_cannot_be_reached_time_and_again_rests() {
    let mut rig = Rig::scripted(&[Reset; 5]).await;
    let origin = rig.endpoint().cells.origin.clone();
    for _ in 0..5 {
        assert!(!rig.rests(&origin));
        rig.next_round().await;
    }
    assert!(rig.rests(&origin));
}

#[tokio::test(start_paused = true)]
async fn an_origin_comes_back_with_any_answer_of_the_vendors_own() {
    for (reply, comes_back) in [
        (Status(200), true),
        (Status(401), true),
        (Status(404), true),
        (Status(429), true),
        (Status(502), false),
        (Reset, false),
        (Hang, false),
    ] {
        let mut rig = Rig::scripted(&[reply]).await;
        let origin = rig.endpoint().cells.origin.clone();
        rig.rest_long(&origin, Class::Unreachable).await;
        assert_eq!(rig.next_round().await, 1);
        assert_eq!(rig.rests(&origin), !comes_back, "{reply:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn quotas_and_models_are_left_alone() {
    let mut rig = Rig::scripted(&[]).await;
    let cells = rig.endpoint().cells;
    rig.rest_long(&cells.endpoint, Class::Overloaded).await;
    rig.fail(Class::ModelGone);
    assert_eq!(rig.next_round().await, 1);
    assert!(rig.rests(&cells.quota) && rig.rests(&cells.endpoint));
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_a_provider_that_was_changed_meanwhile_settles_nothing() {
    let mut rig = Rig::scripted(&[Status(200), Status(401)]).await;
    rig.next_round().await;
    advance(MINUTE).await;
    let (pools, vendors) = (rig.pools.clone(), rig.vendors.clone());
    let changing = async {
        // The question is under way by then.
        sleep(Duration::from_millis(1_500)).await;
        let other = provider("one", json!({"api_key": "sk-other-0123456789"}));
        pools.replace([other], Settings::default());
    };
    tokio::join!(rig.prober.round(vendors, MINUTE, PATIENCE), changing);
    assert_eq!(rig.asked().len(), 2);
    assert!(!rig.rests(&rig.live("one").key_cell));
}

#[tokio::test(start_paused = true)]
async fn it_follows_the_setting_while_it_runs() {
    let Rig { pools, vendors, prober, .. } = Rig::scripted(&[]).await;
    let task = tokio::spawn(prober.run(vendors.clone()));
    let asked = || vendors.asked.lock().unwrap().len();
    let set = |interval| {
        let settings = Settings { health_check_interval: interval, ..Settings::default() };
        pools.replace([provider("one", json!({}))], settings);
    };
    sleep(MINUTE * 5).await;
    assert_eq!(asked(), 0);
    set(MINUTE);
    // The sixth time between five and five and a tenth minutes from here.
    sleep(MINUTE * 11 / 2).await;
    assert_eq!(asked(), 6);
    set(Duration::ZERO);
    sleep(MINUTE * 5).await;
    assert_eq!(asked(), 6);
    task.abort();
}
