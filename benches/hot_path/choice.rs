//! The choice of a provider, among one to a thousand.

use std::future::ready;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::json;
use sidecar_core::clock::Clock;
use sidecar_core::error::BoxError;
use sidecar_core::pool::{PoolLayer, Pools};
use sidecar_core::provider::{Provider, ProviderPatch};
use sidecar_core::settings::Settings;
use tokio::runtime::Runtime;
use tower::{Layer, ServiceExt, service_fn};

use crate::support::{CHAT, JSON, MODEL, call, chat, post};

/// A call of 1 KiB through the pool, whose client answers at once. Everything but the choice takes
/// the same time for any number of providers: one that is ready is the baseline.
///
/// Where all of them rest, the call is refused. Then they are gone through several times: who is
/// free, who will be, and whose rest may be cut short.
pub(crate) fn choice(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let clock = Clock::system();
    let wanted = runtime.block_on(call(post(CHAT, JSON, chat(1 << 10)), &clock));
    let mut group = c.benchmark_group("choice");
    // Short, because the largest limit there is, a million a minute, must not be reached by one
    // provider alone.
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    for count in [1, 10, 100, 1_000] {
        let states = [("all ready", 0), ("all cooling", count), ("half cooling", count / 2)];
        for (state, resting) in states {
            if state == "half cooling" && count == 1 {
                continue;
            }
            let pools = runtime.block_on(pools(count, resting, &clock));
            let client = service_fn(|_: Request<Full<Bytes>>| ready(good()));
            let pool = PoolLayer::new(pools).layer(client);
            group.bench_function(BenchmarkId::new(state, count), |b| {
                b.to_async(&runtime).iter(|| {
                    let sending = pool.clone().oneshot(wanted.clone());
                    async move {
                        let answer = sending.await;
                        assert_eq!(answer.is_ok(), resting < count);
                        // Whoever leaves an answer unread goes another way.
                        if let Ok(answer) = answer {
                            answer.into_body().collect().await.expect("a whole body");
                        }
                    }
                });
            });
        }
    }
    group.finish();
}

/// `count` providers, of which the first `resting` have asked for an hour of rest.
async fn pools(count: usize, resting: usize, clock: &Clock) -> Pools {
    let settings = Settings::default();
    let pools = Pools::new(settings.clone(), clock.clone());
    pools.replace((0..count).map(|index| provider(&name(index), clock)), settings);
    let client = service_fn(|_: Request<Full<Bytes>>| ready(limited()));
    let pool = PoolLayer::new(pools.clone()).layer(client);
    for index in 0..resting {
        let mut request = post(CHAT, JSON, chat(1 << 10));
        let pinned = HeaderValue::try_from(name(index)).expect("a name of ASCII");
        request.headers_mut().insert("x-sidecar-provider", pinned);
        let answer = pool.clone().oneshot(call(request, clock).await).await;
        assert!(answer.is_err(), "a provider that has asked for rest");
    }
    pools
}

fn name(index: usize) -> String {
    format!("p{index}")
}

fn provider(name: &str, clock: &Clock) -> Provider {
    let patch: ProviderPatch = serde_json::from_value(json!({
        "name": name, "api_key": "sk-0123456789", "rpm_limit": 1_000_000,
        "api_base_url": "https://api.example.com/v1",
        "model_mappings": {MODEL: {"native_id": "vendor/small-8b"}},
    }))
    .expect("a patch");
    patch.into_provider(name, clock.wall()).expect("a provider")
}

fn good() -> Result<Response<Full<Bytes>>, BoxError> {
    let response = Response::builder().header(CONTENT_TYPE, JSON);
    Ok(response.body(Full::from("{\"choices\":[]}"))?)
}

fn limited() -> Result<Response<Full<Bytes>>, BoxError> {
    let response = Response::builder().status(StatusCode::TOO_MANY_REQUESTS);
    Ok(response.header(RETRY_AFTER, "3600").body(Full::default())?)
}
