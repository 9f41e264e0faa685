//! What is counted, and under which key.

use serde::{Deserialize, Serialize};

/// The key of a usage row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UsageKey {
    /// Whole hours since the Unix epoch, see [`crate::clock::Timestamp::hour`].
    pub hour: i64,
    /// The provider's id.
    pub provider: String,
    /// The canonical model name.
    pub model: String,
    /// Who called.
    pub caller: String,
}

/// The key of a daily usage row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DailyKey {
    /// Whole days since the Unix epoch, in UTC.
    pub day: i64,
    /// The provider's id.
    pub provider: String,
    /// The canonical model name.
    pub model: String,
    /// Who called.
    pub caller: String,
}

/// Sums over the attempts of one [`UsageKey`]. All are totals, so two of them add up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageCounts {
    /// Attempts sent to the provider.
    pub requests: u64,
    /// Attempts that did not end well.
    pub errors: u64,
    /// Prompt tokens, cached ones included.
    pub prompt_tokens: u64,
    /// Completion tokens, reasoning included.
    pub completion_tokens: u64,
    /// Prompt tokens read from the provider's cache.
    pub cached_tokens: u64,
    /// Prompt tokens written to the provider's cache.
    pub cache_write_tokens: u64,
    /// Completion tokens spent on reasoning.
    pub reasoning_tokens: u64,
    /// Cost in pico-USD (1e-12 USD).
    pub cost_pico_usd: u128,
    /// Attempts whose tokens were estimated, because the provider did not say.
    pub estimated: u64,
    /// Attempts at a model without a price.
    pub unpriced: u64,
    /// Sum of the times from dispatch to the end of the answer, in microseconds.
    pub latency_us: u64,
    /// Sum of the times from dispatch to the first byte of a good answer's body, in microseconds.
    pub first_byte_us: u64,
    /// How many attempts `first_byte_us` sums over.
    pub first_byte_count: u64,
    /// Attempts that were sent and failed in a way that sends the request on to another provider
    /// although this one may have run it.
    pub possible_duplicates: u64,
    /// Attempts whose provider said impossible numbers, which were not booked.
    pub suspect: u64,
    /// What the providers themselves say that it cost, where they do, in pico-USD. Not a part of
    /// `cost_pico_usd`.
    pub provider_cost_pico_usd: u128,
}

impl UsageKey {
    /// The key of the daily row that this hour is a part of.
    pub fn daily(&self) -> DailyKey {
        let Self { hour, provider, model, caller } = self.clone();
        DailyKey { day: day_of(hour), provider, model, caller }
    }
}

impl UsageCounts {
    /// Prompt and completion tokens together.
    pub const fn tokens(&self) -> u64 {
        self.prompt_tokens.saturating_add(self.completion_tokens)
    }

    /// Adds `other` to `self`, stopping at the largest number rather than wrapping.
    pub fn add(&mut self, other: &Self) {
        self.combine(other, u64::saturating_add, u128::saturating_add);
    }

    /// Takes `other`, which is a part of it, out of `self`.
    pub(crate) fn subtract(&mut self, other: &Self) {
        self.combine(other, u64::saturating_sub, u128::saturating_sub);
    }

    fn combine(
        &mut self,
        other: &Self,
        counts: fn(u64, u64) -> u64,
        money: fn(u128, u128) -> u128,
    ) {
        let pairs = [
            (&mut self.requests, other.requests),
            (&mut self.errors, other.errors),
            (&mut self.prompt_tokens, other.prompt_tokens),
            (&mut self.completion_tokens, other.completion_tokens),
            (&mut self.cached_tokens, other.cached_tokens),
            (&mut self.cache_write_tokens, other.cache_write_tokens),
            (&mut self.reasoning_tokens, other.reasoning_tokens),
            (&mut self.estimated, other.estimated),
            (&mut self.unpriced, other.unpriced),
            (&mut self.latency_us, other.latency_us),
            (&mut self.first_byte_us, other.first_byte_us),
            (&mut self.first_byte_count, other.first_byte_count),
            (&mut self.possible_duplicates, other.possible_duplicates),
            (&mut self.suspect, other.suspect),
        ];
        for (sum, value) in pairs {
            *sum = counts(*sum, value);
        }
        self.cost_pico_usd = money(self.cost_pico_usd, other.cost_pico_usd);
        self.provider_cost_pico_usd =
            money(self.provider_cost_pico_usd, other.provider_cost_pico_usd);
    }
}

/// The day that `hour` is a part of; both are counted from the Unix epoch.
pub(crate) const fn day_of(hour: i64) -> i64 {
    hour.div_euclid(24)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_before_the_epoch_belong_to_the_days_before_it() {
        for (hour, day) in [(-25, -2), (-24, -1), (-1, -1), (0, 0), (23, 0), (24, 1)] {
            assert_eq!(day_of(hour), day, "{hour}");
        }
    }

    #[test]
    fn sums_stop_at_the_largest_number() {
        let most = UsageCounts {
            requests: u64::MAX,
            cost_pico_usd: u128::MAX,
            provider_cost_pico_usd: u128::MAX,
            ..UsageCounts::default()
        };
        let mut sum = most;
        sum.add(&most);
        assert_eq!(sum, most);
    }
}
