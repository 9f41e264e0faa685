//! Both shapes of limit, from one thread and from eight.

use std::num::NonZeroU32;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use sidecar_core::clock::Clock;
use sidecar_core::rate_limit::Limiter;

/// The time is that of one slot for every thread; the throughput counts the slots of all of them.
pub(crate) fn limiter(c: &mut Criterion) {
    let now = Clock::system().now();
    let rpm = NonZeroU32::MAX;
    let mut group = c.benchmark_group("limiter, admit and give back");
    for (shape, limiter) in [
        ("window", Limiter::window(rpm)),
        ("smooth", Limiter::smooth(rpm, NonZeroU32::MIN.saturating_add(1_000_000))),
    ] {
        // Given back, so that neither the window nor the time runs away.
        let turn = || {
            if let Ok(slot) = limiter.admit(now) {
                limiter.give_back(slot);
            }
        };
        for threads in [1, 8] {
            group.throughput(Throughput::Elements(threads as u64));
            group.bench_function(BenchmarkId::new(shape, threads), |b| {
                b.iter_custom(|turns| on_threads(threads, turns, turn));
            });
        }
    }
    group.finish();
}

/// How long the slowest of `threads` takes for `turns` turns, while all of them are at it.
fn on_threads(threads: usize, turns: u64, turn: impl Fn() + Sync) -> Duration {
    let clock = Clock::system();
    let start = Barrier::new(threads);
    let run = || {
        start.wait();
        let began = clock.now();
        for _ in 0..turns {
            turn();
        }
        clock.now() - began
    };
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        let times = running.into_iter().map(|thread| thread.join().expect("a thread that ends"));
        times.max().unwrap_or_default()
    })
}
