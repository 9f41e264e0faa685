//! Passes an answer on to the caller, so that it never looks better than it is.
//!
//! What the first byte decides is [`crate::first_byte`]'s; from then on there is no second
//! attempt. [`Relay`] wraps the body of a 2xx:
//!
//! - **A document** passes untouched. If the provider falls silent or the connection breaks, the
//!   body fails, so that the caller's answer is aborted and never ended cleanly.
//! - **An event stream** passes line by line. Of chats and completions only `data:` lines and
//!   comments do, because an `id:`, a `retry:` or a bare `event:` crashes real clients; each event
//!   gets the one blank line that ends it. Data that is malformed passes as it is. The other
//!   families keep every line but an `event: error`, which our own event brings along.
//! - **A stream that is cut** (silent, broken, ended without the mark of a proper end, or with an
//!   error of the provider's) gets one error event in its family's grammar, never `[DONE]`, and
//!   then the body fails. The provider's words do not get through. If half of a long line has
//!   passed, nothing can be told any more, and the body only fails.
//! - **A stream that is whole** ends as soon as it is: nothing passes after `[DONE]`, and a
//!   `[DONE]` that is missing after a proper finish is added.
//!
//! What the caller sees of usage is what it asked for: see [`StreamUsage`]. A chunk that was only
//! sent because `stream_options` were injected is taken out again, and one that the provider
//! cannot send is made of what the stream said.
//!
//! A frame that consists of whole lines passes without a copy. Of a line whose end has not come, at
//! most 64 KiB are held; a longer one passes in pieces, unread but for the mark of a proper end.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
//! use std::time::Duration;
//!
//! use http_body_util::{BodyExt, Full};
//! use sidecar_core::call::Call;
//! use sidecar_core::clock::Clock;
//! use sidecar_core::error::{BoxError, Error};
//! use sidecar_core::ingest::IngestLayer;
//! use sidecar_core::provider::StreamUsage;
//! use sidecar_core::relay::{RelayConfig, RelayLayer};
//! use sidecar_core::settings::Settings;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! // A stream that ends in the middle of its answer.
//! async fn provider(_: Call) -> Result<http::Response<Full<bytes::Bytes>>, BoxError> {
//!     let text = "id: 7\ndata: {\"choices\":[{\"delta\":{\"content\":\"Hel\"}}]}\n\n";
//!     let answer = http::Response::builder().header("content-type", "text/event-stream");
//!     Ok(answer.body(Full::from(text))?)
//! }
//!
//! let clock = Clock::simulated();
//! let service = ServiceBuilder::new()
//!     .layer(IngestLayer::new(Settings::default(), clock.clone()))
//!     .map_err(Error::Internal)
//!     .layer(RelayLayer::new(RelayConfig {
//!         idle_timeout: Duration::from_secs(60),
//!         stream_usage: StreamUsage::Native,
//!         clock,
//!     }))
//!     .service(service_fn(provider));
//!
//! let request = http::Request::post("/v1/chat/completions")
//!     .header("content-type", "application/json")
//!     .body(Full::<bytes::Bytes>::from(r#"{"model":"m","stream":true}"#))
//!     .unwrap();
//! let mut body = service.oneshot(request).await.unwrap().into_body();
//!
//! let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
//! assert_eq!(first, "data: {\"choices\":[{\"delta\":{\"content\":\"Hel\"}}]}\n\n");
//! let last = body.frame().await.unwrap().unwrap().into_data().unwrap();
//! assert!(last.starts_with(b"data: {\"error\":{"));
//! assert!(body.frame().await.unwrap().is_err());
//! # }
//! ```
//!
//! [`StreamUsage`]: crate::provider::StreamUsage

mod body;
mod chunk;
mod cut;
mod events;
mod finish;
mod future;
mod grammar;
mod layer;
mod line;
mod long;
mod out;
mod service;
mod terms;
mod view;
mod watch;

pub(crate) use self::body::LAST_WORDS;
pub use self::body::RelayBody;
pub(crate) use self::cut::{error_event, failure_event};
pub use self::future::ResponseFuture;
pub use self::layer::{RelayConfig, RelayLayer};
pub use self::service::Relay;

#[cfg(test)]
mod tests;
