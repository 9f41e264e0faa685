//! The command line of Sidecar: manages the providers of a running server and looks at its state.
//!
//! [`run`] is the whole program apart from the process itself, so that it can be driven from a
//! test or from another program.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), clap::Error> {
//! use clap::Parser as _;
//! use sidecar_cli::{Cli, Console, TokenSources, run};
//!
//! let (mut out, mut err) = (Vec::new(), Vec::new());
//! let mut console = Console::new(&mut out, &mut err, std::io::empty());
//! let cli = Cli::try_parse_from(["sidecar-cli", "keys", "generate"])?;
//! let code = run(cli, &TokenSources::from_process(), &mut console).await;
//! drop(console);
//! assert_eq!((code, out.len()), (0, 65));
//! # Ok(()) }
//! ```

mod args;
mod commands;
mod console;
mod error;
mod escape;
mod files;
mod master;
mod output;
mod relative;
mod remote;
mod token;

#[cfg(test)]
mod tests;

pub use self::args::Cli;
pub use self::console::Console;
pub use self::token::TokenSources;

/// Runs one command line and says on `console` what went wrong, if anything did. Returns the exit
/// code: 0, 1 if the command was refused or failed, 2 if it was used wrongly.
pub async fn run(cli: Cli, tokens: &TokenSources, console: &mut Console<'_>) -> u8 {
    match commands::run(&cli, tokens, console).await {
        Ok(()) => 0,
        Err(error) => {
            console.report(&error);
            error.exit_code()
        }
    }
}
