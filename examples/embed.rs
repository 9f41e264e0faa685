//! Another service uses the library: one handle, one provider, one request.
//!
//! ```text
//! NVIDIA_API_KEY=nvapi-... cargo run --example embed
//! ```

use std::io::Write as _;

use http_body_util::{BodyExt, Full};
use sidecar_core::Sidecar;
use sidecar_core::error::BoxError;
use sidecar_core::provider::ProviderPatch;
use sidecar_core::secret::Secret;
use tower::ServiceExt;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let key = std::env::var("NVIDIA_API_KEY").map_err(|_| "set NVIDIA_API_KEY to try this")?;
    // In memory; `.store(path, keys)` keeps providers and usage in a file.
    let sidecar = Sidecar::builder().open().await?;
    let provider: ProviderPatch = serde_json::from_str(
        r#"{"name": "nim", "api_base_url": "https://integrate.api.nvidia.com/v1",
            "rpm_limit": 40, "model_mappings": {"llama": {"native_id": "meta/llama-3.3-70b-instruct"}}}"#,
    )?;
    sidecar.admin().add_provider(provider.with_key(Secret::new(key))).await?;

    let request = http::Request::post("/v1/chat/completions")
        .header("content-type", "application/json")
        .body(Full::from(r#"{"model":"llama","messages":[{"role":"user","content":"hi"}]}"#))?;
    let response = sidecar.service(sidecar.https_client()?).oneshot(request).await?;
    let answer = response.into_body().collect().await?.to_bytes();
    writeln!(std::io::stdout(), "{}", String::from_utf8_lossy(&answer))?;
    Ok(sidecar.close().await?)
}
