//! What an end at any moment leaves behind.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::Full;
use serde_json::{Value, json};
use sidecar_core::clock::{Clock, Instant};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

use crate::support::{
    ADMIN_TOKEN, Home, Script, Server, Step, Upstream, alone, body_of, chat, eventually, json_body,
    key_of, next_bytes, provider, request, try_send, with, within,
};

#[tokio::test]
async fn every_acknowledged_provider_survives_kill_9() {
    let (home, upstream) = (Home::new(), Upstream::start().await);
    let mut acknowledged = Vec::new();
    for round in 0..KILLS {
        // No step of repair in between: the next start is an ordinary one.
        let mut server = home.start().await;
        assert_has_all(&server.names().await, &acknowledged);
        let (acks, mut heard) = mpsc::unbounded_channel();
        let (addr, base_url) = (server.addr(), upstream.base_url());
        let adding = tokio::spawn(add_until_it_ends(addr, base_url, round, acks));
        // Another number of acknowledgements each time, so that the kills come at other moments;
        // the next provider is on its way by then.
        for _ in 0..=round {
            acknowledged.push(within("an acknowledgement", heard.recv()).await.unwrap());
        }
        server.process().kill();
        within("the last call to fail", adding).await.unwrap();
        while let Ok(name) = heard.try_recv() {
            acknowledged.push(name);
        }
    }

    let server = home.start().await;
    assert_has_all(&server.names().await, &acknowledged);
    // Each kill has cost every limit a reserve, to be on the safe side; now it is no matter.
    let raised =
        server.admin("PUT", "/config/rate_rpm", serde_json::json!({"value": 10_000})).await;
    assert_eq!(raised.status, 200, "{}", raised.whole());
    // Their keys are whole, too: each is sent as it was entered.
    for name in &acknowledged {
        let asked = request("POST", "/v1/chat/completions").header("x-sidecar-provider", name);
        let answer = server.call(asked.body(json_body(&chat("llama"))).unwrap()).await;
        assert_eq!(answer.header("x-sidecar-provider"), name, "{}", answer.whole());
        assert_eq!(upstream.last().header("authorization"), format!("Bearer {}", key_of(name)));
    }
}

/// Adds providers one after the other and tells the names of those that were acknowledged.
async fn add_until_it_ends(
    addr: SocketAddr,
    base_url: String,
    round: usize,
    acks: mpsc::UnboundedSender<String>,
) {
    for number in 0.. {
        let name = format!("round-{round}-{number}");
        let asked = request("POST", "/api/admin/backends")
            .header("authorization", format!("Bearer {ADMIN_TOKEN}"))
            .body(json_body(&provider(&name, &base_url)))
            .unwrap();
        let Ok(answer) = try_send(addr, asked).await else { return };
        assert_eq!(answer.status, 201, "{}", answer.text());
        if acks.send(name).is_err() {
            return;
        }
    }
}

fn assert_has_all(names: &[String], acknowledged: &[String]) {
    let lost: Vec<&String> = acknowledged.iter().filter(|name| !names.contains(name)).collect();
    assert!(lost.is_empty(), "lost {lost:?} of {}", acknowledged.len());
}

#[tokio::test]
async fn changes_and_removals_survive_kill_9() {
    let (home, upstream) = (Home::new(), Upstream::start().await);
    let mut server = home.start().await;
    for name in ["kept", "changed", "removed"] {
        server.add(provider(name, &upstream.base_url())).await;
    }
    server.change("changed", json!({"rpm_limit": 7, "enabled": false})).await;
    assert_eq!(server.admin("DELETE", "/backends/removed", json!(null)).await.status, 204);
    let set = server.admin("PUT", "/config/rate_rpm", json!({"value": 33})).await;
    assert_eq!(set.status, 200, "{}", set.text());
    server.process().kill();

    let server = home.start().await;
    let providers = server.providers().await;
    let limits: BTreeMap<&str, (bool, Option<u64>)> = providers
        .iter()
        .map(|p| (p["name"].as_str().unwrap(), (p["enabled"] == true, p["rpm_limit"].as_u64())))
        .collect();
    assert_eq!(limits.keys().copied().collect::<Vec<_>>(), ["changed", "kept"]);
    assert_eq!(limits["changed"], (false, Some(7)));
    assert!(limits["kept"].0);
    let setting = server.admin("GET", "/config/rate_rpm", json!(null)).await.json();
    assert_eq!(setting["value"], 33, "{setting}");
}

#[tokio::test]
async fn a_running_stream_is_finished_before_the_server_ends() {
    let (home, upstream) = (Home::new(), Upstream::start().await);
    let mut server = home.start().await;
    server.add(provider("one", &upstream.base_url())).await;
    let first = "data: {\"choices\":[{\"delta\":{\"content\":\"He\"}}]}\n\n";
    let rest = "data: {\"choices\":[{\"delta\":{\"content\":\"llo\"}}]}\n\ndata: [DONE]\n\n";
    let go_on = Arc::new(Notify::new());
    upstream.follow(Script::Stream(vec![
        Step::Send(first),
        Step::Wait(go_on.clone()),
        Step::Send(rest),
    ]));
    let ask = with(chat("llama"), json!({"stream": true}));
    let asked = request("POST", "/v1/chat/completions").body(json_body(&ask)).unwrap();
    let mut body = server.open(asked).await.into_body();
    assert_eq!(String::from_utf8_lossy(&next_bytes(&mut body, first.len()).await), first);

    server.process().terminate();
    let addr = server.addr();
    eventually("the port to close", async || TcpStream::connect(addr).await.err()).await;
    assert!(!server.process().has_ended(), "the stream still runs");
    go_on.notify_one();
    let (bytes, cut) = body_of(&mut body).await;
    assert_eq!(String::from_utf8_lossy(&bytes), rest);
    assert!(!cut);
    let exit = server.process().wait().await;
    assert_eq!(exit.code, Some(0), "{}", exit.output());
}

/// Usage is written every 200 ms; the rest is for a machine that is busy with other tests.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_loses_only_the_last_moment_of_usage_and_books_nothing_twice() {
    let _alone = alone().await;
    let (clock, home, upstream) = (Clock::system(), Home::new(), Upstream::start().await);
    let mut server = home.start().await;
    // Each kill costs the limit a reserve, to be on the safe side; of this one that is no matter.
    let limit = json!({"rpm_limit": 1_000_000});
    server.add(with(provider("one", &upstream.base_url()), limit)).await;
    let (mut booked_before, mut must_be_booked) = (0, 0);
    for round in 0..KILLS_UNDER_LOAD {
        let read_before = upstream.count() as u64;
        let answered = Arc::<Mutex<Vec<Instant>>>::default();
        let mut load = JoinSet::new();
        for _ in 0..CALLERS {
            load.spawn(ask_until_it_ends(server.addr(), clock.clone(), answered.clone()));
        }
        // From 100 to 1 080 ms, so that the kills come at other moments between two writes.
        let until_kill = Duration::from_millis(100 + u64::from(round * 37 % 50) * 20);
        clock.sleep_until(clock.now() + until_kill).await;
        let killed_at = clock.now();
        server.process().kill();
        within("the last calls to fail", load.join_all()).await;

        server = home.start().await;
        let total = total_of(&server).await;
        let [booked, errors, tokens] =
            ["total_requests", "total_errors", "total_tokens"].map(|name| count(&total, name));
        let of_round = booked - booked_before;
        let read = upstream.count() as u64 - read_before;
        let is_old = |at: &&Instant| **at + AT_MOST_LOST <= killed_at;
        let old = answered.lock().unwrap().iter().filter(is_old).count() as u64;
        assert!((old..=read).contains(&of_round), "{round}: {old} <= {of_round} <= {read}");
        // What is on the books is there as a whole, in each of their tables.
        assert_eq!((errors, tokens), (0, booked * 8), "{round}: {total}");
        assert_eq!(hourly_requests(&server).await, booked, "{round}");
        booked_before = booked;
        must_be_booked += old;
    }
    // Otherwise this shows nothing.
    assert!(must_be_booked >= 500, "only {must_be_booked} answers were old enough");
}

/// One request after the other; when each of the answers was complete.
async fn ask_until_it_ends(addr: SocketAddr, clock: Clock, answered: Arc<Mutex<Vec<Instant>>>) {
    loop {
        let asked = request("POST", "/v1/chat/completions");
        let asked = asked.body(json_body(&chat("llama"))).unwrap();
        match try_send(addr, asked).await {
            Ok(answer) if !answer.cut => {
                assert_eq!(answer.status, 200, "{}", answer.whole());
                answered.lock().unwrap().push(clock.now());
            }
            Ok(_) | Err(_) => return,
        }
    }
}

async fn total_of(server: &Server) -> Value {
    let answer = server.admin("GET", "/stats/total", Value::Null).await;
    assert_eq!(answer.status, 200, "{}", answer.whole());
    answer.json()
}

async fn hourly_requests(server: &Server) -> u64 {
    let answer = server.admin("GET", "/stats/hourly?hours=24", Value::Null).await;
    assert_eq!(answer.status, 200, "{}", answer.whole());
    let rows = answer.json()["hourly"].as_array().unwrap().clone();
    rows.iter().map(|row| count(row, "request_count")).sum()
}

fn count(row: &Value, name: &str) -> u64 {
    row[name].as_u64().unwrap_or_else(|| panic!("no {name} in {row}"))
}

#[tokio::test]
async fn twenty_running_streams_are_finished_and_booked_before_the_server_ends() {
    let (home, upstream) = (Home::new(), Upstream::start().await);
    let mut server = home.start().await;
    server.add(provider("one", &upstream.base_url())).await;
    let first = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"He\"}}]}\n\n";
    let rest = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"llo\"},\
                \"finish_reason\":\"stop\"}]}\n\n\
                data: {\"choices\":[],\"usage\":{\"prompt_tokens\":11,\
                \"completion_tokens\":7,\"total_tokens\":18}}\n\n\
                data: [DONE]\n\n";
    let go_on = Arc::new(Notify::new());
    upstream.follow(Script::Stream(vec![
        Step::Send(first),
        Step::Wait(go_on.clone()),
        Step::Send(rest),
    ]));
    let asked = json!({"stream": true, "stream_options": {"include_usage": true}});
    let asked = with(chat("llama"), asked);
    let mut streams = JoinSet::new();
    for _ in 0..STREAMS {
        let asked = request("POST", "/v1/chat/completions").body(json_body(&asked)).unwrap();
        let mut body = server.open(asked).await.into_body();
        assert_eq!(String::from_utf8_lossy(&next_bytes(&mut body, first.len()).await), first);
        streams.spawn(async move { body_of(&mut body).await });
    }

    server.process().terminate();
    let addr = server.addr();
    eventually("the port to close", async || TcpStream::connect(addr).await.err()).await;
    assert!(!server.process().has_ended(), "the streams still run");
    let mut ended = Vec::new();
    eventually("all streams to end", async || {
        // Only those that wait already are told, so that it takes more than one call.
        go_on.notify_waiters();
        while let Some(stream) = streams.try_join_next() {
            ended.push(stream.unwrap());
        }
        (ended.len() == STREAMS).then_some(())
    })
    .await;
    for (bytes, cut) in &ended {
        assert_eq!(String::from_utf8_lossy(bytes), rest);
        assert!(!cut);
    }
    let exit = server.process().wait().await;
    assert_eq!(exit.code, Some(0), "{}", exit.output());

    let total = total_of(&home.start().await).await;
    let names = ["total_requests", "total_errors", "estimated_requests", "total_prompt_tokens"];
    assert_eq!(names.map(|name| count(&total, name)), [20, 0, 0, 220], "{total}");
    assert_eq!(count(&total, "total_completion_tokens"), 140, "{total}");
}

#[tokio::test]
async fn an_idle_server_ends_at_once_and_well() {
    let home = Home::new();
    let server = home.start().await;
    // A connection that is kept open but idle does not hold it up.
    let idle = TcpStream::connect(server.addr()).await.unwrap();
    let asked = request("GET", "/health").body(Full::default()).unwrap();
    assert_eq!(server.call(asked).await.status, 200);
    let exit = server.stop().await;
    assert_eq!(exit.code, Some(0), "{}", exit.output());
    drop(idle);
}

/// How often the server is killed while providers are added.
const KILLS: usize = 10;
/// How often it is killed while it serves.
const KILLS_UNDER_LOAD: u32 = 50;
const CALLERS: usize = 4;
/// Usage of answers that are older than this is on the books.
const AT_MOST_LOST: Duration = Duration::from_millis(600);
const STREAMS: usize = 20;
