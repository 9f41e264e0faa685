use std::thread;

use serde_json::{Value, json};

use super::*;
use crate::Sidecar;
use crate::clock::Clock;
use crate::store::NewEvent;

/// The hour in which a simulated clock starts.
const HOUR: i64 = 1_767_225_600_000 / MS_PER_HOUR;

/// A sidecar with one provider of the primary pool, and the provider's id.
async fn sidecar() -> (Sidecar, String) {
    let sidecar = Sidecar::builder().clock(Clock::simulated()).open().await.unwrap();
    let patch = r#"{"name": "one", "api_base_url": "https://h/v1", "api_key": "sk-0123456789"}"#;
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

#[tokio::test]
async fn rows_are_read_on_another_thread_than_requests_are_served_on() {
    let (sidecar, id) = sidecar().await;
    book(&sidecar, HOUR, &id, "a", counts());
    let flusher = &sidecar.admin().state.flusher;
    let hourly = flusher.read_usage(HOUR..=HOUR, |rows| (rows.len(), thread::current().id()));
    let (rows, reader) = hourly.await.unwrap();
    assert_eq!(rows, 1);
    assert_ne!(reader, thread::current().id());
    let day = day_of(HOUR);
    let daily = flusher.read_usage_daily(day..=day, |rows| (rows.len(), thread::current().id()));
    let (rows, reader) = daily.await.unwrap();
    assert_eq!(rows, 1);
    assert_ne!(reader, thread::current().id());
}

#[test]
fn of_too_many_rows_the_oldest_are_left_out() {
    let key = |hour, provider: &str| UsageKey {
        hour,
        provider: provider.to_owned(),
        model: "m".to_owned(),
        caller: "a".to_owned(),
    };
    let most = MOST_ROWS as i64;
    let rows = (0..=most).map(|hour| (key(hour, "p"), counts()));
    let others = (0..=most).map(|hour| (key(hour, "q"), counts()));
    let rows: BTreeMap<_, _> = rows.chain(others).collect();
    let filter = HourlyFilter { provider: Some("p".to_owned()), ..HourlyFilter::default() };
    let stats = HourlyStats::of(rows.clone(), &filter);
    assert_eq!((stats.hourly.len(), stats.truncated), (MOST_ROWS, true));
    assert_eq!(stats.hourly[0].hour_bucket, Timestamp::from_millis(MS_PER_HOUR));
    let enough = rows.into_iter().skip(2).collect();
    let stats = HourlyStats::of(enough, &filter);
    assert_eq!((stats.hourly.len(), stats.truncated), (MOST_ROWS, false));
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
