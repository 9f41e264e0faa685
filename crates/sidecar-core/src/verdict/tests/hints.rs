//! Every way to say how long to wait, and which comes first.

use super::*;
use crate::verdict::HintSource;

/// The wait of a 429 with these headers and this body.
fn wait(pairs: &[(&str, &str)], body: &str) -> Option<u64> {
    wait_of(&judged(429, pairs, body, OPENAI))
}

/// The wait that a 200 with these headers hints at.
fn wait_after_success(pairs: &[(&str, &str)]) -> Option<u64> {
    let verdict = judged(200, pairs, "", OPENAI);
    assert_eq!(verdict.class, Class::Accept);
    wait_of(&verdict)
}

#[test]
fn retry_after_is_read_in_all_its_forms() {
    for (text, millis) in [
        ("12", 12_000),
        ("0.5", 500),
        (" 7 ", 7_000),
        ("30s", 30_000),
        ("Thu, 15 Jan 2026 12:01:00 GMT", 60_000),
        ("2026-01-15T12:00:30Z", 30_000),
        // A moment where a span should be.
        ("1768478405", 5_000),
        ("1768478405000", 5_000),
    ] {
        assert_eq!(wait(&[("retry-after", text)], ""), Some(millis), "{text}");
    }
    assert_eq!(wait(&[("retry-after-ms", "1500.5")], ""), Some(1_500));
}

#[test]
fn reset_headers_are_read_in_all_their_forms() {
    for (text, millis) in [
        ("6m0s", 360_000),
        ("17.39s", 17_390),
        ("17.399999999s", 17_399),
        ("26ms", 26),
        ("2m59.56s", 179_560),
        ("2026-01-15T12:00:53Z", 53_000),
        ("2026-01-15T20:00:53+08:00", 53_000),
        ("1768478460000", 60_000),
        ("1768478460", 60_000),
        ("41", 41_000),
    ] {
        let pairs = [("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", text)];
        assert_eq!(wait(&pairs, ""), Some(millis), "{text}");
    }
}

#[test]
fn every_vendors_reset_headers_are_known() {
    for (remaining, reset, text, millis) in [
        ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests", "8.64s", 8_640),
        ("x-ratelimit-remaining-input-images", "x-ratelimit-reset-input-images", "1s", 1_000),
        (
            "anthropic-ratelimit-requests-remaining",
            "anthropic-ratelimit-requests-reset",
            "2026-01-15T12:00:02Z",
            2_000,
        ),
        (
            "anthropic-ratelimit-output-tokens-remaining",
            "anthropic-ratelimit-output-tokens-reset",
            "2026-01-15T12:00:03Z",
            3_000,
        ),
        ("x-ratelimit-remaining", "x-ratelimit-reset", "4", 4_000),
        ("x-ratelimit-remaining", "x-ratelimit-reset", "1768478405000", 5_000),
        ("ratelimitbysize-remaining", "ratelimitbysize-reset", "6", 6_000),
    ] {
        assert_eq!(wait(&[(remaining, "0"), (reset, text)], ""), Some(millis), "{remaining}");
        assert_eq!(wait(&[(remaining, "1"), (reset, text)], ""), None, "{remaining}");
        assert_eq!(wait(&[(remaining, "0")], ""), None, "{remaining}");
    }
    let draft = [("ratelimit", "\"api\";r=0;t=295, \"day\";r=9;t=4000")];
    assert_eq!(wait(&draft, ""), Some(295_000));
    assert_eq!(wait(&[("ratelimit", "\"api\";r=999;t=295")], ""), None);
}

#[test]
fn azure_counts_in_milliseconds() {
    let pairs = [
        ("x-ratelimit-remaining-requests", "0"),
        ("x-ratelimit-reset-requests", "500"),
        ("x-ratelimit-renewalperiod-requests", "60"),
    ];
    assert_eq!(wait(&pairs, ""), Some(500));
}

#[test]
fn the_longest_of_the_exhausted_dimensions_counts() {
    let pairs = [
        ("x-ratelimit-remaining-requests", "0"),
        ("x-ratelimit-reset-requests", "3s"),
        ("x-ratelimit-remaining-tokens", "0"),
        ("x-ratelimit-reset-tokens", "9s"),
        ("x-ratelimit-remaining-input-images", "5"),
        ("x-ratelimit-reset-input-images", "60s"),
    ];
    assert_eq!(wait(&pairs, ""), Some(9_000));
}

#[test]
fn the_most_exact_source_comes_first() {
    let body = r#"{"error":{"message":"Please try again in 5s","details":[{"@type":"x/google.rpc.RetryInfo","retryDelay":"4s"}]}}"#;
    let mut pairs = vec![
        ("retry-after-ms", "1000"),
        ("retry-after", "2"),
        ("x-ratelimit-remaining-requests", "0"),
        ("x-ratelimit-reset-requests", "3s"),
    ];
    assert_eq!(wait(&pairs, body), Some(1_000));
    pairs.remove(0);
    assert_eq!(wait(&pairs, body), Some(2_000));
    pairs.remove(0);
    assert_eq!(wait(&pairs, body), Some(3_000));
    assert_eq!(wait(&[], body), Some(4_000));
    assert_eq!(wait(&[], r#"{"error":{"message":"Please try again in 5s"}}"#), Some(5_000));
    assert_eq!(wait(&[], "{}"), None);
}

#[test]
fn prose_is_read_from_any_body() {
    for (body, millis) in [
        (r#"{"message":"Try again in 9m38.016s."}"#, 578_016),
        (r#"[{"error":{"message":"Please retry in 856.559356ms."}}]"#, 856),
        (r#""Too many requests, retry after 12 seconds""#, 12_000),
        ("please try again after 1 seconds", 1_000),
        (r#"{"error":"Retry after 7"}"#, 7_000),
        (r#"{"detail":"Please wait 2 minutes and 5 seconds."}"#, 125_000),
    ] {
        assert_eq!(wait(&[], body), Some(millis), "{body}");
    }
}

#[test]
fn a_hint_that_says_nothing_gives_way_to_the_next() {
    let body = "try again in 5s";
    for text in ["0", "", "-3", "soon", "NaN", "Thu, 15 Jan 2026 11:00:00 GMT"] {
        assert_eq!(wait(&[("retry-after", text)], body), Some(5_000), "{text}");
    }
    assert_eq!(wait(&[("retry-after-ms", "0"), ("retry-after", "2")], body), Some(2_000));
}

#[test]
fn a_calendar_is_told_from_what_the_provider_said() {
    let source = |pairs: &[(&str, &str)], body: &str| {
        judged(429, pairs, body, OPENAI).hint.map(|hint| hint.source)
    };
    assert_eq!(source(&[("retry-after", "5")], ""), Some(HintSource::Authoritative));
    let day = r#"{"message":"Details: RPD limit reached."}"#;
    assert_eq!(source(&[("retry-after", "5")], day), Some(HintSource::Computed));
    let stated = r#"{"message":"Daily limit reached. Try again in 3 hours."}"#;
    assert_eq!(source(&[], stated), Some(HintSource::Authoritative));
}

#[test]
fn only_limits_and_faults_of_the_provider_have_hints() {
    let pairs = [("retry-after", "5")];
    for (status, millis) in [
        (429, Some(5_000)),
        (500, Some(5_000)),
        (503, Some(5_000)),
        (529, Some(5_000)),
        (400, None),
        (401, None),
        (403, None),
        (404, None),
        (410, None),
        (302, None),
    ] {
        assert_eq!(wait_of(&judged(status, &pairs, "", OPENAI)), millis, "{status}");
    }
    // A budget that happens to be used up does not explain a fault.
    let pairs = [("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "60s")];
    assert_eq!(wait_of(&judged(503, &pairs, "", OPENAI)), None);
}

#[test]
fn a_good_answer_may_be_the_last_for_now() {
    let day = (12 + 16 * 24) * HOUR;
    for (pairs, millis) in [
        (
            [("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "8.64s")],
            Some(8_640),
        ),
        ([("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "2")], Some(2_000)),
        (
            [
                ("anthropic-ratelimit-requests-remaining", "0"),
                ("anthropic-ratelimit-requests-reset", "2026-01-15T12:00:02Z"),
            ],
            Some(2_000),
        ),
        ([("x-ratelimit-remaining-req-10-second", "0"), ("retry-after", "99")], Some(10_000)),
        ([("x-ratelimit-remaining-tokens-month", "0"), ("retry-after", "99")], Some(day)),
        // Room for one more, and no room for a long one.
        ([("x-ratelimit-remaining-requests", "1"), ("x-ratelimit-reset-requests", "8.64s")], None),
        ([("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "8.64s")], None),
        ([("retry-after", "5"), ("retry-after-ms", "5000")], None),
    ] {
        assert_eq!(wait_after_success(&pairs), millis, "{pairs:?}");
    }
}
