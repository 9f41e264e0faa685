//! A candidate that is skipped costs no allocation, however many there are.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use serde_json::json;
use sidecar_core::clock::Clock;
use sidecar_core::error::BoxError;
use sidecar_core::ingest::{Family, IngestLayer};
use sidecar_core::pool::{PoolLayer, Pools};
use sidecar_core::provider::{Provider, ProviderPatch};
use sidecar_core::settings::Settings;
use tower::{Layer, ServiceExt, service_fn};

use crate::counting::Counting;

#[test]
fn skipped_candidates_cost_no_allocation() {
    let counting = Counting::start();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let (alone, among_many) = runtime
        .unwrap()
        .block_on(async { (beside(&counting, 0).await, beside(&counting, 200).await) });
    assert!(alone > 0);
    assert_eq!(alone, among_many, "allocations of a request, alone and beside 200 resting ones");
}

/// How many allocations a request makes that one provider serves beside `resting` others of the
/// same pool, which all rest.
async fn beside(counting: &Counting, resting: usize) -> u64 {
    let clock = Clock::simulated();
    let settings = Settings::default();
    let pools = Pools::new(settings.clone(), clock.clone());
    let names = (0..resting).map(|index| format!("resting-{index}"));
    let providers = names.chain(["ready".to_owned()]).map(|name| provider(&name, &clock));
    pools.replace(providers, settings.clone());
    let answer = async |request: Request<Full<Bytes>>| {
        let resting = request.uri().host().is_some_and(|host| host.starts_with("resting"));
        let response = Response::builder().status(if resting { 429 } else { 200 });
        let response = response.header("retry-after", "600");
        Ok::<_, BoxError>(response.body(Full::<Bytes>::from("{\"choices\":[]}"))?)
    };
    let pool = PoolLayer::new(pools.clone()).layer(service_fn(answer));
    let service = IngestLayer::new(settings, clock).layer(pool);
    let send = async || {
        let request = Request::post("/v1/chat/completions")
            .header("content-type", "application/json")
            .body(Full::from("{\"model\":\"m\",\"messages\":[]}"));
        service.clone().oneshot(request.expect("a request")).await
    };
    // Each request finds some that do not rest yet.
    while resting > 0 && pools_resting(&pools) < resting {
        let _ = send().await;
    }
    // The first request after that fills what is kept: the window, the ledger.
    for _ in 0..3 {
        send().await.expect("an answer");
    }
    // The least of some, because a collection that grows now and then does so for everybody.
    let mut counts = BTreeSet::new();
    for _ in 0..8 {
        let before = counting.allocations();
        let response = send().await.expect("an answer");
        assert_eq!(response.headers()["x-sidecar-provider"], "ready");
        drop(response);
        counts.insert(counting.allocations() - before);
    }
    counts.first().copied().unwrap_or_default()
}

fn provider(name: &str, clock: &Clock) -> Provider {
    let patch: ProviderPatch = serde_json::from_value(json!({
        "name": name, "api_key": "sk-0123456789", "rpm_limit": 10_000,
        "api_base_url": format!("https://{name}.example/v1"), "model_mappings": {"m": {}},
    }))
    .expect("a patch");
    patch.into_provider(name, clock.wall()).expect("a provider")
}

/// How many providers rest.
fn pools_resting(pools: &Pools) -> usize {
    let explanation = pools.explain("m", None, Family::OpenAi);
    let candidates = explanation.pools.iter().flat_map(|pool| &pool.candidates);
    candidates.filter(|candidate| !candidate.ready).count()
}
