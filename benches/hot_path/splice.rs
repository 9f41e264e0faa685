//! Making a provider's request of a call.

use std::convert::Infallible;
use std::future::ready;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput};
use http::Request;
use http_body_util::Full;
use sidecar_core::clock::Clock;
use sidecar_core::dispatch::{DispatchLayer, Target};
use sidecar_core::provider::{Api, StreamUsage};
use sidecar_core::secret::Secret;
use sidecar_core::url::BaseUrl;
use tokio::runtime::Runtime;
use tower::{Layer, ServiceExt, service_fn};

use crate::support::{CHAT, JSON, MODEL, call, chat, post};

/// The provider's name for the model in place of ours, which copies the body once. One that calls
/// the model by the same name gets the body as it is; URL and headers are made all the same.
pub(crate) fn splice(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let clock = Clock::system();
    let mut group = c.benchmark_group("dispatch");
    for size in [1 << 10, 32 << 10, 1 << 20] {
        let body = chat(size);
        group.throughput(Throughput::Bytes(body.len() as u64));
        let call = runtime.block_on(call(post(CHAT, JSON, body), &clock));
        for (name, native) in [("splice", "vendor/small-8b"), ("baseline, the same name", MODEL)] {
            let give_back = |request: Request<Full<Bytes>>| ready(Ok::<_, Infallible>(request));
            let dispatch = DispatchLayer::new(target(native)).layer(service_fn(give_back));
            let id = BenchmarkId::new(name, format!("{} KiB", size >> 10));
            group.bench_function(id, |b| {
                b.to_async(&runtime).iter(|| {
                    let sending = dispatch.clone().oneshot(call.clone());
                    async { sending.await.expect("a request") }
                });
            });
        }
    }
    group.finish();
}

fn target(native: &str) -> Target {
    let base_url = BaseUrl::parse("https://api.example.com/v1").expect("a base URL");
    let key = Secret::new("sk-0123456789");
    let target = Target::new(base_url, Api::default(), &key, native, StreamUsage::default());
    target.expect("a key that can stand in a header")
}
