//! Booking an attempt.

use std::convert::Infallible;
use std::future::ready;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput};
use http::Response;
use http_body_util::Empty;
use sidecar_core::call::Caller;
use sidecar_core::clock::Clock;
use sidecar_core::usage::{Attribution, Ledger, Meter, UsageLayer};
use tokio::runtime::Runtime;
use tower::{Layer, ServiceExt, service_fn};

/// An attempt that is answered at once with nothing, from its start to the sum in the ledger, with
/// one caller and with a thousand in turn. The baseline is the same answer without the books; the
/// difference has three looks at the clock.
pub(crate) fn ledger(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let answer =
        service_fn(|_: By| ready(Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))));
    let mut group = c.benchmark_group("ledger");
    group.throughput(Throughput::Elements(1));
    let nobody = Caller::anonymous();
    group.bench_function("baseline, not booked", |b| {
        b.to_async(&runtime).iter(|| answer.oneshot(By(nobody.clone())));
    });
    for rows in [1, 1_000] {
        let meter = Meter::new(Ledger::default(), "provider", "model", None);
        let service = UsageLayer::new(meter, Clock::system()).layer(answer);
        let callers: Vec<_> = (0..rows).map(|row| Caller(format!("agent-{row}").into())).collect();
        let mut turns = callers.iter().cycle();
        group.bench_function(BenchmarkId::new("add", format!("{rows} rows")), |b| {
            b.to_async(&runtime).iter(|| {
                let caller = turns.next().expect("a caller, for ever").clone();
                service.clone().oneshot(By(caller))
            });
        });
    }
    group.finish();
}

/// A request of which nothing is known but whose it is.
struct By(Caller);

impl Attribution for By {
    fn caller(&self) -> Caller {
        self.0.clone()
    }
}
