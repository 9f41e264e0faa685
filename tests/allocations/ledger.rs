//! What is booked, and not written yet.

use std::convert::Infallible;
use std::future::ready;

use bytes::Bytes;
use http::Response;
use http_body_util::Empty;
use sidecar_core::call::Caller;
use sidecar_core::clock::Clock;
use sidecar_core::usage::{Attribution, Ledger, Meter, UsageLayer};
use tower::{Layer, ServiceExt, service_fn};

use crate::counting::{Counting, run};

#[test]
fn a_million_bookings_take_no_more_memory_than_a_thousand() {
    let counting = Counting::start();
    let [few, many] =
        run(async { [bytes_of(&counting, 1_000).await, bytes_of(&counting, 1_000_000).await] });
    assert!(few > 0);
    assert!(many <= few + LEEWAY, "{few} bytes for a thousand bookings, {many} for a million");
}

/// How many bytes a ledger keeps after so many bookings under [`CALLERS`] names.
async fn bytes_of(counting: &Counting, bookings: u64) -> usize {
    let callers: Vec<_> = (0..CALLERS).map(|index| Caller(format!("{index}").into())).collect();
    let answer =
        service_fn(|_: By| ready(Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))));
    let before = counting.live_bytes();
    let ledger = Ledger::default();
    let meter = Meter::new(ledger.clone(), "provider", "model", None);
    // Its time does not come to the end of an hour, which would make new rows.
    let service = UsageLayer::new(meter, Clock::simulated()).layer(answer);
    let mut turns = callers.iter().cycle();
    for _ in 0..bookings {
        let caller = turns.next().expect("a caller, for ever").clone();
        drop(service.clone().oneshot(By(caller)).await.expect("an answer"));
    }
    let kept = counting.live_bytes().saturating_sub(before);
    let rows = ledger.peek();
    assert_eq!(rows.len(), CALLERS);
    assert_eq!(rows.iter().map(|(_, counts)| counts.requests).sum::<u64>(), bookings);
    kept
}

/// A request of which nothing is known but whose it is.
struct By(Caller);

impl Attribution for By {
    fn caller(&self) -> Caller {
        self.0.clone()
    }
}

const CALLERS: usize = 100;
/// In bytes: the harness of the tests starts its threads meanwhile.
const LEEWAY: usize = 4 << 10;
