//! The part of the command line about usage and cooldowns.

use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum, value_parser};
use serde_json::Value;
use sidecar_core::clock::Timestamp;

/// What was used, and what it cost.
#[derive(Debug, Args)]
pub(crate) struct UsageArgs {
    /// One sum of everything, or a row for each hour or day (UTC).
    #[arg(value_enum, value_name = "VIEW", default_value_t = View::Total)]
    pub(crate) view: View,
    /// A row for each provider, model or caller.
    #[arg(long, value_enum)]
    pub(crate) by: Option<By>,
    /// Count from a time on, which is rounded down to its hour or day.
    ///
    /// A time is a number with one of the units m, h and d, such as 24h or 7d, counted back from
    /// now, or a time as in 2026-01-31T00:00:00Z. Without it, everything counts for `total`, 24
    /// hours for `hourly`, and 30 days for `daily` and for `total --by`.
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub(crate) since: Option<Since>,
    /// Print comma-separated values.
    #[arg(long, conflicts_with = "plot")]
    pub(crate) csv: bool,
    /// Draw a bar for each row, as long as it has requests.
    #[arg(long)]
    pub(crate) plot: bool,
}

/// What a row of the usage stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum View {
    /// Everything.
    Total,
    /// An hour.
    Hourly,
    /// A day.
    Daily,
}

/// What the usage is split by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum By {
    /// The provider.
    Provider,
    /// The canonical model name.
    Model,
    /// Who called.
    Caller,
}

/// A time in the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    /// So long before now.
    Ago(Duration),
    /// This very time.
    At(Timestamp),
}

/// The last cooldowns that began.
#[derive(Debug, Args)]
pub(crate) struct CooldownsArgs {
    /// Only those of one provider, by name or id.
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) provider: Option<String>,
    /// How many, the newest first.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 20,
        value_parser = value_parser!(u32).range(1..=1_000)
    )]
    pub(crate) limit: u32,
}

impl Since {
    /// The time that is meant.
    pub(crate) fn before(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Ago(ago) => {
                let ago = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
                Timestamp::from_millis(now.as_millis().saturating_sub(ago))
            }
            Self::At(at) => at,
        }
    }
}

fn since(text: &str) -> Result<Since, String> {
    let of_unit = |(unit, seconds): (char, u64)| {
        let count: u64 = text.strip_suffix(unit)?.parse().ok()?;
        count.checked_mul(seconds).map(Duration::from_secs)
    };
    if let Some(ago) = UNITS.into_iter().find_map(of_unit) {
        return Ok(Since::Ago(ago));
    }
    serde_json::from_value(Value::from(text)).map(Since::At).map_err(|_| {
        "is no time: give a number with m, h or d, such as 24h, or a time as in \
         2026-01-31T00:00:00Z"
            .to_owned()
    })
}

/// Seconds by unit.
const UNITS: [(char, u64); 3] = [('m', 60), ('h', 3_600), ('d', 86_400)];

pub(super) const USAGE_HELP: &str = "\
The cost is by the prices of the mappings. Requests whose tokens had to be estimated, and those
at models without a price, are counted in columns of their own.

Examples:
  sidecar-cli usage
  sidecar-cli usage --by provider --since 7d
  sidecar-cli usage hourly --since 24h --plot
  sidecar-cli usage daily --by caller --since 2026-01-01T00:00:00Z --csv";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_relative_or_absolute() {
        let ago = |seconds| Ok(Since::Ago(Duration::from_secs(seconds)));
        assert_eq!(since("90m"), ago(5_400));
        assert_eq!(since("24h"), ago(86_400));
        assert_eq!(since("7d"), ago(604_800));
        let at = Timestamp::from_millis(1_767_225_600_000);
        assert_eq!(since("2026-01-01T00:00:00Z"), Ok(Since::At(at)));
        assert_eq!(since("2026-01-01T01:00:00+01:00"), Ok(Since::At(at)));
        for text in ["", "h", "-1h", "1.5h", "7", "7w", "yesterday", "99999999999999999999d"] {
            assert!(since(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_relative_time_counts_back_from_now() {
        let now = Timestamp::from_millis(1_767_225_600_000);
        let hour_ago = Since::Ago(Duration::from_secs(3_600)).before(now);
        assert_eq!(now.saturating_since(hour_ago), Duration::from_secs(3_600));
        assert_eq!(Since::At(now).before(hour_ago), now);
        let longest = Since::Ago(Duration::MAX).before(now);
        assert!(longest < now);
    }
}
