//! Reading a request.

use std::future::ready;

use criterion::{BenchmarkId, Criterion, Throughput};
use sidecar_core::call::Call;
use sidecar_core::clock::Clock;
use sidecar_core::error::Error;
use sidecar_core::ingest::IngestLayer;
use sidecar_core::settings::Settings;
use tokio::runtime::Runtime;
use tower::{Layer, ServiceExt, service_fn};

use crate::support::{CHAT, JSON, chat, post};

/// A request whose body comes in one frame, to a call. Of an upload to a path that needs no model
/// the body is not looked at; everything else is the same.
pub(crate) fn ingest(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let give_back = service_fn(|call: Call| ready(Ok::<_, Error>(call)));
    let ingest = IngestLayer::new(Settings::default(), Clock::system()).layer(give_back);
    let mut group = c.benchmark_group("ingest");
    for size in [1 << 10, 32 << 10, 1 << 20] {
        let body = chat(size);
        group.throughput(Throughput::Bytes(body.len() as u64));
        for (name, path, content_type) in [
            ("parse", CHAT, JSON),
            ("baseline, not parsed", "/v1/files", "application/octet-stream"),
        ] {
            let id = BenchmarkId::new(name, format!("{} KiB", size >> 10));
            group.bench_function(id, |b| {
                b.to_async(&runtime).iter(|| {
                    let reading = ingest.clone().oneshot(post(path, content_type, body.clone()));
                    async { reading.await.expect("a call") }
                });
            });
        }
    }
    group.finish();
}
