//! What is counted of a provider, and of a provider's model.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use ::metrics::{Counter, Histogram};

use super::by_kind::{ByKind, VERDICTS};
use super::{ATTEMPTS, ERRORS, FIRST_TOKEN, REQUEST_DURATION, REQUESTS, TOKENS};
use crate::usage::UsageCounts;
use crate::verdict::Class;

/// The handles of one (provider, model), made when a snapshot is built and shared by all that are
/// built later.
pub(crate) struct EndpointMetrics {
    model: Arc<str>,
    counters: OnceLock<Counters>,
    /// In pico-USD, because no counter of the facade can hold it.
    cost: Mutex<u128>,
    provider: Arc<ProviderMetrics>,
}

struct Counters {
    requests: Counter,
    errors: Counter,
}

/// The handles of one provider.
struct ProviderMetrics {
    name: Arc<str>,
    /// Prompt, completion, cached, reasoning.
    tokens: [Counter; 4],
    duration: Histogram,
    first_token: Histogram,
    attempts: ByKind,
}

/// All of them, by the names of provider and model. They are never dropped: a recorder keeps its
/// series too, and both are as many as an operator has entered providers and models.
#[derive(Default)]
pub(super) struct Endpoints {
    providers: Mutex<BTreeMap<Arc<str>, OfProvider>>,
}

struct OfProvider {
    shared: Arc<ProviderMetrics>,
    models: BTreeMap<Arc<str>, Arc<EndpointMetrics>>,
}

impl Endpoints {
    /// The handles of `model` at `provider`, the same ones each time. Of a model that an operator
    /// entered the series begin at once, at zero; of others with the first attempt.
    pub(super) fn of(
        &self,
        provider: &Arc<str>,
        model: &Arc<str>,
        is_entered: bool,
    ) -> Arc<EndpointMetrics> {
        let mut providers = self.providers();
        let of_provider = providers.entry(provider.clone()).or_insert_with(|| OfProvider {
            shared: Arc::new(ProviderMetrics::new(provider.clone())),
            models: BTreeMap::new(),
        });
        let shared = &of_provider.shared;
        let endpoint = of_provider.models.entry(model.clone()).or_insert_with(|| {
            Arc::new(EndpointMetrics {
                model: model.clone(),
                counters: OnceLock::new(),
                cost: Mutex::new(0),
                provider: shared.clone(),
            })
        });
        if is_entered {
            endpoint.counters();
        }
        endpoint.clone()
    }

    /// The cost of each provider's models in pico-USD, in order.
    pub(super) fn for_each_cost(&self, mut each: impl FnMut(&str, &str, u128)) {
        for (provider, of_provider) in &*self.providers() {
            let models = of_provider.models.iter();
            for (model, endpoint) in models.filter(|(_, e)| e.counters.get().is_some()) {
                each(provider, model, *endpoint.cost());
            }
        }
    }

    /// A poisoned mutex guards a map that is valid at every step.
    fn providers(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, OfProvider>> {
        self.providers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EndpointMetrics {
    /// Counts one attempt as it is booked.
    pub(crate) fn book(
        &self,
        counts: &UsageCounts,
        latency: Duration,
        first_byte: Option<Duration>,
    ) {
        let Counters { requests, errors } = self.counters();
        requests.increment(counts.requests);
        errors.increment(counts.errors);
        if counts.cost_pico_usd > 0 {
            let mut cost = self.cost();
            *cost = cost.saturating_add(counts.cost_pico_usd);
        }
        let used = [
            counts.prompt_tokens,
            counts.completion_tokens,
            counts.cached_tokens,
            counts.reasoning_tokens,
        ];
        for (counter, used) in self.provider.tokens.iter().zip(used) {
            counter.increment(used);
        }
        if counts.errors == 0 {
            self.provider.duration.record(latency.as_secs_f64());
        }
        if let Some(first_byte) = first_byte {
            self.provider.first_token.record(first_byte.as_secs_f64());
        }
    }

    /// Counts how the beginning of an answer was judged.
    pub(crate) fn judged(&self, class: Class) {
        self.provider.attempts.count(class.kind());
    }

    fn counters(&self) -> &Counters {
        self.counters.get_or_init(|| {
            let counter = |name: &'static str| {
                let (provider, model) = (self.provider.name.to_string(), self.model.to_string());
                ::metrics::counter!(name, "provider" => provider, "model" => model)
            };
            Counters { requests: counter(REQUESTS.name), errors: counter(ERRORS.name) }
        })
    }

    /// A poisoned mutex guards a plain sum.
    fn cost(&self) -> MutexGuard<'_, u128> {
        self.cost.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for EndpointMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointMetrics")
            .field("provider", &self.provider.name)
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

impl ProviderMetrics {
    fn new(name: Arc<str>) -> Self {
        let provider = || name.to_string();
        let tokens = TOKEN_KINDS
            .map(|kind| ::metrics::counter!(TOKENS.name, "provider" => provider(), "kind" => kind));
        Self {
            tokens,
            duration: ::metrics::histogram!(REQUEST_DURATION.name, "provider" => provider()),
            first_token: ::metrics::histogram!(FIRST_TOKEN.name, "provider" => provider()),
            attempts: ByKind::new(ATTEMPTS, "verdict", Some(&name), VERDICTS),
            name,
        }
    }
}

const TOKEN_KINDS: [&str; 4] = ["prompt", "completion", "cached", "reasoning"];
