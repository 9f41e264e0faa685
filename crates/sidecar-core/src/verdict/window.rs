//! [`Window`]: limits over a day or longer.

use std::time::Duration;

use http::HeaderMap;
use serde_json::Value;

use super::evidence::Evidence;
use super::{calendar, hint, reset};
use crate::clock::Timestamp;

/// A limit over a day or longer that is used up.
#[derive(Debug)]
pub(super) struct Window {
    /// How long until it renews, where the vendor's calendar is known. What the answer says beside
    /// it is of no use then.
    pub(super) wait: Option<Duration>,
}

impl Window {
    /// The window that an answer speaks of, if it does.
    pub(super) fn of(headers: &HeaderMap, evidence: &Evidence, now: Timestamp) -> Option<Self> {
        let until = |end: Timestamp| Self { wait: Some(end.saturating_since(now)) };
        // Anthropic and Mistral.
        if evidence.has_code(&["enforced_spend_limit_reached"]) || reset::month_exhausted(headers) {
            return Some(Self::month(now));
        }
        // OpenRouter: all free models together.
        if evidence.says(&["free-models-per-day"]) {
            let said = reset::text(headers, "x-ratelimit-reset")
                .and_then(|text| reset::until(text, now))
                .or_else(|| hint::stated_reset(evidence, now));
            return Some(said.map_or_else(
                || until(calendar::next_midnight(now, 0)),
                |wait| Self { wait: Some(wait) },
            ));
        }
        // OpenRouter: a cap on this key, which may be for all time.
        if evidence.says(&["key limit exceeded"]) {
            return if evidence.says(&["daily limit"]) {
                Some(until(calendar::next_midnight(now, 0)))
            } else if evidence.says(&["weekly limit"]) {
                Some(until(calendar::next_monday(now)))
            } else if evidence.says(&["monthly limit"]) {
                Some(Self::month(now))
            } else {
                None
            };
        }
        // SiliconFlow: the day is Beijing's.
        if evidence.says(&["rpd limit reached", "tpd limit reached", "ipd limit reached"]) {
            return Some(until(calendar::next_midnight(now, 8)));
        }
        if is_google_day(evidence) {
            let end = calendar::next_pacific_midnight(now);
            return Some(Self { wait: end.map(|end| end.saturating_since(now)) });
        }
        is_long(evidence).then_some(Self { wait: None })
    }

    /// The calendar month, which ends in UTC.
    pub(super) fn month(now: Timestamp) -> Self {
        Self { wait: calendar::next_month(now).map(|end| end.saturating_since(now)) }
    }
}

fn is_google_day(evidence: &Evidence) -> bool {
    let mut violations = evidence
        .details("QuotaFailure")
        .filter_map(|failure| failure.get("violations").and_then(Value::as_array))
        .flatten()
        .take(MOST_VIOLATIONS);
    let is_day = |violation: &Value| {
        let id = violation.get("quotaId").and_then(Value::as_str);
        id.is_some_and(|id| id.contains("PerDay"))
    };
    violations.any(is_day)
        || (evidence.has_code(&["resource_exhausted"]) && evidence.says(&["per_day", "perday"]))
}

/// Wording of a day or longer, from a vendor whose calendar is not known.
fn is_long(evidence: &Evidence) -> bool {
    let is_short =
        evidence.says(&["per min", "per-min", "per second"]) || evidence.has_word(&["rpm", "tpm"]);
    !is_short && (evidence.says(&LONG) || evidence.has_word(&["rpd", "tpd"]))
}

const LONG: [&str; 9] = [
    "per day",
    "per-day",
    "daily",
    "per week",
    "weekly",
    "per month",
    "per-month",
    "monthly",
    "usage limit for today",
];
const MOST_VIOLATIONS: usize = 16;
