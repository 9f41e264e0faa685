//! Who may call, and how much.
//!
//! A caller is a name with one or two keys and limits of its own: requests per minute, requests at
//! a time, models, money a day and a month, requests per task, and an end. [`Callers`] finds the
//! caller of a key; [`LiveCaller::admit`] asks all of its limits at once and gives a
//! [`CallerPermit`], which is held for as long as the request is under way.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use sidecar_core::callers::{Admit, CallerPatch, Callers};
//! use sidecar_core::clock::Clock;
//!
//! let clock = Clock::simulated();
//! let patch: CallerPatch = serde_json::from_str(r#"{"name": "agents", "rpm": 1}"#)?;
//! let (agents, key) = patch.create("id-1", clock.wall())?;
//! let callers = Callers::default();
//! callers.replace([agents]);
//!
//! let caller = callers.authenticate(key.expose(), clock.wall()).ok_or("an unknown key")?;
//! let request = Admit::new(Some("small"), clock.now(), clock.wall());
//! let permit = caller.admit(&request)?;
//! assert!(caller.admit(&request).is_err(), "one a minute");
//! permit.settle(1_500_000, clock.wall());
//! # Ok(()) }
//! ```

mod budget;
mod crc32;
mod key;
mod live;
mod pace;
mod patch;
mod permit;
mod record;
mod refusal;
mod registry;
mod tasks;
mod usd;

pub use self::key::{CallerKey, KeyDigest};
pub use self::live::{Admit, LiveCaller, LiveNumbers};
pub use self::patch::CallerPatch;
pub use self::permit::CallerPermit;
pub use self::record::{CallerRecord, DEFAULT_OVERLAP, Delivery, KeyRecord};
pub use self::refusal::CallerRefusal;
pub use self::registry::Callers;
pub use self::tasks::{Rounds, is_task_id};
pub use self::usd::Usd;

#[cfg(test)]
mod tests;
