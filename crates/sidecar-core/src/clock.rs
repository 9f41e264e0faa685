//! The one source of time.
//!
//! State machines take `now: Instant` as an argument and own no timers; layers get `now` from a
//! [`Clock`]. A clock reads tokio's time, so a test under `start_paused` moves limits, cooldowns
//! and deadlines together. Durations are measured with [`Instant`]; only what must survive a
//! restart is kept as a [`Timestamp`].
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
//! use std::time::Duration;
//! use sidecar_core::clock::Clock;
//!
//! let clock = Clock::simulated();
//! let start = clock.now();
//! tokio::time::advance(Duration::from_secs(60)).await;
//! assert_eq!(clock.now() - start, Duration::from_secs(60));
//! # }
//! ```

use std::fmt;
use std::ops::{Add, Sub};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use governor::nanos::Nanos;

/// A point in monotonic time: nanoseconds since an epoch a day before the [`Clock`] was made, so
/// that the recent past of an earlier run can be expressed too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

/// A point in wall time: milliseconds since the Unix epoch. Shown as RFC 3339 in UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// Tells monotonic and wall time. Cheap to clone; clones share the epoch.
#[derive(Clone, Debug)]
pub struct Clock {
    start: tokio::time::Instant,
    wall: Wall,
}

#[derive(Clone, Debug)]
enum Wall {
    /// The machine's clock, which may jump.
    System,
    /// A fixed start that moves with the monotonic clock, for tests.
    Simulated(Timestamp),
}

impl Clock {
    /// A clock over the machine's time.
    pub fn system() -> Self {
        Self { start: tokio_now(), wall: Wall::System }
    }

    /// A clock whose wall time starts at 2026-01-01T00:00:00Z and follows tokio's time, so that a
    /// test under `start_paused` controls both.
    pub fn simulated() -> Self {
        Self { start: tokio_now(), wall: Wall::Simulated(Timestamp(1_767_225_600_000)) }
    }

    /// The current monotonic time.
    pub fn now(&self) -> Instant {
        Instant(EPOCH_OFFSET + nanos(tokio_now().saturating_duration_since(self.start)))
    }

    /// The current wall time.
    pub fn wall(&self) -> Timestamp {
        match self.wall {
            Wall::System => system_wall(),
            Wall::Simulated(start) => start + (self.now() - Instant(EPOCH_OFFSET)),
        }
    }

    /// Waits until `deadline`; returns at once if it has passed.
    pub async fn sleep_until(&self, deadline: Instant) {
        tokio::time::sleep_until(self.to_tokio(deadline)).await;
    }

    /// `instant` in tokio's terms, for tokio's own timers.
    pub fn to_tokio(&self, instant: Instant) -> tokio::time::Instant {
        self.start + Duration::from_nanos(instant.0.saturating_sub(EPOCH_OFFSET))
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

impl governor::clock::Clock for Clock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::new(Self::now(self).0)
    }
}

impl Instant {
    /// Nanoseconds since the clock's epoch; for packing into an atomic.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The inverse of [`Instant::as_nanos`].
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// `self - earlier`, or zero if `earlier` is later.
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// `self - duration`, stopping at the clock's epoch.
    pub fn saturating_sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(duration)))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.saturating_since(earlier)
    }
}

impl Timestamp {
    /// From milliseconds since the Unix epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// The number of whole hours since the Unix epoch, the key of usage rows.
    pub const fn hour(self) -> i64 {
        self.0.div_euclid(3_600_000)
    }

    /// `self - earlier`, or zero if `earlier` is later.
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(at) => write!(f, "{at}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let at: jiff::Timestamp = text.parse().map_err(serde::de::Error::custom)?;
        Ok(Self(at.as_millisecond()))
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Timestamp {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "format": "date-time", "pattern": "Z$"})
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
fn tokio_now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
pub(crate) fn system_wall() -> Timestamp {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
        Err(before) => Timestamp(-i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX)),
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// One day, so that sends and cooldowns of an earlier run fit before the start.
const EPOCH_OFFSET: u64 = 86_400_000_000_000;
