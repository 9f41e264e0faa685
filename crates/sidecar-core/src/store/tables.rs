//! The tables, and how keys and values are written.
//!
//! Only integers, `&str` and `&[u8]` stand in tables, because later versions of the engine may
//! encode other types differently. Every value of ours begins with a version.

use redb::{ReadableTable, TableDefinition, TableHandle};

use super::{StoreError, Table};
use crate::usage::{DailyKey, UsageCounts, UsageKey};

pub(super) type Records = TableDefinition<'static, &'static str, &'static [u8]>;
pub(super) type UsageRow = (i64, &'static str, &'static str, &'static str);
pub(super) type Usage = TableDefinition<'static, UsageRow, &'static [u8]>;
pub(super) type EventRow = (i64, u64);
pub(super) type Events = TableDefinition<'static, EventRow, &'static [u8]>;
pub(super) type AuditRow = (u64, i64);
pub(super) type Audit = TableDefinition<'static, AuditRow, &'static [u8]>;

/// Whole hours, provider id, model, caller.
pub(super) const USAGE: Usage = TableDefinition::new("usage_v1");
/// Whole days, provider id, model, caller.
pub(super) const USAGE_DAILY: Usage = TableDefinition::new("usage_daily_v1");
/// Milliseconds, a number that rises.
pub(super) const EVENTS: Events = TableDefinition::new("events_v1");
/// A number that rises, milliseconds. The first row makes the table: a store without one has the
/// same schema.
pub(super) const AUDIT: Audit = TableDefinition::new("audit_v1");

impl Table {
    /// Every table of records.
    pub(super) const ALL: [Self; 6] =
        [Self::Meta, Self::Providers, Self::Settings, Self::Callers, Self::Cells, Self::Windows];

    pub(super) const fn definition(self) -> Records {
        match self {
            Self::Meta => TableDefinition::new("meta_v1"),
            Self::Providers => TableDefinition::new("providers_v1"),
            Self::Settings => TableDefinition::new("settings_v1"),
            Self::Callers => TableDefinition::new("callers_v1"),
            Self::Cells => TableDefinition::new("cells_v1"),
            Self::Windows => TableDefinition::new("windows_v1"),
        }
    }
}

/// The number at `key` of the meta table; 0 if there is none.
pub(super) fn number<T>(meta: &T, key: &str) -> Result<u64, StoreError>
where
    T: ReadableTable<&'static str, &'static [u8]> + TableHandle,
{
    let Some(value) = meta.get(key).map_err(damaged)? else { return Ok(0) };
    let bytes = <[u8; 8]>::try_from(value.value());
    bytes.map(u64::from_be_bytes).map_err(|_| StoreError::Damaged(format!("meta {key}")))
}

/// An engine's error while reading.
pub(super) fn damaged(error: impl Into<redb::Error>) -> StoreError {
    StoreError::Damaged(error.into().to_string())
}

/// An engine's error while writing.
pub(super) fn failed(error: impl Into<redb::Error>) -> StoreError {
    StoreError::Unavailable(error.into().to_string())
}

pub(super) fn usage_key(key: &UsageKey) -> (i64, &str, &str, &str) {
    (key.hour, &key.provider, &key.model, &key.caller)
}

pub(super) fn daily_key(key: &DailyKey) -> (i64, &str, &str, &str) {
    (key.day, &key.provider, &key.model, &key.caller)
}

/// Adds `added` to the row of `key`.
pub(super) fn add(
    table: &mut redb::Table<'_, UsageRow, &'static [u8]>,
    key: (i64, &str, &str, &str),
    added: &UsageCounts,
) -> Result<(), StoreError> {
    let mut counts = match table.get(key).map_err(failed)? {
        Some(stored) => decode_counts(stored.value())?,
        None => UsageCounts::default(),
    };
    counts.add(added);
    table.insert(key, encode_counts(&counts).as_slice()).map_err(failed)?;
    Ok(())
}

/// The counts as the latest version writes them: those of the first, each in eight bytes, and the
/// cost in sixteen; then those that came later in the same way.
pub(super) fn encode_counts(counts: &UsageCounts) -> Vec<u8> {
    let mut counts = *counts;
    let mut bytes = vec![COUNTS_VERSION];
    bytes.extend(fields(&mut counts).into_iter().flat_map(|field| field.to_be_bytes()));
    bytes.extend(counts.cost_pico_usd.to_be_bytes());
    bytes.extend(later_fields(&mut counts).into_iter().flat_map(|field| field.to_be_bytes()));
    bytes.extend(counts.provider_cost_pico_usd.to_be_bytes());
    bytes
}

/// The inverse of [`encode_counts`], for every version so far. What an older one does not have
/// is 0.
pub(super) fn decode_counts(bytes: &[u8]) -> Result<UsageCounts, StoreError> {
    decode(bytes).ok_or_else(|| StoreError::Damaged("a usage row".to_owned()))
}

fn decode(bytes: &[u8]) -> Option<UsageCounts> {
    let mut counts = UsageCounts::default();
    let (version, mut rest) = bytes.split_first()?;
    for field in fields(&mut counts) {
        *field = u64::from_be_bytes(take(&mut rest)?);
    }
    counts.cost_pico_usd = u128::from_be_bytes(take(&mut rest)?);
    match *version {
        1 => {}
        COUNTS_VERSION => {
            for field in later_fields(&mut counts) {
                *field = u64::from_be_bytes(take(&mut rest)?);
            }
            counts.provider_cost_pico_usd = u128::from_be_bytes(take(&mut rest)?);
        }
        _ => return None,
    }
    rest.is_empty().then_some(counts)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*taken)
}

/// With [`later_fields`] the one place that fixes the order of the fields. New ones need a new
/// version.
fn fields(counts: &mut UsageCounts) -> [&mut u64; 12] {
    [
        &mut counts.requests,
        &mut counts.errors,
        &mut counts.prompt_tokens,
        &mut counts.completion_tokens,
        &mut counts.cached_tokens,
        &mut counts.cache_write_tokens,
        &mut counts.reasoning_tokens,
        &mut counts.estimated,
        &mut counts.unpriced,
        &mut counts.latency_us,
        &mut counts.first_byte_us,
        &mut counts.first_byte_count,
    ]
}

/// What the second version added.
fn later_fields(counts: &mut UsageCounts) -> [&mut u64; 2] {
    [&mut counts.possible_duplicates, &mut counts.suspect]
}

pub(super) const SCHEMA: &str = "schema";
pub(super) const STORE_ID: &str = "store_id";
pub(super) const REVISION: &str = "revision";
pub(super) const USAGE_BATCH: &str = "usage_batch";
/// The number of the last event.
pub(super) const EVENT: &str = "event";
/// The number of the last row of the audit log.
pub(super) const AUDIT_NUMBER: &str = "audit";
/// The number of commits; read back after one that failed.
pub(super) const SEQUENCE: &str = "sequence";
/// The latest schema known here. The second one has daily rows, events, and the second version of
/// usage rows.
pub(super) const SCHEMA_KNOWN: u32 = 2;

const COUNTS_VERSION: u8 = 2;
