//! The folder of backups: what is in it, what is put there, and what goes again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::name::{DRAFT, is_draft, name_of, time_of};
use super::{Backup, BackupError, verify};
use crate::clock::Timestamp;
use crate::keys::{Kid, VaultRecords};
use crate::store::{RedbStore, beside, hold, make_private_folder, sync_folder_of};

/// The copies in `folder`, the newest first, at most 1 000. A folder that is not there holds none.
pub fn list(folder: &Path) -> Result<Vec<Backup>, BackupError> {
    let mut backups = Vec::new();
    for (created_at, name) in names(folder)?.into_iter().rev().take(MOST_KEPT) {
        let path = folder.join(&name);
        let Ok(file) = fs::metadata(&path) else {
            // It has gone meanwhile.
            continue;
        };
        let (size_bytes, needs_keys) = (file.len(), keys_of(&path));
        backups.push(Backup { name, size_bytes, created_at, needs_keys });
    }
    Ok(backups)
}

/// A copy that is about to be made.
#[derive(Debug)]
pub(super) struct Draft {
    /// What is written.
    pub(super) path: PathBuf,
    /// What it is called once it is known to be good.
    done: PathBuf,
    name: String,
    at: Timestamp,
}

impl Draft {
    /// Makes room for a copy of this time, or of the next second that has none yet.
    pub(super) fn new(folder: &Path, now: Timestamp) -> Result<Self, BackupError> {
        make_private_folder(folder).map_err(BackupError::io(folder))?;
        remove_drafts(folder)?;
        for second in 0..MOST_TRIED {
            let (name, at) = name_of(now + Duration::from_secs(second));
            let done = folder.join(&name);
            if !done.try_exists().map_err(BackupError::io(&done))? {
                return Ok(Self { path: beside(&done, DRAFT), done, name, at });
            }
        }
        Err(BackupError::Exists { path: folder.join(name_of(now).0) })
    }

    /// Checks what was written and gives it its name. What is not good is removed.
    pub(super) fn finish(self) -> Result<Backup, BackupError> {
        let finished = self.check_and_rename();
        if finished.is_err() {
            // If even that fails, the next copy removes it.
            let _ = fs::remove_file(&self.path);
        }
        finished
    }

    fn check_and_rename(&self) -> Result<Backup, BackupError> {
        let verified = verify(&self.path, None)?;
        let file = fs::metadata(&self.path).map_err(BackupError::io(&self.path))?;
        fs::rename(&self.path, &self.done).map_err(BackupError::io(&self.done))?;
        sync_folder_of(&self.done).map_err(BackupError::io(&self.done))?;
        Ok(Backup {
            name: self.name.clone(),
            size_bytes: file.len(),
            created_at: self.at,
            needs_keys: Some(verified.needs_keys),
        })
    }
}

/// Removes copies that are older than `keep`, and the oldest beyond 1 000, but never the newest
/// one. Gives how many.
pub(super) fn prune(folder: &Path, keep: Duration, now: Timestamp) -> Result<usize, BackupError> {
    let mut names = names(folder)?;
    names.pop();
    let most = names.len().saturating_sub(MOST_KEPT - 1);
    let mut removed = 0;
    for (index, (at, name)) in names.into_iter().enumerate() {
        if index < most || now.saturating_since(at) > keep {
            let path = folder.join(name);
            fs::remove_file(&path).map_err(BackupError::io(path))?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// When the newest copy was made that is not of the future: the clock may have been wrong then.
pub(super) fn newest(folder: &Path, now: Timestamp) -> Result<Option<Timestamp>, BackupError> {
    let latest = now + FUTURE;
    Ok(names(folder)?.into_iter().map(|(at, _)| at).rfind(|at| *at <= latest))
}

/// The names of the copies in `folder` with their times, the oldest first.
fn names(folder: &Path) -> Result<Vec<(Timestamp, String)>, BackupError> {
    let mut names: Vec<_> = entries(folder)?
        .into_iter()
        .filter_map(|name| time_of(&name).map(|at| (at, name)))
        .collect();
    names.sort_unstable();
    Ok(names)
}

/// What a copy that was cut short has left. One that another process is writing stays.
fn remove_drafts(folder: &Path) -> Result<(), BackupError> {
    for name in entries(folder)?.iter().filter(|name| is_draft(name)) {
        let path = folder.join(name);
        if let Ok(_held) = hold(&path) {
            fs::remove_file(&path).map_err(BackupError::io(&path))?;
        }
    }
    Ok(())
}

/// The names in `folder` that are text.
fn entries(folder: &Path) -> Result<Vec<String>, BackupError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(BackupError::io(folder)(error)),
    };
    let mut names = Vec::new();
    for entry in entries.take(MOST_ENTRIES) {
        let entry = entry.map_err(BackupError::io(folder))?;
        names.extend(entry.file_name().into_string());
    }
    Ok(names)
}

/// The master keys that the copy at `path` needs, if it can be read.
fn keys_of(path: &Path) -> Option<Vec<Kid>> {
    let records = RedbStore::peek(path).ok()??.vault;
    let Some(records) = records else { return Some(Vec::new()) };
    Some(VaultRecords::from_bytes(&records).ok()?.kids().into_iter().collect())
}

/// How many copies are kept, however often one is asked for.
const MOST_KEPT: usize = 1_000;
/// How many names of a folder are looked at.
const MOST_ENTRIES: usize = 100_000;
/// How many seconds are tried for a name that is free.
const MOST_TRIED: u64 = 60;
/// How far ahead a clock may have been.
const FUTURE: Duration = Duration::from_secs(3_600);
