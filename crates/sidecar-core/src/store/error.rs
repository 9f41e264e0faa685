//! [`StoreError`].

use std::io;
use std::path::PathBuf;

/// Why the store could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process has it open.
    #[error("the store {} is in use by another process; stop that one first, or use another path", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// A later version wrote it.
    #[error(
        "the store has schema {found}, this version knows {known} at most; \
         use a later version of sidecar (the file was not touched)"
    )]
    NewerSchema {
        /// The schema of the file.
        found: u32,
        /// The latest schema that is known here.
        known: u32,
    },
    /// The file is not a store, or its content contradicts its checksums.
    #[error("the store is damaged ({0}); restore a backup")]
    Damaged(String),
    /// The folder or file cannot be made or read.
    #[error("the store {} cannot be opened: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A copy could not be written.
    #[error("the copy {} cannot be made: {detail}", path.display())]
    Copy {
        /// The file.
        path: PathBuf,
        /// What the engine or the operating system says.
        detail: String,
    },
    /// Writing failed. Whether the change will be found after a restart is unknown.
    #[error("the store cannot be written ({0}); see to the disk, it is tried again")]
    Unavailable(String),
    /// Too much is waiting to be written.
    #[error("too many changes are waiting for the store; try again")]
    Busy,
    /// It has been closed.
    #[error("the store is closed")]
    Closed,
}
