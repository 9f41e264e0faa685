//! [`Hint`]: how long the provider wants to be left alone.

use std::time::{Duration, UNIX_EPOCH};

use http::HeaderMap;

use super::Class;
use super::duration::{self, Decimal};
use super::evidence::Evidence;
use super::reset::{self, positive, text};
use super::window::Window;
use crate::clock::Timestamp;

/// A rest the provider asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hint {
    /// How long from now; more than zero, and at most 31 days.
    pub wait: Duration,
    /// Where it comes from.
    pub source: HintSource,
}

/// Where a [`Hint`] comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HintSource {
    /// The provider said it, in a header or in the body.
    Authoritative,
    /// Computed from the provider's calendar: a day or month that resets at a known instant.
    Computed,
}

impl Hint {
    /// The hint of a failure. A calendar comes first: providers put a short wait beside a quota
    /// that is gone until tomorrow.
    pub(super) fn of_failure(
        class: Class,
        headers: &HeaderMap,
        evidence: &Evidence,
        now: Timestamp,
    ) -> Option<Self> {
        if matches!(class, Class::QuotaSpent | Class::Billing)
            && let Some(wait) = Window::of(headers, evidence, now).and_then(|window| window.wait)
        {
            return Self::of(wait, HintSource::Computed);
        }
        let is_limit = matches!(class, Class::RateLimited | Class::QuotaSpent | Class::Concurrency);
        if !is_limit && !matches!(class, Class::Overloaded | Class::ServerError) {
            return None;
        }
        let used_up = || is_limit.then(|| reset::exhausted(headers, now)).flatten();
        let wait = retry_after(headers, evidence, now)
            .or_else(used_up)
            .or_else(|| retry_delay(evidence))
            .or_else(|| stated_reset(evidence, now))
            .or_else(|| in_prose(evidence))?;
        Self::of(wait, HintSource::Authoritative)
    }

    /// What a good answer says about the next one. Its `retry-after` is ignored: some vendors send
    /// one with every answer.
    pub(super) fn of_success(headers: &HeaderMap, now: Timestamp) -> Option<Self> {
        // Most answers say nothing of limits, and looking for each of the names costs more than to
        // see that.
        if !reset::speaks_of_limits(headers) {
            return None;
        }
        if reset::month_exhausted(headers) {
            let wait = Window::month(now).wait?;
            return Self::of(wait, HintSource::Computed);
        }
        Self::of(reset::requests_exhausted(headers, now)?, HintSource::Authoritative)
    }

    fn of(wait: Duration, source: HintSource) -> Option<Self> {
        positive(wait).map(|wait| Self { wait, source })
    }
}

/// `retry-after-ms`, else `retry-after`, as a header or as OpenRouter repeats it in the body.
pub(super) fn retry_after(
    headers: &HeaderMap,
    evidence: &Evidence,
    now: Timestamp,
) -> Option<Duration> {
    let millis = || Decimal::parse(text(headers, "retry-after-ms")?).map(Decimal::millis);
    let seconds = || {
        let text = text(headers, "retry-after")?;
        reset::until(text, now).or_else(|| until_date(text, now))
    };
    let repeated = || reset::until(&evidence.header("retry-after")?, now);
    millis().and_then(positive).or_else(seconds).or_else(repeated)
}

fn until_date(text: &str, now: Timestamp) -> Option<Duration> {
    let since_epoch = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    positive((Timestamp::from_millis(0) + since_epoch).saturating_since(now))
}

/// Google's `RetryInfo`.
fn retry_delay(evidence: &Evidence) -> Option<Duration> {
    evidence
        .details("RetryInfo")
        .find_map(|detail| duration::parse(detail.get("retryDelay")?.as_str()?))
        .and_then(positive)
}

/// The reset that OpenRouter repeats in its body.
pub(super) fn stated_reset(evidence: &Evidence, now: Timestamp) -> Option<Duration> {
    reset::until(&evidence.header("x-ratelimit-reset")?, now)
}

fn in_prose(evidence: &Evidence) -> Option<Duration> {
    PHRASES
        .iter()
        .flat_map(|phrase| evidence.after(phrase))
        .find_map(duration::parse_prose)
        .and_then(positive)
}

/// What stands before a duration.
const PHRASES: [&str; 5] =
    ["try again in ", "retry in ", "try again after ", "retry after ", "please wait "];
