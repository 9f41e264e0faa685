//! Cooldown cells.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use sidecar_core::clock::Clock;
use sidecar_core::cooldown::{Cell, CellSet, CooldownPolicy};
use sidecar_core::verdict::{Class, Verdict};

/// Cells without a past, which is what nearly every request meets, and one that rests.
pub(crate) fn cell(c: &mut Criterion) {
    let now = Clock::system().now();
    let lease = Duration::from_secs(65);
    let closed = Cell::new(CooldownPolicy::default(), 40);
    let resting = Cell::new(CooldownPolicy::default(), 40);
    let admission = resting.admit(now, lease).expect("a closed cell");
    let limited = Verdict::of(Class::RateLimited);
    resting.fail(admission, &limited, None, now, 0.0).expect("a trip");
    let set = CellSet::new(CooldownPolicy::default());
    let mut group = c.benchmark_group("cell");
    group.throughput(Throughput::Elements(1));
    group.bench_function("admit closed", |b| b.iter(|| black_box(closed.admit(now, lease))));
    group.bench_function("refuse resting", |b| b.iter(|| black_box(resting.admit(now, lease))));
    group.bench_function("ready, four of them", |b| b.iter(|| black_box(set.ready_at(now))));
    group.finish();
}
