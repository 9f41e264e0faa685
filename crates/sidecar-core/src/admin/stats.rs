//! What was used, and when who had to rest.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::tz::Offset;
use serde::ser::Error as _;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use super::{Admin, AdminError};
use crate::callers::Usd;
use crate::clock::Timestamp;
use crate::provider::PoolName;
use crate::usage::{UsageCounts, day_of};

/// The sums over everything on the books.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
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
#[non_exhaustive]
pub struct HourlyStats {
    /// The rows.
    pub hourly: Vec<HourlyRow>,
    /// Whether older rows were left out because there are too many.
    pub truncated: bool,
}

/// What was used in an hour, of one provider and model, by one caller.
#[derive(Clone, Debug, PartialEq, Serialize)]
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

/// An amount of pico-USD that is written as a JSON number in USD with all of its digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct CostNumber(pub u128);

impl Admin {
    /// The sums over everything on the books, up to this moment.
    ///
    /// # Errors
    ///
    /// The store cannot be read; so for the other statistics.
    pub async fn stats_total(&self) -> Result<TotalStats, AdminError> {
        let mut sum = UsageCounts::default();
        for (_, counts) in self.state.flusher.usage_daily(i64::MIN..=i64::MAX).await? {
            sum.add(&counts);
        }
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
        let HourlyFilter { hours, provider, model, caller } = filter;
        let provider = provider.as_deref().map(|provider| self.provider_id(provider));
        let last = self.state.pools.clock().wall().hour();
        let first = last - i64::from((*hours).clamp(1, MOST_HOURS)) + 1;
        let fits = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|w| w == is);
        let rows = self.state.flusher.usage(first..=last).await?.into_iter();
        let mut hourly: Vec<HourlyRow> = rows
            .filter(|(key, _)| {
                fits(&provider, &key.provider)
                    && fits(model, &key.model)
                    && fits(caller, &key.caller)
            })
            .map(|(key, counts)| HourlyRow {
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
            })
            .collect();
        let surplus = hourly.len().saturating_sub(MOST_ROWS);
        hourly.drain(..surplus);
        Ok(HourlyStats { hourly, truncated: surplus > 0 })
    }

    /// What was used on each of the last `days` (1 to [`MOST_DAYS`], the running one included) by
    /// pool, up to this moment. The oldest day comes first.
    pub async fn stats_daily(&self, days: u32) -> Result<Vec<DailyRow>, AdminError> {
        let last = day_of(self.state.pools.clock().wall().hour());
        let first = last - i64::from(days.clamp(1, MOST_DAYS)) + 1;
        let providers = self.state.pools.providers();
        let pools: HashMap<&str, PoolName> =
            providers.iter().map(|live| (live.config.id.as_str(), live.config.pool)).collect();
        let mut sums: BTreeMap<_, (UsageCounts, BTreeSet<String>)> = BTreeMap::new();
        for (key, counts) in self.state.flusher.usage_daily(first..=last).await? {
            let pool = pools.get(key.provider.as_str()).copied();
            // Of a day the pools come in their order, and what was removed comes last.
            let (sum, backends) = sums.entry((key.day, pool.is_none(), pool)).or_default();
            sum.add(&counts);
            backends.insert(key.provider);
        }
        let row =
            |((day, _, pool), (sum, backends)): (_, (UsageCounts, BTreeSet<String>))| DailyRow {
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
        Ok(sums.into_iter().map(row).collect())
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
        let cooldowns = events.iter().filter_map(|event| CooldownEvent::from_bytes(&event.body));
        let wanted =
            cooldowns.filter(|event| provider.as_ref().is_none_or(|id| *id == event.backend_id));
        Ok(wanted.take(limit).collect())
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

impl Serialize for CostNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let digits = Usd::from_pico(self.0).to_string();
        RawValue::from_string(digits).map_err(S::Error::custom)?.serialize(serializer)
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
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::Sidecar;
    use crate::clock::Clock;
    use crate::store::NewEvent;
    use crate::usage::UsageKey;

    /// The hour in which a simulated clock starts.
    const HOUR: i64 = 1_767_225_600_000 / MS_PER_HOUR;

    /// A sidecar with one provider of the primary pool, and the provider's id.
    async fn sidecar() -> (Sidecar, String) {
        let sidecar = Sidecar::builder().clock(Clock::simulated()).open().await.unwrap();
        let patch =
            r#"{"name": "one", "api_base_url": "https://h/v1", "api_key": "sk-0123456789"}"#;
        let admin = sidecar.admin();
        let provider = admin.add_provider(serde_json::from_str(patch).unwrap()).await.unwrap();
        (sidecar, provider.id)
    }

    fn book(sidecar: &Sidecar, hour: i64, provider: &str, caller: &str, counts: UsageCounts) {
        let (provider, caller) = (provider.to_owned(), caller.to_owned());
        let key = UsageKey { hour, provider, model: "m".to_owned(), caller };
        sidecar.pools().ledger().put_back(vec![(key, counts)]);
    }

    fn counts() -> UsageCounts {
        UsageCounts {
            requests: 4,
            errors: 1,
            prompt_tokens: 100,
            completion_tokens: 20,
            cached_tokens: 50,
            reasoning_tokens: 5,
            cost_pico_usd: 150_000,
            estimated: 1,
            unpriced: 2,
            latency_us: 4_002_000,
            first_byte_us: 900_000,
            first_byte_count: 3,
            provider_cost_pico_usd: 2_500_000_000_000,
            possible_duplicates: 1,
            suspect: 1,
            ..UsageCounts::default()
        }
    }

    #[tokio::test]
    async fn totals_have_every_number_and_exact_costs() {
        let (sidecar, id) = sidecar().await;
        book(&sidecar, HOUR, &id, "a", counts());
        book(&sidecar, HOUR - 9_999, "removed", "b", counts());
        let total = sidecar.admin().stats_total().await.unwrap();
        let expected = r#"{"total_requests":8,"total_errors":2,"total_tokens":240,"total_prompt_tokens":200,"total_completion_tokens":40,"total_cached_tokens":100,"total_reasoning_tokens":10,"total_cost":0.0000003,"estimated_requests":2,"unpriced_requests":4,"provider_cost":5,"possible_duplicates":2,"suspect_requests":2}"#;
        assert_eq!(serde_json::to_string(&total).unwrap(), expected);
    }

    #[tokio::test]
    async fn hourly_rows_are_filtered_and_have_true_averages() {
        let (sidecar, id) = sidecar().await;
        book(&sidecar, HOUR, &id, "a", counts());
        book(&sidecar, HOUR - 1, &id, "b", counts());
        book(&sidecar, HOUR, "removed", "a", counts());
        let admin = sidecar.admin();
        let by = |hours, provider: Option<&str>, caller: Option<&str>| HourlyFilter {
            hours,
            provider: provider.map(str::to_owned),
            caller: caller.map(str::to_owned),
            ..HourlyFilter::default()
        };
        for (filter, rows) in [
            (HourlyFilter::default(), 3),
            (by(1, None, None), 2),
            (by(0, None, None), 2),
            (by(24, Some("one"), None), 2),
            (by(24, Some(&id), Some("b")), 1),
            (by(24, Some("removed"), None), 1),
            (by(24, Some("nobody"), None), 0),
            (HourlyFilter { model: Some("other".to_owned()), ..HourlyFilter::default() }, 0),
        ] {
            let stats = admin.stats_hourly(&filter).await.unwrap();
            assert_eq!((stats.hourly.len(), stats.truncated), (rows, false), "{filter:?}");
        }
        let stats = admin.stats_hourly(&by(24, None, Some("b"))).await.unwrap();
        let expected = json!({
            "hour_bucket": "2025-12-31T23:00:00Z", "backend_id": id, "model": "m", "caller": "b",
            "request_count": 4, "error_count": 1, "prompt_tokens": 100, "completion_tokens": 20,
            "total_tokens": 120, "cost": 1.5e-7, "avg_latency_ms": 1000.5, "ttft_ms": 300.0,
            "estimated_requests": 1, "unpriced_requests": 2, "provider_cost": 2.5,
            "possible_duplicates": 1, "suspect_requests": 1,
        });
        let text = serde_json::to_string(&stats.hourly[0]).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
    }

    #[tokio::test]
    async fn daily_rows_are_by_pool_and_keep_what_was_removed() {
        let (sidecar, id) = sidecar().await;
        for (hour, provider) in [(HOUR, &*id), (HOUR + 5, &*id), (HOUR, "x"), (HOUR, "y")] {
            book(&sidecar, hour, provider, "a", counts());
        }
        book(&sidecar, HOUR - 1, &id, "a", counts());
        let admin = sidecar.admin();
        let rows = admin.stats_daily(2).await.unwrap();
        let shown: Vec<_> = rows
            .iter()
            .map(|row| (row.date.as_str(), row.pool, row.total_requests, row.unique_backends))
            .collect();
        assert_eq!(
            shown,
            [
                ("2025-12-31", Some(PoolName::Primary), 4, 1),
                ("2026-01-01", Some(PoolName::Primary), 8, 1),
                ("2026-01-01", None, 8, 2),
            ]
        );
        assert_eq!(rows[1].total_cost, CostNumber(300_000));
        assert_eq!(admin.stats_daily(1).await.unwrap().len(), 2);
    }

    fn cooldown(backend_id: &str, level: u8) -> CooldownEvent {
        CooldownEvent {
            at: Timestamp::from_millis(1_767_225_600_000),
            backend_id: backend_id.to_owned(),
            model: Some("m".to_owned()),
            scope: "quota".to_owned(),
            reason: "rate_limited".to_owned(),
            source: "heuristic".to_owned(),
            level,
            duration_ms: 30_000,
            until: Timestamp::from_millis(1_767_225_630_000),
        }
    }

    #[tokio::test]
    async fn the_newest_cooldowns_come_first_and_other_events_are_left_out() {
        let (sidecar, id) = sidecar().await;
        let (one, gone) = (cooldown(&id, 1).to_bytes(), cooldown("gone", 2).to_bytes());
        let later = cooldown(&id, 3).to_bytes();
        let other = br#"{"kind":"login"}"#;
        let other = [&[EVENT_VERSION], other.as_slice()].concat();
        let bodies = [one, gone, other, later, Vec::new(), vec![EVENT_VERSION + 1]];
        let events = bodies.into_iter().zip(0..).map(|(body, at_ms)| NewEvent { at_ms, body });
        let admin = sidecar.admin();
        admin.state.store.append(events.collect()).await.unwrap();
        let levels = async |provider: Option<&str>, limit| -> Vec<u8> {
            let events = admin.stats_cooldown(provider, limit).await.unwrap();
            events.iter().map(|event| event.level).collect()
        };
        assert_eq!(levels(None, 9).await, [3, 2, 1]);
        assert_eq!(levels(None, 1).await, [3]);
        assert_eq!(levels(Some("one"), 9).await, [3, 1]);
        assert_eq!(levels(Some("gone"), 9).await, [2]);
    }

    #[test]
    fn a_cost_is_a_number_with_all_of_its_digits() {
        for (pico, text) in [
            (0, "0"),
            (1, "0.000000000001"),
            (1_500_000_000_000, "1.5"),
            (12_345_678_901_234_567_890, "12345678.90123456789"),
        ] {
            assert_eq!(serde_json::to_string(&CostNumber(pico)).unwrap(), text);
        }
        assert!(serde_json::to_string(&CostNumber(u128::MAX)).is_ok());
    }

    #[test]
    fn days_are_dates() {
        for (day, date) in [(0, "1970-01-01"), (-1, "1969-12-31"), (20_454, "2026-01-01")] {
            assert_eq!(date_of(day), date);
        }
        assert_eq!(date_of(i64::MAX), format!("day {}", i64::MAX));
    }
}
