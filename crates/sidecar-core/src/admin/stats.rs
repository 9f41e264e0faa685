//! What was used, and when who had to rest.

mod cost;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::tz::Offset;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

pub use self::cost::CostNumber;

use super::{Admin, AdminError};
use crate::clock::Timestamp;
use crate::provider::PoolName;
use crate::store::StoreError;
use crate::usage::{DailyKey, UsageCounts, UsageKey, day_of};

/// The sums over everything on the books.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct TotalStats {
    /// Attempts sent to providers.
    pub total_requests: u64,
    /// Attempts that did not end well.
    pub total_errors: u64,
    /// Prompt and completion tokens together.
    pub total_tokens: u64,
    /// Prompt tokens, cached ones included.
    pub total_prompt_tokens: u64,
    /// Completion tokens, reasoning included.
    pub total_completion_tokens: u64,
    /// Prompt tokens read from providers' caches.
    pub total_cached_tokens: u64,
    /// Completion tokens spent on reasoning.
    pub total_reasoning_tokens: u64,
    /// In USD, by our prices.
    pub total_cost: CostNumber,
    /// Attempts whose tokens were estimated.
    pub estimated_requests: u64,
    /// Attempts at models without a price, which are not in the cost.
    pub unpriced_requests: u64,
    /// What providers themselves say that it cost, in USD, where they do.
    pub provider_cost: CostNumber,
    /// Attempts that failed but may have run all the same.
    pub possible_duplicates: u64,
    /// Attempts whose provider said impossible numbers.
    pub suspect_requests: u64,
}

/// Which hourly rows are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HourlyFilter {
    /// How many hours, the running one included: 1 to [`MOST_HOURS`].
    pub hours: u32,
    /// Only this provider's, by id or name. One that was removed is known by its id.
    pub provider: Option<String>,
    /// Only this model's.
    pub model: Option<String>,
    /// Only this caller's.
    pub caller: Option<String>,
}

/// Hourly rows, the oldest first.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct HourlyStats {
    /// The rows.
    pub hourly: Vec<HourlyRow>,
    /// Whether older rows were left out because there are too many.
    pub truncated: bool,
}

/// What was used in an hour, of one provider and model, by one caller.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct HourlyRow {
    /// When the hour began.
    pub hour_bucket: Timestamp,
    /// The provider's id.
    pub backend_id: String,
    /// The canonical model name.
    pub model: String,
    /// Who called.
    pub caller: String,
    /// Attempts sent to the provider.
    pub request_count: u64,
    /// Attempts that did not end well.
    pub error_count: u64,
    /// Prompt tokens, cached ones included.
    pub prompt_tokens: u64,
    /// Completion tokens, reasoning included.
    pub completion_tokens: u64,
    /// Both together.
    pub total_tokens: u64,
    /// In USD, by our prices.
    pub cost: CostNumber,
    /// The average time from dispatch to the end of the answer, in milliseconds.
    pub avg_latency_ms: Option<f64>,
    /// The average time from dispatch to the first event of a good answer, in milliseconds.
    pub ttft_ms: Option<f64>,
    /// Attempts whose tokens were estimated.
    pub estimated_requests: u64,
    /// Attempts at a model without a price.
    pub unpriced_requests: u64,
    /// What the provider itself says that it cost, in USD, where it does.
    pub provider_cost: CostNumber,
    /// Attempts that failed but may have run all the same.
    pub possible_duplicates: u64,
    /// Attempts whose provider said impossible numbers.
    pub suspect_requests: u64,
}

/// What was used on a day, UTC, of one pool.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct DailyRow {
    /// The day, such as `2026-01-31`.
    pub date: String,
    /// The pool that the providers are in now; `None` of providers that were removed.
    pub pool: Option<PoolName>,
    /// Attempts sent to providers.
    pub total_requests: u64,
    /// Attempts that did not end well.
    pub total_errors: u64,
    /// Prompt and completion tokens together.
    pub total_tokens: u64,
    /// In USD, by our prices.
    pub total_cost: CostNumber,
    /// How many providers were used.
    pub unique_backends: usize,
    /// Attempts whose tokens were estimated.
    pub estimated_requests: u64,
    /// Attempts at models without a price.
    pub unpriced_requests: u64,
    /// What providers themselves say that it cost, in USD, where they do.
    pub provider_cost: CostNumber,
}

/// A rest that began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CooldownEvent {
    /// When.
    pub at: Timestamp,
    /// The id of the provider whose answer it was.
    pub backend_id: String,
    /// The model that was asked for, if one was.
    pub model: Option<String>,
    /// What rests: `key`, `quota`, `endpoint` or `origin`, see [`crate::verdict::Scope`].
    pub scope: String,
    /// Why, see [`crate::verdict::Class::kind`].
    pub reason: String,
    /// Who says that it takes so long, see [`crate::cooldown::RestSource::kind`].
    pub source: String,
    /// How often it has happened without proven recovery.
    pub level: u8,
    /// How long it rests, in milliseconds.
    pub duration_ms: u64,
    /// When the rest is over.
    pub until: Timestamp,
}

impl Admin {
    /// The sums over everything on the books, up to this moment.
    ///
    /// # Errors
    ///
    /// The store cannot be read; so for the other statistics.
    pub async fn stats_total(&self) -> Result<TotalStats, AdminError> {
        let sum = self.state.flusher.total().await?;
        Ok(TotalStats {
            total_requests: sum.requests,
            total_errors: sum.errors,
            total_tokens: sum.tokens(),
            total_prompt_tokens: sum.prompt_tokens,
            total_completion_tokens: sum.completion_tokens,
            total_cached_tokens: sum.cached_tokens,
            total_reasoning_tokens: sum.reasoning_tokens,
            total_cost: CostNumber(sum.cost_pico_usd),
            estimated_requests: sum.estimated,
            unpriced_requests: sum.unpriced,
            provider_cost: CostNumber(sum.provider_cost_pico_usd),
            possible_duplicates: sum.possible_duplicates,
            suspect_requests: sum.suspect,
        })
    }

    /// What was used in the last hours, up to this moment.
    pub async fn stats_hourly(&self, filter: &HourlyFilter) -> Result<HourlyStats, AdminError> {
        let mut filter = filter.clone();
        filter.provider = filter.provider.map(|provider| self.provider_id(&provider));
        let last = self.state.pools.clock().wall().hour();
        let first = last - i64::from(filter.hours.clamp(1, MOST_HOURS)) + 1;
        let read = move |rows| HourlyStats::of(rows, &filter);
        Ok(self.state.flusher.read_usage(first..=last, read).await?)
    }

    /// What was used on each of the last `days` (1 to [`MOST_DAYS`], the running one included) by
    /// pool, up to this moment. The oldest day comes first.
    pub async fn stats_daily(&self, days: u32) -> Result<Vec<DailyRow>, AdminError> {
        let last = day_of(self.state.pools.clock().wall().hour());
        let first = last - i64::from(days.clamp(1, MOST_DAYS)) + 1;
        let providers = self.state.pools.providers();
        let pools: HashMap<String, PoolName> =
            providers.iter().map(|live| (live.config.id.clone(), live.config.pool)).collect();
        let read = move |rows| DailyRow::by_pool(rows, &pools);
        Ok(self.state.flusher.read_usage_daily(first..=last, read).await?)
    }

    /// The last `limit` rests that began, of all providers or of one (by id or name; a removed one
    /// by its id). The newest comes first. Rests that lie more than some thousand events back are
    /// not found.
    pub async fn stats_cooldown(
        &self,
        provider: Option<&str>,
        limit: usize,
    ) -> Result<Vec<CooldownEvent>, AdminError> {
        let provider = provider.map(|provider| self.provider_id(provider));
        let events = self.state.store.events(i64::MIN, MOST_SEARCHED, true).await?;
        // Not where requests are served: they may all have to be looked at.
        let reading = spawn_blocking(move || {
            let cooldowns =
                events.iter().filter_map(|event| CooldownEvent::from_bytes(&event.body));
            let is_wanted =
                |event: &CooldownEvent| provider.as_ref().is_none_or(|id| *id == event.backend_id);
            cooldowns.filter(is_wanted).take(limit).collect()
        });
        Ok(reading.await.map_err(|_| StoreError::Closed)?)
    }

    /// The id of a provider that is there; any other text stands for one that was removed.
    fn provider_id(&self, id_or_name: &str) -> String {
        let live = self.state.pools.provider(id_or_name);
        live.map_or_else(|| id_or_name.to_owned(), |live| live.config.id.clone())
    }
}

impl Default for HourlyFilter {
    /// Everything of the last 24 hours.
    fn default() -> Self {
        Self { hours: 24, provider: None, model: None, caller: None }
    }
}

impl HourlyFilter {
    /// Whether a row is asked for. The provider is known by its id.
    fn takes(&self, key: &UsageKey) -> bool {
        let fits = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|w| w == is);
        fits(&self.provider, &key.provider)
            && fits(&self.model, &key.model)
            && fits(&self.caller, &key.caller)
    }
}

impl HourlyStats {
    fn of(rows: BTreeMap<UsageKey, UsageCounts>, filter: &HourlyFilter) -> Self {
        let rows = rows.into_iter().filter(|(key, _)| filter.takes(key));
        let mut hourly: Vec<_> = rows.map(|(key, counts)| HourlyRow::new(key, &counts)).collect();
        let surplus = hourly.len().saturating_sub(MOST_ROWS);
        hourly.drain(..surplus);
        Self { hourly, truncated: surplus > 0 }
    }
}

impl HourlyRow {
    fn new(key: UsageKey, counts: &UsageCounts) -> Self {
        Self {
            hour_bucket: Timestamp::from_millis(key.hour.saturating_mul(MS_PER_HOUR)),
            backend_id: key.provider,
            model: key.model,
            caller: key.caller,
            request_count: counts.requests,
            error_count: counts.errors,
            prompt_tokens: counts.prompt_tokens,
            completion_tokens: counts.completion_tokens,
            total_tokens: counts.tokens(),
            cost: CostNumber(counts.cost_pico_usd),
            avg_latency_ms: average_ms(counts.latency_us, counts.requests),
            ttft_ms: average_ms(counts.first_byte_us, counts.first_byte_count),
            estimated_requests: counts.estimated,
            unpriced_requests: counts.unpriced,
            provider_cost: CostNumber(counts.provider_cost_pico_usd),
            possible_duplicates: counts.possible_duplicates,
            suspect_requests: counts.suspect,
        }
    }
}

impl DailyRow {
    /// `pools` are those of the providers, by their ids.
    fn by_pool(
        rows: BTreeMap<DailyKey, UsageCounts>,
        pools: &HashMap<String, PoolName>,
    ) -> Vec<Self> {
        let mut sums: BTreeMap<_, (UsageCounts, BTreeSet<String>)> = BTreeMap::new();
        for (key, counts) in rows {
            let pool = pools.get(&key.provider).copied();
            // Of a day the pools come in their order, and what was removed comes last.
            let (sum, backends) = sums.entry((key.day, pool.is_none(), pool)).or_default();
            sum.add(&counts);
            backends.insert(key.provider);
        }
        let row = |((day, _, pool), (sum, backends)): (_, (UsageCounts, BTreeSet<String>))| Self {
            date: date_of(day),
            pool,
            total_requests: sum.requests,
            total_errors: sum.errors,
            total_tokens: sum.tokens(),
            total_cost: CostNumber(sum.cost_pico_usd),
            unique_backends: backends.len(),
            estimated_requests: sum.estimated,
            unpriced_requests: sum.unpriced,
            provider_cost: CostNumber(sum.provider_cost_pico_usd),
        };
        sums.into_iter().map(row).collect()
    }
}

impl CooldownEvent {
    /// As the body of an event of the store: a version, then JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Kept<'a> {
            kind: &'static str,
            #[serde(flatten)]
            event: &'a CooldownEvent,
        }
        let kept = Kept { kind: KIND, event: self };
        let json = serde_json::to_vec(&kept).expect("texts and numbers have a JSON form");
        [&[EVENT_VERSION], json.as_slice()].concat()
    }

    /// The inverse; `None` if it is an event of another kind, or of a later version.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Kept {
            kind: String,
            #[serde(flatten)]
            event: CooldownEvent,
        }
        let (&EVENT_VERSION, json) = bytes.split_first()? else { return None };
        let kept: Kept = serde_json::from_slice(json).ok()?;
        (kept.kind == KIND).then_some(kept.event)
    }
}

/// In milliseconds, to the microsecond; `None` of nothing.
fn average_ms(sum_us: u64, count: u64) -> Option<f64> {
    let average = sum_us.checked_div(count)?;
    Some(average as f64 / 1e3)
}

/// A day as people write it; days are counted from the Unix epoch.
fn date_of(day: i64) -> String {
    match jiff::Timestamp::from_millisecond(day.saturating_mul(24 * MS_PER_HOUR)) {
        Ok(at) => Offset::UTC.to_datetime(at).date().to_string(),
        Err(_) => format!("day {day}"),
    }
}

/// The most hours that can be asked for: a leap year.
pub const MOST_HOURS: u32 = 8_784;
/// The most days that can be asked for: ten years.
pub const MOST_DAYS: u32 = 3_660;
/// The most hourly rows that are given.
const MOST_ROWS: usize = 20_000;
/// How many of the last events are searched for cooldowns.
const MOST_SEARCHED: usize = 10_000;
const MS_PER_HOUR: i64 = 3_600_000;
const KIND: &str = "cooldown";
const EVENT_VERSION: u8 = 1;

#[cfg(test)]
mod tests;
