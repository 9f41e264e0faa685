//! `usage`: what was used, and what it cost.

use std::array::from_fn;
use std::collections::BTreeMap;

use serde::Deserialize as _;
use serde_json::Value;
use sidecar_core::callers::Usd;
use sidecar_core::clock::{Clock, Timestamp};

use super::{Session, list};
use crate::args::{By, UsageArgs, View};
use crate::error::Error;
use crate::escape::{escape, escape_short};
use crate::output::{field, lines, table};

/// Rows with a label or two, and the sums of each.
#[derive(Debug)]
struct Sheet {
    labels: Vec<&'static str>,
    rows: Vec<(Vec<String>, Sums)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sums {
    requests: u64,
    errors: u64,
    tokens: u64,
    cost_pico_usd: u128,
    estimated: u64,
    unpriced: u64,
}

pub(super) async fn run(args: &UsageArgs, session: &mut Session<'_, '_>) -> Result<(), Error> {
    if session.json && (args.csv || args.plot) {
        return Err(Error::Usage("--json goes with neither --csv nor --plot".to_owned()));
    }
    let now = Clock::system().wall();
    match (args.view, args.by, args.since) {
        (View::Total, None, None) => total(args, session).await,
        (View::Daily, None, _) => daily(args, now, session).await,
        _ => by_the_hour(args, now, session).await,
    }
}

async fn total(args: &UsageArgs, session: &mut Session<'_, '_>) -> Result<(), Error> {
    let answer = session.remote.get("/stats/total").await?;
    let sums = Sums::of(&answer, "total_requests", "total_errors", "total_cost");
    if args.csv || args.plot {
        let rows = vec![(Vec::new(), sums?)];
        return session.console.line(&drawn(&Sheet { labels: Vec::new(), rows }, args)?);
    }
    session.print(&answer, |answer| {
        Ok(lines(&TOTALS.map(|name| (name.replace('_', " "), amount(answer, name)))))
    })
}

async fn daily(
    args: &UsageArgs,
    now: Timestamp,
    session: &mut Session<'_, '_>,
) -> Result<(), Error> {
    let since = args.since.map(|since| since.before(now));
    let days = match since {
        Some(since) => span(day(since), day(now), MOST_DAYS, "3660 days")?,
        None => DEFAULT_DAYS,
    };
    let answer = session.remote.get(&format!("/stats/daily?days={days}")).await?;
    session.print(&answer, |answer| {
        let row = |row: &Value| -> Result<_, Error> {
            let labels = ["date", "pool"].map(|name| field(row, name)).to_vec();
            let sums = Sums::of(row, "total_requests", "total_errors", "total_cost")?;
            Ok((labels, sums))
        };
        let rows = list(answer, "daily")?.iter().map(row).collect::<Result<_, _>>()?;
        drawn(&Sheet { labels: vec!["date", "pool"], rows }, args)
    })
}

/// Whatever the other two cannot tell: made of the hourly rows.
async fn by_the_hour(
    args: &UsageArgs,
    now: Timestamp,
    session: &mut Session<'_, '_>,
) -> Result<(), Error> {
    let hours = match args.since.map(|since| since.before(now)) {
        Some(since) if args.view == View::Daily => {
            // From the beginning of the day.
            span(day(since) * 24, now.hour(), MOST_HOURS, "366 days")?
        }
        Some(since) => span(since.hour(), now.hour(), MOST_HOURS, "366 days")?,
        None if args.view == View::Hourly => DEFAULT_HOURS,
        None => span((day(now) + 1 - DEFAULT_DAYS) * 24, now.hour(), MOST_HOURS, "366 days")?,
    };
    let answer = session.remote.get(&format!("/stats/hourly?hours={hours}")).await?;
    if answer.get("truncated") == Some(&Value::Bool(true)) {
        session.console.note("there are too many rows; the oldest are left out");
    }
    let names = match args.by {
        Some(By::Provider) if !session.json => provider_names(session).await?,
        _ => BTreeMap::new(),
    };
    session.print(&answer, |answer| drawn(&gathered(list(answer, "hourly")?, args, &names)?, args))
}

/// The names of the providers by their ids. A removed one is known by its id only.
pub(super) async fn provider_names(
    session: &mut Session<'_, '_>,
) -> Result<BTreeMap<String, String>, Error> {
    let answer = session.remote.get("/backends").await?;
    let providers = list(&answer, "backends")?.iter();
    Ok(providers.map(|provider| (field(provider, "id"), field(provider, "name"))).collect())
}

/// Adds up hourly rows that have the same labels.
fn gathered(
    rows: &[Value],
    args: &UsageArgs,
    names: &BTreeMap<String, String>,
) -> Result<Sheet, Error> {
    let mut labels = Vec::new();
    match args.view {
        View::Total => {}
        View::Hourly => labels.push("hour"),
        View::Daily => labels.push("date"),
    }
    labels.extend(args.by.map(|by| match by {
        By::Provider => "provider",
        By::Model => "model",
        By::Caller => "caller",
    }));
    let mut sums: BTreeMap<Vec<String>, Sums> = BTreeMap::new();
    for row in rows {
        let hour = field(row, "hour_bucket");
        let label = |label: &&str| match *label {
            "hour" => hour.clone(),
            "date" => hour.chars().take(DATE_LENGTH).collect(),
            "provider" => {
                let id = field(row, "backend_id");
                names.get(&id).cloned().unwrap_or(id)
            }
            name => field(row, name),
        };
        let labels = labels.iter().map(label).collect();
        let counts = Sums::of(row, "request_count", "error_count", "cost")?;
        sums.entry(labels).or_default().add(&counts);
    }
    Ok(Sheet { labels, rows: sums.into_iter().collect() })
}

/// How many hours or days there are from `first` to `last`, both included.
fn span(first: i64, last: i64, most: i64, most_text: &str) -> Result<i64, Error> {
    match last.saturating_sub(first).saturating_add(1) {
        ..=0 => Err(Error::Usage("--since is a time to come".to_owned())),
        span if span > most => Err(Error::Usage(format!("--since is more than {most_text} ago"))),
        span => Ok(span),
    }
}

fn day(at: Timestamp) -> i64 {
    at.hour().div_euclid(24)
}

/// A number of the sum of everything; a cost without exponent.
fn amount(answer: &Value, name: &str) -> String {
    let usd = answer.get(name).filter(|_| name.ends_with("_cost")).map(Usd::deserialize);
    match usd {
        Some(Ok(usd)) => format!("{usd} USD"),
        _ => field(answer, name),
    }
}

fn drawn(sheet: &Sheet, args: &UsageArgs) -> Result<String, Error> {
    if args.csv {
        return Ok(csv(sheet));
    }
    if args.plot {
        return plot(sheet);
    }
    Ok(match sheet.labels.len() {
        0 => grid::<6>(sheet),
        1 => grid::<7>(sheet),
        _ => grid::<8>(sheet),
    })
}

/// A table; `N` is the number of labels and sums.
fn grid<const N: usize>(sheet: &Sheet) -> String {
    let names: Vec<String> = sheet.labels.iter().map(|label| label.to_uppercase()).collect();
    let header: [&str; N] = from_fn(|column| match names.get(column) {
        Some(name) => name.as_str(),
        None => COLUMNS[column - names.len()].0,
    });
    let rows = sheet.rows.iter().map(|(labels, sums)| {
        let sums = sums.cells();
        from_fn(|column| match labels.get(column) {
            Some(label) => label.clone(),
            None => sums[column - labels.len()].clone(),
        })
    });
    table(header, rows)
}

fn csv(sheet: &Sheet) -> String {
    let header = sheet.labels.iter().copied().chain(COLUMNS.map(|(_, name)| name));
    let mut text = header.collect::<Vec<_>>().join(",");
    for (labels, sums) in &sheet.rows {
        let cells = labels.iter().map(|label| quoted(label)).chain(sums.cells());
        text.push('\n');
        text.push_str(&cells.collect::<Vec<_>>().join(","));
    }
    text
}

/// A text as a cell that is harmless for terminals and, because callers choose their names, for
/// spreadsheets: one that would be taken for a formula gets an apostrophe before it.
fn quoted(text: &str) -> String {
    let text = escape(text);
    let apostrophe = if text.starts_with(['=', '+', '-', '@']) && text != "-" { "'" } else { "" };
    if text.contains([',', '"']) || !apostrophe.is_empty() {
        return format!("\"{apostrophe}{}\"", text.replace('"', "\"\""));
    }
    text.into_owned()
}

/// Bars of requests, the longest of them [`BAR`] characters.
fn plot(sheet: &Sheet) -> Result<String, Error> {
    if sheet.labels.is_empty() {
        let text = "--plot needs rows: give hourly, daily or --by";
        return Err(Error::Usage(text.to_owned()));
    }
    let most = sheet.rows.iter().map(|(_, sums)| sums.requests).max().unwrap_or(0).max(1);
    let names: Vec<String> =
        sheet.rows.iter().map(|(labels, _)| escape_short(&labels.join("  "), MOST_NAME)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let bars = names.iter().zip(&sheet.rows).map(|(name, (_, sums))| {
        let length = (u128::from(sums.requests) * u128::from(BAR)).div_ceil(u128::from(most));
        let bar = "#".repeat(usize::try_from(length).unwrap_or_default());
        format!("{name:<width$}  {bar} {}", sums.requests)
    });
    Ok(bars.collect::<Vec<_>>().join("\n"))
}

impl Sums {
    /// Reads a row; its first numbers have another name in each kind of row.
    fn of(
        row: &Value,
        requests: &'static str,
        errors: &'static str,
        cost: &'static str,
    ) -> Result<Self, Error> {
        let number = |name: &'static str| {
            row.get(name).and_then(Value::as_u64).ok_or(Error::Incomplete(name))
        };
        let usd = row.get(cost).and_then(|usd| Usd::deserialize(usd).ok());
        Ok(Self {
            requests: number(requests)?,
            errors: number(errors)?,
            tokens: number("total_tokens")?,
            cost_pico_usd: usd.ok_or(Error::Incomplete(cost))?.pico(),
            estimated: number("estimated_requests")?,
            unpriced: number("unpriced_requests")?,
        })
    }

    fn add(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.errors = self.errors.saturating_add(other.errors);
        self.tokens = self.tokens.saturating_add(other.tokens);
        self.cost_pico_usd = self.cost_pico_usd.saturating_add(other.cost_pico_usd);
        self.estimated = self.estimated.saturating_add(other.estimated);
        self.unpriced = self.unpriced.saturating_add(other.unpriced);
    }

    /// In the order of [`COLUMNS`].
    fn cells(&self) -> [String; 6] {
        [
            self.requests.to_string(),
            self.errors.to_string(),
            self.tokens.to_string(),
            Usd::from_pico(self.cost_pico_usd).to_string(),
            self.estimated.to_string(),
            self.unpriced.to_string(),
        ]
    }
}

/// The sums of a row, for people and for programs.
const COLUMNS: [(&str, &str); 6] = [
    ("REQUESTS", "requests"),
    ("ERRORS", "errors"),
    ("TOKENS", "tokens"),
    ("COST USD", "cost_usd"),
    ("ESTIMATED", "estimated"),
    ("UNPRICED", "unpriced"),
];

/// What is shown of the sum of everything.
const TOTALS: [&str; 13] = [
    "total_requests",
    "total_errors",
    "total_tokens",
    "total_prompt_tokens",
    "total_completion_tokens",
    "total_cached_tokens",
    "total_reasoning_tokens",
    "total_cost",
    "provider_cost",
    "estimated_requests",
    "unpriced_requests",
    "possible_duplicates",
    "suspect_requests",
];

const DEFAULT_HOURS: i64 = 24;
const DEFAULT_DAYS: i64 = 30;
/// The most that the server takes.
const MOST_HOURS: i64 = 8_784;
const MOST_DAYS: i64 = 3_660;
/// The date of an RFC 3339 time.
const DATE_LENGTH: usize = 10;
/// The longest bar, in characters.
const BAR: u32 = 40;
const MOST_NAME: usize = 120;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn args(view: View, by: Option<By>) -> UsageArgs {
        UsageArgs { view, by, since: None, csv: false, plot: false }
    }

    fn row(hour: &str, backend_id: &str, caller: &str, requests: u64, cost: &str) -> Value {
        json!({
            "hour_bucket": hour, "backend_id": backend_id, "model": "m", "caller": caller,
            "request_count": requests, "error_count": 1, "total_tokens": 10 * requests,
            "cost": serde_json::from_str::<Value>(cost).unwrap(), "estimated_requests": 0,
            "unpriced_requests": 1,
        })
    }

    fn rows() -> [Value; 3] {
        [
            row("2026-01-01T22:00:00Z", "1", "a", 4, "0.1"),
            row("2026-01-01T23:00:00Z", "1", "b", 1, "0.2"),
            row("2026-01-02T00:00:00Z", "gone", "a", 2, "0"),
        ]
    }

    fn names() -> BTreeMap<String, String> {
        BTreeMap::from([("1".to_owned(), "nim".to_owned())])
    }

    #[test]
    fn rows_are_added_up_by_what_is_asked_for_and_costs_are_exact() {
        let args = args(View::Total, Some(By::Provider));
        let sheet = gathered(&rows(), &args, &names()).unwrap();
        assert_eq!(
            drawn(&sheet, &args).unwrap(),
            "PROVIDER  REQUESTS  ERRORS  TOKENS  COST USD  ESTIMATED  UNPRICED\n\
             gone      2         1       20      0         0          1\n\
             nim       5         2       50      0.3       0          2"
        );
    }

    #[test]
    fn a_day_has_its_hours() {
        let args = UsageArgs { csv: true, ..args(View::Daily, Some(By::Caller)) };
        let sheet = gathered(&rows(), &args, &names()).unwrap();
        assert_eq!(
            drawn(&sheet, &args).unwrap(),
            "date,caller,requests,errors,tokens,cost_usd,estimated,unpriced\n\
             2026-01-01,a,4,1,40,0.1,0,1\n\
             2026-01-01,b,1,1,10,0.2,0,1\n\
             2026-01-02,a,2,1,20,0,0,1"
        );
    }

    #[test]
    fn bars_are_as_long_as_there_are_requests() {
        let args = UsageArgs { plot: true, ..args(View::Hourly, None) };
        let sheet = gathered(&rows(), &args, &names()).unwrap();
        let text = drawn(&sheet, &args).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], format!("2026-01-01T22:00:00Z  {} 4", "#".repeat(40)));
        assert_eq!(lines[1], format!("2026-01-01T23:00:00Z  {} 1", "#".repeat(10)));
        let none = Sheet { labels: vec!["hour"], rows: Vec::new() };
        assert_eq!(drawn(&none, &args).unwrap(), "");
        let sum = Sheet { labels: Vec::new(), rows: vec![(Vec::new(), Sums::default())] };
        assert!(matches!(drawn(&sum, &args), Err(Error::Usage(_))));
    }

    #[test]
    fn a_name_cannot_become_a_formula_or_a_second_cell() {
        for (text, cell) in [
            ("plain", "plain"),
            ("-", "-"),
            ("a,b", "\"a,b\""),
            ("a\"b", "\"a\"\"b\""),
            ("=1+1", "\"'=1+1\""),
            ("-1", "\"'-1\""),
            ("a\nb", "a\\nb"),
        ] {
            assert_eq!(quoted(text), cell);
        }
    }

    #[test]
    fn a_row_of_another_version_is_refused() {
        let args = args(View::Hourly, None);
        let error = gathered(&[json!({"request_count": 1})], &args, &names()).unwrap_err();
        assert!(matches!(error, Error::Incomplete("error_count")), "{error:?}");
    }

    #[test]
    fn a_cost_is_shown_without_exponent() {
        let answer = json!({"total_cost": 3e-7, "total_requests": 5});
        assert_eq!(amount(&answer, "total_cost"), "0.0000003 USD");
        assert_eq!(amount(&answer, "total_requests"), "5");
        assert_eq!(amount(&answer, "provider_cost"), "-");
    }

    #[test]
    fn a_span_has_both_ends_and_a_limit() {
        assert_eq!(span(5, 5, 9, "").unwrap(), 1);
        assert_eq!(span(1, 9, 9, "").unwrap(), 9);
        assert!(matches!(span(0, 9, 9, "a year"), Err(Error::Usage(_))));
        assert!(matches!(span(6, 5, 9, ""), Err(Error::Usage(_))));
        assert!(span(i64::MIN, i64::MAX, 9, "").is_err());
    }
}
