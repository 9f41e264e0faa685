//! The store, in a real file below the target folder: how fast writers get their commits, how long
//! it takes until a change of the providers is in force, and what a month of usage takes to read.
//!
//! `cargo bench --bench store` first makes a file of a million rows. Without `--bench` among the
//! arguments, as under `cargo test`, there are only a few.

use std::cell::{LazyCell, OnceCell};
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{
    BatchSize, BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use serde_json::{Value, json};
use sidecar_core::Sidecar;
use sidecar_core::admin::HourlyFilter;
use sidecar_core::clock::{Clock, Timestamp};
use sidecar_core::keys::{Kek, KeyRing};
use sidecar_core::pool::Pools;
use sidecar_core::provider::{Provider, ProviderPatch};
use sidecar_core::settings::Settings;
use sidecar_core::store::{Change, RedbStore, Store, Table, UsageBatch};
use sidecar_core::usage::{UsageCounts, UsageKey};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// The time is that of one change for every writer; the throughput counts the changes of all of
/// them. Each waits until its change is durable before it hands in the next one.
fn group_commit(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let folder = folder();
    let store = RedbStore::open(folder.path().join("commit.redb")).expect("a store");
    let store = Arc::new(store);
    let mut group = c.benchmark_group("group commit");
    group.sample_size(10).sampling_mode(SamplingMode::Flat).warm_up_time(Duration::from_secs(1));
    for writers in [1, 16, 64] {
        group.throughput(Throughput::Elements(writers));
        group.bench_function(BenchmarkId::new("writers", writers), |b| {
            b.to_async(&runtime).iter_custom(|rounds| commit(store.clone(), writers, rounds));
        });
    }
    group.finish();
}

/// How long `writers` take for `rounds` changes each.
async fn commit(store: Arc<RedbStore>, writers: u64, rounds: u64) -> Duration {
    let clock = Clock::system();
    let started = clock.now();
    let mut running = JoinSet::new();
    for writer in 0..writers {
        let store = store.clone();
        running.spawn(async move {
            for _ in 0..rounds {
                let change = Change::put(Table::Windows, format!("w{writer}"), vec![1; 64]);
                store.apply(vec![change]).await.expect("a commit");
            }
        });
    }
    while let Some(writer) = running.join_next().await {
        writer.expect("a writer that ends");
    }
    clock.now() - started
}

/// What every change of a provider or a setting costs, beside its commit. Cooldowns and limits are
/// there already and stay.
fn snapshot(c: &mut Criterion) {
    let clock = Clock::system();
    let providers: Vec<Provider> =
        (0..1_000).map(|index| provider(&format!("p{index}"), clock.wall())).collect();
    let pools = Pools::new(Settings::default(), clock);
    pools.replace(providers.clone(), Settings::default());
    let mut group = c.benchmark_group("snapshot");
    group.sample_size(20).sampling_mode(SamplingMode::Flat);
    group.bench_function("1000 providers, 5 models each", |b| {
        b.iter_batched(
            || providers.clone(),
            |providers| pools.replace(providers, Settings::default()),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn provider(name: &str, now: Timestamp) -> Provider {
    let models = (0..5).map(|model| (format!("model-{model}"), json!({"native_id": "vendor/m"})));
    let patch: ProviderPatch = serde_json::from_value(json!({
        "name": name, "api_key": "sk-0123456789",
        "api_base_url": "https://api.example.com/v1",
        "model_mappings": models.collect::<Value>(),
    }))
    .expect("a patch");
    patch.into_provider(name, now).expect("a provider")
}

/// 30 days of usage: as the store gives them, and as the admin API answers from them.
fn month(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let folder = folder();
    let path = folder.path().join("usage.redb");
    let last = Clock::system().wall().hour();
    let hours = last - i64::from(HOURS) + 1..=last;
    let rows_an_hour = if is_measured() { 1_400 } else { 2 };
    let filled = LazyCell::new(|| runtime.block_on(fill(&path, hours.clone(), rows_an_hour)));
    let mut group = c.benchmark_group("30 days of usage");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(10));

    let store = OnceCell::new();
    group.bench_function("store, by the hour", |b| {
        let store = store.get_or_init(|| {
            LazyCell::force(&filled);
            RedbStore::open(&path).expect("a store")
        });
        b.to_async(&runtime).iter(|| async {
            let rows = store.usage(hours.clone()).await.expect("rows");
            assert_eq!(rows.len(), HOURS as usize * rows_an_hour);
        });
    });
    if let Some(store) = store.get() {
        // One at a time may have it open.
        runtime.block_on(store.close()).expect("a store that closes");
    }

    let admin = LazyCell::new(|| {
        LazyCell::force(&filled);
        let ring = KeyRing::new(Kek::generate());
        let sidecar = runtime.block_on(Sidecar::builder().store(&path, ring).open());
        sidecar.expect("a sidecar").admin()
    });
    group.bench_function("admin, by the hour", |b| {
        let admin = LazyCell::force(&admin);
        let filter = HourlyFilter { hours: HOURS, ..HourlyFilter::default() };
        b.to_async(&runtime).iter(|| async {
            let stats = admin.stats_hourly(&filter).await.expect("rows");
            assert!(!stats.hourly.is_empty());
        });
    });
    group.bench_function("admin, by the day and pool", |b| {
        let admin = LazyCell::force(&admin);
        b.to_async(&runtime).iter(|| async {
            let days = admin.stats_daily(HOURS / 24).await.expect("rows");
            assert!(!days.is_empty());
        });
    });
    group.finish();
}

/// A store at `path` with so many rows in each of `hours`.
async fn fill(path: &Path, hours: RangeInclusive<i64>, rows_an_hour: usize) {
    let store = RedbStore::open(path).expect("a store");
    let mut rows = hours.flat_map(|hour| (0..rows_an_hour).map(move |index| row(hour, index)));
    for id in 1.. {
        let batch: Vec<_> = rows.by_ref().take(10_000).collect();
        if batch.is_empty() {
            break;
        }
        store.record(UsageBatch { id, rows: batch }).await.expect("a commit");
    }
    store.close().await.expect("a store that closes");
}

/// Five models of each provider, eight callers of each model.
fn row(hour: i64, index: usize) -> (UsageKey, UsageCounts) {
    let key = UsageKey {
        hour,
        // As long as the UUID that it usually is.
        provider: format!("0198c0de-0000-7000-8000-{:012}", index / 40),
        model: format!("vendor/model-{}", index / 8 % 5),
        caller: format!("agent-{}", index % 8),
    };
    let counts = UsageCounts {
        requests: 40,
        errors: 1,
        prompt_tokens: 48_000,
        completion_tokens: 9_000,
        cost_pico_usd: 123_456_789,
        latency_us: 60_000_000,
        ..UsageCounts::default()
    };
    (key, counts)
}

/// Below the target folder, which is on a disk where that of temporary files may not be.
fn folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder")
}

fn is_measured() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

const HOURS: u32 = 720;

criterion_group!(benches, group_commit, snapshot, month);
criterion_main!(benches);
