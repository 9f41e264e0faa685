//! Writes the ledger to the store.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::AbortHandle;

use crate::clock::Clock;
use crate::pool::Pools;
use crate::store::{Store, StoreError, UsageBatch};
use crate::usage::{Ledger, UsageCounts, UsageKey};

/// Writes the ledger every [`INTERVAL`] until it is stopped or dropped.
#[derive(Debug)]
pub(crate) struct Flusher {
    work: Arc<Mutex<Work>>,
    task: AbortHandle,
}

#[derive(Debug)]
struct Work {
    ledger: Ledger,
    store: Arc<dyn Store>,
    /// The id of the last batch that was made.
    last_id: u64,
    /// A batch whose fate is unknown. It is handed in again as it is, so that the store can tell
    /// whether it has it.
    unsure: Option<UsageBatch>,
}

impl Flusher {
    pub(super) fn start(pools: &Pools, store: Arc<dyn Store>, last_id: u64) -> Self {
        let work = Work { ledger: pools.ledger().clone(), store, last_id, unsure: None };
        let work = Arc::new(Mutex::new(work));
        let task = tokio::spawn(run(work.clone(), pools.clock().clone()));
        Self { work, task: task.abort_handle() }
    }

    /// Writes what is left. Nothing is written afterwards.
    pub(super) async fn stop(&self) -> Result<(), StoreError> {
        self.task.abort();
        self.work.lock().await.flush().await
    }

    /// The usage of `hours`, also what was not written a moment ago.
    pub(crate) async fn usage(
        &self,
        hours: RangeInclusive<i64>,
    ) -> Result<Vec<(UsageKey, UsageCounts)>, StoreError> {
        let mut work = self.work.lock().await;
        let flushed = work.flush().await;
        let mut rows: BTreeMap<_, UsageCounts> =
            work.store.usage(hours.clone()).await?.into_iter().collect();
        if flushed.is_err() {
            // What could not be written counts all the same. A batch whose fate is unknown may be
            // counted twice here, until the store can be written again.
            let unsure = work.unsure.iter().flat_map(|batch| batch.rows.clone());
            for (key, counts) in unsure.chain(work.ledger.peek()) {
                if hours.contains(&key.hour) {
                    rows.entry(key).or_default().add(&counts);
                }
            }
        }
        Ok(rows.into_iter().collect())
    }
}

impl Work {
    async fn flush(&mut self) -> Result<(), StoreError> {
        if let Some(batch) = self.unsure.clone() {
            self.store.record(batch).await?;
            self.unsure = None;
        }
        let rows = self.ledger.take();
        if rows.is_empty() {
            return Ok(());
        }
        self.last_id += 1;
        let batch = UsageBatch { id: self.last_id, rows };
        // Kept until the store says that it has it, also if this future is dropped.
        self.unsure = Some(batch.clone());
        self.store.record(batch).await?;
        self.unsure = None;
        Ok(())
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(work: Arc<Mutex<Work>>, clock: Clock) {
    loop {
        clock.sleep_until(clock.now() + INTERVAL).await;
        let mut work = work.lock().await;
        if let Err(error) = work.flush().await {
            // The store says it loudly itself.
            tracing::debug!(%error, "usage stays in memory");
        }
    }
}

/// At most this much usage is lost to a crash.
const INTERVAL: Duration = Duration::from_millis(200);
