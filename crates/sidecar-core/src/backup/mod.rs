//! Copies of the store that can be trusted: made while it is in use, checked, named by their time.
//!
//! A copy holds the provider keys only as they are sealed. It is of no use without the master keys
//! that it names, and of every use with them: keep the two apart.
//!
//! Everything here blocks while it reads and writes files.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! use std::time::Duration;
//!
//! use sidecar_core::Sidecar;
//! use sidecar_core::backup::{list, restore, verify};
//! use sidecar_core::clock::Clock;
//! use sidecar_core::keys::{Kek, KeyRing};
//!
//! let hex = Kek::generate().to_hex();
//! let ring = || Kek::parse(hex.expose()).map(KeyRing::new);
//! let month = Duration::from_secs(30 * 24 * 3_600);
//! let builder = Sidecar::builder().store(folder.join("sidecar.redb"), ring()?);
//! let sidecar = builder.backups(folder.join("backups"), month).open().await?;
//! let backup = sidecar.admin().make_backup().await?;
//!
//! assert_eq!(list(&folder.join("backups"))?, [backup.clone()]);
//! let copy = folder.join("backups").join(backup.name);
//! assert_eq!(verify(&copy, Some(&ring()?))?.needs_keys, [ring()?.primary().kid()]);
//! restore(&copy, &folder.join("restored.redb"), false, Clock::system().wall())?;
//! # Ok(()) }
//! ```

mod backups;
mod error;
mod folder;
mod name;
mod restore;
mod verify;

#[cfg(test)]
mod tests;

use serde::Serialize;

pub use self::backups::BackupFailure;
pub(crate) use self::backups::Backups;
pub use self::error::BackupError;
pub use self::folder::list;
pub use self::restore::{Restored, restore};
pub use self::verify::{Verified, verify};

use crate::clock::Timestamp;
use crate::keys::Kid;

/// A copy in the folder of backups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Backup {
    /// The name of its file.
    pub name: String,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// The master keys without which its provider keys cannot be read; `None` if the file cannot
    /// be read itself.
    pub needs_keys: Option<Vec<Kid>>,
}
