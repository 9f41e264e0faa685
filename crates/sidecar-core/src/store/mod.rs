//! What must survive a restart: providers, settings, keys, usage, events, the audit log.
//!
//! [`Store`] says what is needed of an engine; [`RedbStore`] is the one there is. Records are
//! opaque bytes that begin with a version; a change is durable when its future is done. Batches of
//! usage carry an id, so that one whose fate is unknown can be handed in again.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use sidecar_core::store::{Change, RedbStore, Store, Table};
//!
//! let store = RedbStore::in_memory()?;
//! store.apply(vec![Change::put(Table::Settings, "rate_rpm", b"\x0135".to_vec())]).await?;
//! let loaded = store.load().await?;
//! assert_eq!(loaded.rows(Table::Settings)["rate_rpm"], b"\x0135");
//! # Ok(()) }
//! ```

mod commit;
mod copy;
mod engine;
mod error;
mod open;
mod overlay;
mod tables;
mod writer;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::pin::Pin;

use uuid::Uuid;

use crate::usage::{DailyKey, UsageCounts, UsageKey};

pub use self::copy::Inspected;
pub(crate) use self::copy::beside;
pub use self::engine::RedbStore;
pub use self::error::StoreError;
pub use self::open::Peeked;
pub(crate) use self::open::{make_private_folder, new_private_file, sync_folder_of};
pub(crate) use self::overlay::hold;

/// A durable store. All methods may be called from anywhere at any time.
pub trait Store: Send + Sync + fmt::Debug {
    /// Everything but usage, events and the audit log, as it was last committed.
    fn load(&self) -> Pending<'_, Loaded>;

    /// Makes all `changes` or none. Done when they are durable; gives the new revision.
    ///
    /// # Errors
    ///
    /// After [`StoreError::Unavailable`] the changes may or may not be found after a restart.
    fn apply(&self, changes: Vec<Change>) -> Pending<'_, u64>;

    /// Adds `batch` to the hourly and to the daily usage rows, unless one with its id or a later
    /// one has been added.
    fn record(&self, batch: UsageBatch) -> Pending<'_, ()>;

    /// Appends `events`. The oldest of all are dropped beyond 100 000.
    ///
    /// # Errors
    ///
    /// After [`StoreError::Unavailable`] the events may or may not be found after a restart.
    fn append(&self, events: Vec<NewEvent>) -> Pending<'_, ()>;

    /// Appends `rows` to the audit log, in which the number of a row and not its time gives the
    /// order. The first of all are dropped beyond 10 000.
    ///
    /// # Errors
    ///
    /// As for [`Store::append`].
    fn append_audit(&self, rows: Vec<NewEvent>) -> Pending<'_, ()>;

    /// Drops the hourly usage rows of hours before `before_hour`, the events of those hours, and
    /// the daily usage rows of days before `before_day`, some at a time.
    fn prune(&self, before_hour: i64, before_day: i64) -> Pending<'_, ()>;

    /// The usage rows of `hours`, see [`crate::clock::Timestamp::hour`].
    fn usage(&self, hours: RangeInclusive<i64>) -> Pending<'_, Vec<(UsageKey, UsageCounts)>>;

    /// The daily usage rows of `days`, see [`DailyKey::day`].
    fn usage_daily(&self, days: RangeInclusive<i64>) -> Pending<'_, Vec<(DailyKey, UsageCounts)>>;

    /// At most `limit` of the events that happened at `from_ms` (milliseconds since the Unix
    /// epoch) or later: the first ones, or the last ones with the newest first.
    fn events(&self, from_ms: i64, limit: usize, newest_first: bool) -> Pending<'_, Vec<Event>>;

    /// At most `limit` rows of the audit log, the last one first; with `before` only those whose
    /// number is lower.
    fn audit(&self, limit: usize, before: Option<u64>) -> Pending<'_, Vec<Event>>;

    /// Writes a copy of everything, as it is at one moment, to the new file `to`. Commits go on
    /// meanwhile. Done when the copy is durable; after an error there is no file.
    fn backup(&self, to: PathBuf) -> Pending<'_, ()>;

    /// Whether the last commit went well.
    fn is_healthy(&self) -> bool;

    /// Commits what is under way and closes the store; later calls fail.
    fn close(&self) -> Pending<'_, ()>;
}

/// What a [`Store`] will give.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A kind of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Table {
    /// What the store needs itself, such as the wrapped data keys.
    Meta,
    /// Providers by id.
    Providers,
    /// Settings by key.
    Settings,
    /// Callers by id.
    Callers,
    /// Cooldown cells by what they stand for.
    Cells,
    /// The last minute of limits by account.
    Windows,
}

/// One record put or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The kind of record.
    pub table: Table,
    /// The record's key in its table.
    pub key: String,
    /// The record, or `None` to delete it.
    pub value: Option<Vec<u8>>,
}

/// Usage to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageBatch {
    /// Rises from batch to batch; the next one after [`Loaded::usage_batch`] is due first.
    pub id: u64,
    /// What to add.
    pub rows: Vec<(UsageKey, UsageCounts)>,
}

/// Something that happened, to be kept for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// What: opaque bytes that begin with a version.
    pub body: Vec<u8>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Rises from event to event, in the order in which they were appended.
    pub seq: u64,
    /// What, as it was appended.
    pub body: Vec<u8>,
}

/// What a store held when it was read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Loaded {
    /// Names this store for ever.
    pub store: Uuid,
    /// How many changes it has seen.
    pub revision: u64,
    /// The id of the last batch of usage.
    pub usage_batch: u64,
    rows: BTreeMap<Table, BTreeMap<String, Vec<u8>>>,
}

impl Change {
    /// `value` at `key`.
    pub fn put(table: Table, key: impl Into<String>, value: Vec<u8>) -> Self {
        Self { table, key: key.into(), value: Some(value) }
    }

    /// Nothing at `key`.
    pub fn delete(table: Table, key: impl Into<String>) -> Self {
        Self { table, key: key.into(), value: None }
    }
}

impl Loaded {
    /// The records of `table`.
    pub fn rows(&self, table: Table) -> &BTreeMap<String, Vec<u8>> {
        const NONE: &BTreeMap<String, Vec<u8>> = &BTreeMap::new();
        self.rows.get(&table).unwrap_or(NONE)
    }
}

/// The record of [`Table::Meta`] that holds the key vault's own records.
pub const VAULT: &str = "vault";

#[cfg(test)]
mod tests;
