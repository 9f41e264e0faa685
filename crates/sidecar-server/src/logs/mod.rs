//! Where log lines go and how they look.

mod console;
mod writer;

use std::io::{self, IsTerminal as _};

use sidecar_core::clock::Clock;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

pub use self::writer::LogGuard;

use self::console::Console;
use self::writer::Lines;
use crate::config::{ConfigError, LogConfig};

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people, in colour on a terminal.
    Console,
    /// One JSON object a line.
    Json,
}

/// Sends log lines to standard error. Once per process; the last of them are written when the
/// guard is dropped.
pub fn init(config: &LogConfig) -> Result<LogGuard, ConfigError> {
    let filter = parse(&config.filter).ok_or_else(|| {
        let detail = "must be error, warn, info, debug or trace, or directives such as \
                      info,sidecar_core=debug";
        ConfigError::new("LOG_LEVEL", detail)
    })?;
    let (lines, guard) = Lines::start(io::stderr())
        .map_err(|error| ConfigError::new("LOG_LEVEL", format!("cannot log: {error}")))?;
    let lines = fmt::layer().with_writer(lines);
    let layer = match config.format {
        LogFormat::Console => {
            lines.event_format(Console::new(Clock::system(), io::stderr().is_terminal())).boxed()
        }
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
    };
    // Fails only if there is a subscriber already, which is then the one that counts.
    let _ = tracing_subscriber::registry().with(layer.with_filter(filter)).try_init();
    Ok(guard)
}

/// Unlike the parser of the directives, does not take a misspelt level for the name of a target.
fn parse(filter: &str) -> Option<Targets> {
    let filter = filter.to_lowercase();
    let is_directive = |part: &str| {
        !part.is_empty() && (part.contains('=') || part.parse::<LevelFilter>().is_ok())
    };
    filter.split(',').all(|part| is_directive(part.trim())).then(|| filter.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_directives_are_understood_and_nothing_else() {
        for filter in ["info", "DEBUG", "off", "info,sidecar_core=debug", "hyper=warn"] {
            assert!(parse(filter).is_some(), "{filter}");
        }
        for filter in ["loud", "", "info,loud", "sidecar_core=loud"] {
            assert!(parse(filter).is_none(), "{filter}");
        }
    }
}
