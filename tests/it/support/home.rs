//! Where a server lives.

use std::path::{Path, PathBuf};
use std::process::Command;

use sidecar_core::keys::{Kek, Kid};
use sidecar_core::secret::Secret;
use tempfile::TempDir;

use super::{Process, Server};

/// A folder with everything a server writes, and the environment it starts with. One home may be
/// started many times, over the same store.
pub(crate) struct Home {
    dir: TempDir,
    master_key: Secret,
    extra: Vec<(&'static str, &'static str)>,
}

impl Home {
    /// A home without a store yet, and a new master key.
    pub(crate) fn new() -> Self {
        let dir = TempDir::new().unwrap();
        Self { dir, master_key: Kek::generate().to_hex(), extra: Vec::new() }
    }

    /// This home with one more environment variable.
    pub(crate) fn env(mut self, name: &'static str, value: &'static str) -> Self {
        self.extra.push((name, value));
        self
    }

    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The store.
    pub(crate) fn store(&self) -> PathBuf {
        self.path().join("data").join("sidecar.redb")
    }

    /// The master key in clear.
    pub(crate) fn master_key(&self) -> &str {
        self.master_key.expose()
    }

    /// The id of the master key.
    pub(crate) fn kid(&self) -> Kid {
        Kek::parse(self.master_key()).unwrap().kid()
    }

    /// How to start the server here. Nothing of the environment of the tests gets through.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(program("sidecar-server"));
        command
            .current_dir(self.path())
            .env_clear()
            .env("SIDECAR_PORT", "0")
            .env("SIDECAR_METRICS_PORT", "0")
            .env("SIDECAR_DB_PATH", self.store())
            .env("SIDECAR_ENCRYPTION_KEY", self.master_key())
            .env("SIDECAR_ADMIN_TOKEN", ADMIN_TOKEN)
            .env("LOG_FORMAT", "json")
            .envs(self.extra.iter().copied());
        command
    }

    /// Starts the server and waits until it listens.
    pub(crate) async fn start(&self) -> Server {
        Server::listening(Process::start(&mut self.command(), "")).await
    }
}

/// The path of one of our programs, which lie beside the folder of the tests.
pub(crate) fn program(name: &str) -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let profile = tests.ancestors().nth(2).unwrap();
    let path = profile.join(name).with_extension(std::env::consts::EXE_EXTENSION);
    assert!(
        path.is_file(),
        "{} is missing; run `cargo build -p {name}` first, in the profile of the tests",
        path.display()
    );
    path
}

/// The admin token of every server.
pub(crate) const ADMIN_TOKEN: &str = "admin-5f0c1e7a9b3d48266e90a7c4d1b8f352";
