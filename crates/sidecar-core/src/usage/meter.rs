//! Where the attempts at one (provider, model) are booked.

use std::sync::Arc;
use std::time::Duration;

use super::ledger::Row;
use super::tokens::Tokens;
use super::{Ledger, UsageCounts};
use crate::call::{Call, Caller};
use crate::clock::Timestamp;
use crate::provider::Cost;

/// Where the attempts at one (provider, model) are booked, and at which price.
#[derive(Clone, Debug)]
pub struct Meter {
    ledger: Ledger,
    provider: Arc<str>,
    model: Arc<str>,
    cost: Option<Cost>,
}

/// Says who a request is booked for.
pub trait Attribution {
    /// The caller's name.
    fn caller(&self) -> Caller;
}

/// One attempt, as it is booked.
#[derive(Debug, Default)]
pub(super) struct Attempt {
    pub(super) failed: bool,
    pub(super) tokens: Option<Tokens>,
    pub(super) latency: Duration,
    pub(super) first_byte: Option<Duration>,
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
        Self { ledger, provider: provider.into(), model: model.into(), cost }
    }

    pub(super) fn book(&self, caller: &Caller, now: Timestamp, attempt: &Attempt) {
        let tokens = attempt.tokens.unwrap_or_default();
        let counts = UsageCounts {
            requests: 1,
            errors: attempt.failed.into(),
            prompt_tokens: tokens.prompt,
            completion_tokens: tokens.completion,
            cached_tokens: tokens.cached,
            cache_write_tokens: tokens.cache_write,
            reasoning_tokens: tokens.reasoning,
            cost_pico_usd: self.cost.map_or(0, |cost| tokens.cost(&cost)),
            // A failed attempt that said nothing of tokens most likely used none.
            estimated: (attempt.tokens.is_none() && !attempt.failed).into(),
            unpriced: self.cost.is_none().into(),
            latency_us: micros(attempt.latency),
            first_byte_us: attempt.first_byte.map_or(0, micros),
            first_byte_count: attempt.first_byte.is_some().into(),
        };
        let row = Row {
            hour: now.hour(),
            provider: self.provider.clone(),
            model: self.model.clone(),
            caller: caller.0.clone(),
        };
        self.ledger.add(row, &counts);
    }
}

impl Attribution for Call {
    fn caller(&self) -> Caller {
        self.head().caller.clone()
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
