//! The whole of the library, without a socket.

use bytes::Bytes;
use criterion::{Criterion, Throughput};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::json;
use sidecar_core::Sidecar;
use sidecar_core::error::BoxError;
use tokio::runtime::Runtime;
use tower::{ServiceExt, service_fn};

use crate::support::{CHAT, JSON, post};

/// A request through every layer to a client that answers at once, and the answer to its end.
pub(crate) fn request(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let sidecar = runtime.block_on(sidecar()).expect("a sidecar in memory");
    let answer = async |_: Request<Full<Bytes>>| {
        let answer = br#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3}}"#;
        Ok::<_, BoxError>(Response::new(Full::from(answer.as_slice())))
    };
    let service = sidecar.service(service_fn(answer));
    let mut group = c.benchmark_group("request");
    for size in [2 << 10, 64 << 10] {
        let body =
            json!({"messages": [{"role": "user", "content": "x".repeat(size)}], "model": "m"});
        let body = Bytes::from(body.to_string());
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(format!("{} KiB, no socket", size >> 10), |b| {
            b.to_async(&runtime).iter(|| {
                let sending = service.clone().oneshot(post(CHAT, JSON, body.clone()));
                async {
                    let answer = sending.await.expect("an answer");
                    answer.into_body().collect().await.expect("a whole body")
                }
            });
        });
    }
    group.finish();
}

/// Ten providers whose limits are never reached.
async fn sidecar() -> Result<Sidecar, BoxError> {
    let sidecar = Sidecar::builder().open().await?;
    for index in 0..10 {
        let provider = json!({
            "name": format!("p{index}"), "rpm_limit": 1_000_000, "api_key": "sk-bench",
            "limit_shape": "smooth", "burst": 1_000_000,
            "api_base_url": "https://api.example.com/v1",
            "model_mappings": {"m": {"native_id": "vendor/m"}},
        });
        sidecar.admin().add_provider(serde_json::from_value(provider)?).await?;
    }
    Ok(sidecar)
}
