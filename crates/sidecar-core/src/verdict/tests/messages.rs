//! What a caller gets to read.

use crate::verdict::{CallerMessage, caller_message};

fn message(body: &str) -> Option<String> {
    caller_message(body.as_bytes()).map(|message| message.message)
}

#[test]
fn every_vendors_message_is_found() {
    for (body, expected) in [
        (r#"{"error":{"message":"openai","code":"x"}}"#, "openai"),
        (r#"{"error":"a string"}"#, "a string"),
        (r#"{"error":"Bad Request","message":"the reason"}"#, "the reason"),
        (r#"{"status":400,"title":"Bad Request","detail":"nvidia"}"#, "nvidia"),
        (r#"{"status":429,"title":"Too Many Requests"}"#, "Too Many Requests"),
        (r#"{"code":20015,"message":"siliconflow","data":null}"#, "siliconflow"),
        (r#"[{"error":{"code":400,"message":"gemini","status":"INVALID_ARGUMENT"}}]"#, "gemini"),
        (
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"anthropic"}}"#,
            "anthropic",
        ),
        (
            r#"{"object":"error","message":{"detail":[{"loc":["body","stream_options"],"msg":"Extra inputs are not permitted"}]}}"#,
            "body.stream_options: Extra inputs are not permitted",
        ),
        (r#"{"detail":[{"loc":["body",0],"msg":"one"},{"msg":"two"}]}"#, "body.0: one; two"),
        (r#""a bare string""#, "a bare string"),
        ("404 page not found", "404 page not found"),
        ("\u{feff} \n {\"error\":{\"message\":\"after a mark\"}}", "after a mark"),
    ] {
        assert_eq!(message(body).as_deref(), Some(expected), "{body}");
    }
}

#[test]
fn the_other_fields_come_along() {
    let body =
        r#"{"error":{"message":"m","type":"invalid_request_error","param":"top_p","code":"bad"}}"#;
    let expected = CallerMessage {
        message: "m".to_owned(),
        error_type: Some("invalid_request_error".to_owned()),
        param: Some("top_p".to_owned()),
        code: Some("bad".to_owned()),
        is_context_too_long: false,
    };
    assert_eq!(caller_message(body.as_bytes()), Some(expected));
    let gemini = br#"[{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT"}}]"#;
    let read = caller_message(gemini).unwrap();
    assert_eq!(read.error_type.as_deref(), Some("INVALID_ARGUMENT"));
    assert_eq!(read.code.as_deref(), Some("400"));
    let nvidia = caller_message(br#"{"status":400,"detail":"m","code":null}"#).unwrap();
    assert_eq!((nvidia.error_type, nvidia.code), (None, None));
}

#[test]
fn a_prompt_that_is_too_long_is_told_apart() {
    let body =
        br#"{"code":20015,"message":"length of prompt_tokens must be less than max_seq_len"}"#;
    assert!(caller_message(body).unwrap().is_context_too_long);
    assert!(caller_message(b"prompt is too long").unwrap().is_context_too_long);
}

#[test]
fn nothing_readable_is_nothing() {
    for body in [
        "",
        "  ",
        "{}",
        "[]",
        "null",
        "17",
        "--",
        r#"{"error":{}}"#,
        r#"{"error":{"message":""}}"#,
        r#"{"error":{"message":"\u0000\u0007"}}"#,
        r#"{"error":{"message":"cut"#,
        "<!DOCTYPE html><html><body>insufficient</body></html>",
    ] {
        assert_eq!(message(body), None, "{body}");
    }
    assert_eq!(caller_message(&[0xff, 0xfe, b'a']), None);
}

#[test]
fn keys_addresses_and_control_characters_are_taken_out() {
    let body = r#"{"error":{"message":"bad\u001b[31m key\r\nsk-abcdefgh12345678 at https://10.0.0.1:8000/v1 \u202eevil","param":"nvapi-abcdefghijkl"}}"#;
    let read = caller_message(body.as_bytes()).unwrap();
    assert_eq!(read.message, "bad[31m key  [key] at [url] evil");
    assert_eq!(read.param.as_deref(), Some("[key]"));
}

#[test]
fn a_message_is_cut_at_a_character() {
    let body = format!(r#"{{"error":{{"message":"{}"}}}}"#, "\u{1f600}".repeat(5_000));
    let read = message(&body).unwrap();
    assert_eq!(read.len(), 4_096);
    assert!(read.chars().all(|c| c == '\u{1f600}'));
    let fields = format!(r#"{{"message":"m","code":"{}"}}"#, "c".repeat(5_000));
    assert_eq!(caller_message(fields.as_bytes()).unwrap().code.unwrap().len(), 128);
}
