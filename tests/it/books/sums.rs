//! What books are made of.

use std::ops::AddAssign;

/// What one answer has used.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tokens {
    /// Everything that was read, cached or not.
    pub(super) prompt: u64,
    /// Everything that was written, reasoning included.
    pub(super) completion: u64,
    pub(super) cached: u64,
    pub(super) cache_write: u64,
    pub(super) reasoning: u64,
}

/// Prices of one token in pico-USD.
#[derive(Clone, Copy, Debug)]
pub(super) struct Price {
    pub(super) input: u64,
    pub(super) output: u64,
    /// Of reading from the cache and of writing to it.
    pub(super) cache: Option<(u64, u64)>,
}

/// The sums over some attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) requests: u64,
    pub(super) errors: u64,
    pub(super) prompt: u64,
    pub(super) completion: u64,
    pub(super) cached: u64,
    pub(super) reasoning: u64,
    pub(super) estimated: u64,
    pub(super) unpriced: u64,
    /// Failed, but may have run all the same.
    pub(super) duplicates: u64,
    /// In pico-USD.
    pub(super) cost: u128,
}

impl Price {
    /// Of `tokens`, in pico-USD.
    pub(super) fn of(&self, tokens: &Tokens) -> u128 {
        let (read, write) = self.cache.unwrap_or((self.input, self.input));
        let fresh = tokens.prompt - tokens.cached - tokens.cache_write;
        [
            (fresh, self.input),
            (tokens.cached, read),
            (tokens.cache_write, write),
            (tokens.completion, self.output),
        ]
        .into_iter()
        .map(|(tokens, price)| u128::from(tokens) * u128::from(price))
        .sum()
    }
}

impl Sums {
    pub(super) fn tokens(&self) -> u64 {
        self.prompt + self.completion
    }
}

impl AddAssign for Sums {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.errors += other.errors;
        self.prompt += other.prompt;
        self.completion += other.completion;
        self.cached += other.cached;
        self.reasoning += other.reasoning;
        self.estimated += other.estimated;
        self.unpriced += other.unpriced;
        self.duplicates += other.duplicates;
        self.cost += other.cost;
    }
}
