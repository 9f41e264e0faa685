//! [`ByKind`]: one counter for each word of a fixed set.

use std::sync::OnceLock;

use ::metrics::Counter;

use super::Family;
use crate::verdict::Class;

/// Counters that differ in one label, whose values are a fixed set. Each is made when it first
/// counts, so that what never happens has no series.
pub(super) struct ByKind {
    family: Family,
    label: &'static str,
    /// Those it belongs to, if not to all.
    provider: Option<String>,
    kinds: &'static [&'static str],
    counters: Box<[OnceLock<Counter>]>,
}

impl ByKind {
    pub(super) fn new(
        family: Family,
        label: &'static str,
        provider: Option<&str>,
        kinds: &'static [&'static str],
    ) -> Self {
        let counters = kinds.iter().map(|_| OnceLock::new()).collect();
        Self { family, label, provider: provider.map(str::to_owned), kinds, counters }
    }

    /// Counts one of `kind`. One that is not of the set is not counted.
    pub(super) fn count(&self, kind: &'static str) {
        let found = self.kinds.iter().zip(self.counters.iter()).find(|(of, _)| **of == kind);
        if let Some((_, counter)) = found {
            counter.get_or_init(|| self.counter(kind)).increment(1);
        }
    }

    fn counter(&self, kind: &'static str) -> Counter {
        let (name, label) = (self.family.name, self.label);
        match self.provider.clone() {
            None => ::metrics::counter!(name, label => kind),
            Some(provider) => ::metrics::counter!(name, "provider" => provider, label => kind),
        }
    }
}

/// Every [`Class::kind`]; good answers first, because they are looked for most.
pub(super) const VERDICTS: &[&str] = &[
    Class::Accept.kind(),
    Class::CallerFault.kind(),
    Class::ContextTooLong.kind(),
    Class::RateLimited.kind(),
    Class::QuotaSpent.kind(),
    Class::Concurrency.kind(),
    Class::Billing.kind(),
    Class::Auth.kind(),
    Class::Overloaded.kind(),
    Class::ServerError.kind(),
    Class::Transport.kind(),
    Class::Unreachable.kind(),
    Class::Timeout.kind(),
    Class::Lying.kind(),
    Class::ModelGone.kind(),
];

/// Every [`crate::callers::CallerRefusal::kind`].
pub(super) const REFUSALS: &[&str] =
    &["disabled", "expired", "model", "rate", "concurrency", "budget", "rounds"];

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::callers::CallerRefusal;

    #[test]
    fn every_refusal_is_counted_and_no_word_stands_twice() {
        let retry_after = Duration::ZERO;
        for refusal in [
            CallerRefusal::Disabled,
            CallerRefusal::Expired,
            CallerRefusal::Model,
            CallerRefusal::Rate { retry_after },
            CallerRefusal::Concurrency,
            CallerRefusal::Budget { retry_after },
            CallerRefusal::Rounds { retry_after },
        ] {
            assert!(REFUSALS.contains(&refusal.kind()), "{refusal}");
        }
        for kinds in [VERDICTS, REFUSALS] {
            let mut sorted = kinds.to_vec();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), kinds.len());
        }
        // The last class stands last.
        assert_eq!(VERDICTS.len(), Class::ModelGone as usize + 1);
    }
}
