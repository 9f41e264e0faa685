//! Books every attempt once, with the tokens the provider said.
//!
//! [`Usage`] wraps the response body, forwards its frames untouched and reads the usage beside
//! them. It books at the end, on an error, or when the body is dropped, into a [`Ledger`], which
//! keeps sums in memory until somebody takes them.
//!
//! Where the provider says nothing, or what cannot be, or the answer ends before it has said all,
//! the tokens are estimated from the lengths of the request and of the text that came, and the
//! attempt is counted as estimated.
//!
//! An answer whose body is dropped before its end was left by its caller, unless whoever passes it
//! on says otherwise: [`crate::relay`] knows of streams that it gave up, and of those that were
//! whole before their bodies ended.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
//! use http_body_util::{BodyExt, Full};
//! use sidecar_core::clock::Clock;
//! use sidecar_core::usage::{Ledger, Meter, UsageLayer};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! let ledger = Ledger::default();
//! let model = service_fn(async |_: http::Request<()>| {
//!     let body = r#"{"usage":{"prompt_tokens":11,"completion_tokens":7}}"#;
//!     Ok::<_, sidecar_core::error::BoxError>(http::Response::new(Full::<bytes::Bytes>::from(body)))
//! });
//! let meter = Meter::new(ledger.clone(), "provider", "model", None);
//! let service = UsageLayer::new(meter, Clock::simulated()).layer(model);
//!
//! let response = service.oneshot(http::Request::new(())).await.unwrap();
//! response.into_body().collect().await.unwrap();
//! let booked = ledger.take();
//! assert_eq!((booked[0].1.prompt_tokens, booked[0].1.completion_tokens), (11, 7));
//! # }
//! ```

mod body;
mod counts;
mod future;
mod layer;
mod ledger;
mod meter;
mod rate;
mod report;
mod scan;
mod service;
mod tokens;

pub use self::body::UsageBody;
pub(crate) use self::counts::day_of;
pub use self::counts::{DailyKey, UsageCounts, UsageKey};
pub use self::future::ResponseFuture;
pub use self::layer::UsageLayer;
pub use self::ledger::Ledger;
pub use self::meter::{Attribution, Meter};
pub(crate) use self::report::{Ended, Report};
pub use self::service::Usage;
pub(crate) use self::tokens::estimate;

#[cfg(test)]
mod tests;
