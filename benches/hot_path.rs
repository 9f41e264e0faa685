//! What every request passes: cells, limits, verdicts, and the whole of the library without a
//! socket.

use std::hint::black_box;
use std::num::NonZeroU32;
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::Full;
use serde_json::json;
use sidecar_core::Sidecar;
use sidecar_core::clock::Clock;
use sidecar_core::cooldown::{Cell, CooldownPolicy};
use sidecar_core::error::BoxError;
use sidecar_core::provider::Api;
use sidecar_core::rate_limit::Limiter;
use sidecar_core::verdict::judge;
use tokio::runtime::Runtime;
use tower::{ServiceExt, service_fn};

fn cell(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let _guard = runtime.enter();
    let now = Clock::system().now();
    let cell = Cell::new(CooldownPolicy::default(), 40);
    let lease = Duration::from_secs(65);
    let mut group = c.benchmark_group("cell");
    group.throughput(Throughput::Elements(1));
    group.bench_function("admit closed", |b| b.iter(|| black_box(cell.admit(now, lease))));
    group.finish();
}

fn limiter(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let _guard = runtime.enter();
    let now = Clock::system().now();
    let rpm = NonZeroU32::MAX;
    let mut group = c.benchmark_group("limiter");
    group.throughput(Throughput::Elements(1));
    for (name, limiter) in [
        ("window", Limiter::window(rpm)),
        ("smooth", Limiter::smooth(rpm, NonZeroU32::MIN.saturating_add(1_000_000))),
    ] {
        // Given back, so that neither the window nor the time runs away.
        group.bench_function(format!("{name} admit and give back"), |b| {
            b.iter(|| {
                if let Ok(slot) = limiter.admit(now) {
                    limiter.give_back(slot);
                }
            });
        });
    }
    group.finish();
}

fn verdict(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let _guard = runtime.enter();
    let now = Clock::system().wall();
    let headers = HeaderMap::new();
    let limited = br#"{"status":429,"title":"Too Many Requests"}"#;
    let mut group = c.benchmark_group("verdict");
    group.throughput(Throughput::Elements(1));
    group.bench_function("accept", |b| {
        b.iter(|| judge(StatusCode::OK, black_box(&headers), &[], Api::default(), now));
    });
    group.bench_function("429 with a body", |b| {
        let status = StatusCode::TOO_MANY_REQUESTS;
        b.iter(|| judge(status, black_box(&headers), limited, Api::default(), now));
    });
    group.finish();
}

fn request(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let sidecar = runtime.block_on(sidecar()).expect("a sidecar in memory");
    let answer = async |_: Request<Full<Bytes>>| {
        let answer = br#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3}}"#;
        Ok::<_, BoxError>(Response::new(Full::from(answer.as_slice())))
    };
    let service = sidecar.service(service_fn(answer));
    let mut group = c.benchmark_group("request");
    for size in [2 << 10, 64 << 10] {
        let body =
            json!({"messages": [{"role": "user", "content": "x".repeat(size)}], "model": "m"});
        let body = Bytes::from(body.to_string());
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(format!("{} KiB, no socket", size >> 10), |b| {
            b.to_async(&runtime).iter(|| {
                let request = Request::post("/v1/chat/completions")
                    .header("content-type", "application/json")
                    .body(Full::new(body.clone()))
                    .expect("a request");
                service.clone().oneshot(request)
            });
        });
    }
    group.finish();
}

/// Ten providers whose limits are never reached.
async fn sidecar() -> Result<Sidecar, BoxError> {
    let sidecar = Sidecar::builder().open().await?;
    for index in 0..10 {
        let provider = json!({
            "name": format!("p{index}"), "rpm_limit": 1_000_000, "api_key": "sk-bench",
            "limit_shape": "smooth", "burst": 1_000_000,
            "api_base_url": "https://api.example.com/v1",
            "model_mappings": {"m": {"native_id": "vendor/m"}},
        });
        sidecar.admin().add_provider(serde_json::from_value(provider)?).await?;
    }
    Ok(sidecar)
}

criterion_group!(benches, cell, limiter, verdict, request);
criterion_main!(benches);
