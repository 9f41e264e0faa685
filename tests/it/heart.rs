//! Limits, rests and the queue on real sockets and in real time. What they do over hours, and
//! with many vendors, is shown in virtual time, see [`crate::sim`].

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sidecar_core::clock::{Clock, Instant, Timestamp};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use crate::support::{
    Answer, Home, Refusing, Script, Server, Upstream, all_ready, alone, candidates, chat,
    eventually, explain, json_body, provider, request, try_send, with, within,
};

/// 15 callers send two bursts of six each, three callers in step every 7.5 s: 18 requests, which
/// are 144 a minute, nine tenths of four times 40. At the sixth of ten such beats the server is
/// killed with most of the burst in flight.
///
/// The three keys have seen up to 36 requests each by then. A server that had forgotten them, or
/// those it had no time to write down, would send each of them up to 18 more in the next 15 s. One
/// that counts a reserve of 10 as sent, too, has 30 slots of the fallback left at worst, and 18
/// more every 7.5 s from the second minute on: nobody waits longer than about 40 s.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_minute_of_a_key_holds_more_than_its_limit_across_kill_9() {
    let (clock, home) = (Clock::system(), Home::new().env("SIDECAR_QUEUE_TIMEOUT", "60"));
    let mut server = home.start().await;
    let mut vendors = Vec::new();
    for (name, pool) in
        [("one", "primary"), ("two", "primary"), ("three", "primary"), ("four", "fallback")]
    {
        let vendor = Vendor::start(&clock).await;
        let limit = json!({"rpm_limit": LIMIT, "pool": pool});
        server.add(with(provider(name, &vendor.base_url()), limit)).await;
        vendors.push(vendor);
    }
    all_ready(&server).await;

    let (address, addresses) = watch::channel(Address { run: 0, addr: server.addr() });
    let start = clock.now();
    let mut load = JoinSet::new();
    for beat in 0..BEATS {
        for caller in (0..CALLERS).filter(|caller| caller % GROUPS == beat % GROUPS) {
            for _ in 0..BURST {
                let (clock, addresses) = (clock.clone(), addresses.clone());
                load.spawn(async move {
                    clock.sleep_until(start + BEAT * beat).await;
                    ask_again_if_lost(&format!("agent-{caller}"), addresses).await
                });
            }
        }
    }

    // Between the fifth and the sixth beat.
    clock.sleep_until(start + BEAT * 4 + BEAT / 2).await;
    let arrivals = || vendors.iter().map(Vendor::count).sum::<usize>();
    let before = arrivals();
    assert_eq!(before, 90, "there was room for all of the first five beats");
    vendors.iter().for_each(|vendor| vendor.hold(true));
    eventually("a burst under way", async || (arrivals() >= before + 12).then_some(())).await;
    server.process().kill();
    vendors.iter().for_each(|vendor| vendor.hold(false));
    server = home.start().await;
    address.send_replace(Address { run: 1, addr: server.addr() });

    let outcomes = timeout(PATIENCE * 2, load.join_all()).await.expect("an end of the load");
    assert_eq!(outcomes.len(), 180);
    for (answer, _) in &outcomes {
        assert_eq!(answer.status, 200, "{}", answer.whole());
    }
    let lost: u32 = outcomes.iter().map(|(_, lost)| lost).sum();
    assert!(lost >= 12, "the kill has cost only {lost} answers");
    let fullest: Vec<usize> = vendors.iter().map(Vendor::fullest_minute).collect();
    assert!(fullest.iter().all(|count| *count <= LIMIT), "in 60 s: {fullest:?}");
    // Otherwise this shows nothing.
    assert!(fullest[..3].iter().all(|count| *count >= 30), "in 60 s: {fullest:?}");
    assert!(fullest[3] > 0, "the fallback is not used");
}

#[tokio::test]
async fn fifty_429s_at_once_are_one_strike() {
    let (clock, home) = (Clock::system(), Home::new());
    let (tired, spare) = (Vendor::start(&clock).await, Upstream::start().await);
    tired.answer(429);
    tired.hold(true);
    let server = home.start().await;
    // So high that the limits do not matter here.
    let limit = json!({"rpm_limit": 1_000});
    server.add(with(provider("tired", &tired.base_url()), limit.clone())).await;
    let fallback = with(limit, json!({"pool": "fallback"}));
    server.add(with(provider("spare", &spare.base_url()), fallback)).await;
    all_ready(&server).await;

    let mut asked = JoinSet::new();
    for caller in 0..50 {
        let addr = server.addr();
        asked.spawn(async move { ask(addr, &format!("agent-{caller}")).await });
    }
    eventually("all fifty at the vendor", async || (tired.count() == 50).then_some(())).await;
    let before = clock.wall();
    tired.hold(false);
    for answer in within("all answers", asked.join_all()).await {
        assert_served_by_spare(&answer, "2");
    }
    let after = clock.wall();
    assert_eq!((tired.count(), spare.count()), (50, 50));

    assert_quota_rests_at_level_1(&explain(&server).await);
    let providers = server.providers().await;
    let seen = providers.iter().find(|provider| provider["name"] == "tired").unwrap();
    assert_eq!(seen["status"], "cooling", "{seen}");
    let until = timestamp(&seen["cooldown_until"]);
    // 30 s, and up to a tenth more.
    let (soonest, latest) = (before + Duration::from_secs(30), after + Duration::from_secs(33));
    assert!(until + READING >= soonest && until <= latest + READING, "{before} {until} {after}");

    // An orderly end writes all there is: no second event can still be on its way.
    let exit = server.stop().await;
    assert_eq!(exit.code, Some(0), "{}", exit.output());
    let server = home.start().await;
    let events = rests_of(&server, "tired").await;
    assert_eq!(events.len(), 1, "{events:?}");
    let event = &events[0];
    assert_eq!(event["level"], 1, "{event}");
    assert_eq!(event["reason"], "rate_limited", "{event}");
    assert_eq!(event["scope"], "quota", "{event}");
    assert_quota_rests_at_level_1(&explain(&server).await);
}

#[tokio::test]
async fn a_dead_vendor_costs_few_sends_and_answers_come_at_once() {
    let _alone = alone().await;
    let (clock, home) = (Clock::system(), Home::new());
    let dead = [Refusing::new(), Refusing::new(), Refusing::new(), Refusing::new()];
    let server = home.start().await;
    for (name, address) in ["one", "two", "three", "four"].into_iter().zip(&dead) {
        server.add(provider(name, &address.base_url())).await;
    }
    let mut took = Vec::new();
    for _ in 0..200 {
        let asked_at = clock.now();
        let answer = ask(server.addr(), "agent").await;
        took.push(clock.now() - asked_at);
        assert_exhausted(&answer);
    }

    // Nothing ever succeeds, so that the failures in a row are all there were. What was refused at
    // the door is on no books.
    let failures =
        |provider: &Value| provider["health"]["consecutive_failures"].as_u64().unwrap_or(0);
    let providers = server.providers().await;
    let sends: u64 = providers.iter().map(failures).sum();
    assert!(providers.iter().all(|provider| failures(provider) > 0), "{providers:?}");
    assert!(sends <= 60, "{sends} sends to vendors that are dead");
    // The cells are open by then. Now and then one request is a probe, and a busy machine is slow.
    let open = &mut took[100..];
    open.sort_unstable();
    assert!(
        open[50] < Duration::from_millis(50),
        "{:?} for an answer that costs nothing",
        open[50]
    );
}

#[tokio::test]
async fn a_cooldown_outlives_kill_9() {
    let (clock, home, spare) = (Clock::system(), Home::new(), Upstream::start().await);
    let limited = Upstream::following(Script::Answer {
        status: 429,
        headers: vec![("content-type", "application/json"), ("retry-after", "600")],
        body: json!({"error": {"message": "too many requests"}}).to_string(),
    })
    .await;
    let mut server = home.start().await;
    server.add(provider("tired", &limited.base_url())).await;
    let fallback = json!({"pool": "fallback"});
    server.add(with(provider("spare", &spare.base_url()), fallback)).await;
    all_ready(&server).await;
    assert_served_by_spare(&ask(server.addr(), "agent").await, "2");
    // Events are read from the store, where the cell stands before them.
    let event = eventually("the rest to be on the books", async || {
        rests_of(&server, "tired").await.into_iter().next()
    })
    .await;
    assert_eq!(event["source"], "authoritative", "{event}");
    // What the vendor said, and up to 5 s more.
    let length = event["duration_ms"].as_u64().unwrap();
    assert!((600_000..=605_000).contains(&length), "{event}");
    server.process().kill();

    let server = home.start().await;
    assert_served_by_spare(&ask(server.addr(), "agent").await, "1");
    let pinned = request("POST", "/v1/chat/completions").header("x-sidecar-provider", "tired");
    let answer = server.call(pinned.body(json_body(&chat("llama"))).unwrap()).await;
    assert_exhausted(&answer);
    let next: u64 = answer.header("x-sidecar-next-available-ms").parse().unwrap();
    assert!((500_000..=605_000).contains(&next), "{}", answer.whole());
    assert_eq!(limited.count(), 1, "it was sent something while it rests");

    let before = clock.wall();
    let explanation = explain(&server).await;
    let after = clock.wall();
    assert_quota_rests_at_level_1(&explanation);
    let left = quota_of(&explanation)["rests_ms"].as_u64().unwrap();
    // Neither longer nor shorter than it would have been.
    let (until, left) = (timestamp(&event["until"]), Duration::from_millis(left));
    let restored = (before + left, after + left);
    assert!(restored.0 <= until + READING && restored.1 + READING >= until, "{restored:?} {until}");
}

#[tokio::test]
async fn who_waits_is_served_in_turn() {
    let (clock, home) = (Clock::system(), Home::new().env("SIDECAR_QUEUE_TIMEOUT", "60"));
    let vendor = Vendor::start(&clock).await;
    let server = home.start().await;
    // A slot every 1.02 s.
    let limit = json!({"rpm_limit": 60, "limit_shape": "smooth", "burst": 1});
    server.add(with(provider("one", &vendor.base_url()), limit)).await;
    all_ready(&server).await;

    let (addr, mut hogs) = (server.addr(), JoinSet::new());
    for _ in 0..21 {
        hogs.spawn(ask(addr, "hog"));
    }
    // One went at once; on a busy machine a few more may have got their turn by now.
    eventually("the hog to queue", async || {
        (explain(&server).await["queue_depth"].as_u64()? >= 15).then_some(())
    })
    .await;
    let before = vendor.count();
    let answer = ask(addr, "other").await;
    assert_eq!(answer.status, 200, "{}", answer.whole());
    let queued: u64 = answer.header("x-sidecar-queued-ms").parse().unwrap();
    // Two slots, and what a busy machine adds.
    assert!(queued <= 3_000, "queued for {queued} ms");
    let position = vendor.callers().iter().position(|caller| caller == "other").unwrap();
    // One that was on its way while the other came, and one more.
    assert!(position <= before + 2, "{} of the hog's went before", position - before);

    // It is no loss to the hog either, but for that one slot.
    for answer in timeout(PATIENCE, hogs.join_all()).await.expect("the end of the queue") {
        assert_eq!(answer.status, 200, "{}", answer.whole());
    }
    assert_eq!(vendor.count(), 22);
}

/// A vendor that knows when what came from whom, and holds its answers back when it is told to.
/// Others here need no more than [`Upstream`] has.
struct Vendor {
    addr: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    clock: Clock,
    books: Mutex<Vec<Arrival>>,
    status: Mutex<u16>,
    hold: watch::Sender<bool>,
}

struct Arrival {
    at: Instant,
    /// What [`ask`] wrote into the prompt.
    caller: String,
}

/// Where the server is, and in which of its runs.
#[derive(Clone, Copy)]
struct Address {
    run: u32,
    addr: SocketAddr,
}

impl Vendor {
    async fn start(clock: &Clock) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            clock: clock.clone(),
            books: Mutex::default(),
            status: Mutex::new(200),
            hold: watch::Sender::new(false),
        });
        let accepting = tokio::spawn(accept(listener, shared.clone()));
        Self { addr, shared, accepting }
    }

    /// Answers so from now on.
    fn answer(&self, status: u16) {
        *self.shared.status.lock().unwrap() = status;
    }

    /// Whether its answers have to wait.
    fn hold(&self, hold: bool) {
        self.shared.hold.send_replace(hold);
    }

    fn base_url(&self) -> String {
        format!("http://{}/v1", self.addr)
    }

    fn count(&self) -> usize {
        self.shared.books.lock().unwrap().len()
    }

    /// Whose requests have come, in order.
    fn callers(&self) -> Vec<String> {
        let books = self.shared.books.lock().unwrap();
        books.iter().map(|arrival| arrival.caller.clone()).collect()
    }

    /// The most that has come within 60 s, wherever they begin.
    fn fullest_minute(&self) -> usize {
        let books = self.shared.books.lock().unwrap();
        let mut times: Vec<Instant> = books.iter().map(|arrival| arrival.at).collect();
        times.sort_unstable();
        let minute_from = |start: Instant| {
            let later = times.iter().filter(|at| **at >= start);
            later.take_while(|at| **at - start < MINUTE).count()
        };
        times.iter().map(|start| minute_from(*start)).max().unwrap_or(0)
    }
}

impl Drop for Vendor {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = shared.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| serve(request, shared.clone()));
            // A server that was killed leaves broken connections behind, which is no matter.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn serve(
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    // Before the body is read: this is when a vendor counts.
    let at = shared.clock.now();
    let body = request.into_body().collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let caller = asked["messages"][0]["content"].as_str().unwrap_or_default().to_owned();
    shared.books.lock().unwrap().push(Arrival { at, caller });
    // Never an error: the sender lives as long as this.
    shared.hold.subscribe().wait_for(|hold| !*hold).await.map(drop).unwrap();
    let status = *shared.status.lock().unwrap();
    let body = if status == 200 {
        json!({
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": asked["model"],
            "choices": [{
                "index": 0,
                "message": {"role": "assistant", "content": "Hello"},
                "finish_reason": "stop",
            }],
            "usage": {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8},
        })
    } else {
        json!({"error": {"message": "too many requests"}})
    };
    let answer = Response::builder().status(status).header(CONTENT_TYPE, "application/json");
    Ok(answer.body(Full::new(Bytes::from(body.to_string()))).unwrap())
}

/// What `caller` asks; the prompt names it, too, because a vendor sees nothing else of it.
fn asked(caller: &str) -> Request<Full<Bytes>> {
    let prompt = json!({"messages": [{"role": "user", "content": caller}]});
    let asked = request("POST", "/v1/chat/completions").header("x-agent-id", caller);
    asked.body(json_body(&with(chat("llama"), prompt))).unwrap()
}

/// One request of `caller`, and all the patience there is.
fn ask(addr: SocketAddr, caller: &str) -> impl Future<Output = Answer> + Send + use<> {
    let asked = asked(caller);
    async move {
        let answer = timeout(PATIENCE, try_send(addr, asked)).await;
        answer.expect("an answer in time").unwrap()
    }
}

/// The answer, and how many were lost before: only the end of a run may lose one, so that the next
/// try is due in the next run.
async fn ask_again_if_lost(caller: &str, mut address: watch::Receiver<Address>) -> (Answer, u32) {
    let mut lost = 0;
    loop {
        let Address { run, addr } = *address.borrow_and_update();
        let answer = timeout(PATIENCE, try_send(addr, asked(caller))).await;
        match answer.expect("an answer in time") {
            Ok(answer) if !answer.cut => return (answer, lost),
            Ok(_) | Err(_) => lost += 1,
        }
        let next_run = async { address.wait_for(|address| address.run > run).await.is_ok() };
        assert!(within("the next run", next_run).await);
    }
}

/// The quota cell of the provider called `tired`.
fn quota_of(explanation: &Value) -> &Value {
    let tired = candidates(explanation).find(|candidate| candidate["provider"] == "tired");
    let cells = tired.unwrap()["cells"].as_array().unwrap();
    let quota = cells.iter().find(|cell| cell["scope"] == "quota");
    quota.unwrap_or_else(|| panic!("no quota cell in {explanation}"))
}

fn assert_quota_rests_at_level_1(explanation: &Value) {
    let quota = quota_of(explanation);
    assert_eq!(quota["level"], 1, "{explanation}");
    assert_eq!(quota["reason"], "rate_limited", "{explanation}");
    assert!(quota["rests_ms"].as_u64().is_some_and(|rests| rests > 0), "{explanation}");
}

/// The rests of a provider that are in the store, the newest first.
async fn rests_of(server: &Server, name: &str) -> Vec<Value> {
    let path = format!("/stats/cooldown?backend_id={name}");
    let answer = server.admin("GET", &path, Value::Null).await;
    assert_eq!(answer.status, 200, "{}", answer.whole());
    answer.json()["events"].as_array().unwrap().clone()
}

fn timestamp(value: &Value) -> Timestamp {
    serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error} in {value}"))
}

fn assert_served_by_spare(answer: &Answer, attempts: &str) {
    assert_eq!(answer.status, 200, "{}", answer.whole());
    assert_eq!(answer.header("x-sidecar-provider"), "spare", "{}", answer.whole());
    assert_eq!(answer.header("x-sidecar-attempts"), attempts, "{}", answer.whole());
}

fn assert_exhausted(answer: &Answer) {
    assert_eq!(answer.status, 503, "{}", answer.whole());
    assert_eq!(answer.json()["error"]["code"], "all_pools_exhausted", "{}", answer.whole());
}

/// Requests of one key in any 60 s.
const LIMIT: usize = 40;
const MINUTE: Duration = Duration::from_secs(60);
const CALLERS: u32 = 15;
/// Of callers who burst in step.
const GROUPS: u32 = 5;
/// Requests in a burst of one caller.
const BURST: u32 = 6;
/// From one group's burst to that of the next.
const BEAT: Duration = Duration::from_millis(7_500);
/// Two for each group.
const BEATS: u32 = 2 * GROUPS;
/// Longer than anybody can be kept in the queue here.
const PATIENCE: Duration = Duration::from_secs(75);
/// Between two looks at the clock that are meant to be one, on a busy machine.
const READING: Duration = Duration::from_millis(500);
