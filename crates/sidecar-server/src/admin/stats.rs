//! What was used, and when who had to rest.

use http::StatusCode;
use serde::Serialize;
use sidecar_core::admin::{Admin, CooldownEvent, DailyRow, HourlyFilter, MOST_DAYS, MOST_HOURS};
use tokio::task::spawn_blocking;

use super::Answered;
use super::query::Query;
use super::refusal::Refusal;
use crate::respond;

/// The sums over everything.
pub(super) async fn total(admin: &Admin, query: Option<&str>) -> Answered {
    Query::parse(query)?.finish()?;
    Ok(respond::json(StatusCode::OK, &admin.stats_total().await?))
}

/// Rows by hour, provider, model and caller.
pub(super) async fn hourly(admin: &Admin, query: Option<&str>) -> Answered {
    let filter = hourly_filter(Query::parse(query)?)?;
    many(admin.stats_hourly(&filter).await?).await
}

/// Rows by day and pool.
pub(super) async fn daily(admin: &Admin, query: Option<&str>) -> Answered {
    // Not by way of a `Value`, which would round the costs.
    #[derive(Serialize)]
    struct Daily {
        daily: Vec<DailyRow>,
    }
    let daily = admin.stats_daily(days(Query::parse(query)?)?).await?;
    many(Daily { daily }).await
}

/// The rests that began, the newest first.
pub(super) async fn cooldown(admin: &Admin, query: Option<&str>) -> Answered {
    #[derive(Serialize)]
    struct Cooldowns {
        events: Vec<CooldownEvent>,
    }
    let (provider, limit) = cooldown_filter(Query::parse(query)?)?;
    let events = admin.stats_cooldown(provider.as_deref(), limit).await?;
    many(Cooldowns { events }).await
}

/// An answer of very many rows. Its JSON is written where it holds up no request.
async fn many<T: Serialize + Send + 'static>(rows: T) -> Answered {
    let writing = spawn_blocking(move || respond::json(StatusCode::OK, &rows));
    let failed = "the answer could not be written";
    writing.await.map_err(|_| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, failed))
}

fn hourly_filter(mut query: Query) -> Result<HourlyFilter, Refusal> {
    let hours = query.take_as("hours", "a whole number from 1 to 8784", |hours: &u32| {
        (1..=MOST_HOURS).contains(hours)
    })?;
    let filter = HourlyFilter {
        hours: hours.unwrap_or(DEFAULT_HOURS),
        provider: query.take("backend_id"),
        model: query.take("model"),
        caller: query.take("caller"),
    };
    query.finish()?;
    Ok(filter)
}

fn days(mut query: Query) -> Result<u32, Refusal> {
    let days = query.take_as("days", "a whole number from 1 to 3660", |days: &u32| {
        (1..=MOST_DAYS).contains(days)
    })?;
    query.finish()?;
    Ok(days.unwrap_or(DEFAULT_DAYS))
}

fn cooldown_filter(mut query: Query) -> Result<(Option<String>, usize), Refusal> {
    let limit = query.take_as("limit", "a whole number from 1 to 1000", |limit: &usize| {
        (1..=MOST_EVENTS).contains(limit)
    })?;
    let provider = query.take("backend_id");
    query.finish()?;
    Ok((provider, limit.unwrap_or(DEFAULT_EVENTS)))
}

const DEFAULT_HOURS: u32 = 24;
const DEFAULT_DAYS: u32 = 30;
const DEFAULT_EVENTS: usize = 100;
/// The most events that are given.
const MOST_EVENTS: usize = 1_000;

#[cfg(test)]
mod tests {
    use std::thread::{self, ThreadId};

    use http_body_util::BodyExt as _;
    use serde::Serializer;

    use super::*;

    /// Says whether it is written on another thread than this.
    struct Elsewhere(ThreadId);

    impl Serialize for Elsewhere {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bool(thread::current().id() != self.0)
        }
    }

    #[tokio::test]
    async fn many_rows_are_written_on_another_thread_than_requests_are_served_on() {
        let answer = many(Elsewhere(thread::current().id())).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "application/json");
        let body = answer.into_body().collect().await.unwrap();
        assert_eq!(body.to_bytes(), "true");
    }

    fn query(text: &str) -> Query {
        Query::parse(Some(text)).unwrap()
    }

    #[test]
    fn what_is_left_out_or_empty_has_a_default() {
        for text in ["", "backend_id=&hours=&model=&caller="] {
            assert_eq!(hourly_filter(query(text)).unwrap(), HourlyFilter::default(), "{text}");
        }
        assert_eq!(days(query("days=")).unwrap(), 30);
        assert_eq!(cooldown_filter(query("backend_id=&limit=")).unwrap(), (None, 100));
    }

    #[test]
    fn what_is_given_counts() {
        let filter = hourly_filter(query("hours=8784&model=a%2Fb&caller=c&backend_id=p")).unwrap();
        let expected = HourlyFilter {
            hours: 8_784,
            provider: Some("p".to_owned()),
            model: Some("a/b".to_owned()),
            caller: Some("c".to_owned()),
        };
        assert_eq!(filter, expected);
        assert_eq!(days(query("days=1")).unwrap(), 1);
        let (provider, limit) = cooldown_filter(query("limit=1000&backend_id=p")).unwrap();
        assert_eq!((provider.as_deref(), limit), (Some("p"), 1_000));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for text in ["hours=0", "hours=8785", "hours=-1", "hours=1.5", "hours=x"] {
            let refusal = hourly_filter(query(text)).unwrap_err();
            assert_eq!(refusal.field.as_deref(), Some("hours"), "{text}");
            assert_eq!(refusal.status, StatusCode::BAD_REQUEST);
            assert_eq!(refusal.detail, "must be a whole number from 1 to 8784");
        }
        let refusal = hourly_filter(query("days=1")).unwrap_err();
        assert_eq!(refusal.field.as_deref(), Some("days"));
        for text in ["days=0", "days=3661"] {
            assert_eq!(days(query(text)).unwrap_err().field.as_deref(), Some("days"), "{text}");
        }
        for text in ["limit=0", "limit=1001"] {
            let refusal = cooldown_filter(query(text)).unwrap_err();
            assert_eq!(refusal.field.as_deref(), Some("limit"), "{text}");
        }
    }
}
