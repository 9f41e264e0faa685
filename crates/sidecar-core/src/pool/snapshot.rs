//! Which providers serve which model, in the order of their use.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderValue;

use super::live::{CellKey, LiveProvider, Registry};
use crate::cooldown::CellSet;
use crate::dispatch::Target;
use crate::endpoint::{CutHook, Endpoint};
use crate::provider::{ANY_MODEL, Mapping, PoolName};
use crate::settings::Settings;
use crate::usage::{Ledger, Meter};

/// One immutable view of all providers. Rebuilt on every change, over the same live state.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// Another one for each.
    pub(crate) revision: u64,
    pub(crate) providers: Vec<Arc<LiveProvider>>,
    models: HashMap<Arc<str>, Arc<ModelPlan>>,
    /// The endpoints of `models` by provider id.
    by_provider: HashMap<String, Vec<Arc<Endpoint>>>,
    /// Plans for models that only `*` mappings serve, made when they are first asked for.
    on_demand: Mutex<HashMap<Arc<str>, Arc<ModelPlan>>>,
    /// The plan for requests that name no model: every enabled provider, by its own endpoint.
    without_model: Option<Arc<ModelPlan>>,
    wildcards: bool,
    registry: Arc<Registry>,
    ledger: Ledger,
    settings: Arc<Settings>,
}

/// The tiers that serve one model, in the order of their use.
#[derive(Debug)]
pub(crate) struct ModelPlan {
    /// The revision of the snapshot that it belongs to, as a header too, and its settings.
    pub(crate) revision: u64,
    pub(crate) revision_header: HeaderValue,
    pub(crate) settings: Arc<Settings>,
    pub(crate) tiers: Vec<Tier>,
}

/// The providers of one pool that serve one model.
#[derive(Debug)]
pub(crate) struct Tier {
    pub(crate) pool: PoolName,
    /// How long a request waits for one of them before it goes on to the next tier.
    pub(crate) spill_after: Duration,
    pub(crate) endpoints: Vec<Arc<Endpoint>>,
    /// Breaks ties in turn, so that no provider is always first.
    pub(crate) turn: AtomicUsize,
}

impl Snapshot {
    /// A view of `providers`.
    pub(crate) fn new(
        revision: u64,
        providers: Vec<Arc<LiveProvider>>,
        settings: Arc<Settings>,
        registry: Arc<Registry>,
        ledger: Ledger,
    ) -> Self {
        let mut snapshot = Self {
            revision,
            wildcards: providers.iter().any(|p| p.config.models.contains_key(ANY_MODEL)),
            providers,
            models: HashMap::new(),
            by_provider: HashMap::new(),
            on_demand: Mutex::default(),
            without_model: None,
            registry,
            ledger,
            settings,
        };
        let names: BTreeMap<&str, ()> = snapshot
            .providers
            .iter()
            .flat_map(|provider| provider.config.models.keys())
            .filter(|name| *name != ANY_MODEL)
            .map(|name| (name.as_str(), ()))
            .collect();
        let models: HashMap<_, _> = names
            .into_keys()
            .filter_map(|name| {
                let name: Arc<str> = name.into();
                snapshot.build(&name).map(|plan| (name, Arc::new(plan)))
            })
            .collect();
        for endpoint in models.values().flat_map(|plan| plan.endpoints()) {
            let id = endpoint.provider.config.id.clone();
            snapshot.by_provider.entry(id).or_default().push(endpoint.clone());
        }
        snapshot.models = models;
        snapshot.without_model =
            snapshot.plan(&NO_MODEL.into(), |_| Some(Mapping::default())).map(Arc::new);
        snapshot
    }

    /// The endpoints of one provider for the models it maps by name.
    pub(crate) fn endpoints_of(&self, provider_id: &str) -> &[Arc<Endpoint>] {
        self.by_provider.get(provider_id).map_or(&[], Vec::as_slice)
    }

    /// The endpoint of `provider` for `model`, or for a request that names none.
    pub(crate) fn endpoint_of(
        &self,
        provider: &Arc<LiveProvider>,
        model: Option<&str>,
    ) -> Option<Endpoint> {
        let models = &provider.config.models;
        let (name, mapping) = match model {
            Some(model) => (model, models.get(model).or_else(|| models.get(ANY_MODEL))?.clone()),
            None => (NO_MODEL, Mapping::default()),
        };
        self.endpoint(provider, &name.into(), &mapping)
    }

    /// The plan for `model`; `None` if nobody serves it.
    pub(crate) fn model(&self, model: &str) -> Option<Arc<ModelPlan>> {
        if let Some(plan) = self.models.get(model) {
            return Some(plan.clone());
        }
        if !self.wildcards {
            return None;
        }
        let mut on_demand = self.on_demand.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = on_demand.get(model) {
            return Some(plan.clone());
        }
        let name: Arc<str> = model.into();
        let plan = Arc::new(self.build(&name)?);
        if on_demand.len() >= MOST_ON_DEMAND {
            // Model names are the callers' to choose: whoever makes them up by the thousand
            // costs everybody the cache, not the memory.
            on_demand.clear();
            self.registry.sweep_cells();
        }
        on_demand.insert(name, plan.clone());
        Some(plan)
    }

    /// The plan for a request that names no model.
    pub(crate) fn without_model(&self) -> Option<Arc<ModelPlan>> {
        self.without_model.clone()
    }

    fn build(&self, model: &Arc<str>) -> Option<ModelPlan> {
        self.plan(model, |provider| {
            let models = &provider.config.models;
            models.get(&**model).or_else(|| models.get(ANY_MODEL)).cloned()
        })
    }

    fn plan(
        &self,
        model: &Arc<str>,
        mapping: impl Fn(&LiveProvider) -> Option<Mapping>,
    ) -> Option<ModelPlan> {
        let tiers: Vec<Tier> = self
            .settings
            .pool_order
            .into_iter()
            .map(|pool| {
                let members =
                    self.providers.iter().filter(|p| p.config.enabled && p.config.pool == pool);
                let endpoints = members
                    .filter_map(|provider| self.endpoint(provider, model, &mapping(provider)?))
                    .map(Arc::new)
                    .collect();
                Tier {
                    pool,
                    spill_after: self.settings.spill_after(pool),
                    endpoints,
                    turn: AtomicUsize::new(0),
                }
            })
            .filter(|tier| !tier.endpoints.is_empty())
            .collect();
        let (revision, settings) = (self.revision, self.settings.clone());
        let revision_header = revision.into();
        (!tiers.is_empty()).then_some(ModelPlan { revision, revision_header, settings, tiers })
    }

    fn endpoint(
        &self,
        provider: &Arc<LiveProvider>,
        model: &Arc<str>,
        mapping: &Mapping,
    ) -> Option<Endpoint> {
        let config = &provider.config;
        let native = mapping.native_id.as_deref().filter(|id| *id != ANY_MODEL).unwrap_or(model);
        // A key that cannot stand in a header was refused when it was entered.
        let target = Target::new(
            config.base_url.clone(),
            config.api,
            &config.key,
            native,
            mapping.stream_usage,
        )
        .ok()?
        .http2(config.http2);
        let rpm = provider.limiter.rpm().get();
        let origin = config.base_url.origin();
        let keys = [
            CellKey::Key(config.id.as_str().into()),
            CellKey::Quota(config.account_key().into(), native.into()),
            CellKey::Endpoint(origin.as_str().into(), native.into()),
            CellKey::Origin(origin.as_str().into()),
        ];
        let [_, quota, of_endpoint, of_origin] =
            keys.clone().map(|key| self.registry.cell(key, &self.settings, rpm));
        let cells = CellSet::of(provider.key_cell.clone(), quota, of_endpoint, of_origin)
            .observed(self.registry.watch(keys, &config.id, model));
        let meter =
            Meter::new(self.ledger.clone(), config.id.as_str(), model.clone(), mapping.cost);
        let is_entered = config.models.contains_key(&**model);
        let meter = if is_entered { meter } else { meter.with_callers_model() };
        let metrics = self.registry.metrics().endpoint(&provider.name, model, is_entered);
        Some(Endpoint {
            provider: provider.clone(),
            model: model.clone(),
            cut_hook: CutHook::new(cells.clone(), self.registry.clock().clone()),
            cells,
            limiter: provider.limiter.clone(),
            meter: meter.measured(metrics),
            target,
            context_window: mapping.context_window,
            stream_usage: mapping.stream_usage,
        })
    }
}

impl ModelPlan {
    pub(super) fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.tiers.iter().flat_map(|tier| &tier.endpoints)
    }
}

/// Under which name a request without a model is booked.
const NO_MODEL: &str = "-";
const MOST_ON_DEMAND: usize = 1_024;
