//! The part of the command line about callers.

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand, value_parser};
use sidecar_core::callers::Usd;

#[derive(Debug, Subcommand)]
pub(crate) enum CallersCommand {
    /// List the callers with their limits and what they have spent.
    List,
    /// Add a caller and print its new key, which is shown only this once.
    #[command(after_help = ADD_HELP)]
    Add(Box<CallerAdd>),
    /// Change a caller; what is not given stays as it is.
    #[command(after_help = SET_HELP)]
    Set(Box<CallerSet>),
    /// Forget a caller; its keys are refused at once, its usage stays on the books.
    Remove(CallerTarget),
    /// Print a new key for a caller; the key before it works on for a while.
    ///
    /// The new key is shown only this once. Of two older keys only the one that was used later
    /// works on.
    Roll {
        #[command(flatten)]
        target: CallerTarget,
        /// How long the key before it works on (default: 86400, a day).
        #[arg(long, value_name = "SECONDS", value_parser = value_parser!(u32).range(..=2_592_000))]
        overlap: Option<u32>,
    },
}

/// The caller that a command is about.
#[derive(Debug, Args)]
pub(crate) struct CallerTarget {
    /// The caller's name or id.
    #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) caller: String,
}

/// A caller to add.
#[derive(Debug, Args)]
pub(crate) struct CallerAdd {
    /// What to call it: unique, 1 to 64 characters. It cannot be changed later.
    #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) name: String,
    /// Do not let it call yet.
    #[arg(long)]
    pub(crate) disabled: bool,
    #[command(flatten)]
    pub(crate) fields: CallerFields,
}

/// A change to a caller.
#[derive(Debug, Args)]
pub(crate) struct CallerSet {
    #[command(flatten)]
    pub(crate) target: CallerTarget,
    /// Let it call again.
    #[arg(long, conflicts_with = "disable")]
    pub(crate) enable: bool,
    /// Refuse its calls, without forgetting it.
    #[arg(long)]
    pub(crate) disable: bool,
    #[command(flatten)]
    pub(crate) fields: CallerFields,
    /// Take a limit away, or clear a field; may be repeated.
    #[arg(long, value_name = "FIELD", value_parser = UNSET)]
    pub(crate) unset: Vec<String>,
}

/// What a caller may be given.
#[derive(Debug, Default, Args)]
pub(crate) struct CallerFields {
    /// A text for people.
    #[arg(long, value_name = "TEXT")]
    pub(crate) label: Option<String>,
    /// Requests per minute (default: no limit).
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub(crate) rpm: Option<u32>,
    /// Requests at a time (default: no limit).
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=65_536))]
    pub(crate) concurrency: Option<u32>,
    /// Let it use only this model; may be repeated (default: all).
    ///
    /// A '*' at the end stands for any rest. The models that are given take the place of all that
    /// there were.
    #[arg(
        long = "model",
        value_name = "CANONICAL",
        value_parser = NonEmptyStringValueParser::new()
    )]
    pub(crate) models: Vec<String>,
    /// When it may no longer call, such as 2030-01-31T00:00:00Z (default: never).
    #[arg(long, value_name = "TIME")]
    pub(crate) expires: Option<String>,
    /// What it may spend a day, UTC (default: no limit).
    #[arg(long, value_name = "USD", value_parser = usd)]
    pub(crate) budget_daily: Option<Usd>,
    /// What it may spend a month, UTC (default: no limit).
    #[arg(long, value_name = "USD", value_parser = usd)]
    pub(crate) budget_monthly: Option<Usd>,
    /// Its share of the wait queue, relative to other callers (default: 1).
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=100))]
    pub(crate) weight: Option<u32>,
    /// Requests per task, so that an agent in a loop stops (default: no limit).
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub(crate) max_rounds: Option<u32>,
    /// How it gets streams: as they come, or whole when they are complete (default: stream).
    #[arg(long, value_parser = ["stream", "complete"])]
    pub(crate) delivery: Option<String>,
}

fn usd(text: &str) -> Result<Usd, &'static str> {
    Usd::parse(text).ok_or("an amount is a decimal such as 25 or 0.125")
}

const UNSET: [&str; 8] = [
    "label",
    "rpm",
    "concurrency",
    "models",
    "expires",
    "budget-daily",
    "budget-monthly",
    "max-rounds",
];

const ADD_HELP: &str = "\
Only the key goes to standard output, so that it can be handed on without being seen.

Examples:
  sidecar-cli callers add night-shift --rpm 60 --budget-daily 2.50 --model small --model 'big-*'
  sidecar-cli callers add ci --max-rounds 40 --expires 2030-01-31T00:00:00Z > ci.key";

const SET_HELP: &str = "\
Examples:
  sidecar-cli callers set night-shift --rpm 120 --unset budget-daily
  sidecar-cli callers set ci --disable";

#[cfg(test)]
mod tests {
    use clap::Parser;
    use clap::error::ErrorKind;

    use super::*;

    /// The part of the command line under test, alone.
    #[derive(Debug, Parser)]
    struct Alone {
        #[command(subcommand)]
        command: CallersCommand,
    }

    fn parse(args: &[&str]) -> Result<CallersCommand, clap::Error> {
        let args = std::iter::once("callers").chain(args.iter().copied());
        Alone::try_parse_from(args).map(|alone| alone.command)
    }

    #[test]
    fn a_budget_is_an_exact_amount() {
        let CallersCommand::Add(add) = parse(&["add", "ci", "--budget-daily", "2.50"]).unwrap()
        else {
            panic!("an add");
        };
        assert_eq!(add.fields.budget_daily, Usd::parse("2.5"));
        for amount in ["much", "2,50", "1e3", ""] {
            let error = parse(&["add", "ci", "--budget-daily", amount]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ValueValidation, "{amount}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_a_usage_error() {
        for args in [
            &["add"][..],
            &["add", ""],
            &["set", "ci", "--enable", "--disable"],
            &["set", "ci", "--unset", "name"],
            &["set", "ci", "--rpm", "0"],
            &["set", "ci", "--name", "other"],
            &["add", "ci", "--key", "sk-sc-needle"],
            &["roll", "ci", "--overlap", "2592001"],
            &["roll", "ci", "--overlap", "-1"],
        ] {
            assert!(parse(args).is_err(), "{args:?}");
        }
    }
}
