//! The part of the command line about backups.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum BackupCommand {
    /// Have the server make a backup now; the store stays in use.
    #[command(after_help = CREATE_HELP)]
    Create,
    /// List the backups of the server, the newest first.
    List,
    /// Check a backup: every page of it, and what it needs; needs no running server.
    #[command(after_help = VERIFY_HELP)]
    Verify(Verify),
    /// Put a backup in the place of the store; the server must be stopped.
    #[command(after_help = RESTORE_HELP)]
    Restore(Restore),
}

/// What to check.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The backup.
    pub(crate) file: PathBuf,
    /// Also check that its provider keys open with the master keys in this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
}

/// What to restore.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The backup.
    pub(crate) file: PathBuf,
    /// Where the server looks for its store, see SIDECAR_DB_PATH.
    #[arg(long, value_name = "PATH")]
    pub(crate) to: PathBuf,
    /// Take the place of a store that is there; it is kept beside, under another name.
    #[arg(long)]
    pub(crate) force: bool,
}

const CREATE_HELP: &str = "\
A backup holds the provider keys sealed. It is of no use without the master key, so keep a copy of
that, too, but in another place.

Examples:
  sidecar-cli backup create
  sidecar-cli backup create --json";

const VERIFY_HELP: &str = "\
Examples:
  sidecar-cli backup verify data/backups/sidecar-20260131T040000Z.redb
  sidecar-cli backup verify sidecar-20260131T040000Z.redb --key-file secrets/master.key";

const RESTORE_HELP: &str = "\
The backup is checked before anything is moved. What has happened since it was made is not in it:
usage, limits, providers and callers are as they were then.

Examples:
  sidecar-cli backup restore sidecar-20260131T040000Z.redb --to data/sidecar.redb
  sidecar-cli backup restore sidecar-20260131T040000Z.redb --to data/sidecar.redb --force";
