//! What an end at any moment leaves behind.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use http_body_util::Full;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};

use crate::support::{
    ADMIN_TOKEN, Home, Script, Step, Upstream, body_of, chat, eventually, json_body, key_of,
    next_bytes, provider, request, try_send, with, within,
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

/// How often the server is killed.
const KILLS: usize = 10;
