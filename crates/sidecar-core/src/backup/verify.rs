//! Whether a copy, or a store that nobody uses, is good.

use std::path::Path;

use uuid::Uuid;

use super::BackupError;
use crate::keys::{KeyRing, Kid, Vault, VaultRecords};
use crate::provider::ProviderRecord;
use crate::store::{RedbStore, Table, VAULT};

/// What is known of a copy after every page of it was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Names the store that it was made of.
    pub store: Uuid,
    /// The version of its tables.
    pub schema: u32,
    /// How many changes the store had seen.
    pub revision: u64,
    /// The number of rows of each table.
    pub rows: Vec<(String, u64)>,
    /// The master keys without which its provider keys cannot be read.
    pub needs_keys: Vec<Kid>,
    /// How many providers it has.
    pub providers: usize,
    /// The ids of the providers whose keys do not open although the master key is right; nothing
    /// without a ring.
    pub refused: Vec<String>,
}

/// Checks the file at `path` without writing to it; with a `ring` also whether its provider keys
/// open.
///
/// # Errors
///
/// If the file is damaged, in use, or of a later version, and if `ring` lacks a master key that it
/// needs.
pub fn verify(path: &Path, ring: Option<&KeyRing>) -> Result<Verified, BackupError> {
    let inspected = RedbStore::inspect(path).map_err(|error| BackupError::of_file(path, error))?;
    let loaded = inspected.loaded;
    // A store that was never used has no keys yet.
    let records = loaded.rows(Table::Meta).get(VAULT);
    let records = records.map(|records| VaultRecords::from_bytes(records)).transpose()?;
    let providers = loaded.rows(Table::Providers);
    let mut refused = Vec::new();
    if let (Some(ring), Some(records)) = (ring, &records) {
        let vault = Vault::unlock(ring, loaded.store, records)?;
        for (id, record) in providers {
            let opened =
                ProviderRecord::from_bytes(record).map(|record| record.open(id.clone(), &vault));
            if !matches!(opened, Some(Ok(_))) {
                refused.push(id.clone());
            }
        }
    }
    Ok(Verified {
        store: loaded.store,
        schema: inspected.schema,
        revision: loaded.revision,
        rows: inspected.rows,
        needs_keys: records.map_or_else(Vec::new, |records| records.kids().into_iter().collect()),
        providers: providers.len(),
        refused,
    })
}
