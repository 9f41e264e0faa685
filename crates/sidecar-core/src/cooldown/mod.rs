//! Rests a provider that asked for it, and brings it back by one careful probe.
//!
//! [`Cooldown`] asks a [`CellSet`] before it lets a request through, and charges the outcome to
//! the cell it belongs to: the credential, the account and model, the endpoint and model, or the
//! origin. A refused call is answered at once with [`crate::error::Rejected`]; nothing was sent.
//!
//! What a provider says of itself opens its cell at once. What may be chance opens it when it
//! happens several times in a row or to half of the requests, and what a caller can provoke only
//! when it happens to others, too. An endpoint that takes requests and answers none is sent one at
//! a time. [`TripObserver`] learns of all that, and a [`SavedRest`] outlives a restart.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
//! use http::{Request, Response};
//! use sidecar_core::clock::Clock;
//! use sidecar_core::cooldown::{CellSet, CooldownLayer, CooldownPolicy};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! let clock = Clock::simulated();
//! let limited = service_fn(async |_: Request<()>| {
//!     Response::builder().status(429).header("retry-after", "7").body(String::new())
//! });
//! let cells = CellSet::new(CooldownPolicy::default());
//! let service = CooldownLayer::new(cells, clock).layer(limited);
//!
//! let answer = service.clone().oneshot(Request::new(())).await.unwrap();
//! assert_eq!(answer.status(), 429);
//! let refused = service.oneshot(Request::new(())).await.unwrap_err();
//! assert!(refused.is::<sidecar_core::error::Rejected>());
//! # }
//! ```

mod cell;
mod cell_set;
mod future;
mod gate;
mod hang_guard;
mod layer;
mod policy;
mod recent;
mod saved;
mod service;
mod state;
mod strikes;
mod trip;

pub use self::cell::Cell;
pub use self::cell_set::{CellSet, Cells};
pub use self::future::ResponseFuture;
pub use self::gate::Admission;
pub use self::layer::CooldownLayer;
pub use self::policy::CooldownPolicy;
pub use self::saved::SavedRest;
pub use self::service::Cooldown;
pub use self::state::CellState;
pub use self::trip::{RestSource, Trip, TripObserver};

#[cfg(test)]
mod tests;
