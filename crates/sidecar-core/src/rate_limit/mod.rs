//! Keeps a provider within its requests per minute.
//!
//! [`RateLimit`] takes a slot of a [`Limiter`] for each call and answers with
//! [`crate::error::Rejected`] when none is free; a slot is given back only if nothing was sent,
//! because vendors count failed requests too.
//!
//! A limiter that is given a [lease](Limiter::lease) keeps its promise also when the process is
//! killed and started again: it gives a [`WindowRecord`] to be kept durably from time to time,
//! which says what was sent and how many more sends may follow it, and never sends more than that
//! before the next one is durable. Whoever [restores](Limiter::restore) the last record counts at
//! least what was sent.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
//! use std::num::NonZeroU32;
//! use std::time::Duration;
//! use sidecar_core::clock::Clock;
//! use sidecar_core::rate_limit::{Limiter, RateLimitLayer};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! let limiter = Limiter::window(NonZeroU32::new(2).unwrap());
//! let echo = service_fn(async |n: u32| Ok::<_, sidecar_core::error::BoxError>(n));
//! let service = RateLimitLayer::new(limiter, Clock::simulated()).layer(echo);
//!
//! assert_eq!(service.clone().oneshot(1).await.unwrap(), 1);
//! assert_eq!(service.clone().oneshot(2).await.unwrap(), 2);
//! assert!(service.clone().oneshot(3).await.is_err());
//! tokio::time::advance(Duration::from_secs(61)).await;
//! assert_eq!(service.oneshot(4).await.unwrap(), 4);
//! # }
//! ```

mod future;
mod glance;
mod layer;
mod learned;
mod lease;
mod limiter;
mod record;
mod service;
mod smooth;
mod window;

pub use self::future::ResponseFuture;
pub use self::layer::RateLimitLayer;
pub use self::limiter::{Limiter, Slot};
pub use self::record::WindowRecord;
pub use self::service::RateLimit;

#[cfg(test)]
mod tests;
