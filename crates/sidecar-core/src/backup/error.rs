//! [`BackupError`].

use std::io;
use std::path::PathBuf;

use crate::keys::KeyError;
use crate::store::StoreError;

/// Why a copy was not made, read or put in place. What was there before is still there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// There is nowhere to keep copies.
    #[error("there is no folder for backups here")]
    NoFolder,
    /// One is being made.
    #[error("a backup is being made already; ask again when it is done")]
    Busy,
    /// The store could not be read, or the copy not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file is not a copy of a store, or its content contradicts its checksums.
    #[error("{} is damaged ({detail}); use another backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// A running server, or another program, has it open.
    #[error("{} is in use; stop the server that has it open first", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// Nothing is written over without being told to.
    #[error("{} is there already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A file or a folder cannot be used.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The master keys are not those of the copy, or its key records are damaged.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// It ended in a way that nobody foresaw.
    #[error("it ended in an unforeseen way; see the log")]
    Unforeseen,
}

impl BackupError {
    /// What reading the file at `path` as a store has come to.
    pub(super) fn of_file(path: impl Into<PathBuf>, error: StoreError) -> Self {
        let path = path.into();
        match error {
            StoreError::Damaged(detail) => Self::Damaged { path, detail },
            StoreError::InUse { .. } => Self::InUse { path },
            StoreError::Io { source, .. } => Self::Io { path, source },
            other => Self::Store(other),
        }
    }

    /// For `map_err`: what the operating system says of `path`.
    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        |source| Self::Io { path, source }
    }
}
