//! Rate-limit headers: which dimension is used up, and when it is free again.

use std::time::Duration;

use http::HeaderMap;

use super::duration::{self, Decimal, MOST};
use crate::clock::Timestamp;

/// One thing that a vendor counts.
struct Dimension {
    /// The header that says how much is left.
    remaining: &'static str,
    renews: Renews,
    counts: Counts,
}

enum Renews {
    /// As this header says.
    At(&'static str),
    /// After so many seconds at the latest, as the header's name says.
    Within(u64),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Counts {
    Requests,
    Tokens,
}

/// Whether any header is of the kind that is looked at here: all their names have this in them.
pub(super) fn speaks_of_limits(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| name.as_str().contains("ratelimit"))
}

/// The longest wait of all dimensions that are used up.
pub(super) fn exhausted(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    longest(headers, now, |_| true)
}

/// The longest wait of the dimensions that count requests. What else is used up may do for a
/// smaller request.
pub(super) fn requests_exhausted(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    longest(headers, now, |counts| counts == Counts::Requests)
}

/// Whether the tokens of the month are used up, which Mistral alone says.
pub(super) fn month_exhausted(headers: &HeaderMap) -> bool {
    MONTH.iter().any(|name| is_zero(headers, name))
}

/// How long until the moment that `text` names: a duration, seconds, an RFC 3339 time, or seconds
/// or milliseconds since the epoch. `None` for the past.
pub(super) fn until(text: &str, now: Timestamp) -> Option<Duration> {
    let number = Decimal::parse(text);
    let at = match number.map(|number| number.whole) {
        None => match duration::parse(text) {
            Some(wait) => return positive(wait),
            None => {
                let at: jiff::Timestamp = text.parse().ok()?;
                at.as_millisecond()
            }
        },
        Some(whole) if whole >= EPOCH_MILLIS => i64::try_from(whole).ok()?,
        Some(whole) if whole >= EPOCH_SECONDS => i64::try_from(whole).ok()?.checked_mul(1_000)?,
        Some(_) => return positive(number?.seconds()),
    };
    positive(Timestamp::from_millis(at).saturating_since(now))
}

/// A header's text, if it is one of a sane length.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let text = headers.get(name)?.to_str().ok()?.trim();
    (!text.is_empty() && text.len() <= MOST_VALUE).then_some(text)
}

/// `wait` up to the bound; nothing for none at all.
pub(super) fn positive(wait: Duration) -> Option<Duration> {
    (!wait.is_zero()).then(|| wait.min(MOST))
}

fn longest(
    headers: &HeaderMap,
    now: Timestamp,
    is_wanted: impl Fn(Counts) -> bool,
) -> Option<Duration> {
    // Azure has OpenAI's names, and another unit.
    let is_azure = RENEWAL_PERIODS.iter().any(|name| headers.contains_key(*name));
    let wait = |dimension: &Dimension| match dimension.renews {
        Renews::Within(seconds) => Some(Duration::from_secs(seconds)),
        Renews::At(name) => {
            let text = text(headers, name)?;
            match Decimal::parse(text) {
                Some(number) if is_azure => positive(number.millis()),
                _ => until(text, now),
            }
        }
    };
    DIMENSIONS
        .iter()
        .filter(|dimension| is_wanted(dimension.counts) && is_zero(headers, dimension.remaining))
        .filter_map(wait)
        .chain(structured(headers))
        .max()
}

/// The header of the IETF draft: `"api";r=0;t=295`, one or more.
fn structured(headers: &HeaderMap) -> Option<Duration> {
    let policies = text(headers, "ratelimit")?.split(',');
    let wait = |policy: &str| {
        let param = |name: &str| policy.split(';').find_map(|part| part.trim().strip_prefix(name));
        let is_spent = Decimal::parse(param("r=")?)?.is_zero();
        if is_spent { positive(Decimal::parse(param("t=")?)?.seconds()) } else { None }
    };
    policies.filter_map(wait).max()
}

fn is_zero(headers: &HeaderMap, name: &str) -> bool {
    text(headers, name).and_then(Decimal::parse).is_some_and(Decimal::is_zero)
}

const fn requests(remaining: &'static str, reset: &'static str) -> Dimension {
    Dimension { remaining, renews: Renews::At(reset), counts: Counts::Requests }
}

const fn tokens(remaining: &'static str, reset: &'static str) -> Dimension {
    Dimension { remaining, renews: Renews::At(reset), counts: Counts::Tokens }
}

const fn within(remaining: &'static str, seconds: u64, counts: Counts) -> Dimension {
    Dimension { remaining, renews: Renews::Within(seconds), counts }
}

const DIMENSIONS: [Dimension; 14] = [
    // OpenAI, Azure, Groq.
    requests("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    tokens("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    tokens("x-ratelimit-remaining-input-images", "x-ratelimit-reset-input-images"),
    // Together, OpenRouter.
    requests("x-ratelimit-remaining", "x-ratelimit-reset"),
    requests("ratelimit-remaining", "ratelimit-reset"),
    requests("anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"),
    tokens("anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"),
    tokens("anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-input-tokens-reset"),
    tokens(
        "anthropic-ratelimit-output-tokens-remaining",
        "anthropic-ratelimit-output-tokens-reset",
    ),
    // Mistral, whose window lengths stand in the names.
    within("x-ratelimit-remaining-req-10-second", 10, Counts::Requests),
    within("x-ratelimit-remaining-req-minute", 60, Counts::Requests),
    within("x-ratelimit-remaining-tokens-minute", 60, Counts::Tokens),
    tokens("ratelimitbysize-remaining", "ratelimitbysize-reset"),
    tokens("x-ratelimitbysize-remaining", "x-ratelimitbysize-reset"),
];

const MONTH: [&str; 3] = [
    "x-ratelimit-remaining-tokens-month",
    "x-ratelimitbysize-remaining-month",
    "ratelimitbysize-remaining-month",
];

const RENEWAL_PERIODS: [&str; 2] =
    ["x-ratelimit-renewalperiod-requests", "x-ratelimit-renewalperiod-tokens"];

/// From here on a number is one of seconds since the epoch (2001), and from the next on one of
/// milliseconds (1973).
const EPOCH_SECONDS: u64 = 1_000_000_000;
const EPOCH_MILLIS: u64 = 100_000_000_000;
/// The longest header value that is looked at, in bytes.
const MOST_VALUE: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_that_is_looked_for_is_seen_to_be_of_the_kind() {
        let renewals = DIMENSIONS.iter().map(|dimension| dimension.remaining);
        for name in renewals.chain(MONTH).chain(["ratelimit"]) {
            let header = (http::HeaderName::from_static(name), http::HeaderValue::from_static("0"));
            assert!(speaks_of_limits(&HeaderMap::from_iter([header])), "{name}");
        }
        assert!(!speaks_of_limits(&HeaderMap::new()));
    }
}
