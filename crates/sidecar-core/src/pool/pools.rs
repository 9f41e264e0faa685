//! The handle to everything the pool chooses from.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::budget::RetryBudget;
use super::emergency::Emergency;
use super::live::{LiveProvider, Registry};
use super::queue::Queue;
use super::snapshot::{ModelPlan, Snapshot};
use crate::call::{Call, Head};
use crate::clock::{Clock, Instant};
use crate::cooldown::Cell;
use crate::drain::Drains;
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
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    snapshot: Shared<Snapshot>,
    /// The last revision that a snapshot was given.
    revision: Arc<AtomicU64>,
    settings: Shared<Settings>,
    registry: Arc<Registry>,
    ledger: Ledger,
    queue: Queue,
    budget: Arc<RetryBudget>,
    emergency: Arc<Emergency>,
    drains: Drains,
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
        let empty =
            Snapshot::new(0, Vec::new(), settings.clone(), registry.clone(), ledger.clone());
        let inner = Inner {
            snapshot: Shared::new(empty),
            revision: Arc::default(),
            settings: Shared::new(Settings::clone(&settings)),
            registry,
            ledger,
            queue: Queue::default(),
            budget: Arc::default(),
            emergency: Arc::default(),
            drains: Drains::new(clock.clone()),
            clock,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Changes everything at once. What stays keeps its cooldowns, limits and health.
    pub fn replace(&self, providers: impl IntoIterator<Item = Provider>, settings: Settings) {
        let now = self.inner.clock.now();
        let providers: Vec<Provider> = providers.into_iter().collect();
        let live = self.inner.registry.live(providers, &settings, now);
        self.inner.settings.store(settings.clone());
        let (registry, ledger) = (self.inner.registry.clone(), self.inner.ledger.clone());
        let revision = self.inner.revision.fetch_add(1, Ordering::Relaxed) + 1;
        let settings = Arc::new(settings);
        self.inner.snapshot.store(Snapshot::new(revision, live, settings, registry, ledger));
        self.inner.registry.sweep(now);
    }

    /// What callers can ask for by name, sorted. Mappings of `*` have no names to show, and a model
    /// that is gone at its provider is not shown.
    pub fn models(&self) -> Vec<ModelInfo> {
        let snapshot = self.inner.snapshot.load();
        let mut models: Vec<ModelInfo> = Vec::new();
        let now = self.inner.clock.now();
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

    /// The revision in force: how often [`Pools::replace`] has been called.
    pub fn revision(&self) -> u64 {
        self.inner.snapshot.load().revision
    }

    /// The settings in force.
    pub fn settings(&self) -> Arc<Settings> {
        self.inner.settings.load()
    }

    /// What was used and is not written yet.
    pub fn ledger(&self) -> &Ledger {
        &self.inner.ledger
    }

    /// The time that all of it goes by.
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    pub(crate) fn shared_settings(&self) -> Shared<Settings> {
        self.inner.settings.clone()
    }

    /// A provider by its id, else by its name.
    pub(crate) fn provider(&self, id_or_name: &str) -> Option<Arc<LiveProvider>> {
        let snapshot = self.inner.snapshot.load();
        let find = |is_it: fn(&Provider) -> &str| {
            snapshot.providers.iter().find(|live| is_it(&live.config) == id_or_name)
        };
        find(|config| &config.id).or_else(|| find(|config| &config.name)).cloned()
    }

    /// Until when and why `provider` rests as a whole: its key does, or its origin, or every model
    /// that it maps by name.
    pub(crate) fn rest(&self, provider: &LiveProvider, now: Instant) -> Option<Rest> {
        let snapshot = self.inner.snapshot.load();
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
        self.inner.registry.reset(&provider.config);
        provider.health.reset();
    }

    /// The endpoint of `provider` for `model`, or for a request that names none.
    pub(crate) fn endpoint_of(
        &self,
        provider: &Arc<LiveProvider>,
        model: Option<&str>,
    ) -> Option<Endpoint> {
        self.inner.snapshot.load().endpoint_of(provider, model)
    }

    pub(crate) fn providers(&self) -> Vec<Arc<LiveProvider>> {
        self.inner.snapshot.load().providers.clone()
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.inner.registry
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        self.inner.registry.metrics()
    }

    /// How often a resting provider was tried early because nothing else was left.
    pub fn emergency_count(&self) -> u64 {
        self.inner.emergency.count()
    }

    /// How many requests wait for a free slot.
    pub fn queue_depth(&self) -> u32 {
        self.inner.queue.depth()
    }

    /// The answers that are read on without their callers.
    pub(crate) fn drains(&self) -> &Drains {
        &self.inner.drains
    }

    pub(super) fn emergency(&self) -> &Emergency {
        &self.inner.emergency
    }

    pub(super) fn budget(&self) -> &RetryBudget {
        &self.inner.budget
    }

    pub(super) fn queue(&self) -> &Queue {
        &self.inner.queue
    }

    /// What `call` may cost at the dearest provider of its model, in pico-USD; 0 if none has a
    /// price.
    pub(super) fn may_cost(&self, call: &Call) -> u128 {
        let head = call.head();
        let plan = head.model.as_ref().and_then(|_| self.plan(head));
        let endpoints = plan.iter().flat_map(|plan| plan.endpoints());
        endpoints.filter_map(|endpoint| endpoint.may_cost(call)).max().unwrap_or(0)
    }

    pub(super) fn plan(&self, head: &Head) -> Option<Arc<ModelPlan>> {
        let snapshot = self.inner.snapshot.load();
        match &head.model {
            Some(model) => snapshot.model(model),
            None => snapshot.without_model(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::slice;

    use bytes::Bytes;
    use http::header::CONTENT_TYPE;
    use http::{Method, Request, Response};
    use http_body_util::{BodyExt, Full};
    use serde_json::{Value, json};
    use tower::{Layer, ServiceExt, service_fn};

    use super::*;
    use crate::callers::{CallerPatch, CallerRefusal, Callers, LiveCaller, Usd};
    use crate::clock::Timestamp;
    use crate::error::{BoxError, Error};
    use crate::ingest::Family;
    use crate::pool::{PoolLayer, ResponseBody};
    use crate::provider::ProviderPatch;

    /// The answer of every provider: 1000 tokens read, 10 written.
    const ANSWER: &str = r#"{"choices":[],"usage":{"prompt_tokens":1000,"completion_tokens":10}}"#;

    fn provider(name: &str, mapping: Value) -> Provider {
        let patch: ProviderPatch = serde_json::from_value(json!({
            "name": name, "api_base_url": format!("https://{name}.example/v1"),
            "api_key": "sk-0123456789", "model_mappings": {"m": mapping},
        }))
        .unwrap();
        patch.into_provider(name, Timestamp::from_millis(0)).unwrap()
    }

    fn pools(mappings: &[Value]) -> Pools {
        let pools = Pools::new(Settings::default(), Clock::simulated());
        let names = ["one", "two", "three"];
        let providers = names.iter().zip(mappings);
        let providers = providers.map(|(name, mapping)| provider(name, mapping.clone()));
        pools.replace(providers, Settings::default());
        pools
    }

    fn caller(mut fields: Value) -> Arc<LiveCaller> {
        fields["name"] = "agents".into();
        let patch: CallerPatch = serde_json::from_value(fields).unwrap();
        let (record, _) = patch.create("id-agents", Timestamp::from_millis(0)).unwrap();
        let callers = Callers::default();
        callers.replace([record]);
        callers.find("agents").unwrap()
    }

    /// A request of 4000 bytes.
    fn call(pools: &Pools, caller: Option<&Arc<LiveCaller>>, max_tokens: Option<u32>) -> Call {
        let (now, path) = (pools.clock().now(), "/v1/chat/completions".to_owned());
        let head = Head {
            model: Some("m".into()),
            live_caller: caller.cloned(),
            max_tokens,
            ..Head::of_our_own("req_1", Method::POST, Family::OpenAi, path, now)
        };
        Call::new(head, Bytes::from(vec![b' '; 4_000]))
    }

    async fn send(pools: &Pools, call: Call) -> Result<Response<ResponseBody>, Error> {
        let client = service_fn(|_: Request<Full<Bytes>>| {
            let response = Response::builder().header(CONTENT_TYPE, "application/json");
            ready(response.body(Full::<Bytes>::from(ANSWER)).map_err(BoxError::from))
        });
        PoolLayer::new(pools.clone()).layer(client).oneshot(call).await
    }

    fn is_over_budget(answer: &Result<Response<ResponseBody>, Error>) -> bool {
        matches!(answer, Err(Error::CallerLimit(CallerRefusal::Budget { .. })))
    }

    #[tokio::test(start_paused = true)]
    async fn requests_that_would_break_a_budget_together_go_one_after_the_other() {
        let pools = pools(&[json!({"cost": {"input": 1e-6, "output": 2e-6}})]);
        // Each may cost 0.002 USD, and costs 0.00102 USD.
        let agents = caller(json!({"budget_daily_usd": "0.0035"}));
        let first = send(&pools, call(&pools, Some(&agents), Some(500))).await.unwrap();
        let second = send(&pools, call(&pools, Some(&agents), Some(500))).await;
        assert!(is_over_budget(&second));
        first.into_body().collect().await.unwrap();
        let numbers = agents.numbers(pools.clock().now(), pools.clock().wall());
        let spent = Usd::from_pico(1_020_000_000);
        assert_eq!((numbers.spent_today_usd, numbers.reserved_usd), (spent, Usd::default()));
        let second = send(&pools, call(&pools, Some(&agents), Some(500))).await;
        assert!(second.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_price_or_a_budget_nothing_is_reserved() {
        for (mapping, budget) in [
            (json!({}), json!({"budget_daily_usd": "0.000001"})),
            (json!({"cost": {"input": 1e-3, "output": 1e-3}}), json!({})),
        ] {
            let (pools, agents) = (pools(&[mapping]), caller(budget));
            let response = send(&pools, call(&pools, Some(&agents), None)).await.unwrap();
            let numbers = agents.numbers(pools.clock().now(), pools.clock().wall());
            assert_eq!(numbers.reserved_usd, Usd::default());
            drop(response);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_may_cost_what_the_dearest_provider_takes_for_the_longest_answer() {
        let priced = |input: f64, output: f64| json!({"cost": {"input": input, "output": output}});
        let cost = |mappings: &[Value], max_tokens| {
            let pools = pools(mappings);
            pools.may_cost(&call(&pools, None, max_tokens))
        };
        let cheap = priced(1e-12, 1e-12);
        assert_eq!(cost(&[cheap.clone(), priced(2e-12, 3e-12), json!({})], Some(5)), 2_015);
        assert_eq!(cost(slice::from_ref(&cheap), None), 1_000 + 1_000);
        // What a model cannot write is not paid for.
        let mut short = cheap;
        short["max_tokens"] = 7.into();
        assert_eq!(cost(&[short], Some(32_000)), 1_007);
        assert_eq!(cost(&[json!({})], Some(5)), 0);
    }
}
