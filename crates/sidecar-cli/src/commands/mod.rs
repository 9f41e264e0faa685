//! The commands, one file each.

mod backup;
mod callers;
mod config;
mod cooldowns;
mod explain;
mod keys;
mod pools;
mod providers;
mod usage;

use serde_json::Value;

use crate::args::{Cli, Command};
use crate::console::Console;
use crate::error::Error;
use crate::escape;
use crate::remote::Remote;
use crate::token::TokenSources;

/// What a command of the admin API works with.
struct Session<'a, 'c> {
    remote: Remote,
    console: &'a mut Console<'c>,
    json: bool,
}

/// Runs the command of `cli`.
pub(crate) async fn run(
    cli: &Cli,
    tokens: &TokenSources,
    console: &mut Console<'_>,
) -> Result<(), Error> {
    match &cli.command {
        Command::Keys(command) => keys::run(command, cli, tokens, console).await,
        Command::Backup(command) => backup::run(command, cli, tokens, console).await,
        Command::Providers(command) => {
            providers::run(command, &mut Session::open(cli, tokens, console)?).await
        }
        Command::Callers(command) => {
            callers::run(command, &mut Session::open(cli, tokens, console)?).await
        }
        Command::Usage(args) => usage::run(args, &mut Session::open(cli, tokens, console)?).await,
        Command::Cooldowns(args) => {
            cooldowns::run(args, &mut Session::open(cli, tokens, console)?).await
        }
        Command::Explain(wanted) => {
            explain::run(wanted, &mut Session::open(cli, tokens, console)?).await
        }
        Command::Pools => pools::run(&mut Session::open(cli, tokens, console)?).await,
        Command::Config(command) => {
            config::run(command, &mut Session::open(cli, tokens, console)?).await
        }
    }
}

impl<'a, 'c> Session<'a, 'c> {
    fn open(cli: &Cli, tokens: &TokenSources, console: &'a mut Console<'c>) -> Result<Self, Error> {
        let remote = Remote::new(&cli.url, cli.insecure_http, tokens)?;
        Ok(Self { remote, console, json: cli.json })
    }
}

impl Session<'_, '_> {
    /// Prints what the API answered: its JSON, or what `people` makes of it, which must be
    /// harmless already.
    fn print(
        &mut self,
        answer: &Value,
        people: impl FnOnce(&Value) -> Result<String, Error>,
    ) -> Result<(), Error> {
        let text = if self.json { escape::json(answer) } else { people(answer)? };
        self.console.line(&text)
    }

    /// Tells how far a long command is, on standard error if standard output belongs to JSON.
    fn progress(&mut self, text: &str) -> Result<(), Error> {
        if self.json {
            self.console.note(text);
            return Ok(());
        }
        self.console.line(text)
    }
}

/// The list in the field `name` of an answer.
fn list<'a>(answer: &'a Value, name: &'static str) -> Result<&'a [Value], Error> {
    answer.get(name).and_then(Value::as_array).map(Vec::as_slice).ok_or(Error::Incomplete(name))
}
