//! Writes what is to outlive a restart: usage, cooldowns, the last minute of the limits, and the
//! audit log.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OnceCell};
use tokio::task::{AbortHandle, spawn_blocking};

use crate::admin::{AuditLog, Taken};
use crate::clock::Timestamp;
use crate::pool::{News, Pools, cell_to_bytes, window_to_bytes};
use crate::rate_limit::{Limiter, WindowRecord};
use crate::store::{Change, Event, Store, StoreError, Table, UsageBatch};
use crate::usage::{DailyKey, Ledger, UsageCounts, UsageKey};

/// Writes every [`INTERVAL`], and at once when it is asked to, until it is stopped or dropped.
#[derive(Debug)]
pub(crate) struct Flusher {
    work: Arc<Mutex<Work>>,
    store: Arc<dyn Store>,
    ledger: Ledger,
    audit: Arc<AuditLog>,
    task: AbortHandle,
    /// What was on the books before this run, once somebody has asked.
    before: OnceCell<UsageCounts>,
}

#[derive(Debug)]
struct Work {
    pools: Pools,
    store: Arc<dyn Store>,
    audit: Arc<AuditLog>,
    /// The id of the last batch of usage that was made.
    last_id: u64,
    /// A batch whose fate is unknown. It is handed in again as it is, so that the store can tell
    /// whether it has it.
    unsure: Option<UsageBatch>,
    /// When old rows were last dropped, in whole hours.
    pruned: i64,
}

impl Flusher {
    /// Starts to write. The first time is now: before it no limit that is kept may be used.
    pub(super) async fn start(pools: &Pools, store: Arc<dyn Store>, last_id: u64) -> Self {
        let audit = Arc::new(AuditLog::default());
        let mut work = Work {
            pools: pools.clone(),
            store: store.clone(),
            audit: audit.clone(),
            last_id,
            unsure: None,
            pruned: 0,
        };
        if let Err(error) = work.flush_state().await {
            tracing::error!(%error, "the state of limits and cooldowns is not kept");
        }
        pools.metrics().flushed(pools.clock().now());
        let work = Arc::new(Mutex::new(work));
        let task = tokio::spawn(run(work.clone(), pools.clone()));
        let ledger = pools.ledger().clone();
        Self { work, store, ledger, audit, task: task.abort_handle(), before: OnceCell::new() }
    }

    /// Writes what is left. Nothing is written afterwards, and nothing is sent.
    pub(super) async fn stop(&self) -> Result<(), StoreError> {
        self.task.abort();
        let mut work = self.work.lock().await;
        let state = work.close_state().await;
        let audit = work.write_audit(work.audit.take_all()).await;
        work.flush_usage().await.and(state).and(audit)
    }

    /// The sum over everything on the books, up to this moment. The store is read once, at the
    /// first time.
    pub(crate) async fn total(&self) -> Result<UsageCounts, StoreError> {
        let mut total = *self.before.get_or_try_init(|| self.before()).await?;
        total.add(&self.ledger.booked());
        Ok(total)
    }

    /// What the store holds that this run has not brought there.
    async fn before(&self) -> Result<UsageCounts, StoreError> {
        // Nothing is written meanwhile.
        let mut work = self.work.lock().await;
        work.flush_usage().await?;
        let rows = self.store.usage_daily(i64::MIN..=i64::MAX).await?;
        let sum = move || {
            let mut sum = UsageCounts::default();
            for (_, counts) in rows {
                sum.add(&counts);
            }
            sum
        };
        let mut before = at_leisure(sum).await?;
        before.subtract(&self.ledger.taken());
        Ok(before)
    }

    /// The usage of `hours`, also what was not written a moment ago.
    pub(crate) async fn usage(
        &self,
        hours: RangeInclusive<i64>,
    ) -> Result<Vec<(UsageKey, UsageCounts)>, StoreError> {
        self.read_usage(hours, |rows| rows.into_iter().collect()).await
    }

    /// What `read` makes of the usage of `hours`. It may take its time.
    pub(crate) async fn read_usage<T: Send + 'static>(
        &self,
        hours: RangeInclusive<i64>,
        read: impl FnOnce(BTreeMap<UsageKey, UsageCounts>) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let unwritten = self.unwritten().await;
        let kept = self.store.usage(hours.clone()).await?;
        at_leisure(move || {
            let unwritten = unwritten.into_iter().filter(|(key, _)| hours.contains(&key.hour));
            read(together(kept, unwritten))
        })
        .await
    }

    /// What `read` makes of the usage of `days`, also of what was not written a moment ago. It may
    /// take its time.
    pub(crate) async fn read_usage_daily<T: Send + 'static>(
        &self,
        days: RangeInclusive<i64>,
        read: impl FnOnce(BTreeMap<DailyKey, UsageCounts>) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let unwritten = self.unwritten().await;
        let kept = self.store.usage_daily(days.clone()).await?;
        at_leisure(move || {
            let unwritten = unwritten.into_iter().map(|(key, counts)| (key.daily(), counts));
            read(together(kept, unwritten.filter(|(key, _)| days.contains(&key.day))))
        })
        .await
    }

    /// Where audit rows wait to be written.
    pub(crate) fn audit_log(&self) -> &AuditLog {
        &self.audit
    }

    /// Rows of the audit log, see [`Store::audit`], also those of a moment ago if they can be
    /// written.
    pub(crate) async fn audit_rows(
        &self,
        limit: usize,
        before: Option<u64>,
    ) -> Result<Vec<Event>, StoreError> {
        if let Err(error) = self.work.lock().await.flush_audit().await {
            tracing::debug!(%error, "audit rows stay in memory");
        }
        self.store.audit(limit, before).await
    }

    /// Writes the usage there is, and gives what could not be written: it counts all the same. A
    /// batch whose fate is unknown may be counted twice, until the store can be written again.
    async fn unwritten(&self) -> Vec<(UsageKey, UsageCounts)> {
        let mut work = self.work.lock().await;
        if work.flush_usage().await.is_ok() {
            return Vec::new();
        }
        let unsure = work.unsure.iter().flat_map(|batch| batch.rows.clone());
        unsure.chain(work.pools.ledger().peek()).collect()
    }
}

impl Work {
    async fn flush_usage(&mut self) -> Result<(), StoreError> {
        if let Some(batch) = self.unsure.clone() {
            self.store.record(batch).await?;
            self.unsure = None;
        }
        let rows = self.pools.ledger().take();
        if rows.is_empty() {
            return Ok(());
        }
        self.last_id += 1;
        let batch = UsageBatch { id: self.last_id, rows };
        // Kept until the store says that it has it, also if this future is dropped.
        self.unsure = Some(batch.clone());
        let (clock, metrics) = (self.pools.clock(), self.pools.metrics());
        let started = clock.now();
        self.store.record(batch).await?;
        metrics.wrote(clock.now() - started);
        self.unsure = None;
        Ok(())
    }

    async fn flush_audit(&self) -> Result<(), StoreError> {
        self.write_audit(self.audit.take(self.pools.clock().now())).await
    }

    async fn write_audit(&self, taken: Taken) -> Result<(), StoreError> {
        let rows = taken.rows();
        if rows.is_empty() {
            return Ok(());
        }
        let written = self.store.append_audit(rows).await;
        if written.is_err() {
            self.audit.put_back(taken);
        }
        written
    }

    /// Writes cooldowns and windows. A limit may send on whether or not it worked: a store that
    /// fails must not stop the proxy, and it says loudly itself that it does.
    async fn flush_state(&mut self) -> Result<(), StoreError> {
        let clock = self.pools.clock();
        let taken: Vec<(String, Limiter, WindowRecord)> = self
            .pools
            .registry()
            .durable_limiters()
            .into_iter()
            .filter_map(|(key, limiter)| {
                limiter.record(clock.now()).map(|record| (key, limiter, record))
            })
            .collect();
        // Read after the records were taken, so that none of them looks older than it is.
        let wall = clock.wall();
        let windows = taken.iter().map(|(key, _, record)| window(key, record.clone(), wall));
        let news = self.pools.registry().journal().take();
        let written = self.write_state(windows.collect(), news, wall).await;
        for (_, limiter, record) in &taken {
            limiter.acknowledge(record);
            if written.is_err() {
                // It may send on, but it is not written.
                limiter.touch();
            }
        }
        written
    }

    /// The same for the last time: what the limits have sent is written exactly, and they send no
    /// more.
    async fn close_state(&mut self) -> Result<(), StoreError> {
        let clock = self.pools.clock();
        let limiters = self.pools.registry().durable_limiters();
        let records: Vec<_> =
            limiters.into_iter().map(|(key, limiter)| (key, limiter.close(clock.now()))).collect();
        let wall = clock.wall();
        let windows = records.into_iter().map(|(key, record)| window(&key, record, wall));
        let news = self.pools.registry().journal().take();
        self.write_state(windows.collect(), news, wall).await
    }

    async fn write_state(
        &self,
        mut changes: Vec<Change>,
        news: News,
        wall: Timestamp,
    ) -> Result<(), StoreError> {
        let (registry, now) = (self.pools.registry(), self.pools.clock().now());
        for key in &news.cells {
            let saved = registry.export(key, now).map(|rest| cell_to_bytes(rest, wall));
            changes.push(Change { table: Table::Cells, key: key.to_text(), value: saved });
        }
        let (changed, appended) = tokio::join!(
            async { if changes.is_empty() { Ok(0) } else { self.store.apply(changes).await } },
            async {
                if news.events.is_empty() {
                    return Ok(());
                }
                self.store.append(news.events.clone()).await
            },
        );
        if changed.is_err() || appended.is_err() {
            let events = if appended.is_err() { news.events } else { Vec::new() };
            registry.journal().put_back(News { cells: news.cells, events });
        }
        appended.and(changed.map(|_| ()))
    }

    /// Drops rows that are older than the settings want them, once an hour.
    async fn prune(&mut self) -> Result<(), StoreError> {
        let (hour, settings) = (self.pools.clock().wall().hour(), self.pools.settings());
        if self.pruned == hour {
            return Ok(());
        }
        self.pruned = hour;
        let before_hour = hour - 24 * i64::from(settings.retention_hourly_days);
        let before_day = hour.div_euclid(24) - i64::from(settings.retention_daily_days);
        self.store.prune(before_hour, before_day).await
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(work: Arc<Mutex<Work>>, pools: Pools) {
    let clock = pools.clock();
    let mut due = clock.now() + INTERVAL;
    loop {
        tokio::select! {
            () = clock.sleep_until(due) => {}
            () = pools.registry().journal().woken() => {}
        }
        let mut work = work.lock().await;
        let state = work.flush_state().await;
        // However often it is woken, the usage has its own beat.
        if clock.now() < due {
            continue;
        }
        due = clock.now() + INTERVAL;
        let usage = work.flush_usage().await;
        if usage.is_ok() {
            pools.metrics().flushed(clock.now());
        }
        let audit = work.flush_audit().await;
        let pruned = work.prune().await;
        if let Err(error) = state.and(usage).and(audit).and(pruned) {
            // The store says it loudly itself.
            tracing::debug!(%error, "usage stays in memory");
        }
    }
}

fn window(key: &str, record: WindowRecord, wall: Timestamp) -> Change {
    Change::put(Table::Windows, key, window_to_bytes(record, wall))
}

/// The sums of both, in the order of their keys.
fn together<K: Ord>(
    rows: Vec<(K, UsageCounts)>,
    more: impl Iterator<Item = (K, UsageCounts)>,
) -> BTreeMap<K, UsageCounts> {
    let mut rows: BTreeMap<_, UsageCounts> = rows.into_iter().collect();
    for (key, counts) in more {
        rows.entry(key).or_default().add(&counts);
    }
    rows
}

/// What `work` gives. It is done on a thread where it holds up no request: there can be very many
/// rows.
async fn at_leisure<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StoreError> {
    // It is given up only when the process ends.
    spawn_blocking(work).await.map_err(|_| StoreError::Closed)
}

/// At most this much usage is lost to a crash.
const INTERVAL: Duration = Duration::from_millis(200);
