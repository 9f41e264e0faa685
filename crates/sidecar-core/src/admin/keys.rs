//! Another master key for the same store.

use serde::Serialize;

use super::{Admin, AdminError};
use crate::keys::{KeyError, KeyRing, Kid, Vault, VaultRecords};
use crate::store::{Change, Table, VAULT};

/// What a rotation of the master key has done, and what still needs another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Rotation {
    /// The one master key that the store needs now.
    pub primary: Kid,
    /// How many data keys were wrapped anew; 0 if the store needed no other key before.
    pub rewrapped: usize,
    /// What needs a master key besides.
    pub still_needed: StillNeeded,
}

/// What needs a master key that the store itself no longer needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct StillNeeded {
    /// The backups, the newest first; `None` if they could not be looked at.
    pub backups: Option<Vec<NeedingBackup>>,
}

/// A backup that needs other master keys than the store does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct NeedingBackup {
    /// The name of its file.
    pub name: String,
    /// The ids of those master keys.
    pub kids: Vec<Kid>,
}

impl Admin {
    /// Wraps the data keys of the store with the primary key of `ring`, which must also have the
    /// keys that the store needs now. Requests go on: what is sealed stays as it is. All of it or
    /// nothing; a repetition changes nothing more.
    ///
    /// # Errors
    ///
    /// [`KeyError::WrongKey`] if `ring` lacks a key that the store needs.
    pub async fn rotate_keys(&self, ring: &KeyRing) -> Result<Rotation, AdminError> {
        let rewrapped = self.rewrap(ring).await?;
        let primary = ring.primary().kid();
        if rewrapped > 0 {
            tracing::warn!(%primary, rewrapped, "the store has a new master key");
        }
        let backups = self.backups_needing_others(primary).await;
        Ok(Rotation { primary, rewrapped, still_needed: StillNeeded { backups } })
    }

    async fn rewrap(&self, ring: &KeyRing) -> Result<usize, AdminError> {
        // No other change of the records meanwhile.
        let _stored = self.state.stored.lock().await;
        let loaded = self.state.store.load().await?;
        let records = loaded.rows(Table::Meta).get(VAULT);
        let records = records.ok_or(KeyError::DamagedRecords("they are missing"))?;
        let records = VaultRecords::from_bytes(records)?;
        // From what is stored, not from what was read at the start, so that a repetition finds
        // its own work done.
        let vault = Vault::unlock(ring, loaded.store, &records)?;
        let rewrapped = vault.rewrap(ring)?;
        if rewrapped == records {
            return Ok(0);
        }
        // Before anything is written: the next start will have to do just this.
        Vault::unlock(ring, loaded.store, &rewrapped)?;
        let others = records.deks.iter().filter(|dek| dek.kid != ring.primary().kid()).count();
        let change = Change::put(Table::Meta, VAULT, rewrapped.to_bytes());
        self.state.store.apply(vec![change]).await?;
        Ok(others)
    }

    async fn backups_needing_others(&self, primary: Kid) -> Option<Vec<NeedingBackup>> {
        let Some(kept) = &self.state.backups else { return Some(Vec::new()) };
        let backups = match kept.list().await {
            Ok(backups) => backups,
            Err(error) => {
                tracing::warn!(%error, "it is not known which backups need an old master key");
                return None;
            }
        };
        let needing = backups.into_iter().filter_map(|backup| {
            // What cannot be read at all needs no key.
            let mut kids = backup.needs_keys.unwrap_or_default();
            kids.retain(|kid| *kid != primary);
            (!kids.is_empty()).then_some(NeedingBackup { name: backup.name, kids })
        });
        Some(needing.collect())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;
    use tempfile::TempDir;

    use super::*;
    use crate::Sidecar;
    use crate::keys::Kek;

    const OLD: &str = "8ba0fe4965396c0e0f9d517e5b29dd27518b9017d10cfa8ba219e4cf26633863";
    const NEW: &str = "b9ecdf5e59d7cabd1c528e32f09a2a208d79ecd6971289116906d9bc1a9307a1";

    fn ring(hex: &str) -> KeyRing {
        KeyRing::new(Kek::parse(hex).unwrap())
    }

    fn both() -> KeyRing {
        ring(NEW).with_decrypt_only(Kek::parse(OLD).unwrap())
    }

    async fn open(folder: &TempDir, ring: KeyRing) -> Result<Sidecar, crate::OpenError> {
        let builder = Sidecar::builder().store(folder.path().join("sidecar.redb"), ring);
        let keep = Duration::from_secs(3_600);
        builder.backups(folder.path().join("backups"), keep).open().await
    }

    async fn add(sidecar: &Sidecar, name: &str) {
        let fields = serde_json::json!({
            "name": name,
            "api_base_url": "https://api.example.com/v1",
            "api_key": "sk-0123456789abcdef",
        });
        let patch = serde_json::from_value(fields).unwrap();
        sidecar.admin().add_provider(patch).await.unwrap();
    }

    #[tokio::test]
    async fn after_a_rotation_the_new_key_alone_opens_everything() {
        let folder = tempfile::tempdir().unwrap();
        let sidecar = open(&folder, ring(OLD)).await.unwrap();
        add(&sidecar, "before").await;
        let backup = sidecar.admin().make_backup().await.unwrap();
        let rotation = sidecar.admin().rotate_keys(&both()).await.unwrap();
        assert_eq!((rotation.primary, rotation.rewrapped), (ring(NEW).primary().kid(), 1));
        let kids = vec![ring(OLD).primary().kid()];
        let needing = vec![NeedingBackup { name: backup.name, kids }];
        assert_eq!(rotation.still_needed.backups, Some(needing));
        // What is sealed by the same run, too.
        add(&sidecar, "after").await;
        let newer = sidecar.admin().make_backup().await.unwrap();
        assert_eq!(newer.needs_keys, Some(vec![ring(NEW).primary().kid()]));
        sidecar.close().await.unwrap();

        let refused = open(&folder, ring(OLD)).await.unwrap_err();
        assert!(refused.is_configuration(), "{refused}");
        let sidecar = open(&folder, ring(NEW)).await.unwrap();
        assert_eq!(sidecar.admin().providers().len(), 2);
    }

    #[tokio::test]
    async fn a_repetition_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let sidecar = open(&folder, ring(OLD)).await.unwrap();
        for (ring, rewrapped) in [(ring(OLD), 0), (both(), 1), (both(), 0), (ring(NEW), 0)] {
            assert_eq!(sidecar.admin().rotate_keys(&ring).await.unwrap().rewrapped, rewrapped);
        }
        // And back.
        let back = ring(OLD).with_decrypt_only(Kek::parse(NEW).unwrap());
        assert_eq!(sidecar.admin().rotate_keys(&back).await.unwrap().rewrapped, 1);
    }

    #[tokio::test]
    async fn a_ring_without_the_old_key_is_refused_and_nothing_changes() {
        let folder = tempfile::tempdir().unwrap();
        let sidecar = open(&folder, ring(OLD)).await.unwrap();
        add(&sidecar, "one").await;
        let error = sidecar.admin().rotate_keys(&ring(NEW)).await.unwrap_err();
        assert_eq!(error.status(), StatusCode::CONFLICT);
        assert!(error.detail().contains(&ring(OLD).primary().kid().to_string()), "{error}");
        sidecar.close().await.unwrap();
        open(&folder, ring(OLD)).await.unwrap();
    }

    #[tokio::test]
    async fn a_start_with_both_keys_opens_before_and_after_the_rotation() {
        let folder = tempfile::tempdir().unwrap();
        let sidecar = open(&folder, ring(OLD)).await.unwrap();
        add(&sidecar, "one").await;
        sidecar.close().await.unwrap();
        for _ in 0..2 {
            let sidecar = open(&folder, both()).await.unwrap();
            assert_eq!(sidecar.admin().providers().len(), 1);
            sidecar.admin().rotate_keys(&both()).await.unwrap();
            sidecar.close().await.unwrap();
        }
    }

    #[tokio::test]
    async fn what_could_not_be_written_is_not_said_to_be_done() {
        let folder = tempfile::tempdir().unwrap();
        let sidecar = open(&folder, ring(OLD)).await.unwrap();
        sidecar.close().await.unwrap();
        let error = sidecar.admin().rotate_keys(&both()).await.unwrap_err();
        assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE);
        open(&folder, ring(OLD)).await.unwrap();
    }
}
