//! [`RedbStore`].

use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use redb::backends::InMemoryBackend;
use redb::{AccessGuard, Database, ReadableDatabase, ReadableTable, StorageError, TableError};

use super::commit::{Done, Work};
use super::copy::{self, Inspected};
use super::open::{self, Peeked};
use super::tables::{
    self, AUDIT, EVENTS, EventRow, REVISION, STORE_ID, USAGE, USAGE_BATCH, USAGE_DAILY,
    decode_counts,
};
use super::writer::{Job, Writer};
use super::{Change, Event, Loaded, NewEvent, Pending, Store, StoreError, Table, UsageBatch};
use crate::usage::{DailyKey, UsageCounts, UsageKey};

/// A [`Store`] in one redb file, which it locks.
///
/// One thread writes. It commits all that came while the last commit was under way as one, so that
/// many writers share one sync of the disk.
#[derive(Debug)]
pub struct RedbStore {
    database: DatabaseHandle,
    writer: Writer,
}

/// The open database; empty while it is being reopened and after it was closed.
#[derive(Clone)]
pub(super) struct DatabaseHandle {
    database: Arc<RwLock<Option<Arc<Database>>>>,
    opener: Arc<Opener>,
}

/// Opens the same database again.
type Opener = dyn Fn() -> Result<Database, StoreError> + Send + Sync;

impl RedbStore {
    /// Opens the store at `path`, making it and its folder if need be. Every page is verified, so
    /// it blocks for some milliseconds per ten megabytes.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref().to_owned();
        // A file that a later version wrote is refused before anything in it changes.
        open::peek(&path)?;
        Self::start(move || open::open(&path))
    }

    /// A store that is gone when it is dropped.
    pub fn in_memory() -> Result<Self, StoreError> {
        let fresh = AtomicBool::new(true);
        Self::start(move || {
            if !fresh.swap(false, Ordering::Relaxed) {
                return Err(StoreError::Unavailable("a store in memory has failed".to_owned()));
            }
            open::with_backend(InMemoryBackend::new())
        })
    }

    /// What can be known of the store at `path` without writing to it; `None` if there is no store
    /// yet. Blocks for a moment.
    pub fn peek(path: impl AsRef<Path>) -> Result<Option<Peeked>, StoreError> {
        open::peek(path.as_ref())
    }

    /// What the file at `path` holds, with every page of it checked and nothing written. No process
    /// may have it open for writing. Blocks for some milliseconds per ten megabytes.
    pub fn inspect(path: impl AsRef<Path>) -> Result<Inspected, StoreError> {
        copy::inspect(path.as_ref())
    }

    /// A store over whatever `opener` opens, which is asked again after a failed commit.
    pub(super) fn start(
        opener: impl Fn() -> Result<Database, StoreError> + Send + Sync + 'static,
    ) -> Result<Self, StoreError> {
        let database = Arc::new(RwLock::new(Some(Arc::new(opener()?))));
        let database = DatabaseHandle { database, opener: Arc::new(opener) };
        Ok(Self { writer: Writer::start(database.clone())?, database })
    }

    fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Database) -> Result<T, StoreError> + Send + 'static,
    ) -> Pending<'_, T> {
        let database = self.database.get();
        Box::pin(async move {
            let database = database?;
            tokio::task::spawn_blocking(move || read(&database))
                .await
                .map_err(|_| StoreError::Damaged("reading it failed".to_owned()))?
        })
    }

    fn write(&self, work: Work) -> Pending<'_, Done> {
        let answer = self.writer.hand_in(Job::Commit(work));
        Box::pin(async move { answer?.await.map_err(|_| StoreError::Closed)? })
    }
}

impl Store for RedbStore {
    fn load(&self) -> Pending<'_, Loaded> {
        self.read(load)
    }

    fn apply(&self, changes: Vec<Change>) -> Pending<'_, u64> {
        let written = self.write(Work::Changes(changes));
        Box::pin(async move { written.await.map(|done| done.revision) })
    }

    fn record(&self, batch: UsageBatch) -> Pending<'_, ()> {
        let written = self.write(Work::Usage(batch));
        Box::pin(async move { written.await.map(|_| ()) })
    }

    fn append(&self, events: Vec<NewEvent>) -> Pending<'_, ()> {
        let written = self.write(Work::Events(events));
        Box::pin(async move { written.await.map(|_| ()) })
    }

    fn append_audit(&self, rows: Vec<NewEvent>) -> Pending<'_, ()> {
        let written = self.write(Work::Audit(rows));
        Box::pin(async move { written.await.map(|_| ()) })
    }

    fn prune(&self, before_hour: i64, before_day: i64) -> Pending<'_, ()> {
        Box::pin(async move {
            // Every commit but the last one removes something, and others get their turn between.
            while !self.write(Work::Prune { before_hour, before_day }).await?.is_pruned {}
            Ok(())
        })
    }

    fn usage(&self, hours: RangeInclusive<i64>) -> Pending<'_, Vec<(UsageKey, UsageCounts)>> {
        self.read(move |database| {
            rows(database, USAGE, &hours, |hour, provider, model, caller| UsageKey {
                hour,
                provider,
                model,
                caller,
            })
        })
    }

    fn usage_daily(&self, days: RangeInclusive<i64>) -> Pending<'_, Vec<(DailyKey, UsageCounts)>> {
        self.read(move |database| {
            rows(database, USAGE_DAILY, &days, |day, provider, model, caller| DailyKey {
                day,
                provider,
                model,
                caller,
            })
        })
    }

    fn events(&self, from_ms: i64, limit: usize, newest_first: bool) -> Pending<'_, Vec<Event>> {
        self.read(move |database| events(database, from_ms, limit, newest_first))
    }

    fn audit(&self, limit: usize, before: Option<u64>) -> Pending<'_, Vec<Event>> {
        self.read(move |database| audit(database, limit, before.unwrap_or(u64::MAX)))
    }

    fn backup(&self, to: PathBuf) -> Pending<'_, ()> {
        let database = self.database.get();
        Box::pin(async move {
            let database = database?;
            let copying = tokio::task::spawn_blocking(move || {
                let snapshot = database.begin_read().map_err(tables::damaged)?;
                // After a failed commit the file is opened again, which must not wait for this.
                drop(database);
                copy::copy(&snapshot, &to)
            });
            copying.await.map_err(|_| StoreError::Damaged("reading it failed".to_owned()))?
        })
    }

    fn is_healthy(&self) -> bool {
        self.writer.is_healthy()
    }

    fn close(&self) -> Pending<'_, ()> {
        let closed = self.writer.hand_in(Job::Close);
        Box::pin(async move {
            // A writer that is gone has nothing left to close.
            if let Ok(closed) = closed {
                let _ = closed.await;
            }
            Ok(())
        })
    }
}

impl DatabaseHandle {
    pub(super) fn get(&self) -> Result<Arc<Database>, StoreError> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        database.clone().ok_or(StoreError::Closed)
    }

    pub(super) fn close(&self) {
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Opens the file again: after a failed commit the engine refuses every later one. Readers
    /// that are at work keep the old one open, and with it the lock.
    pub(super) fn reopen(&self) -> Result<Arc<Database>, StoreError> {
        let mut slot = self.database.write().unwrap_or_else(PoisonError::into_inner);
        *slot = None;
        let database = Arc::new((self.opener)()?);
        *slot = Some(database.clone());
        Ok(database)
    }
}

impl fmt::Debug for DatabaseHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseHandle").finish_non_exhaustive()
    }
}

pub(super) fn load(database: &Database) -> Result<Loaded, StoreError> {
    let transaction = database.begin_read().map_err(tables::damaged)?;
    let meta = transaction.open_table(Table::Meta.definition()).map_err(tables::damaged)?;
    let id = meta.get(STORE_ID).map_err(tables::damaged)?;
    let mut loaded = Loaded {
        store: open::store_id(id.map(|id| id.value().to_vec()).as_deref())?,
        revision: tables::number(&meta, REVISION)?,
        usage_batch: tables::number(&meta, USAGE_BATCH)?,
        rows: Default::default(),
    };
    for table in Table::ALL {
        let records = transaction.open_table(table.definition()).map_err(tables::damaged)?;
        let rows = loaded.rows.entry(table).or_default();
        for record in records.iter().map_err(tables::damaged)? {
            let (key, value) = record.map_err(tables::damaged)?;
            rows.insert(key.value().to_owned(), value.value().to_vec());
        }
    }
    Ok(loaded)
}

/// The rows of `table` whose hour or day is in `range`.
fn rows<K>(
    database: &Database,
    table: tables::Usage,
    range: &RangeInclusive<i64>,
    to_key: fn(i64, String, String, String) -> K,
) -> Result<Vec<(K, UsageCounts)>, StoreError> {
    let transaction = database.begin_read().map_err(tables::damaged)?;
    let table = transaction.open_table(table).map_err(tables::damaged)?;
    let from = (*range.start(), "", "", "");
    let mut rows = Vec::new();
    for row in table.range(from..).map_err(tables::damaged)? {
        let (key, counts) = row.map_err(tables::damaged)?;
        let (time, provider, model, caller) = key.value();
        if time > *range.end() {
            break;
        }
        let key = to_key(time, provider.to_owned(), model.to_owned(), caller.to_owned());
        rows.push((key, decode_counts(counts.value())?));
    }
    Ok(rows)
}

fn events(
    database: &Database,
    from_ms: i64,
    limit: usize,
    newest_first: bool,
) -> Result<Vec<Event>, StoreError> {
    let transaction = database.begin_read().map_err(tables::damaged)?;
    let table = transaction.open_table(EVENTS).map_err(tables::damaged)?;
    let rows = table.range((from_ms, 0_u64)..).map_err(tables::damaged)?;
    if newest_first {
        rows.rev().take(limit).map(event).collect()
    } else {
        rows.take(limit).map(event).collect()
    }
}

fn audit(database: &Database, limit: usize, before: u64) -> Result<Vec<Event>, StoreError> {
    let transaction = database.begin_read().map_err(tables::damaged)?;
    let table = match transaction.open_table(AUDIT) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        Err(error) => return Err(tables::damaged(error)),
    };
    let rows = table.range(..(before, i64::MIN)).map_err(tables::damaged)?;
    let rows = rows.rev().take(limit).map(|row| {
        let (key, body) = row.map_err(tables::damaged)?;
        let (seq, at_ms) = key.value();
        Ok(Event { at_ms, seq, body: body.value().to_vec() })
    });
    rows.collect()
}

type Row<'a> = Result<(AccessGuard<'a, EventRow>, AccessGuard<'a, &'static [u8]>), StorageError>;

fn event(row: Row<'_>) -> Result<Event, StoreError> {
    let (key, body) = row.map_err(tables::damaged)?;
    let (at_ms, seq) = key.value();
    Ok(Event { at_ms, seq, body: body.value().to_vec() })
}
