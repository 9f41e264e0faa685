//! Whatever a provider sends, nothing panics and nobody waits for ever.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::verdict::{caller_message, judge_event};

const MONTH: Duration = Duration::from_secs(31 * 86_400);

static NAMES: [&str; 16] = [
    "retry-after",
    "retry-after-ms",
    "ratelimit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-tokens",
    "x-ratelimit-renewalperiod-requests",
    "x-ratelimit-remaining-tokens-month",
    "x-ratelimit-remaining-req-10-second",
    "anthropic-ratelimit-requests-remaining",
    "anthropic-ratelimit-requests-reset",
    "ratelimitbysize-remaining",
    "ratelimitbysize-reset",
];

/// Pieces that bodies and headers are made of.
static PIECES: [&str; 32] = [
    "0",
    "-1",
    "1e9",
    "NaN",
    "inf",
    "99999999999999999999",
    "1768478460000",
    "6m0s",
    "s",
    ".",
    " ",
    "2026-01-15T12:00:53Z",
    "9999-12-31T23:59:59Z",
    "Thu, 15 Jan 2026 12:01:00 GMT",
    "r=0;t=",
    "try again in ",
    "limit ",
    "requested ",
    "per day",
    "RPD limit reached",
    "free-models-per-day",
    "{\"error\":",
    "{\"message\":\"",
    "\"code\":",
    "\"metadata\":{\"headers\":{\"X-RateLimit-Reset\":",
    "\"details\":[{\"@type\":\"RetryInfo\",\"retryDelay\":\"",
    "\"",
    "[",
    "]",
    "}",
    ",",
    "\u{b5}s \u{4f59}\u{989d} \u{1f600}",
];

fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(PIECES.as_slice());
    prop::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat())
}

fn apis() -> impl Strategy<Value = Api> {
    prop::sample::select(vec![
        Api::OpenaiCompletions,
        Api::OpenaiResponses,
        Api::AnthropicMessages,
        Api::GoogleGenerativeAi,
    ])
}

fn is_bounded(verdict: &Verdict) -> bool {
    verdict.hint.is_none_or(|hint| !hint.wait.is_zero() && hint.wait <= MONTH)
}

#[test]
fn hostile_headers_ask_for_a_month_at_most() {
    let endless = "9".repeat(1 << 20);
    for text in [
        "-1",
        "-0",
        "NaN",
        "nan",
        "inf",
        "Infinity",
        "1e308",
        "0x10",
        "",
        " ",
        "+5",
        "99999999999",
        "99999999999999999999999999",
        "340282366920938463463374607431768211456",
        "9999999999d",
        "9999-12-31T23:59:59Z",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Fri, 99 Foo 9999 99:99:99 GMT",
        "\u{4f59}\u{989d}",
        endless.as_str(),
    ] {
        for name in NAMES {
            let pairs = [
                (name, text),
                ("x-ratelimit-remaining", "0"),
                ("x-ratelimit-remaining-requests", "0"),
                ("anthropic-ratelimit-requests-remaining", "0"),
            ];
            for status in [200, 402, 429, 503] {
                assert!(is_bounded(&judged(status, &pairs, "", OPENAI)), "{name}: {status}");
            }
        }
    }
    let far = judged(429, &[("retry-after", "99999999999999999999")], "", OPENAI);
    assert_eq!(far.hint.unwrap().wait, MONTH);
    for text in ["-1", "NaN", "inf", "1e308", "\u{4f59}", endless.as_str()] {
        assert_eq!(judged(429, &[("retry-after", text)], "", OPENAI).hint, None);
    }
}

#[test]
fn a_body_as_deep_or_long_as_it_likes_is_judged() {
    let deep = "[".repeat(100_000);
    let nested = format!("{}{}", r#"{"error":"#.repeat(10_000), "}".repeat(10_000));
    let long = format!(r#"{{"error":{{"message":"{}"}}}}"#, "try again in 5s ".repeat(100_000));
    let wide = format!(r#"{{"error":{{"details":[{}]}}}}"#, "{},".repeat(100_000));
    for body in [deep, nested, long, wide] {
        let verdict = judged(429, &[], &body, OPENAI);
        assert_eq!(verdict.class, Class::RateLimited);
        judge_event(body.as_bytes(), Api::OpenaiResponses, NOW);
        caller_message(body.as_bytes());
    }
}

#[test]
fn a_clock_that_is_off_does_no_harm() {
    let day = br#"[{"error":{"status":"RESOURCE_EXHAUSTED","details":[{"@type":"QuotaFailure","violations":[{"quotaId":"PerDay"}]}]}}]"#;
    let pairs = [("retry-after", "Thu, 15 Jan 2026 12:01:00 GMT")];
    for millis in [i64::MIN, -1, 0, i64::MAX] {
        let now = Timestamp::from_millis(millis);
        let status = StatusCode::TOO_MANY_REQUESTS;
        for body in [day.as_slice(), br#"{"message":"RPD limit reached"}"#, b""] {
            assert!(is_bounded(&judge(status, &headers(&pairs), body, OPENAI, now)));
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_judged(
        status in 100..1000_u16,
        name in prop::sample::select(NAMES.as_slice()),
        value in any::<Vec<u8>>(),
        body in any::<Vec<u8>>(),
        api in apis(),
        millis in any::<i64>(),
    ) {
        let now = Timestamp::from_millis(millis);
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            headers.insert(name, value);
        }
        let status = StatusCode::from_u16(status).unwrap();
        prop_assert!(is_bounded(&judge(status, &headers, &body, api, now)));
        prop_assert!(judge_event(&body, api, now).is_none_or(|verdict| is_bounded(&verdict)));
        caller_message(&body);
    }

    #[test]
    fn any_mixture_of_what_vendors_send_is_judged(
        status in prop::sample::select(vec![200, 302, 400, 401, 402, 403, 404, 413, 429, 503]),
        pairs in prop::collection::vec((prop::sample::select(NAMES.as_slice()), pieces()), 0..6),
        body in pieces(),
        api in apis(),
    ) {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
        let status = StatusCode::from_u16(status).unwrap();
        let verdict = judge(status, &headers, body.as_bytes(), api, NOW);
        prop_assert!(is_bounded(&verdict));
        prop_assert_eq!(verdict.class == Class::Accept, status.is_success());
        if let Some(verdict) = judge_event(body.as_bytes(), api, NOW) {
            prop_assert!(is_bounded(&verdict));
            prop_assert_ne!(verdict.class, Class::Accept);
        }
        if let Some(message) = caller_message(body.as_bytes()) {
            prop_assert!(message.message.len() <= 4_096);
            prop_assert!(!message.message.contains(char::is_control));
        }
    }
}
