//! Reads an answer on that its caller has left, so that it is billed exactly.
//!
//! A provider says what a stream has used at its end. Without this layer a caller who leaves takes
//! the provider's answer with it: it is cancelled at once, and its tokens are estimated. [`Drain`]
//! reads it on instead, in a task of its own, for at most 30 seconds and at most 2 MiB, and not more
//! than 64 of them at a time. What comes to its end within these limits is booked as if the caller
//! had read it; what does not is dropped, as without this layer.
//!
//! It belongs around [`crate::usage`], which books what it reads. A request that was sent and has no
//! answer yet is waited for, too. An answer that is an error is not read on: it has used nothing.
//!
//! While an answer is read on, its request is under way for the limits of its caller, too: what it
//! costs is not known before.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
//! use std::future::ready;
//! use std::time::Duration;
//!
//! use http_body_util::Full;
//! use sidecar_core::clock::Clock;
//! use sidecar_core::drain::{DrainLayer, Drains};
//! use sidecar_core::error::BoxError;
//! use sidecar_core::usage::{Ledger, Meter, UsageLayer};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! let (ledger, clock) = (Ledger::default(), Clock::simulated());
//! let model = service_fn(|_: http::Request<()>| {
//!     let body = r#"{"usage":{"prompt_tokens":11,"completion_tokens":7}}"#;
//!     ready(Ok::<_, BoxError>(http::Response::new(Full::<bytes::Bytes>::from(body))))
//! });
//! let service = ServiceBuilder::new()
//!     .layer(DrainLayer::new(Some(Drains::new(clock.clone()))))
//!     .layer(UsageLayer::new(Meter::new(ledger.clone(), "provider", "model", None), clock))
//!     .service(model);
//!
//! let response = service.oneshot(http::Request::new(())).await.unwrap();
//! drop(response);
//! tokio::time::sleep(Duration::from_millis(1)).await;
//! let booked = ledger.take();
//! assert_eq!((booked[0].1.completion_tokens, booked[0].1.estimated), (7, 0));
//! # }
//! ```

mod body;
mod drains;
mod future;
mod heir;
mod layer;
mod service;

pub use self::body::DrainBody;
pub use self::drains::Drains;
pub use self::future::ResponseFuture;
pub use self::layer::DrainLayer;
pub use self::service::Drain;

#[cfg(test)]
mod tests;
