//! Rests a provider that asked for it, and brings it back by one careful probe.
//!
//! [`Cooldown`] asks a [`CellSet`] before it lets a request through, and charges the outcome to
//! the cell it belongs to: the credential, the account and model, the endpoint and model, or the
//! origin. A refused call is answered at once with [`crate::error::Rejected`]; nothing was sent.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
//! use sidecar_core::clock::Clock;
//! use sidecar_core::cooldown::{CellSet, CooldownLayer, CooldownPolicy};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! let clock = Clock::simulated();
//! let limited = service_fn(async |_: ()| {
//!     http::Response::builder().status(429).header("retry-after", "7").body(String::new())
//! });
//! let cells = CellSet::new(CooldownPolicy::default());
//! let service = CooldownLayer::new(cells, clock).layer(limited);
//!
//! assert_eq!(service.clone().oneshot(()).await.unwrap().status(), 429);
//! let refused = service.oneshot(()).await.unwrap_err();
//! assert!(refused.is::<sidecar_core::error::Rejected>());
//! # }
//! ```

mod cell;
mod cell_set;
mod future;
mod layer;
mod policy;
mod service;

pub use self::cell::{Admission, Cell, CellState};
pub use self::cell_set::CellSet;
pub use self::future::ResponseFuture;
pub use self::layer::CooldownLayer;
pub use self::policy::CooldownPolicy;
pub use self::service::Cooldown;

#[cfg(test)]
mod tests;
