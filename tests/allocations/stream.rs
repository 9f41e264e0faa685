//! Chunks of a stream, one at a time, as a model writes them.

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::mpsc::UnboundedSender;

use crate::caller::Caller;
use crate::counting::{Counting, run};
use crate::gateways;
use crate::provider::Provider;

#[test]
fn a_chunk_that_is_passed_on_takes_no_allocation() {
    let counting = Counting::start();
    let home = tempfile::tempdir().unwrap();
    let [streaming, floor, sidecar] = run(async {
        let provider = Provider::start().await;
        let streaming = gateways::bare_proxy(provider.address(), false).await;
        let floor = gateways::bare_proxy(provider.address(), true).await;
        let sidecar = gateways::sidecar(provider.address(), home.path()).await;
        let mut counts = [0; 3];
        for (mut caller, count) in [streaming, floor, sidecar].into_iter().zip(&mut counts) {
            *count = allocations(&counting, &provider, &mut caller).await;
        }
        counts
    });
    assert!(
        sidecar <= floor + LEEWAY,
        "allocations of {COUNTED} chunks: streaming {streaming}, floor {floor}, sidecar {sidecar}"
    );
}

/// How many allocations [`COUNTED`] chunks make after the first ones, anywhere in the process. It
/// is the least of some counts, because the server has other work between them.
async fn allocations(counting: &Counting, provider: &Provider, caller: &mut Caller) -> u64 {
    let mut least = u64::MAX;
    for _ in 0..STREAMS {
        let events = provider.stream();
        // No head is sent before there is an event.
        events.send(Bytes::from_static(EVENT)).unwrap();
        let mut body = caller.open().await;
        read(&mut body).await;
        // What is kept as long as the stream lives is made now.
        pass(&events, &mut body, FIRST).await;
        for _ in 0..COUNTS {
            let before = counting.allocations();
            pass(&events, &mut body, COUNTED).await;
            least = least.min(counting.allocations() - before);
        }
        events.send(Bytes::from_static(END)).unwrap();
        drop(events);
        while let Some(frame) = body.frame().await {
            frame.unwrap();
        }
    }
    least
}

/// Passes on so many events, each once the one before it has come.
async fn pass(events: &UnboundedSender<Bytes>, body: &mut Incoming, count: u32) {
    for _ in 0..count {
        events.send(Bytes::from_static(EVENT)).unwrap();
        read(body).await;
    }
}

/// Reads one event.
async fn read(body: &mut Incoming) {
    let mut length = 0;
    while length < EVENT.len() {
        let frame = body.frame().await.expect("more of the stream").unwrap();
        length += frame.into_data().map_or(0, |data| data.len());
    }
    assert_eq!(length, EVENT.len());
}

const STREAMS: u32 = 3;
/// Together a thousand events.
const FIRST: u32 = 99;
const COUNTS: u32 = 3;
const COUNTED: u32 = 300;
/// For what is made anew once in a while, whoever passes it on.
const LEEWAY: u64 = 5;

const EVENT: &[u8] = b"data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\
    \"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" token\"},\
    \"finish_reason\":null}]}\n\n";
const END: &[u8] = b"data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\
    \"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\
    \"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":700,\"completion_tokens\":1000,\
    \"total_tokens\":1700}}\n\ndata: [DONE]\n\n";
