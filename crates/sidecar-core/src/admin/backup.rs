//! Copies of the store.

use std::sync::Arc;

use serde::Serialize;

use super::{Admin, AdminError};
use crate::backup::{Backup, BackupError, BackupFailure, Backups};

/// The copies that there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct BackupList {
    /// The newest first, at most 1 000.
    pub backups: Vec<Backup>,
    /// The last one that could not be made, unless one was made since.
    pub last_failure: Option<BackupFailure>,
}

impl Admin {
    /// Makes a copy of the store as it is now, checks it, and drops the copies that are too old.
    /// Goes on to its end even if nobody waits for it.
    ///
    /// # Errors
    ///
    /// Without a folder for backups, while another copy is made, and if the disk does not take it.
    pub async fn make_backup(&self) -> Result<Backup, AdminError> {
        let now = self.state.pools.clock().wall();
        Ok(self.kept_backups()?.make(&self.state.store, now).await?)
    }

    /// The same if the newest copy was made a day ago, by wall clock, or there is none.
    ///
    /// # Errors
    ///
    /// As for [`Admin::make_backup`].
    pub async fn make_due_backup(&self) -> Result<Option<Backup>, AdminError> {
        let now = self.state.pools.clock().wall();
        Ok(self.kept_backups()?.make_if_due(&self.state.store, now).await?)
    }

    /// The copies in the folder of backups.
    ///
    /// # Errors
    ///
    /// Without a folder for backups, and if it cannot be read.
    pub async fn backups(&self) -> Result<BackupList, AdminError> {
        let kept = self.kept_backups()?;
        Ok(BackupList { backups: kept.list().await?, last_failure: kept.failure() })
    }

    fn kept_backups(&self) -> Result<&Arc<Backups>, BackupError> {
        self.state.backups.as_ref().ok_or(BackupError::NoFolder)
    }
}
