//! A provider as an operator sees it: its configuration with the key masked, and how it fares.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::{Admin, EntityTag, Status};
use crate::clock::Timestamp;
use crate::pool::LiveProvider;
use crate::provider::{Api, LimitShape, Mapping, PoolName, Source};
use crate::verdict::Class;

/// A provider as an operator sees it.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ProviderView {
    /// Never changes.
    pub id: String,
    /// Unique.
    pub name: String,
    /// A free text.
    pub label: Option<String>,
    /// Where it lives.
    pub api_base_url: String,
    /// Its key, masked.
    pub api_key: String,
    /// The protocol it speaks.
    pub api: Api,
    /// The longest wait for the head of an answer.
    pub timeout_seconds: u64,
    /// The longest wait for the first event of a stream.
    pub first_token_timeout_seconds: u64,
    /// The longest silence inside a stream.
    pub idle_timeout_seconds: u64,
    /// Requests per minute of its own; `None` follows the setting `rate_rpm`. What is in force
    /// stands in `rate_limiter`.
    pub rpm_limit: Option<u32>,
    /// How its vendor counts.
    pub limit_shape: LimitShape,
    /// How many may go out at once if the shape is smooth.
    pub burst: Option<u32>,
    /// What it shares limits and quota cooldowns with.
    pub account: Option<String>,
    /// Its tier.
    pub pool: PoolName,
    /// Whether an answer that its caller leaves is read to its end.
    pub drain: bool,
    /// Whether it is spoken to by HTTP/2 if it can be.
    pub http2: bool,
    /// Whether the operator wants it used.
    pub enabled: bool,
    /// How it is.
    pub status: Status,
    /// Why it rests or is of no use, see [`Class::kind`].
    pub status_reason: Option<&'static str>,
    /// Canonical model name to mapping.
    pub model_mappings: BTreeMap<String, Mapping>,
    /// Who entered it.
    pub source: Source,
    /// When it may be used again, if it rests.
    pub cooldown_until: Option<Timestamp>,
    /// 429s since the last good answer.
    pub consecutive_429_count: u32,
    /// What the operator keeps beside it.
    pub metadata: serde_json::Map<String, serde_json::Value>,
    /// How it has fared.
    pub health: HealthView,
    /// How much of its limit is free.
    pub rate_limiter: LimiterView,
    /// When it was entered.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Stands for its configuration.
    #[serde(skip)]
    pub etag: EntityTag,
}

/// How a provider has fared, from real traffic.
#[derive(Clone, Copy, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct HealthView {
    /// The same as the provider's status.
    pub state: Status,
    /// The time to the first event of the last attempt, in milliseconds.
    pub last_latency_ms: Option<u64>,
    /// The status of the last answer.
    pub last_status_code: Option<u16>,
    /// Failures since the last good answer.
    pub consecutive_failures: u32,
    /// When the last attempt ended.
    pub last_check_at: Option<Timestamp>,
}

/// How much of a limit is free.
#[derive(Clone, Copy, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct LimiterView {
    /// Requests that may go out now.
    pub tokens: u32,
    /// Requests that may go out in a minute.
    pub capacity: u32,
    /// The same: V2's two names for its bucket.
    pub rate_per_minute: u32,
    /// The used share, from 0 to 1.
    pub utilization: f64,
}

impl Admin {
    pub(super) fn view(&self, live: &LiveProvider) -> ProviderView {
        let clock = self.state.pools.clock();
        let (now, wall) = (clock.now(), clock.wall());
        let config = &live.config;
        let rest = self.state.pools.rest(live, now);
        let status = match rest {
            _ if !config.enabled => Status::Disabled,
            Some((_, Some(Class::Auth | Class::Billing))) => Status::Error,
            Some(_) => Status::Cooling,
            None => Status::Healthy,
        };
        let rpm = live.limiter.rpm().get();
        let health = live.health.get();
        ProviderView {
            id: config.id.clone(),
            name: config.name.clone(),
            label: config.label.clone(),
            api_base_url: config.base_url.to_string(),
            api_key: config.key.masked(),
            api: config.api,
            timeout_seconds: config.timeout.as_secs(),
            first_token_timeout_seconds: config.first_token_timeout.as_secs(),
            idle_timeout_seconds: config.idle_timeout.as_secs(),
            rpm_limit: config.rpm_limit.map(Into::into),
            limit_shape: config.limit_shape,
            burst: config.burst.map(Into::into),
            account: config.account.clone(),
            pool: config.pool,
            drain: config.drain,
            http2: config.http2,
            enabled: config.enabled,
            status,
            status_reason: rest.and_then(|(_, class)| class).map(Class::kind),
            model_mappings: config.models.clone(),
            source: config.source,
            cooldown_until: rest.map(|(until, _)| wall + (until - now)),
            consecutive_429_count: health.consecutive_429,
            metadata: config.metadata.clone(),
            health: HealthView {
                state: status,
                last_latency_ms: health.last_latency.map(millis),
                last_status_code: health.last_status.map(|status| status.as_u16()),
                consecutive_failures: health.consecutive_failures,
                last_check_at: health.last_check_at,
            },
            rate_limiter: LimiterView {
                tokens: live.limiter.free(now),
                capacity: rpm,
                rate_per_minute: rpm,
                utilization: f64::from(1.0 - live.limiter.headroom(now)),
            },
            created_at: config.created_at,
            updated_at: config.updated_at,
            etag: self.provider_tag(config),
        }
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
