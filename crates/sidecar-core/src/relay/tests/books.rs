//! What the books learn of how a stream ended.

use super::*;
use crate::callers::Delivery;
use crate::usage::{Ledger, Meter, UsageCounts, UsageLayer};

const USAGE: &str =
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":7}}\n\n";
const ERROR: &str = "data: {\"error\":{\"message\":\"oops\"}}\n\n";

/// What is booked of an answer with this body, of which so many frames are read.
async fn booked(
    delivery: Delivery,
    content_type: &str,
    steps: impl IntoIterator<Item = Step>,
    frames: usize,
) -> UsageCounts {
    let clock = Clock::simulated();
    let ledger = Ledger::default();
    let meter = Meter::new(ledger.clone(), "p", "m", None);
    let config =
        RelayConfig { idle_timeout: IDLE, stream_usage: StreamUsage::Native, clock: clock.clone() };
    let mut answer = Some(response(200, content_type, Script::new(steps)));
    let provider = service_fn(move |_: Call| {
        let answer = answer.take().expect("called once");
        async move { Ok::<_, BoxError>(answer) }
    });
    let books = UsageLayer::new(meter, clock.clone()).layer(provider);
    let head = Head { delivery, ..head(CHAT, &clock) };
    let call = Call::new(head, Bytes::new());
    let mut body = RelayLayer::new(config).layer(books).oneshot(call).await.unwrap().into_body();
    for _ in 0..frames {
        if !matches!(body.frame().await, Some(Ok(_))) {
            break;
        }
    }
    drop(body);
    let rows = ledger.take();
    assert_eq!(rows.len(), 1);
    rows[0].1
}

const ALL_FRAMES: usize = usize::MAX;

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_cut_has_failed_however_it_is_cut() {
    let rests: [fn() -> Vec<Step>; 5] = [
        || vec![],
        || vec![Step::Cut],
        || vec![Step::Hang],
        || vec![data(ERROR), Step::Hang],
        || vec![data("data: {\"cho"), Step::Hang],
    ];
    for rest in rests {
        for (delivery, duplicates) in [(Delivery::Stream, 0), (Delivery::Complete, 1)] {
            let steps = [data(CHUNK)].into_iter().chain(rest());
            let counts = booked(delivery, SSE, steps, ALL_FRAMES).await;
            assert_eq!((counts.requests, counts.errors, counts.estimated), (1, 1, 1));
            assert_eq!(counts.possible_duplicates, duplicates, "{delivery:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_whole_is_booked_so_although_its_body_does_not_end() {
    let rests: [fn() -> Vec<Step>; 6] = [
        || vec![data(DONE)],
        || vec![data(DONE), Step::Hang],
        || vec![data(DONE), Step::Cut],
        || vec![data(DONE), data(CHUNK), Step::Hang],
        // A `[DONE]` that does not come is added.
        || vec![],
        || vec![Step::Hang],
    ];
    for rest in rests {
        // Usage before the finish is not taken for the last word until the stream is whole.
        let steps = [data(CHUNK), data(USAGE), data(FINISH)].into_iter().chain(rest());
        let counts = booked(Delivery::Stream, SSE, steps, ALL_FRAMES).await;
        assert_eq!((counts.requests, counts.errors, counts.estimated), (1, 0, 0));
        assert_eq!((counts.prompt_tokens, counts.completion_tokens), (11, 7));
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_makes_no_failure() {
    let steps = || [data(CHUNK), data(USAGE), data(FINISH), data(DONE), Step::Hang];
    for (frames, estimated) in [(0, 1), (1, 1), (2, 1), (4, 0)] {
        let counts = booked(Delivery::Stream, SSE, steps(), frames).await;
        let expected = (1, 0, estimated);
        assert_eq!((counts.requests, counts.errors, counts.estimated), expected, "{frames}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_document_that_is_cut_has_failed_and_a_whole_one_has_not() {
    for (last, errors) in [(Step::Cut, 1), (Step::Hang, 1), (data("}"), 0)] {
        let counts = booked(Delivery::Stream, JSON, [data("{\"a\":1"), last], ALL_FRAMES).await;
        assert_eq!((counts.requests, counts.errors), (1, errors));
    }
    let steps = [data("{\"a\":1"), data("}")];
    let counts = booked(Delivery::Stream, JSON, steps, 1).await;
    assert_eq!((counts.requests, counts.errors), (1, 0), "the caller left");
}
