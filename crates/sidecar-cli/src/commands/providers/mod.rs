//! `providers`: the providers of the server.

mod add;
mod export;
mod import;
mod list;
mod patch;
mod set;
mod show;
mod state;

use sidecar_core::secret::Secret;

use super::{Session, list as list_of};
use crate::args::{KeyOptions, ProvidersCommand};
use crate::console::Console;
use crate::error::Error;
use crate::files::read_secret;
use crate::remote::segment;

pub(super) async fn run(
    command: &ProvidersCommand,
    session: &mut Session<'_, '_>,
) -> Result<(), Error> {
    match command {
        ProvidersCommand::List => list::run(session).await,
        ProvidersCommand::Show(target) => show::run(&target.provider, session).await,
        ProvidersCommand::Add(add) => add::run(add, session).await,
        ProvidersCommand::Set(set) => set::run(set, session).await,
        ProvidersCommand::Enable(target) => state::switch(&target.provider, true, session).await,
        ProvidersCommand::Disable(target) => state::switch(&target.provider, false, session).await,
        ProvidersCommand::Remove(target) => state::remove(&target.provider, session).await,
        ProvidersCommand::Test { target, model } => {
            state::test(&target.provider, model.as_deref(), session).await
        }
        ProvidersCommand::Reset(target) => state::reset(&target.provider, session).await,
        ProvidersCommand::Import { file } => import::run(file, session).await,
        ProvidersCommand::Export { out } => export::run(out.as_deref(), session).await,
    }
}

impl KeyOptions {
    /// The key of `provider` from where the flags say; `None` if they say nothing.
    fn read(&self, provider: &str, console: &mut Console<'_>) -> Result<Option<Secret>, Error> {
        if let Some(path) = &self.key_file {
            read_secret(path).map(Some)
        } else if self.key_stdin {
            console.key(provider).map(Some)
        } else if self.key_prompt {
            Console::prompt_key(provider).map(Some)
        } else {
            Ok(None)
        }
    }
}

/// Where the API keeps the provider of this name or id.
fn path(provider: &str) -> String {
    format!("{PROVIDERS}/{}", segment(provider))
}

/// Where the API keeps the providers, and what it calls them.
const PROVIDERS: &str = "/backends";
const LIST: &str = "backends";
