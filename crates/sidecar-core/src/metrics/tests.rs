//! What a recorder sees of requests.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::{HeaderName, Request, Response};
use http_body_util::{BodyExt, Full};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde_json::json;
use tower::{ServiceExt, service_fn};

use super::*;
use crate::Sidecar;
use crate::clock::Clock;
use crate::error::BoxError;

/// A Sidecar over two scripted providers: `broken` always fails, `good` never does and serves
/// any model too.
async fn sidecar() -> Sidecar {
    let sidecar = Sidecar::builder().clock(Clock::simulated()).open().await.unwrap();
    let price = json!({"input": 0.000_001, "output": 0.000_002});
    for provider in [
        json!({"name": "broken", "model_mappings": {"m": {}}}),
        json!({"name": "good", "pool": "fallback", "rpm_limit": 100_000,
               "model_mappings": {"m": {"cost": price}, "*": {}}}),
    ] {
        add(&sidecar, provider).await;
    }
    sidecar
}

async fn add(sidecar: &Sidecar, mut provider: serde_json::Value) {
    let host = provider["name"].as_str().unwrap().to_owned();
    provider["api_base_url"] = json!(format!("https://{host}.example/v1"));
    provider["api_key"] = json!("sk-0123456789");
    let patch = serde_json::from_value(provider).unwrap();
    sidecar.admin().add_provider(patch).await.unwrap();
}

/// Asks for `model` as `agent`; the status of the answer, or of the error.
async fn ask(sidecar: &Sidecar, model: &str, agent: &str) -> u16 {
    let client = service_fn(async |request: Request<Full<Bytes>>| {
        let is_good = request.uri().host() == Some("good.example");
        let (status, body) = if is_good {
            (200, r#"{"choices":[],"usage":{"prompt_tokens":11,"completion_tokens":7}}"#)
        } else {
            (500, r#"{"error":{"message":"oops"}}"#)
        };
        let response =
            Response::builder().status(status).header("content-type", "application/json");
        Ok::<_, BoxError>(response.body(Full::<Bytes>::from(body))?)
    });
    let request = Request::post("/v1/chat/completions")
        .header("content-type", "application/json")
        .header(HeaderName::from_static("x-agent-id"), agent)
        .body(Full::<Bytes>::from(json!({"model": model, "messages": []}).to_string()))
        .unwrap();
    match sidecar.service(client).oneshot(request).await {
        Ok(response) => {
            let status = response.status();
            response.into_body().collect().await.unwrap();
            status.as_u16()
        }
        Err(error) => error.status().as_u16(),
    }
}

/// Everything that would be scraped.
fn scrape(handle: &PrometheusHandle, sidecar: &Sidecar) -> String {
    let mut text = Exposition::default();
    sidecar.expose(&mut text);
    handle.render() + text.as_str()
}

/// The names and labels of all series.
fn series(scraped: &str) -> BTreeSet<String> {
    let lines = scraped.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.filter_map(|line| line.rsplit_once(' ')).map(|(series, _)| series.to_owned()).collect()
}

/// Those of `scraped` that are missing.
fn missing<'a>(scraped: &str, expected: &[&'a str]) -> Vec<&'a str> {
    let lines: Vec<&str> = scraped.lines().collect();
    expected.iter().copied().filter(|line| !lines.contains(line)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_request_that_failed_over_is_counted_where_it_was() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = ::metrics::set_default_local_recorder(&recorder);
    describe();
    let sidecar = sidecar().await;
    assert_eq!(ask(&sidecar, "m", "one").await, 200);
    let scraped = scrape(&recorder.handle(), &sidecar);
    let expected = [
        r#"sidecar_requests_total{provider="broken",model="m"} 1"#,
        r#"sidecar_errors_total{provider="broken",model="m"} 1"#,
        r#"sidecar_requests_total{provider="good",model="m"} 1"#,
        r#"sidecar_errors_total{provider="good",model="m"} 0"#,
        r#"sidecar_tokens_total{provider="good",kind="prompt"} 11"#,
        r#"sidecar_tokens_total{provider="good",kind="completion"} 7"#,
        r#"sidecar_attempts_total{provider="broken",verdict="server_error"} 1"#,
        r#"sidecar_attempts_total{provider="good",verdict="accept"} 1"#,
        r#"sidecar_failovers_total{reason="server_error"} 1"#,
        r#"sidecar_request_duration_seconds_count{provider="good"} 1"#,
        r#"sidecar_first_token_seconds_count{provider="good"} 1"#,
        "sidecar_overhead_seconds_count 1",
        r#"sidecar_cost_total{provider="good",model="m"} 0.000025000000"#,
        r#"sidecar_cost_total{provider="broken",model="m"} 0.000000000000"#,
        r#"sidecar_pool_providers{pool="fallback",type="healthy"} 1"#,
        r#"sidecar_in_flight{provider="good"} 0"#,
        "sidecar_store_up 1",
        r#"agent_heartbeat_status{agent_name="one",agent_label=""} 1"#,
        r#"agent_workboard_pending{agent_name="one",agent_label=""} 0"#,
        r#"agent_task_stagnation_seconds{agent_name="one",agent_label=""} 0"#,
    ];
    assert_eq!(missing(&scraped, &expected), [""; 0], "{scraped}");
}

#[tokio::test(start_paused = true)]
async fn every_family_has_help_and_stands_once() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = ::metrics::set_default_local_recorder(&recorder);
    describe();
    let sidecar = sidecar().await;
    ask(&sidecar, "m", "one").await;
    let scraped = scrape(&recorder.handle(), &sidecar);
    let families = |start: &str| -> Vec<String> {
        let lines = scraped.lines().filter_map(|line| line.strip_prefix(start));
        lines.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
    };
    let (helped, typed) = (families("# HELP "), families("# TYPE "));
    assert_eq!(helped, typed);
    assert_eq!(typed.iter().collect::<BTreeSet<_>>().len(), typed.len(), "{typed:?}");
}

#[tokio::test(start_paused = true)]
async fn what_callers_make_up_adds_no_series() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = ::metrics::set_default_local_recorder(&recorder);
    let sidecar = sidecar().await;
    ask(&sidecar, "m", "one").await;
    assert_eq!(ask(&sidecar, "made up", "one").await, 200);
    let before = series(&scrape(&recorder.handle(), &sidecar));
    assert!(before.contains(r#"sidecar_requests_total{provider="good",model="(other)"}"#));
    for index in 0..3_000 {
        assert_eq!(ask(&sidecar, &format!("model-{index}"), "one").await, 200);
    }
    let after = series(&scrape(&recorder.handle(), &sidecar));
    assert_eq!(after.difference(&before).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[tokio::test(start_paused = true)]
async fn fifty_providers_of_twenty_models_have_less_than_five_thousand_series() {
    let buckets = [1.0; 9];
    let recorder = PrometheusBuilder::new().set_buckets(&buckets).unwrap().build_recorder();
    let _guard = ::metrics::set_default_local_recorder(&recorder);
    let sidecar = Sidecar::builder().clock(Clock::simulated()).open().await.unwrap();
    let models: serde_json::Map<_, _> =
        (0..20).map(|model| (format!("model-{model}"), json!({}))).collect();
    for provider in 0..50 {
        let name = format!("provider-{provider}");
        add(&sidecar, json!({"name": name, "model_mappings": models})).await;
    }
    for provider in sidecar.pools().providers() {
        for model in provider.config.models.keys() {
            let metrics = sidecar.pools().metrics();
            metrics.endpoint(&provider.name, &model.as_str().into(), true).judged(Class::Accept);
        }
    }
    let scraped = scrape(&recorder.handle(), &sidecar);
    let count = scraped.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count();
    assert!((3_000..5_000).contains(&count), "{count}");
}
