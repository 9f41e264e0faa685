//! The core, its vendors and their time.

use std::time::Duration;

use http::Response;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use sidecar_core::clock::{Clock, Instant, Timestamp};
use sidecar_core::ingest::{Ingest, IngestLayer};
use sidecar_core::pool::{Pool, PoolLayer, Pools, ResponseBody};
use sidecar_core::provider::{Provider, ProviderPatch};
use sidecar_core::settings::Settings;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tower::{Layer, ServiceExt};

use super::arrivals::Arrival;
use super::caller::{Ask, Failed, MODEL, Outcome, Served};
use super::net::{DOMAIN, Net};
use super::rng::Rng;
use super::run::Figures;
use super::vendor::{Nature, Vendor};
use super::{mins, ms};

/// One run of a scenario. Clones share everything.
#[derive(Clone, Debug)]
pub(super) struct World {
    clock: Clock,
    start: Instant,
    net: Net,
    service: Ingest<Pool<Net>>,
}

impl World {
    /// The core with `keys`, whose vendors are like `natures`.
    pub(super) fn new(
        rng: &Rng,
        settings: Settings,
        natures: impl IntoIterator<Item = Nature>,
        keys: impl IntoIterator<Item = Provider>,
    ) -> Self {
        let clock = Clock::simulated();
        let vendors = natures.into_iter().map(|nature| {
            let name = nature.name;
            (name, Vendor::new(nature, clock.clone(), rng))
        });
        let net = Net::new(vendors);
        let pools = Pools::new(settings.clone(), clock.clone());
        pools.replace(keys, settings.clone());
        let pool = PoolLayer::new(pools).layer(net.clone());
        let service = IngestLayer::new(settings, clock.clone()).layer(pool);
        Self { start: clock.now(), clock, net, service }
    }

    /// How long it has been going.
    pub(super) fn now(&self) -> Duration {
        self.clock.now() - self.start
    }

    pub(super) fn vendor(&self, name: &str) -> &Vendor {
        self.net.vendor(name)
    }

    /// What it has come to after `requests`.
    pub(super) fn figures(&self, requests: usize) -> Figures {
        Figures::of(self.now(), requests)
    }

    /// Sends one request and waits for the end of its answer.
    pub(super) async fn send(&self, ask: Ask) -> Outcome {
        let at = self.now();
        let result = match self.service.clone().oneshot(ask.request()).await {
            Ok(response) => Ok(read(response).await),
            Err(error) => Err(Failed::of(&error)),
        };
        let latency = self.now() - at;
        Outcome { caller: ask.caller, at, latency, patience: ask.patience, result }
    }

    /// Sends what `ask` makes of each of `arrivals` when its time has come. The outcomes are in
    /// the order of their ends.
    pub(super) async fn play(
        &self,
        arrivals: &[Arrival],
        mut ask: impl FnMut(usize) -> Ask,
    ) -> Vec<Outcome> {
        let start = self.clock.now();
        let mut requests = JoinSet::new();
        for arrival in arrivals {
            self.clock.sleep_until(start + arrival.at).await;
            let (world, ask) = (self.clone(), ask(arrival.caller));
            requests.spawn(async move { world.send(ask).await });
        }
        requests.join_all().await
    }

    /// Waits until the world's time is `at`.
    pub(super) async fn sleep_until(&self, at: Duration) {
        self.clock.sleep_until(self.start + at).await;
    }

    /// Waits until `is_so`; `what` names it should it never come to be.
    pub(super) async fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let end = self.now() + mins(120);
        while !is_so() {
            assert!(self.now() < end, "still waiting for {what} at {:?}", self.now());
            sleep(ms(100)).await;
        }
    }
}

/// A provider called `name`: a key of the vendor at `vendor`. `extra` goes over its fields.
pub(super) fn key(name: &str, vendor: &str, extra: Value) -> Provider {
    let mut fields = json!({
        "name": name,
        "api_base_url": format!("https://{vendor}{DOMAIN}/v1"),
        "api_key": format!("sk-{name}-0123456789"),
        "model_mappings": {MODEL: {}},
    });
    if let (Value::Object(fields), Value::Object(extra)) = (&mut fields, extra) {
        fields.extend(extra);
    }
    let patch: ProviderPatch = serde_json::from_value(fields).unwrap();
    patch.into_provider(format!("id-{name}"), Timestamp::from_millis(0)).unwrap()
}

async fn read(response: Response<ResponseBody>) -> Served {
    let (head, body) = response.into_parts();
    let said = |name: &str| head.headers[name].to_str().unwrap();
    let served = Served {
        provider: said("x-sidecar-provider").to_owned(),
        attempts: said("x-sidecar-attempts").parse().unwrap(),
        queued: ms(said("x-sidecar-queued-ms").parse().unwrap()),
    };
    body.collect().await.unwrap();
    served
}
