//! Many limited LLM keys that behave like one big reliable one.
//!
//! `sidecar-core` spreads requests over pools of providers, never breaks a provider's rate limit,
//! rests a key that answers 429 and brings it back by one careful probe, waits for a free slot
//! when waiting is cheaper than failing, fails over when it is not, and books every attempt. It is
//! a set of [`tower`] layers over an embedded store.
//!
//! [`Sidecar`] is the recommended composition. Every part is a layer of its own, too:
//!
//! | layer | wraps | what it does |
//! | --- | --- | --- |
//! | [`ingest::IngestLayer`] | a service of calls | reads a request once and makes a [`call::Call`] of it |
//! | [`pool::PoolLayer`] | an HTTP client | chooses a provider for each call, and another one when it fails |
//! | [`cooldown::CooldownLayer`] | any HTTP service | refuses while a cell rests, charges the outcome |
//! | [`rate_limit::RateLimitLayer`] | any service | refuses when the limit is used up |
//! | [`usage::UsageLayer`] | any HTTP service | books every attempt with its tokens and cost |
//! | [`relay::RelayLayer`] | any HTTP service | ends a broken stream in an error, never as if it were whole |
//! | [`drain::DrainLayer`] | any HTTP service | reads an answer on whose caller has left, for an exact bill |
//! | [`first_byte::FirstByteLayer`] | any HTTP service | holds an answer until it is worth something |
//! | [`dispatch::DispatchLayer`] | an HTTP client | makes the request that a provider sees |
//!
//! ```
//! use http_body_util::{BodyExt, Full};
//! use sidecar_core::Sidecar;
//! use sidecar_core::error::BoxError;
//! use tower::{ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
//! let sidecar = Sidecar::builder().open().await?;
//! let provider = r#"{
//!     "name": "one", "api_base_url": "https://api.example.com/v1", "api_key": "sk-0123456789",
//!     "model_mappings": {"small": {"native_id": "vendor/small-8b"}}
//! }"#;
//! sidecar.admin().add_provider(serde_json::from_str(provider)?).await?;
//!
//! // Any HTTP client will do; `Sidecar::https_client` makes the default one.
//! let client = service_fn(async |request: http::Request<Full<bytes::Bytes>>| {
//!     let body = request.into_body().collect().await?.to_bytes();
//!     assert_eq!(body, r#"{"model":"vendor/small-8b","messages":[]}"#);
//!     Ok::<_, BoxError>(http::Response::new(Full::from(r#"{"choices":[]}"#)))
//! });
//! let request = http::Request::post("/v1/chat/completions")
//!     .header("content-type", "application/json")
//!     .body(Full::from(r#"{"model":"small","messages":[]}"#))?;
//! let response = sidecar.service(client).oneshot(request).await?;
//! assert_eq!(response.headers()["x-sidecar-provider"], "one");
//! # Ok(()) }
//! ```

pub mod admin;
pub mod backup;
pub mod call;
pub mod callers;
#[cfg(feature = "client")]
pub mod client;
pub mod clock;
pub mod cooldown;
pub mod dispatch;
pub mod drain;
mod endpoint;
pub mod error;
mod fields;
pub mod first_byte;
pub mod ingest;
mod joined;
pub mod keys;
pub mod metrics;
pub mod openai;
pub mod pool;
pub mod probe;
pub mod provider;
mod random;
pub mod rate_limit;
pub mod relay;
pub mod secret;
pub mod settings;
mod shared;
mod sidecar;
mod sse;
pub mod store;
pub mod url;
pub mod usage;
pub mod verdict;

pub use self::sidecar::{OpenError, Sidecar, SidecarBuilder};
