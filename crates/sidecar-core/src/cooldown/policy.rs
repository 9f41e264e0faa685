//! How long the rests are.

use std::time::Duration;

use crate::verdict::{Class, Hint, HintSource, Verdict};

/// How long a cell rests, by class and level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CooldownPolicy {
    /// The first rest after a rate limit.
    pub base: Duration,
    /// The longest rest after a rate limit that is guessed.
    pub max: Duration,
}

impl CooldownPolicy {
    /// A policy with these rests for rate limits.
    pub const fn new(base: Duration, max: Duration) -> Self {
        Self { base, max }
    }

    /// `base * 2^(level - 1)` up to the class's cap, or what the provider asked for if that is
    /// longer; after a rate limit with a hint the guess is one step behind. A hint may exceed the cap: up to an hour, or a day for a calendar reset.
    pub(super) fn length(&self, class: Class, level: u8, hint: Option<Hint>) -> Duration {
        let (base, cap) = self.base_and_cap(class);
        // A provider that says when a limit has room again knows better than a guess; one that
        // says it again and again does not.
        let says = class == Class::RateLimited && hint.is_some();
        let step = level.clamp(1, MAX_LEVEL) - u8::from(says);
        let guess = match step {
            0 => Duration::ZERO,
            step => base.saturating_mul(1 << u32::from(step - 1)).min(cap),
        };
        let hinted = hint.map_or(Duration::ZERO, |hint| {
            let calendar = hint.source == HintSource::Computed || class == Class::QuotaSpent;
            hint.wait.min(if calendar { DAY } else { HOUR })
        });
        guess.max(hinted).max(Duration::from_secs(1))
    }

    /// How many failures in a row open a cell. What a provider says of itself counts at once;
    /// faults on the way, and what a caller may have provoked, may be chance.
    pub(super) const fn threshold(verdict: &Verdict) -> u32 {
        match verdict.class {
            Class::Timeout | Class::Lying => 5,
            _ if verdict.hint.is_some() => 1,
            Class::Transport | Class::ServerError => 5,
            Class::Unreachable => 2,
            _ => 1,
        }
    }

    /// How far the returns after a rest of `length` are spread, so that not everybody comes back
    /// at once.
    pub(super) fn spread(class: Class, length: Duration) -> Duration {
        match class {
            Class::QuotaSpent => MINUTE.min(length / 10),
            _ => MOST_SPREAD.min(length / 10),
        }
    }

    const fn base_and_cap(&self, class: Class) -> (Duration, Duration) {
        match class {
            Class::Concurrency => (Duration::from_secs(5), Duration::from_secs(60)),
            Class::Overloaded => (Duration::from_secs(5), Duration::from_secs(120)),
            Class::Transport
            | Class::Unreachable
            | Class::Timeout
            | Class::ServerError
            | Class::Lying => (Duration::from_secs(10), Duration::from_secs(300)),
            Class::Auth => (Duration::from_secs(300), HOUR),
            Class::Billing | Class::QuotaSpent => (HOUR, HOUR),
            Class::ModelGone => (HALF_DAY, HALF_DAY),
            _ => (self.base, self.max),
        }
    }
}

impl Default for CooldownPolicy {
    /// 30 s, doubling up to 600 s.
    fn default() -> Self {
        Self::new(Duration::from_secs(30), Duration::from_secs(600))
    }
}

/// The level stops rising here; the lengths reach their caps before it.
pub(super) const MAX_LEVEL: u8 = 8;
/// The longest rest there is, with its spread.
pub(super) const LONGEST_REST: Duration = Duration::from_secs(86_460);

const MOST_SPREAD: Duration = Duration::from_secs(5);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const HALF_DAY: Duration = Duration::from_secs(43_200);
const DAY: Duration = Duration::from_secs(86_400);
