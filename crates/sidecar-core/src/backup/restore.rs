//! Putting a copy in the place of a store.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::name::stamp;
use super::{BackupError, Verified, verify};
use crate::clock::Timestamp;
use crate::store::{
    StoreError, beside, hold, make_private_folder, new_private_file, sync_folder_of,
};

/// What [`restore`] has done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restored {
    /// What is in its place now.
    pub verified: Verified,
    /// Where the store is that was there before.
    pub kept: Option<PathBuf>,
}

/// Copies the backup `from` to `to`, for a server that is started then. What is at `to` is kept
/// beside it, as `<its name>.before-restore-<time>`, with `now` as the time; and this only with
/// `force`.
///
/// # Errors
///
/// If `from` is damaged, if `to` is in use, or there and not to be replaced. Then nothing has
/// changed.
pub fn restore(
    from: &Path,
    to: &Path,
    force: bool,
    now: Timestamp,
) -> Result<Restored, BackupError> {
    // For as long as it is held, no server can start with what is about to be moved.
    let before = match hold(to) {
        Ok(held) => Some(held),
        Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(BackupError::of_file(to, error)),
    };
    let kept = before.is_some().then(|| beside(to, &format!("before-restore-{}", stamp(now))));
    if before.is_some() && !force {
        return Err(BackupError::Exists { path: to.into() });
    }
    if let Some(kept) = &kept
        && kept.try_exists().map_err(BackupError::io(kept))?
    {
        return Err(BackupError::Exists { path: kept.clone() });
    }
    let draft = beside(to, "restoring");
    let restored = write(from, &draft).and_then(|verified| {
        put(&draft, to, kept.as_deref())?;
        Ok(Restored { verified, kept })
    });
    if restored.is_err() {
        // It may not even have been made.
        let _ = fs::remove_file(&draft);
    }
    restored
}

/// Writes a copy of `from` to `draft` and checks it.
fn write(from: &Path, draft: &Path) -> Result<Verified, BackupError> {
    // Held, so that it does not change while it is read.
    let _held = hold(from).map_err(|error| BackupError::of_file(from, error))?;
    if let Some(folder) = draft.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        make_private_folder(folder).map_err(BackupError::io(folder))?;
    }
    // Left by one that was cut short.
    let _ = fs::remove_file(draft);
    let mut source = File::open(from).map_err(BackupError::io(from))?;
    let mut target = new_private_file(draft).map_err(BackupError::io(draft))?;
    io::copy(&mut source, &mut target).map_err(BackupError::io(draft))?;
    target.sync_all().map_err(BackupError::io(draft))?;
    verify(draft, None).map_err(|error| match error {
        // What is damaged is what was copied.
        BackupError::Damaged { detail, .. } => BackupError::Damaged { path: from.into(), detail },
        other => other,
    })
}

/// Gives `draft` the name `to`, and to what has it now the name `kept`.
fn put(draft: &Path, to: &Path, kept: Option<&Path>) -> Result<(), BackupError> {
    if let Some(kept) = kept {
        fs::rename(to, kept).map_err(BackupError::io(kept))?;
    }
    if let Err(source) = fs::rename(draft, to) {
        if let Some(kept) = kept {
            // Back to what it was; if this fails too, both files are still there.
            let _ = fs::rename(kept, to);
        }
        return Err(BackupError::io(to)(source));
    }
    sync_folder_of(to).map_err(BackupError::io(to))
}
