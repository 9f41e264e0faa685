//! The settings an operator may change while the process runs: typed, validated, with defaults.
//!
//! A value comes from the environment, else from the store, else it is the default. [`SPECS`] is
//! the one list of them: the key, where it is kept, and what it means.
//!
//! ```
//! use sidecar_core::settings::Settings;
//!
//! let mut settings = Settings::default();
//! settings.set("rate_rpm", &serde_json::json!(35))?;
//! assert_eq!(settings.rate_rpm.get(), 35);
//! assert!(settings.set("rate_rpm", &serde_json::json!(0)).is_err());
//! # Ok::<(), sidecar_core::settings::SettingError>(())
//! ```

use std::num::NonZeroU32;
use std::time::Duration;

use serde::Deserialize as _;
use serde_json::Value;

use crate::provider::PoolName;

/// The settings in force. Read as one immutable value; a change makes a new one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// Requests per minute of a provider that does not state its own limit.
    pub rate_rpm: NonZeroU32,
    /// The first rest of a rate-limited account and model.
    pub cooldown_base: Duration,
    /// The longest rest that is guessed, not asked for by the provider.
    pub cooldown_max: Duration,
    /// How many requests may wait for a free slot.
    pub queue_max_depth: u32,
    /// How long a request waits for a free slot.
    pub queue_timeout: Duration,
    /// How many providers one request may be sent to.
    pub max_pool_retries: u32,
    /// The largest request body, in bytes.
    pub max_body_bytes: u32,
    /// How much of an answer that is to be delivered whole is held back, in bytes.
    pub complete_max_bytes: u32,
    /// The least `Retry-After` of an answer that says that nothing is left, in seconds. Agents
    /// turn to their own fallback at once only above 90 s.
    pub exhausted_retry_after_seconds: u32,
    /// How many requests may be in flight at the edge.
    pub max_in_flight: u32,
    /// How long a request waits for a slot of the primary pool before it goes on to the next one.
    pub spill_after_primary: Duration,
    /// The same for the fallback pool.
    pub spill_after_fallback: Duration,
    /// The pools in the order of their use.
    pub pool_order: [PoolName; 2],
    /// The share of a pool's requests per minute, in thousandths, that may try a resting provider
    /// early when nothing else is left.
    pub emergency_permille: u32,
    /// How often an idle or resting provider is asked whether it is well; zero is never.
    pub health_check_interval: Duration,
    /// How long such a question may take.
    pub health_check_timeout: Duration,
    /// How many days the usage by hour is kept.
    pub retention_hourly_days: u32,
    /// How many days the usage by day is kept.
    pub retention_daily_days: u32,
    /// Whether providers may live at loopback and private addresses and on plain `http`.
    pub upstream_private: bool,
}

/// What one setting is called and what it takes.
#[derive(Debug)]
pub struct Spec {
    /// Its name in the API and the store.
    pub key: &'static str,
    /// What it means, with its unit.
    pub help: &'static str,
    read: fn(&Settings) -> Value,
    write: fn(&mut Settings, &Value) -> Option<()>,
    /// What is accepted, for the error message.
    accepts: &'static str,
}

/// Why a setting was refused. Nothing has changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingError {
    /// There is no such setting.
    #[error("there is no setting {0:?}")]
    Unknown(String),
    /// The value is not of the setting's type or range.
    #[error("{key} takes {accepts}")]
    Invalid {
        /// The setting.
        key: &'static str,
        /// What it takes.
        accepts: &'static str,
    },
}

/// Every setting there is.
pub const SPECS: &[Spec] = &[
    Spec {
        key: "rate_rpm",
        help: "requests per minute of a provider that states no limit of its own",
        read: |s| s.rate_rpm.get().into(),
        write: |s, v| ranged(v, 1, 1_000_000).and_then(NonZeroU32::new).map(|n| s.rate_rpm = n),
        accepts: "a whole number from 1 to 1000000",
    },
    Spec {
        key: "cooldown_base_seconds",
        help: "first rest of a rate-limited account and model, in seconds",
        read: |s| s.cooldown_base.as_secs().into(),
        write: |s, v| seconds(v, 1, 3_600).map(|d| s.cooldown_base = d),
        accepts: "a whole number of seconds from 1 to 3600",
    },
    Spec {
        key: "cooldown_max_seconds",
        help: "longest guessed rest, in seconds",
        read: |s| s.cooldown_max.as_secs().into(),
        write: |s, v| seconds(v, 1, 86_400).map(|d| s.cooldown_max = d),
        accepts: "a whole number of seconds from 1 to 86400",
    },
    Spec {
        key: "queue_max_depth",
        help: "how many requests may wait for a free slot",
        read: |s| s.queue_max_depth.into(),
        write: |s, v| ranged(v, 0, 100_000).map(|n| s.queue_max_depth = n),
        accepts: "a whole number from 0 to 100000",
    },
    Spec {
        key: "queue_timeout_seconds",
        help: "how long a request waits for a free slot, in seconds",
        read: |s| s.queue_timeout.as_secs().into(),
        write: |s, v| seconds(v, 0, 600).map(|d| s.queue_timeout = d),
        accepts: "a whole number of seconds from 0 to 600",
    },
    Spec {
        key: "max_pool_retries",
        help: "how many providers one request may be sent to",
        read: |s| s.max_pool_retries.into(),
        write: |s, v| ranged(v, 1, 16).map(|n| s.max_pool_retries = n),
        accepts: "a whole number from 1 to 16",
    },
    Spec {
        key: "max_body_bytes",
        help: "largest request body, in bytes",
        read: |s| s.max_body_bytes.into(),
        write: |s, v| ranged(v, 1_024, 256 << 20).map(|n| s.max_body_bytes = n),
        accepts: "a whole number of bytes from 1024 to 268435456",
    },
    Spec {
        key: "complete_max_bytes",
        help: "how much of an answer that is to be delivered whole is held back, in bytes; what \
               is longer goes on as it comes",
        read: |s| s.complete_max_bytes.into(),
        write: |s, v| ranged(v, 64 << 10, 256 << 20).map(|n| s.complete_max_bytes = n),
        accepts: "a whole number of bytes from 65536 to 268435456",
    },
    Spec {
        key: "exhausted_retry_after_seconds",
        help: "least Retry-After of an answer that says that nothing is left, in seconds",
        read: |s| s.exhausted_retry_after_seconds.into(),
        write: |s, v| ranged(v, 0, 86_400).map(|n| s.exhausted_retry_after_seconds = n),
        accepts: "a whole number of seconds from 0 to 86400",
    },
    Spec {
        key: "max_in_flight",
        help: "how many requests may be in flight at the edge; read at start",
        read: |s| s.max_in_flight.into(),
        write: |s, v| ranged(v, 1, 65_536).map(|n| s.max_in_flight = n),
        accepts: "a whole number from 1 to 65536",
    },
    Spec {
        key: "spill_after_primary_seconds",
        help: "wait for a slot of the primary pool before the next pool is used, in seconds",
        read: |s| s.spill_after_primary.as_secs().into(),
        write: |s, v| seconds(v, 0, 600).map(|d| s.spill_after_primary = d),
        accepts: "a whole number of seconds from 0 to 600",
    },
    Spec {
        key: "spill_after_fallback_seconds",
        help: "wait for a slot of the fallback pool before the next pool is used, in seconds",
        read: |s| s.spill_after_fallback.as_secs().into(),
        write: |s, v| seconds(v, 0, 600).map(|d| s.spill_after_fallback = d),
        accepts: "a whole number of seconds from 0 to 600",
    },
    Spec {
        key: "pool_order",
        help: "the pools in the order of their use",
        read: |s| s.pool_order.map(PoolName::as_str).as_slice().into(),
        write: |s, v| pool_order(v).map(|order| s.pool_order = order),
        accepts: "[\"primary\",\"fallback\"] or [\"fallback\",\"primary\"]",
    },
    Spec {
        key: "emergency_rpm_fraction",
        help: "share of a pool's requests per minute that may try a resting provider early when \
               nothing else is left; 0 is never",
        read: |s| (f64::from(s.emergency_permille) / 1e3).into(),
        write: |s, v| fraction(v).map(|permille| s.emergency_permille = permille),
        accepts: "a number from 0 to 0.5",
    },
    Spec {
        key: "health_check_interval_seconds",
        help: "how often an idle or resting provider is asked whether it is well, in seconds; \
               0 is never",
        read: |s| s.health_check_interval.as_secs().into(),
        write: |s, v| seconds(v, 0, 86_400).map(|d| s.health_check_interval = d),
        accepts: "a whole number of seconds from 0 to 86400",
    },
    Spec {
        key: "health_check_timeout_seconds",
        help: "how long such a question may take, in seconds",
        read: |s| s.health_check_timeout.as_secs().into(),
        write: |s, v| seconds(v, 1, 120).map(|d| s.health_check_timeout = d),
        accepts: "a whole number of seconds from 1 to 120",
    },
    Spec {
        key: "retention_hourly_days",
        help: "how many days usage by hour and cooldown events are kept",
        read: |s| s.retention_hourly_days.into(),
        write: |s, v| ranged(v, 32, 3_650).map(|n| s.retention_hourly_days = n),
        accepts: "a whole number of days from 32 to 3650",
    },
    Spec {
        key: "retention_daily_days",
        help: "how many days usage by day is kept",
        read: |s| s.retention_daily_days.into(),
        write: |s, v| ranged(v, 32, 36_500).map(|n| s.retention_daily_days = n),
        accepts: "a whole number of days from 32 to 36500",
    },
    Spec {
        key: "upstream_private",
        help: "whether providers may live at private addresses and on plain http",
        read: |s| s.upstream_private.into(),
        write: |s, v| v.as_bool().map(|b| s.upstream_private = b),
        accepts: "true or false",
    },
];

impl Settings {
    /// How long a request waits for a slot of `pool` before it goes on to the next one.
    pub fn spill_after(&self, pool: PoolName) -> Duration {
        match pool {
            PoolName::Primary => self.spill_after_primary,
            PoolName::Fallback => self.spill_after_fallback,
        }
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Result<Value, SettingError> {
        spec(key).map(|spec| (spec.read)(self))
    }

    /// Changes `key`.
    pub fn set(&mut self, key: &str, value: &Value) -> Result<(), SettingError> {
        let spec = spec(key)?;
        let Spec { key, accepts, .. } = *spec;
        (spec.write)(self, value).ok_or(SettingError::Invalid { key, accepts })
    }

    /// Changes `key` to the text of an environment variable. Gives the key's own spelling.
    pub fn set_text(&mut self, key: &str, text: &str) -> Result<&'static str, SettingError> {
        let value = serde_json::from_str(text.trim()).unwrap_or_else(|_| text.into());
        self.set(key, &value)?;
        spec(key).map(|spec| spec.key)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rate_rpm: const { NonZeroU32::new(40).expect("40 is not 0") },
            cooldown_base: Duration::from_secs(30),
            cooldown_max: Duration::from_secs(600),
            queue_max_depth: 500,
            queue_timeout: Duration::from_secs(30),
            max_pool_retries: 5,
            max_body_bytes: 32 << 20,
            complete_max_bytes: 8 << 20,
            exhausted_retry_after_seconds: 120,
            max_in_flight: 512,
            spill_after_primary: Duration::ZERO,
            spill_after_fallback: Duration::ZERO,
            pool_order: PoolName::ALL,
            emergency_permille: 100,
            health_check_interval: Duration::ZERO,
            health_check_timeout: Duration::from_secs(10),
            retention_hourly_days: 90,
            retention_daily_days: 3_650,
            upstream_private: true,
        }
    }
}

fn spec(key: &str) -> Result<&'static Spec, SettingError> {
    SPECS.iter().find(|spec| spec.key == key).ok_or_else(|| SettingError::Unknown(key.to_owned()))
}

fn ranged(value: &Value, min: u32, max: u32) -> Option<u32> {
    let number = u32::try_from(value.as_u64()?).ok()?;
    (min..=max).contains(&number).then_some(number)
}

/// Both pools, each once.
fn pool_order(value: &Value) -> Option<[PoolName; 2]> {
    let order = <[PoolName; 2]>::deserialize(value).ok()?;
    (order[0] != order[1]).then_some(order)
}

/// In thousandths.
fn fraction(value: &Value) -> Option<u32> {
    let fraction = value.as_f64().filter(|fraction| (0.0..=0.5).contains(fraction))?;
    // The cast is exact: at most 500.
    Some((fraction * 1e3).round() as u32)
}

fn seconds(value: &Value, min: u32, max: u32) -> Option<Duration> {
    ranged(value, min, max).map(|seconds| Duration::from_secs(seconds.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_a_value_its_own_setting_accepts() {
        let defaults = Settings::default();
        let mut copy = defaults.clone();
        for spec in SPECS {
            copy.set(spec.key, &defaults.get(spec.key).unwrap()).unwrap();
        }
        assert_eq!(copy, defaults);
    }

    #[test]
    fn a_refused_value_changes_nothing_and_names_the_range() {
        let mut settings = Settings::default();
        let error = settings.set_text("rate_rpm", "1000001").unwrap_err();
        assert_eq!(error.to_string(), "rate_rpm takes a whole number from 1 to 1000000");
        assert_eq!(settings, Settings::default());
        assert!(settings.set_text("rate_rpm", "forty").is_err());
        assert!(settings.set_text("rate", "40").is_err());
    }
}
