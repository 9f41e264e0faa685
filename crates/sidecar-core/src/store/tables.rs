//! The tables, and how keys and values are written.
//!
//! Only integers, `&str` and `&[u8]` stand in tables, because later versions of the engine may
//! encode other types differently. Every value of ours begins with a version.

use redb::{ReadableTable, TableDefinition, TableHandle};

use super::{StoreError, Table};
use crate::usage::{UsageCounts, UsageKey};

pub(super) type Records = TableDefinition<'static, &'static str, &'static [u8]>;
type UsageRow = (i64, &'static str, &'static str, &'static str);
pub(super) type Usage = TableDefinition<'static, UsageRow, &'static [u8]>;

/// Whole hours, provider id, model, caller.
pub(super) const USAGE: Usage = TableDefinition::new("usage_v1");

impl Table {
    /// Every table of records.
    pub(super) const ALL: [Self; 3] = [Self::Meta, Self::Providers, Self::Settings];

    pub(super) const fn definition(self) -> Records {
        match self {
            Self::Meta => TableDefinition::new("meta_v1"),
            Self::Providers => TableDefinition::new("providers_v1"),
            Self::Settings => TableDefinition::new("settings_v1"),
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

pub(super) fn usage_key(key: &UsageKey) -> (i64, &str, &str, &str) {
    (key.hour, &key.provider, &key.model, &key.caller)
}

/// The counts in the order of [`fields`], each in eight bytes, and the cost in sixteen.
pub(super) fn encode_counts(counts: &UsageCounts) -> Vec<u8> {
    let mut bytes = vec![COUNTS_VERSION];
    let mut counts = *counts;
    bytes.extend(fields(&mut counts).into_iter().flat_map(|field| field.to_be_bytes()));
    bytes.extend(counts.cost_pico_usd.to_be_bytes());
    bytes
}

/// The inverse of [`encode_counts`].
pub(super) fn decode_counts(bytes: &[u8]) -> Result<UsageCounts, StoreError> {
    let damaged = || StoreError::Damaged("a usage row".to_owned());
    let mut counts = UsageCounts::default();
    let (version, mut rest) = bytes.split_first().ok_or_else(damaged)?;
    if *version != COUNTS_VERSION {
        return Err(damaged());
    }
    for field in fields(&mut counts) {
        let (value, after) = rest.split_first_chunk().ok_or_else(damaged)?;
        *field = u64::from_be_bytes(*value);
        rest = after;
    }
    let cost = <[u8; 16]>::try_from(rest).map_err(|_| damaged())?;
    counts.cost_pico_usd = u128::from_be_bytes(cost);
    Ok(counts)
}

/// The one place that fixes the order of the fields. New ones need a new version.
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

pub(super) const SCHEMA: &str = "schema";
pub(super) const STORE_ID: &str = "store_id";
pub(super) const REVISION: &str = "revision";
pub(super) const USAGE_BATCH: &str = "usage_batch";
/// The number of commits; read back after one that failed.
pub(super) const SEQUENCE: &str = "sequence";
/// The latest schema known here.
pub(super) const SCHEMA_KNOWN: u32 = 1;

const COUNTS_VERSION: u8 = 1;
