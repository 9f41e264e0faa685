//! Errors inside a 200.

use super::*;
use crate::verdict::judge_event;

fn class(data: &str) -> Option<Class> {
    class_in(data, OPENAI)
}

fn class_in(data: &str, api: Api) -> Option<Class> {
    judge_event(data.as_bytes(), api, NOW).map(|verdict| verdict.class)
}

#[test]
fn good_events_pass() {
    for data in [
        r#"{"id":"1","choices":[{"delta":{"content":"hi"}}]}"#,
        r#"{"id":"1","error":null,"choices":[{"delta":{"content":"hi"}}]}"#,
        r#"{"id":"1","error":"","choices":[]}"#,
        r#"{"choices":[{"delta":{"content":"say \"error\": {\"code\": 500}"}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"function":{"name":"error","arguments":"{\"error\":1}"}}]}}]}"#,
        r#"{"choices":[{"message":{"content":[{"type":"error","error":{"code":500}}]}}]}"#,
        r#"{"type":"message_start","message":{"id":"m","content":[]}}"#,
        r#"[{"candidates":[{"content":{"parts":[{"text":"\"error\""}]}}]}]"#,
        "",
        "[DONE]",
        "null",
        "\"error\"",
        "[]",
        "the word \"error\" in a text",
    ] {
        assert_eq!(class(data), None, "{data}");
    }
}

#[test]
fn an_error_is_judged_by_its_own_code() {
    for (data, expected) in [
        (
            r#"{"error":{"message":"ResourceExhausted: Worker local total request limit reached (16/16)","type":"Service Unavailable","code":503}}"#,
            Class::Overloaded,
        ),
        (
            r#"{"id":"1","choices":[{"delta":{"content":""},"finish_reason":"error"}],"error":{"code":502,"message":"Provider disconnected"}}"#,
            Class::ServerError,
        ),
        (r#"{"error":{"code":429,"message":"slow"}}"#, Class::RateLimited),
        (r#"{"error":{"code":"429","message":"slow"}}"#, Class::RateLimited),
        (r#"{"error":{"code":402,"message":"Insufficient credits"}}"#, Class::Billing),
        (r#"{"error":{"code":401,"message":"User not found."}}"#, Class::Auth),
        (
            r#"{"error":{"message":"x","type":"insufficient_quota","code":"insufficient_quota"}}"#,
            Class::Billing,
        ),
        (
            r#"{"error":{"message":"The model `m` does not exist","code":"model_not_found"}}"#,
            Class::ModelGone,
        ),
        (
            r#"{"error":{"message":"Failed","type":"invalid_request_error","code":"tool_use_failed","status_code":400}}"#,
            Class::CallerFault,
        ),
        (r#"{"error":{"message":"no","code":"content_policy_violation"}}"#, Class::CallerFault),
        (
            r#"{"error":{"message":"This model's maximum context length is 1","code":400}}"#,
            Class::ContextTooLong,
        ),
        (
            r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
            Class::Overloaded,
        ),
        (
            r#"[{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT"}}]"#,
            Class::Auth,
        ),
        (
            r#"{"object":"error","error":{"message":"x","type":"rate_limited"},"code":"1300"}"#,
            Class::RateLimited,
        ),
    ] {
        assert_eq!(class(data), Some(expected), "{data}");
    }
}

#[test]
fn an_error_without_a_code_is_a_lie() {
    for data in [
        r#"{"error":"something broke"}"#,
        r#"{"error":{}}"#,
        r#"{"error":true}"#,
        r#"{"error":[{"x":1}]}"#,
        r#"{"error":{"message":"x","code":200}}"#,
        r#"{"error":{"message":"x","code":99999999999999999999}}"#,
        r#"{"error":{"message":"try again in 5s"}}"#,
        // This path has just answered.
        r#"{"error":{"message":"no such path","code":404}}"#,
    ] {
        assert_eq!(class(data), Some(Class::Lying), "{data}");
    }
    // Unless its words are plain.
    assert_eq!(class(r#"{"error":"the model is overloaded"}"#), Some(Class::Overloaded));
}

#[test]
fn an_error_keeps_its_hint() {
    let data = r#"{"error":{"code":429,"message":"Please try again in 20s."}}"#;
    let verdict = judge_event(data.as_bytes(), OPENAI, NOW).unwrap();
    assert_eq!(wait_of(&verdict), Some(20_000));
}

#[test]
fn pages_are_lies() {
    for data in ["<!DOCTYPE html>", "  <html>", "\u{feff}<HTML", "<?xml version='1.0'?>", "<"] {
        assert_eq!(class(data), Some(Class::Lying), "{data}");
    }
}

#[test]
fn a_cut_document_is_judged_by_what_is_there() {
    assert_eq!(
        class(r#"{"error":{"code":429,"message":"slow"},"id":"12"#),
        Some(Class::RateLimited)
    );
    assert_eq!(class(r#"{"error":{"code":429,"mess"#), Some(Class::RateLimited));
    assert_eq!(class(r#"{"error":{"#), Some(Class::Lying));
    assert_eq!(class(r#"{"error":nul"#), None);
    assert_eq!(class(r#"{"choices":[{"message":{"content":"the \"error\" is"#), None);
    let long = format!(r#"{{"text":"{}","x":"error"}}"#, "a".repeat(100_000));
    assert_eq!(class(&long), None);
}

#[test]
fn the_responses_api_has_events_of_its_own() {
    let api = Api::OpenaiResponses;
    let created =
        r#"{"type":"response.created","response":{"id":"r","status":"in_progress","error":null}}"#;
    assert_eq!(class_in(created, api), None);
    let failed = r#"{"type":"response.failed","response":{"status":"failed","error":{"code":"rate_limit_exceeded","message":"x"}}}"#;
    assert_eq!(class_in(failed, api), Some(Class::RateLimited));
    let flat = r#"{"type":"error","code":"server_error","message":"x","param":null}"#;
    assert_eq!(class_in(flat, api), Some(Class::ServerError));
    assert_eq!(class_in(flat, OPENAI), None);
}
