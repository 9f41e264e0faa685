//! The caller leaves, in whichever way and at whichever moment: nobody goes on working for it, what
//! it has used is on the books once, and what it held is there for the next one.

use std::time::Duration;

use serde_json::{Value, json};
use sidecar_core::clock::{Clock, Instant};

use crate::support::{
    Home, RawCaller, Script, Server, Step, Upstream, all_ready, candidates, chat, eventually,
    explain, json_body, provider, raw_post, request, try_send, with, within,
};

#[tokio::test]
async fn who_leaves_before_the_first_byte_is_not_worked_for() {
    let hangs =
        Moment { script: Script::Hang, heard: "", streams: &[false, true], after_a_failure: false };
    everybody_leaves(&hangs).await;
}

#[tokio::test]
async fn who_leaves_in_the_middle_of_a_stream_is_not_worked_for() {
    let pauses = Moment {
        script: Script::Stream(vec![Step::Send(FIRST), Step::Hang]),
        heard: FIRST,
        streams: &[true],
        after_a_failure: false,
    };
    everybody_leaves(&pauses).await;
}

#[tokio::test]
async fn who_leaves_during_a_failover_is_not_worked_for() {
    let hangs_too =
        Moment { script: Script::Hang, heard: "", streams: &[false, true], after_a_failure: true };
    everybody_leaves(&hangs_too).await;
}

/// All of them leave before the second slot is free, so that it is the next one's.
#[tokio::test]
async fn who_leaves_the_queue_gives_its_place_to_the_next() {
    let (clock, home) = (Clock::system(), Home::new().env("SIDECAR_QUEUE_TIMEOUT", "600"));
    let (server, upstream) = (home.start().await, Upstream::start().await);
    let limit = json!({"rpm_limit": 10, "limit_shape": "smooth", "burst": 1});
    server.add(with(provider("last", &upstream.base_url()), limit)).await;
    all_ready(&server).await;
    let mut leavers = Vec::new();
    for stream in [false, true] {
        for way in &WAYS {
            leavers.push(Leaver::new(&server, way, stream).await);
        }
    }

    let first = server.post(PATH, &chat("llama")).await;
    assert_eq!(first.status, 200, "{}", first.whole());
    let mut queued = Vec::new();
    for leaver in &leavers {
        queued.push((leaver, leaver.ask(&server).await));
    }
    wait_for_queue_of(&server, leavers.len()).await;
    let asked = request("POST", PATH).body(json_body(&chat("llama"))).unwrap();
    let next = tokio::spawn(try_send(server.addr(), asked));
    wait_for_queue_of(&server, leavers.len() + 1).await;

    let (mut waiting, mut slowest) = (leavers.len() + 1, Slowest::default());
    for (leaver, connection) in queued {
        let left_at = leaver.leave(connection, &server, &clock).await;
        waiting -= 1;
        wait_for_queue_of(&server, waiting).await;
        slowest.note(clock.now() - left_at, leaver);
    }
    slowest.assert_soon();
    assert_eq!(waiting, 1);
    wait_for_callers_to_be_idle(&server).await;
    assert_eq!(upstream.count(), 1, "of those that left something was sent");

    let next = within("the next slot", next).await.unwrap().unwrap();
    assert_eq!(next.status, 200, "{}", next.whole());
    let queued: u64 = next.header("x-sidecar-queued-ms").parse().unwrap();
    // One slot, and what a busy machine adds.
    assert!(queued < 2 * SLOT_MS, "queued for {queued} ms");
    assert_eq!(upstream.count(), 2);
    let total = total_of(&server, 2).await;
    assert_eq!(total["estimated_requests"], 0, "{total}");
}

/// What a request has come to when its caller leaves.
struct Moment {
    /// What the provider does that is at work by then.
    script: Script,
    /// What the caller has heard of it.
    heard: &'static str,
    /// Whether the caller has asked for a stream.
    streams: &'static [bool],
    /// Whether another provider has failed before.
    after_a_failure: bool,
}

/// A way to leave.
struct Way {
    name: &'static str,
    surplus: Surplus,
    resets: bool,
}

/// What a caller sends beside its request: it hides from an HTTP library that it leaves.
#[derive(Clone, Copy, PartialEq)]
enum Surplus {
    Nothing,
    /// One byte, at once.
    Byte,
    /// Another request, at once.
    Request,
    /// One byte, when the request is under way.
    LateByte,
}

/// A caller with a key of its own, which allows it one request at a time.
struct Leaver {
    way: &'static Way,
    stream: bool,
    name: String,
    key: String,
}

/// The longest that anything has gone on after its caller, and which one that was.
#[derive(Default)]
struct Slowest {
    took: Duration,
    name: String,
}

impl Leaver {
    async fn new(server: &Server, way: &'static Way, stream: bool) -> Self {
        let kind = if stream { "stream" } else { "document" };
        let name = format!("{} ({kind})", way.name);
        let caller = json!({"name": name, "concurrency": 1});
        let answer = server.admin("POST", "/callers", caller).await;
        assert_eq!(answer.status, 201, "{}", answer.whole());
        let key = answer.json()["key"].as_str().unwrap().to_owned();
        Self { way, stream, name, key }
    }

    /// Sends its request, and the surplus if that is due at once.
    async fn ask(&self, server: &Server) -> RawCaller {
        let credential = self.credential();
        let asked = raw_post(PATH, &[("authorization", credential.as_str())], &self.body());
        let surplus = match self.way.surplus {
            Surplus::Nothing | Surplus::LateByte => "",
            Surplus::Byte => BYTE,
            Surplus::Request => &asked,
        };
        RawCaller::sending(server.addr(), &format!("{asked}{surplus}")).await
    }

    /// Leaves, and says when it did.
    async fn leave(&self, mut connection: RawCaller, server: &Server, clock: &Clock) -> Instant {
        if self.way.surplus == Surplus::LateByte {
            connection.send(BYTE).await;
            // When this has been answered, the byte has most likely been read.
            server.names().await;
        }
        let left_at = clock.now();
        if self.way.resets {
            connection.reset();
        } else {
            drop(connection);
        }
        left_at
    }

    /// Asks once more, and stays.
    async fn ask_again(&self, server: &Server) {
        let asked = request("POST", PATH).header("authorization", self.credential());
        let answer = server.call(asked.body(json_body(&self.body())).unwrap()).await;
        assert_eq!(answer.status, 200, "{}: {}", self.name, answer.whole());
        assert!(answer.text().contains("Hello"), "{}: {}", self.name, answer.whole());
    }

    fn body(&self) -> Value {
        with(chat("llama"), json!({"stream": self.stream}))
    }

    fn credential(&self) -> String {
        format!("Bearer {}", self.key)
    }
}

impl Slowest {
    fn note(&mut self, took: Duration, leaver: &Leaver) {
        if took >= self.took {
            *self = Self { took, name: leaver.name.clone() };
        }
    }

    fn assert_soon(&self) {
        assert!(self.took < SOON, "{:?} after one that {}", self.took, self.name);
    }
}

/// One after the other leaves at the same moment of a request, each in another way.
async fn everybody_leaves(moment: &Moment) {
    let (clock, home) = (Clock::system(), Home::new());
    let failing = Upstream::following(Script::status(500, "no")).await;
    let last = Upstream::following(moment.script.clone()).await;
    let server = home.start().await;
    // So high that it does not matter here.
    let limit = json!({"rpm_limit": 1_000_000});
    if moment.after_a_failure {
        server.add(with(provider("failing", &failing.base_url()), limit.clone())).await;
    }
    let fallback = with(limit, json!({"pool": "fallback"}));
    server.add(with(provider("last", &last.base_url()), fallback)).await;
    all_ready(&server).await;

    let (mut leavers, mut slowest) = (Vec::new(), Slowest::default());
    for stream in moment.streams {
        for way in &WAYS {
            let leaver = Leaver::new(&server, way, *stream).await;
            let count = leavers.len() + 1;
            let mut connection = leaver.ask(&server).await;
            eventually("the request at its provider", async || {
                (last.count() == count).then_some(())
            })
            .await;
            if !moment.heard.is_empty() {
                // To the end of the chunk: whoever closes with something unread resets.
                connection.read_until(&format!("{}\r\n", moment.heard)).await;
            }
            let left_at = leaver.leave(connection, &server, &clock).await;
            within("the provider to be let go", last.left(count)).await;
            slowest.note(clock.now() - left_at, &leaver);
            wait_for_callers_to_be_idle(&server).await;
            wait_for_providers_to_be_idle(&server).await;
            assert_eq!(last.count(), count, "{}: sent more than it asked for", leaver.name);
            if moment.after_a_failure {
                assert_eq!(failing.count(), count, "{}", leaver.name);
                // Five failures in a row would make it rest.
                let reset = server.admin("POST", "/backends/failing/reset", Value::Null).await;
                assert_eq!(reset.status, 200, "{}", reset.whole());
            }
            leavers.push(leaver);
        }
    }
    slowest.assert_soon();
    assert_not_blamed(&server).await;
    let attempts = leavers.len() + failing.count();
    assert_booked_once(&server, &leavers, attempts).await;

    // None of them is stuck, and nothing comes to the books belatedly.
    failing.follow(Script::Good);
    last.follow(Script::Good);
    for leaver in &leavers {
        leaver.ask_again(&server).await;
    }
    total_of(&server, attempts + leavers.len()).await;
}

/// That its callers leave is no fault of a provider's.
async fn assert_not_blamed(server: &Server) {
    let explanation = explain(server).await;
    let last = candidates(&explanation).find(|candidate| candidate["provider"] == "last").unwrap();
    assert_eq!((&last["ready"], &last["cells"]), (&json!(true), &json!([])), "{explanation}");
}

/// One attempt of each at the last provider, with an estimate of what that has not told. That the
/// caller left is no error of it.
async fn assert_booked_once(server: &Server, leavers: &[Leaver], attempts: usize) {
    let total = total_of(server, attempts).await;
    assert_eq!(total["estimated_requests"], leavers.len(), "{total}");
    let rows = get(server, "/stats/hourly?hours=24&backend_id=last").await;
    for leaver in leavers {
        let of_leaver = rows["hourly"].as_array().unwrap().iter();
        let counts: Vec<_> = of_leaver
            .filter(|row| row["caller"] == leaver.name.as_str())
            .map(|row| [&row["request_count"], &row["estimated_requests"], &row["error_count"]])
            .collect();
        assert_eq!(counts, [[&json!(1), &json!(1), &json!(0)]], "{}: {rows}", leaver.name);
    }
}

/// All that is on the books, when these attempts are; there must not be more.
async fn total_of(server: &Server, attempts: usize) -> Value {
    let attempts = attempts as u64;
    let total = eventually("all attempts on the books", async || {
        let total = get(server, "/stats/total").await;
        (total["total_requests"].as_u64()? >= attempts).then_some(total)
    })
    .await;
    assert_eq!(total["total_requests"], attempts, "{total}");
    total
}

async fn wait_for_queue_of(server: &Server, length: usize) {
    eventually("a queue of this length", async || {
        (explain(server).await["queue_depth"] == length).then_some(())
    })
    .await;
}

/// Waits until no caller's key has a request under way.
async fn wait_for_callers_to_be_idle(server: &Server) {
    eventually("all callers to be idle", async || {
        let callers = get(server, "/callers").await;
        let mut callers = callers["callers"].as_array()?.iter();
        callers.all(|caller| caller["live"]["in_flight"] == 0).then_some(())
    })
    .await;
}

async fn wait_for_providers_to_be_idle(server: &Server) {
    eventually("all providers to be idle", async || {
        let explanation = explain(server).await;
        candidates(&explanation).all(|candidate| candidate["in_flight"] == 0).then_some(())
    })
    .await;
}

async fn get(server: &Server, path: &str) -> Value {
    let answer = server.admin("GET", path, Value::Null).await;
    assert_eq!(answer.status, 200, "{}", answer.whole());
    answer.json()
}

static WAYS: [Way; 8] = [
    Way { name: "closes", surplus: Surplus::Nothing, resets: false },
    Way { name: "resets", surplus: Surplus::Nothing, resets: true },
    Way { name: "sends a byte more and closes", surplus: Surplus::Byte, resets: false },
    Way { name: "sends a byte more and resets", surplus: Surplus::Byte, resets: true },
    Way { name: "sends a request more and closes", surplus: Surplus::Request, resets: false },
    Way { name: "sends a request more and resets", surplus: Surplus::Request, resets: true },
    Way { name: "sends a byte later and closes", surplus: Surplus::LateByte, resets: false },
    Way { name: "sends a byte later and resets", surplus: Surplus::LateByte, resets: true },
];
const PATH: &str = "/v1/chat/completions";
/// What a request may begin with, so that it is no fault yet.
const BYTE: &str = "P";
const FIRST: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hel\"}}]}\n\n";
/// It takes a few milliseconds; the rest is for a machine that is busy.
const SOON: Duration = Duration::from_secs(1);
/// From one slot to the next at ten a minute, with the margin that is kept.
const SLOT_MS: u64 = 6_700;
