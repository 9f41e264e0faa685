//! The program `sidecar-cli`. Everything of substance is in the library.

use std::io;
use std::process::ExitCode;

use clap::Parser as _;
use sidecar_cli::{Cli, Console, TokenSources, run};

fn main() -> io::Result<ExitCode> {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut console = Console::system();
    let code = runtime.block_on(run(cli, &TokenSources::from_process(), &mut console));
    // A name that is still being resolved must not hold the exit up.
    runtime.shutdown_background();
    Ok(ExitCode::from(code))
}
