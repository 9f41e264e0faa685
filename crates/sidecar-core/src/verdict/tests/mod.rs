//! The rules, row by row as in the vendors' documents and recorded answers.

mod classes;
mod events;
mod hints;
mod hostile;
mod messages;
mod vendors;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::{Class, Scope, Verdict, judge};
use crate::clock::Timestamp;
use crate::provider::Api;

/// 2026-01-15T12:00:00Z, a Thursday.
const NOW: Timestamp = Timestamp::from_millis(1_768_478_400_000);

const OPENAI: Api = Api::OpenaiCompletions;

type Headers = &'static [(&'static str, &'static str)];

/// Status, headers, body; class, wait in milliseconds, scope.
type Row = (u16, Headers, &'static str, Class, Option<u64>, Scope);

fn check(api: Api, rows: &[Row]) {
    for (status, pairs, body, class, wait, scope) in rows {
        let verdict = judged(*status, pairs, body, api);
        assert_eq!(verdict.class, *class, "{status} {body}");
        assert_eq!(wait_of(&verdict), *wait, "{status} {body}");
        assert_eq!(verdict.class.scope(), *scope, "{status} {body}");
    }
}

fn judged(status: u16, pairs: &[(&str, &str)], body: &str, api: Api) -> Verdict {
    let status = StatusCode::from_u16(status).unwrap();
    judge(status, &headers(pairs), body.as_bytes(), api, NOW)
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| {
            let name: HeaderName = name.parse().unwrap();
            (name, HeaderValue::from_bytes(value.as_bytes()).unwrap())
        })
        .collect()
}

fn wait_of(verdict: &Verdict) -> Option<u64> {
    verdict.hint.map(|hint| u64::try_from(hint.wait.as_millis()).unwrap())
}

const HOUR: u64 = 3_600_000;
