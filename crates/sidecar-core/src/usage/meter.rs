//! Where the attempts at one (provider, model) are booked.

use std::sync::Arc;
use std::time::Duration;

use super::ledger::{OTHER, Row};
use super::tokens::Tokens;
use super::{Ledger, UsageCounts};
use crate::call::{Call, Caller, ModelPlace};
use crate::callers::CallerPermit;
use crate::clock::Timestamp;
use crate::metrics::EndpointMetrics;
use crate::provider::Cost;
use crate::verdict::Class;

/// Where the attempts at one (provider, model) are booked, and at which price.
/// A clone costs one reference count.
#[derive(Clone, Debug)]
pub struct Meter(Arc<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    ledger: Ledger,
    provider: Arc<str>,
    model: Arc<str>,
    cost: Option<Cost>,
    metrics: Option<Arc<EndpointMetrics>>,
}

/// Says who a request is booked for.
pub trait Attribution {
    /// The caller's name.
    fn caller(&self) -> Caller;

    /// How much text the request has, in bytes; 0 if that says nothing of its tokens. They are
    /// estimated from it when the provider does not tell them.
    fn request_bytes(&self) -> u64 {
        0
    }

    /// The caller's leave, to be told what the request costs.
    fn permit(&self) -> Option<Arc<CallerPermit>> {
        None
    }
}

/// One attempt, as it is booked.
#[derive(Debug, Default)]
pub(super) struct Attempt {
    pub(super) failed: bool,
    pub(super) is_possible_duplicate: bool,
    pub(super) used: Used,
    pub(super) latency: Duration,
    pub(super) first_byte: Option<Duration>,
}

/// What an attempt used, as far as is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Used {
    pub(super) tokens: Tokens,
    /// Whether the provider did not say, or not all of it.
    pub(super) is_estimated: bool,
    /// Whether the provider said what cannot be.
    pub(super) is_suspect: bool,
    /// What the provider says that it costs, in pico-USD.
    pub(super) cost: Option<u128>,
}

impl Meter {
    /// Books into `ledger` under `provider` and `model`. Without a `cost` the attempts are
    /// counted as unpriced, which is not the same as free.
    pub fn new(
        ledger: Ledger,
        provider: impl Into<Arc<str>>,
        model: impl Into<Arc<str>>,
        cost: Option<Cost>,
    ) -> Self {
        let (provider, model) = (provider.into(), model.into());
        Self(Arc::new(Inner { ledger, provider, model, cost, metrics: None }))
    }

    /// For a model that nobody entered but the caller named: one of more than 64 characters is
    /// booked as `(other)`.
    #[must_use]
    pub fn with_callers_model(self) -> Self {
        if self.0.model.chars().nth(LONGEST_CALLERS_MODEL).is_none() {
            return self;
        }
        Self(Arc::new(Inner { model: OTHER.into(), ..Arc::unwrap_or_clone(self.0) }))
    }

    /// Counts by `metrics` too.
    #[must_use]
    pub(crate) fn measured(self, metrics: Arc<EndpointMetrics>) -> Self {
        Self(Arc::new(Inner { metrics: Some(metrics), ..Arc::unwrap_or_clone(self.0) }))
    }

    /// Counts how the beginning of an answer was judged; that is not on the books.
    pub(crate) fn judged(&self, class: Class) {
        if let Some(metrics) = &self.0.metrics {
            metrics.judged(class);
        }
    }

    /// Books it, and gives what it costs in pico-USD.
    pub(super) fn book(&self, caller: &Caller, now: Timestamp, attempt: &Attempt) -> u128 {
        let Used { tokens, is_estimated, is_suspect, cost } = attempt.used;
        let counts = UsageCounts {
            requests: 1,
            errors: attempt.failed.into(),
            prompt_tokens: tokens.prompt,
            completion_tokens: tokens.completion,
            cached_tokens: tokens.cached,
            cache_write_tokens: tokens.cache_write,
            reasoning_tokens: tokens.reasoning,
            cost_pico_usd: self.0.cost.map_or(0, |cost| tokens.cost(&cost)),
            estimated: is_estimated.into(),
            unpriced: self.0.cost.is_none().into(),
            latency_us: micros(attempt.latency),
            first_byte_us: attempt.first_byte.map_or(0, micros),
            first_byte_count: attempt.first_byte.is_some().into(),
            possible_duplicates: attempt.is_possible_duplicate.into(),
            suspect: is_suspect.into(),
            provider_cost_pico_usd: cost.unwrap_or(0),
        };
        let row = Row {
            hour: now.hour(),
            provider: self.0.provider.clone(),
            model: self.0.model.clone(),
            caller: caller.0.clone(),
        };
        self.0.ledger.add(row, &counts, now);
        if let Some(metrics) = &self.0.metrics {
            metrics.book(&counts, attempt.latency, attempt.first_byte);
        }
        counts.cost_pico_usd
    }
}

impl Attribution for Call {
    fn permit(&self) -> Option<Arc<CallerPermit>> {
        self.head().permit.get().cloned()
    }

    fn caller(&self) -> Caller {
        self.head().caller.clone()
    }

    fn request_bytes(&self) -> u64 {
        match self.head().model_place {
            // Most of it is audio or images.
            ModelPlace::Multipart(_) => 0,
            _ => self.body().len() as u64,
        }
    }
}

impl<B> Attribution for http::Request<B> {
    fn caller(&self) -> Caller {
        self.extensions().get().cloned().unwrap_or_else(Caller::anonymous)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The longest name of a model that nobody entered, in characters.
const LONGEST_CALLERS_MODEL: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn booked_model(model: &str) -> String {
        let ledger = Ledger::default();
        let meter = Meter::new(ledger.clone(), "p", model, None).with_callers_model();
        meter.book(&Caller::anonymous(), Timestamp::from_millis(0), &Attempt::default());
        ledger.take().remove(0).0.model
    }

    #[test]
    fn a_long_name_that_a_caller_made_up_makes_no_row_of_its_own() {
        assert_eq!(booked_model("meta/llama"), "meta/llama");
        assert_eq!(booked_model(&"\u{fc}".repeat(64)), "\u{fc}".repeat(64));
        assert_eq!(booked_model(&"x".repeat(65)), "(other)");
    }
}
