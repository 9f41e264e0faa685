//! A crowd of callers, of whom some stop reading.

use std::fs::{read_dir, read_to_string};
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::support::{
    Home, RawCaller, Script, Server, Step, Upstream, all_ready, alone, body_of, candidates, chat,
    eventually, explain, json_body, next_bytes, provider, raw_post, request, status_of, with,
};

/// How long one who does not read is put up with is tested where time can be paused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stops_reading_costs_little_and_holds_up_nobody_else() {
    let _alone = alone().await;
    let streams = affordable_streams();
    let (stalled, read) = (streams / 10, streams - streams / 10);
    let go_on = Arc::new(Notify::new());
    let lively = Upstream::following(Script::Stream(vec![
        Step::Repeat(&PIECE, 1),
        Step::Wait(go_on.clone()),
        Step::Repeat(&PIECE, PIECES_READ),
        Step::Send(END),
    ]))
    .await;
    // None of these ends before somebody reads it.
    let held = Upstream::following(Script::Stream(vec![Step::Repeat(&PIECE, PIECES_HELD)])).await;
    let home = Home::new();
    let server = roomy(&home).await;
    let limit = json!({"rpm_limit": 1_000_000});
    server.add(with(provider("lively", &lively.base_url()), limit.clone())).await;
    server.add(with(provider("held", &held.base_url()), limit)).await;
    all_ready(&server).await;

    let mut readers = JoinSet::new();
    for _ in 0..read {
        let response = server.open(asked("lively")).await;
        assert_eq!(response.status(), 200);
        let mut body = response.into_body();
        let first = next_bytes(&mut body, PIECE.len()).await;
        assert!(first == PIECE.as_bytes(), "{}", String::from_utf8_lossy(&first));
        readers.spawn(async move { body_of(&mut body).await });
    }
    let before = resident_kib(&home);

    let asked = raw_post(PATH, &[(PIN, "held")], &streamed());
    let mut silent = Vec::new();
    for _ in 0..stalled {
        let mut caller = RawCaller::sending(server.addr(), &asked).await;
        let head = caller.read_until("data: ").await;
        assert_eq!(status_of(&head), 200, "{head}");
        silent.push(caller);
    }
    let sent = all_it_can_send(&held).await;
    if let (Some(before), Some(after)) = (before, resident_kib(&home)) {
        let grown = after.saturating_sub(before);
        assert!(
            grown <= stalled * MOST_KIB,
            "{grown} KiB more for {stalled} streams that are not read, from {before} KiB with \
             {read} that are"
        );
    }
    let whole = stalled * PIECES_HELD * PIECE.len();
    assert!(sent < whole / 4, "{stalled} streams that nobody reads took {sent} of {whole} bytes");

    let (rest, mut ended) = (PIECE.repeat(PIECES_READ) + END, 0);
    eventually("the end of all streams that are read", async || {
        // Only those that wait already are told, so that it takes more than one call.
        go_on.notify_waiters();
        while let Some(reader) = readers.try_join_next() {
            let (body, cut) = reader.unwrap();
            let is_whole = !cut && body == rest.as_bytes();
            assert!(is_whole, "{} of {} bytes, cut: {cut}", body.len(), rest.len());
            ended += 1;
        }
        (ended == read).then_some(())
    })
    .await;
    let more = held.repeated() - sent;
    assert!(more <= stalled * PIECE.len(), "{more} bytes more while nobody read");

    drop(silent);
    eventually("all providers to be idle", async || {
        let explanation = explain(&server).await;
        candidates(&explanation).all(|candidate| candidate["in_flight"] == 0).then_some(())
    })
    .await;
}

/// A server that takes them all at once.
async fn roomy(home: &Home) -> Server {
    let server = home.start().await;
    let room = json!({"value": 2 * MOST_STREAMS});
    let set = server.admin("PUT", "/config/max_in_flight", room).await;
    assert_eq!(set.status, 200, "{}", set.whole());
    // It is read at start.
    let exit = server.stop().await;
    assert_eq!(exit.code, Some(0), "{}", exit.output());
    home.start().await
}

fn asked(provider: &str) -> Request<Full<Bytes>> {
    request("POST", PATH).header(PIN, provider).body(json_body(&streamed())).unwrap()
}

fn streamed() -> Value {
    with(chat("llama"), json!({"stream": true}))
}

/// How many bytes `upstream` has sent when it can send no more.
async fn all_it_can_send(upstream: &Upstream) -> usize {
    let (mut last, mut looks) = (0, 0);
    eventually("an end of what can be sent", async || {
        let sent = upstream.repeated();
        looks = if sent == last { looks + 1 } else { 0 };
        last = sent;
        (looks == ENOUGH_LOOKS).then_some(sent)
    })
    .await
}

/// What the server that lives in `home` has in memory; nothing where the system does not say.
fn resident_kib(home: &Home) -> Option<usize> {
    let home = home.path().canonicalize().ok()?;
    let mut processes = read_dir("/proc").ok()?.filter_map(Result::ok);
    let server = processes
        .find(|process| process.path().join("cwd").read_link().is_ok_and(|dir| dir == home))?;
    let status = read_to_string(server.path().join("status")).ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    resident.split_whitespace().next()?.parse().ok()
}

/// As many streams as there are file descriptors for: each takes two here and two in the server,
/// which keeps half of its own for other things.
fn affordable_streams() -> usize {
    let limits = read_to_string("/proc/self/limits").ok();
    let files = limits.as_deref().and_then(soft_file_limit).unwrap_or(USUAL_FILES);
    MOST_STREAMS * files.min(ENOUGH_FILES) / ENOUGH_FILES
}

fn soft_file_limit(limits: &str) -> Option<usize> {
    let columns = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match columns.split_whitespace().next()? {
        "unlimited" => Some(usize::MAX),
        soft => soft.parse().ok(),
    }
}

/// An event of 16 KiB, or nearly so.
static PIECE: LazyLock<String> = LazyLock::new(|| {
    let text = "x".repeat(16_000);
    format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n")
});
const END: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n\
                   data: [DONE]\n\n";
const PATH: &str = "/v1/chat/completions";
const PIN: &str = "x-sidecar-provider";
const MOST_STREAMS: usize = 1_000;
/// For that many streams.
const ENOUGH_FILES: usize = 4_200;
/// What most systems allow.
const USUAL_FILES: usize = 1_024;
/// How much of a stream comes after its first piece.
const PIECES_READ: usize = 4;
/// How much there is of a stream that is not read: 16 MiB, far more than the kernel buffers.
const PIECES_HELD: usize = 1_024;
/// What a stream that is not read may cost the server.
const MOST_KIB: usize = 300;
/// So often in a row nothing more was sent.
const ENOUGH_LOOKS: u32 = 100;
