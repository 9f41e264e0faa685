//! How a provider has fared lately, from real traffic.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;

use crate::clock::Timestamp;

/// How a provider has fared lately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// The time to the first event of the last attempt.
    pub last_latency: Option<Duration>,
    /// The status of the last answer.
    pub last_status: Option<StatusCode>,
    /// Failures since the last good answer.
    pub consecutive_failures: u32,
    /// 429s since the last good answer.
    pub consecutive_429: u32,
    /// When the last attempt ended.
    pub last_check_at: Option<Timestamp>,
}

/// A [`Health`] that attempts write to.
#[derive(Debug, Default)]
pub(crate) struct HealthRecord(Mutex<Health>);

impl HealthRecord {
    pub(crate) fn get(&self) -> Health {
        *self.lock()
    }

    pub(super) fn reset(&self) {
        *self.lock() = Health::default();
    }

    pub(crate) fn note(
        &self,
        latency: Duration,
        status: Option<StatusCode>,
        failed: bool,
        at: Timestamp,
    ) {
        let mut health = self.lock();
        health.last_latency = Some(latency);
        health.last_status = status;
        health.last_check_at = Some(at);
        if failed {
            health.consecutive_failures = health.consecutive_failures.saturating_add(1);
            if status == Some(StatusCode::TOO_MANY_REQUESTS) {
                health.consecutive_429 = health.consecutive_429.saturating_add(1);
            }
        } else {
            health.consecutive_failures = 0;
            health.consecutive_429 = 0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Health> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
