//! What a caller sees when providers fail.

use serde_json::{Value, json};

use crate::support::{
    Answer, Home, Refusing, Script, Server, Step, Upstream, chat, provider, with,
};

/// A server with a primary and a fallback provider of the same model.
async fn pair(home: &Home, primary: &str, fallback: &str) -> Server {
    let server = home.start().await;
    // A hanging provider costs a second, not a minute.
    let impatient = json!({"timeout_seconds": 1, "first_token_timeout_seconds": 1});
    server.add(with(provider("primary", primary), impatient)).await;
    server.add(with(provider("fallback", fallback), json!({"pool": "fallback"}))).await;
    server
}

fn asked(stream: bool) -> Value {
    with(chat("llama"), json!({"stream": stream}))
}

fn assert_served_by_fallback(what: &str, stream: bool, answer: &Answer) {
    let whole = answer.whole();
    assert_eq!(answer.status, 200, "{what}, stream {stream}: {whole}");
    assert_eq!(answer.header("x-sidecar-provider"), "fallback", "{what}: {whole}");
    assert_eq!(answer.header("x-sidecar-attempts"), "2", "{what}: {whole}");
    assert!(whole.contains("Hello") && !answer.cut, "{what}: {whole}");
    assert_eq!(answer.text().ends_with("data: [DONE]\n\n"), stream, "{what}: {whole}");
}

#[tokio::test]
async fn a_primary_that_fails_before_it_answers_is_replaced_unnoticed() {
    let empty = Script::Stream(Vec::new());
    let only_comments = Script::Stream(vec![Step::Send(": waiting\n\n")]);
    let error_in_200 = Script::Stream(vec![Step::Send(
        "data: {\"error\":{\"message\":\"upstream-words\",\"type\":\"server_error\"}}\n\n",
    )]);
    let page = Script::Answer {
        status: 200,
        headers: vec![("content-type", "text/html")],
        body: "<!doctype html><title>upstream-words</title>".to_owned(),
    };
    for (what, script) in [
        ("429", Script::status(429, "upstream-words")),
        ("500", Script::status(500, "upstream-words")),
        ("503", Script::status(503, "upstream-words")),
        ("401", Script::status(401, "upstream-words")),
        ("reset", Script::Reset),
        ("closed before the head", Script::Close),
        ("hang", Script::Hang),
        ("empty stream", empty),
        ("stream of comments", only_comments),
        ("error in a 200", error_in_200),
        ("page", page),
    ] {
        for stream in [false, true] {
            let (home, primary, fallback) =
                (Home::new(), Upstream::following(script.clone()).await, Upstream::start().await);
            let server = pair(&home, &primary.base_url(), &fallback.base_url()).await;
            let answer = server.post("/v1/chat/completions", &asked(stream)).await;
            assert_served_by_fallback(what, stream, &answer);
            assert!(!answer.whole().contains("upstream-words"), "{what}: {}", answer.whole());
            assert_eq!((primary.count(), fallback.count()), (1, 1), "{what}, stream {stream}");
        }
    }
}

#[tokio::test]
async fn a_primary_that_refuses_connections_is_replaced_unnoticed() {
    for stream in [false, true] {
        let (home, primary, fallback) = (Home::new(), Refusing::new(), Upstream::start().await);
        let server = pair(&home, &primary.base_url(), &fallback.base_url()).await;
        let answer = server.post("/v1/chat/completions", &asked(stream)).await;
        assert_served_by_fallback("refused", stream, &answer);
        assert_eq!(fallback.count(), 1);
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_is_neither_sent_again_nor_passed_off_as_whole() {
    let (home, primary, fallback) = (Home::new(), Upstream::start().await, Upstream::start().await);
    let server = pair(&home, &primary.base_url(), &fallback.base_url()).await;
    let first = "data: {\"choices\":[{\"delta\":{\"content\":\"Hel\"}}]}\n\n";
    primary.follow(Script::Stream(vec![Step::Send(first), Step::Cut]));

    let answer = server.post("/v1/chat/completions", &asked(true)).await;
    let text = answer.text();
    assert_eq!(answer.header("x-sidecar-provider"), "primary", "{}", answer.whole());
    assert!(text.starts_with(first), "{text}");
    // Either the body breaks off, or its last event says that it did, or both.
    assert!(answer.cut || text[first.len()..].contains(r#"data: {"error""#), "{text}");
    assert!(!text.contains("[DONE]") && !text.contains("Hello"), "{text}");
    assert_eq!((primary.count(), fallback.count()), (1, 0));
}

#[tokio::test]
async fn an_unknown_model_is_named_in_the_shape_of_its_family() {
    let (home, upstream) = (Home::new(), Upstream::start().await);
    let server = home.start().await;
    server.add(provider("one", &upstream.base_url())).await;

    let answer = server.post("/v1/chat/completions", &chat("no-such-model")).await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.header("content-type"), "application/json");
    let error = openai_error(&answer);
    assert_eq!(error["type"], "invalid_request_error");
    assert_eq!(error["code"], "model_not_found");
    assert!(error["message"].as_str().unwrap().contains("no-such-model"), "{error}");

    let answer = server.post("/v1/messages", &chat("no-such-model")).await;
    assert_eq!(answer.status, 404);
    let error = anthropic_error(&answer);
    assert!(error["message"].as_str().unwrap().contains("no-such-model"), "{error}");
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_faulty_key_is_never_the_callers_business() {
    for status in [401, 402, 403] {
        let upstream = Upstream::following(Script::status(status, "upstream-words")).await;
        let home = Home::new();
        let server = home.start().await;
        server.add(provider("only", &upstream.base_url())).await;
        for round in ["first", "the key rests"] {
            let answer = server.post("/v1/chat/completions", &chat("llama")).await;
            assert_eq!(answer.status, 503, "{status}, {round}: {}", answer.whole());
            assert_exhausted(&answer);
            let error = openai_error(&answer);
            assert_eq!(error["message"], "All provider pools exhausted");
            assert_eq!(error["type"], "server_error");
            assert_eq!(error["code"], "all_pools_exhausted");
            assert!(!answer.whole().contains("upstream-words"), "{}", answer.whole());
            assert_eq!(upstream.count(), 1, "{status}, {round}");
        }
    }
}

#[tokio::test]
async fn nothing_left_is_said_in_the_shape_of_the_family() {
    let (home, upstream) = (Home::new(), Upstream::following(Script::status(401, "no")).await);
    let server = home.start().await;
    let api = json!({"api": "anthropic-messages"});
    server.add(with(provider("claude", &upstream.base_url()), api)).await;
    let answer = server.post("/v1/messages", &chat("llama")).await;
    assert_eq!(answer.status, 503, "{}", answer.whole());
    assert_exhausted(&answer);
    anthropic_error(&answer);
}

#[tokio::test]
async fn the_callers_own_fault_is_passed_on_once_in_our_four_fields() {
    for status in [400, 404, 413, 415, 422] {
        let (home, primary, fallback) =
            (Home::new(), Upstream::start().await, Upstream::start().await);
        let server = pair(&home, &primary.base_url(), &fallback.base_url()).await;
        let said = json!({"error": {
            "message": "temperature is out of range",
            "type": "invalid_request_error",
            "param": "temperature",
            "code": "out_of_range",
            "more": "dropped",
        }});
        let headers = vec![("content-type", "application/json")];
        primary.follow(Script::Answer { status, headers, body: said.to_string() });
        let answer = server.post("/v1/chat/completions", &chat("llama")).await;
        assert_eq!(answer.status, status, "{}", answer.whole());
        let expected = json!({
            "message": "temperature is out of range",
            "type": "invalid_request_error",
            "param": "temperature",
            "code": "out_of_range",
        });
        assert_eq!(openai_error(&answer), expected);
        assert_eq!((primary.count(), fallback.count()), (1, 0), "{status}");
    }
}

/// The error of an OpenAI answer, which has exactly the four fields.
fn openai_error(answer: &Answer) -> Value {
    assert_ne!(answer.header("x-request-id"), "");
    let body = answer.json();
    assert_eq!(keys(&body), ["error"], "{body}");
    assert_eq!(keys(&body["error"]), ["code", "message", "param", "type"], "{body}");
    body["error"].clone()
}

/// The error of an Anthropic answer.
fn anthropic_error(answer: &Answer) -> Value {
    assert_ne!(answer.header("x-request-id"), "");
    let body = answer.json();
    assert_eq!(body["type"], "error", "{body}");
    assert!(body["error"]["type"].is_string() && body["error"]["message"].is_string(), "{body}");
    body["error"].clone()
}

/// The headers that make clients turn to their own fallback at once.
fn assert_exhausted(answer: &Answer) {
    let whole = answer.whole();
    let number = |name| answer.header(name).parse::<u64>().unwrap_or(0);
    assert!(number("retry-after") >= 120, "{whole}");
    assert!(number("x-sidecar-next-available-ms") > 0, "{whole}");
    assert_eq!(answer.header("x-should-retry"), "false", "{whole}");
    assert_eq!(answer.header("x-sidecar-reason"), "AllPoolsExhausted", "{whole}");
}

/// The sorted names of an object's fields.
fn keys(object: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}
