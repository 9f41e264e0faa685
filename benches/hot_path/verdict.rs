//! Judging answers.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use http::{HeaderMap, StatusCode};
use sidecar_core::clock::Clock;
use sidecar_core::provider::Api;
use sidecar_core::verdict::judge;

/// A good answer, and the 429 of a vendor that says no more than that.
pub(crate) fn verdict(c: &mut Criterion) {
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
