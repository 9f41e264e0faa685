//! The handle to everything the pool chooses from.

use std::sync::Arc;

use super::budget::RetryBudget;
use super::emergency::Emergency;
use super::live::{LiveProvider, Registry};
use super::queue::Queue;
use super::snapshot::{ModelPlan, Snapshot};
use crate::call::Head;
use crate::clock::{Clock, Instant};
use crate::cooldown::Cell;
use crate::endpoint::Endpoint;
use crate::metrics::Metrics;
use crate::provider::{ANY_MODEL, Provider};
use crate::settings::Settings;
use crate::shared::Shared;
use crate::usage::Ledger;
use crate::verdict::Class;

/// All providers with their live state: cells, limits, health. Cheap to clone; clones share it.
///
/// [`crate::Sidecar`] keeps one in step with its store. Without a store, make one and
/// [`Pools::replace`] the providers yourself.
#[derive(Clone, Debug)]
pub struct Pools {
    snapshot: Shared<Snapshot>,
    settings: Shared<Settings>,
    registry: Arc<Registry>,
    ledger: Ledger,
    queue: Queue,
    budget: Arc<RetryBudget>,
    emergency: Arc<Emergency>,
    clock: Clock,
}

/// A model that callers can use.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModelInfo {
    /// The canonical name.
    pub name: String,
    /// The largest window that a provider offers.
    pub context_window: Option<u32>,
    /// The longest answer that a provider offers.
    pub max_tokens: Option<u32>,
}

/// The end of a rest, and why it is.
pub(crate) type Rest = (Instant, Option<Class>);

impl Pools {
    /// No providers yet.
    pub fn new(settings: Settings, clock: Clock) -> Self {
        let registry = Arc::new(Registry::new(clock.clone()));
        let ledger = Ledger::default();
        let settings = Arc::new(settings);
        let empty = Snapshot::new(Vec::new(), settings.clone(), registry.clone(), ledger.clone());
        Self {
            snapshot: Shared::new(empty),
            settings: Shared::new(Settings::clone(&settings)),
            registry,
            ledger,
            queue: Queue::default(),
            budget: Arc::default(),
            emergency: Arc::default(),
            clock,
        }
    }

    /// Changes everything at once. What stays keeps its cooldowns, limits and health.
    pub fn replace(&self, providers: impl IntoIterator<Item = Provider>, settings: Settings) {
        let now = self.clock.now();
        let providers: Vec<Provider> = providers.into_iter().collect();
        let live = self.registry.live(providers, &settings, now);
        self.settings.store(settings.clone());
        let (registry, ledger) = (self.registry.clone(), self.ledger.clone());
        self.snapshot.store(Snapshot::new(live, Arc::new(settings), registry, ledger));
        self.registry.sweep(now);
    }

    /// What callers can ask for by name, sorted. Mappings of `*` have no names to show, and a model
    /// that is gone at its provider is not shown.
    pub fn models(&self) -> Vec<ModelInfo> {
        let snapshot = self.snapshot.load();
        let mut models: Vec<ModelInfo> = Vec::new();
        let now = self.clock.now();
        let enabled = snapshot.providers.iter().filter(|provider| provider.config.enabled);
        for (provider, (name, mapping)) in
            enabled.flat_map(|provider| provider.config.models.iter().map(move |m| (provider, m)))
        {
            let is_gone = || {
                let endpoints = snapshot.endpoints_of(&provider.config.id).iter();
                let mut of_model = endpoints.filter(|endpoint| *endpoint.model == **name);
                of_model.any(|endpoint| {
                    let state = endpoint.cells.quota.state_at(now);
                    state.until.is_some() && state.class == Some(Class::ModelGone)
                })
            };
            if name == ANY_MODEL || is_gone() {
                continue;
            }
            let index = models.binary_search_by(|model| model.name.as_str().cmp(name));
            let index = index.unwrap_or_else(|index| {
                let (name, context_window, max_tokens) = (name.clone(), None, None);
                models.insert(index, ModelInfo { name, context_window, max_tokens });
                index
            });
            let model = &mut models[index];
            model.context_window = model.context_window.max(mapping.context_window);
            model.max_tokens = model.max_tokens.max(mapping.max_tokens);
        }
        models
    }

    /// The settings in force.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.load()
    }

    /// What was used and is not written yet.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The time that all of it goes by.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(crate) fn shared_settings(&self) -> Shared<Settings> {
        self.settings.clone()
    }

    /// A provider by its id, else by its name.
    pub(crate) fn provider(&self, id_or_name: &str) -> Option<Arc<LiveProvider>> {
        let snapshot = self.snapshot.load();
        let find = |is_it: fn(&Provider) -> &str| {
            snapshot.providers.iter().find(|live| is_it(&live.config) == id_or_name)
        };
        find(|config| &config.id).or_else(|| find(|config| &config.name)).cloned()
    }

    /// Until when and why `provider` rests as a whole: its key does, or its origin, or every model
    /// that it maps by name.
    pub(crate) fn rest(&self, provider: &LiveProvider, now: Instant) -> Option<Rest> {
        let snapshot = self.snapshot.load();
        let resting = |cell: &Cell| {
            let state = cell.state_at(now);
            state.until.map(|until| (until, state.class))
        };
        if let Some(rest) = resting(&provider.key_cell) {
            return Some(rest);
        }
        let of_endpoint = |endpoint: &Arc<Endpoint>| {
            let cells = &endpoint.cells;
            let all = [&cells.quota, &cells.endpoint, &cells.origin];
            all.into_iter().filter_map(|cell| resting(cell)).max_by_key(|(until, _)| *until)
        };
        // One that serves any model by its own name has no endpoints until they are asked for.
        let any = snapshot.without_model();
        let any = any.iter().flat_map(|plan| plan.endpoints());
        let mut any = any.filter(|endpoint| endpoint.provider.config.id == provider.config.id);
        if let Some(rest) = any.find_map(|endpoint| resting(&endpoint.cells.origin)) {
            return Some(rest);
        }
        let endpoints = snapshot.endpoints_of(&provider.config.id).iter();
        endpoints
            .map(of_endpoint)
            .collect::<Option<Vec<Rest>>>()?
            .into_iter()
            .min_by_key(|(until, _)| *until)
    }

    /// Ends every rest of `provider`, of whatever model, and forgets why.
    pub(crate) fn reset(&self, provider: &LiveProvider) {
        self.registry.reset(&provider.config);
        provider.health.reset();
    }

    /// The endpoint of `provider` for `model`, or for a request that names none.
    pub(crate) fn endpoint_of(
        &self,
        provider: &Arc<LiveProvider>,
        model: Option<&str>,
    ) -> Option<Endpoint> {
        self.snapshot.load().endpoint_of(provider, model)
    }

    pub(crate) fn providers(&self) -> Vec<Arc<LiveProvider>> {
        self.snapshot.load().providers.clone()
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        self.registry.metrics()
    }

    /// How often a resting provider was tried early because nothing else was left.
    pub fn emergency_count(&self) -> u64 {
        self.emergency.count()
    }

    /// How many requests wait for a free slot.
    pub fn queue_depth(&self) -> u32 {
        self.queue.depth()
    }

    pub(super) fn emergency(&self) -> &Emergency {
        &self.emergency
    }

    pub(super) fn budget(&self) -> &RetryBudget {
        &self.budget
    }

    pub(super) fn queue(&self) -> &Queue {
        &self.queue
    }

    pub(super) fn plan(&self, head: &Head) -> Option<Arc<ModelPlan>> {
        let snapshot = self.snapshot.load();
        match &head.model {
            Some(model) => snapshot.model(model),
            None => snapshot.without_model(),
        }
    }
}
