//! The real core in virtual time: no sockets, no store, no waiting.
//!
//! Each scenario is a test that builds a paused runtime and, in it, a [`World`](world::World): the
//! core's own layers over scripted vendors, which hide their limits and keep their own books, and
//! callers who come in bursts. What must hold is read from the vendors' books and from what the
//! callers saw, never from the core's own counters.
//!
//! A scenario runs once for each of its seeds and prints one line of what it measured. Arrivals,
//! latencies and the vendors' whims follow from the seed; only the jitter that the core adds to
//! its rests does not. `SIM_SEED=7 cargo test --test it sim::` runs every scenario with that seed
//! alone; a scenario that fails names the seed it failed with.

mod arrivals;
mod books;
mod caller;
mod checker;
mod net;
mod refused;
mod rng;
mod run;
mod scenarios;
mod vendor;
mod world;

use std::time::Duration;

/// So many milliseconds.
const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// So many seconds.
const fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// So many minutes.
const fn mins(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}
