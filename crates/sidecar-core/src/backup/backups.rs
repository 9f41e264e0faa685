//! [`Backups`].

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::task::spawn_blocking;

use super::folder::{self, Draft};
use super::{Backup, BackupError};
use crate::clock::Timestamp;
use crate::store::Store;

/// Makes copies of a store in one folder, one at a time, and drops old ones.
#[derive(Debug)]
pub(crate) struct Backups {
    folder: PathBuf,
    /// How long a copy is kept.
    keep: Duration,
    making: Arc<tokio::sync::Mutex<()>>,
    failure: Mutex<Option<BackupFailure>>,
}

/// The last copy that could not be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct BackupFailure {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub detail: String,
}

impl Backups {
    pub(crate) fn new(folder: PathBuf, keep: Duration) -> Self {
        Self { folder, keep, making: Arc::default(), failure: Mutex::default() }
    }

    /// Makes a copy of `store`. Goes on to its end even if nobody waits for it.
    pub(crate) async fn make(
        self: &Arc<Self>,
        store: &Arc<dyn Store>,
        now: Timestamp,
    ) -> Result<Backup, BackupError> {
        let making = self.making.clone().try_lock_owned().map_err(|_| BackupError::Busy)?;
        let (backups, store) = (self.clone(), store.clone());
        // A task of its own: whoever leaves must not let a second one begin beside it.
        let made = tokio::spawn(async move {
            let made = backups.write(&*store, now).await;
            backups.note(&made, now);
            drop(making);
            made
        });
        made.await.unwrap_or(Err(BackupError::Unforeseen))
    }

    /// The same if the newest copy is a day old or there is none.
    pub(crate) async fn make_if_due(
        self: &Arc<Self>,
        store: &Arc<dyn Store>,
        now: Timestamp,
    ) -> Result<Option<Backup>, BackupError> {
        let folder = self.folder.clone();
        let newest = blocking(move || folder::newest(&folder, now)).await.inspect_err(|error| {
            self.fail(error, now);
        })?;
        if newest.is_some_and(|newest| now.saturating_since(newest) < EVERY) {
            return Ok(None);
        }
        self.make(store, now).await.map(Some)
    }

    /// The copies, the newest first.
    pub(crate) async fn list(&self) -> Result<Vec<Backup>, BackupError> {
        let folder = self.folder.clone();
        blocking(move || folder::list(&folder)).await
    }

    /// The last failure, unless a copy was made since.
    pub(crate) fn failure(&self) -> Option<BackupFailure> {
        self.lock_failure().clone()
    }

    async fn write(&self, store: &dyn Store, now: Timestamp) -> Result<Backup, BackupError> {
        let folder = self.folder.clone();
        let draft = blocking(move || Draft::new(&folder, now)).await?;
        store.backup(draft.path.clone()).await?;
        let (folder, keep) = (self.folder.clone(), self.keep);
        blocking(move || {
            let backup = draft.finish()?;
            match folder::prune(&folder, keep, now) {
                Ok(0) => {}
                Ok(removed) => tracing::info!(removed, "old backups removed"),
                // The copy is there, and that is what counts.
                Err(error) => tracing::error!(%error, "old backups are not removed"),
            }
            Ok(backup)
        })
        .await
    }

    fn note(&self, made: &Result<Backup, BackupError>, now: Timestamp) {
        match made {
            Ok(backup) => {
                *self.lock_failure() = None;
                tracing::info!(backup = backup.name, bytes = backup.size_bytes, "backup made");
            }
            Err(error) => self.fail(error, now),
        }
    }

    fn fail(&self, error: &BackupError, now: Timestamp) {
        tracing::error!(%error, "no backup was made");
        *self.lock_failure() = Some(BackupFailure { at: now, detail: error.to_string() });
    }

    fn lock_failure(&self) -> MutexGuard<'_, Option<BackupFailure>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What `work` gives, which blocks.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
) -> Result<T, BackupError> {
    spawn_blocking(work).await.unwrap_or(Err(BackupError::Unforeseen))
}

/// How old the newest copy may become.
const EVERY: Duration = Duration::from_secs(24 * 3_600);
