//! What reaches a provider, and what comes back, while all is well.

use std::sync::Arc;

use http::Request;
use serde_json::json;
use tokio::sync::Notify;

use crate::support::{
    Home, Script, Step, Upstream, body_of, chat, json_body, key_of, next_bytes, provider, request,
    with,
};

#[tokio::test]
async fn a_provider_is_asked_by_its_own_name_for_the_model_and_nothing_else_changes() {
    let (home, upstream) = (Home::new(), Upstream::start().await);
    let server = home.start().await;
    server.add(provider("one", &upstream.base_url())).await;

    let body = r#"{"model" : "llama",  "temperature":0.10, "x":[1, 2],"messages":[]}"#;
    let asked = request("POST", "/v1/chat/completions").body(body.into()).unwrap();
    let answer = server.call(asked).await;

    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("x-sidecar-provider"), "one");
    assert_eq!(answer.header("x-sidecar-attempts"), "1");
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.json()["choices"][0]["message"]["content"], "Hello");
    let seen = upstream.last();
    assert_eq!(seen.method, "POST");
    assert_eq!(seen.target, "/v1/chat/completions");
    assert_eq!(String::from_utf8_lossy(&seen.body), body.replace("llama", "meta/llama-3"));
}

#[tokio::test]
async fn the_models_are_listed_here_by_their_canonical_names() {
    let (home, upstream) = (Home::new(), Upstream::start().await);
    let server = home.start().await;
    let mappings = json!({"llama": {
        "native_id": "meta/llama-3", "context_window": 8192, "max_tokens": 1024,
    }});
    let one = provider("one", &upstream.base_url());
    server.add(with(one, json!({"model_mappings": mappings}))).await;
    let off = provider("off", &upstream.base_url());
    let off = with(off, json!({"enabled": false, "model_mappings": {"hidden": {}}}));
    server.add(off).await;

    let get = |path: &str| Request::get(path).body(Default::default()).unwrap();
    let list = server.call(get("/v1/models")).await.json();
    assert_eq!(list["object"], "list");
    assert_eq!(list["data"].as_array().unwrap().len(), 1, "{list}");
    let model = &list["data"][0];
    assert_eq!((&model["id"], &model["object"]), (&json!("llama"), &json!("model")));
    assert_eq!(model["context_window"], 8192);
    assert_eq!(model["max_tokens"], 1024);

    assert_eq!(server.call(get("/v1/models/llama")).await.json()["id"], "llama");
    let missing = server.call(get("/v1/models/meta%2Fllama-3")).await;
    assert_eq!(missing.status, 404);
    assert_eq!(missing.json()["error"]["code"], "model_not_found");
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn what_tells_of_the_caller_never_reaches_a_provider() {
    let (home, upstream) = (Home::new(), Upstream::start().await);
    let server = home.start().await;
    server.add(provider("one", &upstream.base_url())).await;

    let mut asked = request("POST", "/v1/chat/completions");
    for name in [
        "authorization",
        "cookie",
        "x-api-key",
        "api-key",
        "x-goog-api-key",
        "proxy-authorization",
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-real-ip",
        "via",
        "referer",
        "x-agent-id",
        "x-sidecar-task",
        "x-hop",
        "x-anything",
    ] {
        asked = asked.header(name, "Bearer caller-needle");
    }
    asked = asked.header("origin", "app://caller-needle");
    let passed = [
        ("accept", "application/json"),
        ("accept-language", "de"),
        ("user-agent", "agent/1"),
        ("idempotency-key", "same"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("http-referer", "https://app.example"),
        ("x-title", "app"),
        ("openai-organization", "org-1"),
        ("x-stainless-lang", "rust"),
    ];
    for (name, value) in passed {
        asked = asked.header(name, value);
    }
    asked = asked.header("connection", "x-hop").header("accept-encoding", "gzip");
    let answer = server.call(asked.body(json_body(&chat("llama"))).unwrap()).await;

    assert_eq!(answer.status, 200, "{}", answer.text());
    let seen = upstream.last();
    assert!(!seen.whole().contains("caller-needle"), "{}", seen.whole());
    for (name, value) in passed {
        assert_eq!(seen.header(name), value, "{name}");
    }
    assert_eq!(seen.header("authorization"), format!("Bearer {}", key_of("one")));
    assert_eq!(seen.header("host"), upstream.authority());
    assert_eq!(seen.header("accept-encoding"), "identity");
    assert_eq!(seen.header("content-length"), seen.body.len().to_string());
    assert_eq!(seen.header("transfer-encoding"), "");
    assert_eq!(seen.headers.iter().filter(|(name, _)| name == "host").count(), 1);
}

#[tokio::test]
async fn what_tells_of_the_provider_never_reaches_a_caller() {
    let (home, upstream) = (Home::new(), Upstream::start().await);
    let server = home.start().await;
    server.add(provider("one", &upstream.base_url())).await;
    upstream.follow(Script::Answer {
        status: 200,
        headers: vec![
            ("content-type", "application/json"),
            ("set-cookie", "provider-needle"),
            ("server", "provider-needle"),
            ("location", "http://provider-needle/"),
            ("alt-svc", "provider-needle"),
            ("x-anything", "provider-needle"),
            ("x-request-id", "upstream-1"),
            ("x-ratelimit-remaining-requests", "39"),
            ("openai-processing-ms", "12"),
        ],
        body: r#"{"choices":[]}"#.to_owned(),
    });
    let answer = server.post("/v1/chat/completions", &chat("llama")).await;

    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(!answer.whole().contains("provider-needle"), "{}", answer.whole());
    assert_eq!(answer.header("x-upstream-request-id"), "upstream-1");
    assert_ne!(answer.header("x-request-id"), "upstream-1");
    assert_eq!(answer.header("x-ratelimit-remaining-requests"), "39");
    assert_eq!(answer.header("openai-processing-ms"), "12");
}

#[tokio::test]
async fn the_url_is_that_of_the_provider_with_the_path_and_query_of_the_caller() {
    let (home, upstream) = (Home::new(), Upstream::start().await);
    let server = home.start().await;
    server.add(provider("one", &upstream.base_url())).await;
    let query = "?api-version=2026-01&x=a%20b&flag";
    for (base, asked, expected) in [
        ("/v1", "/v1/chat/completions", "/v1/chat/completions"),
        ("/v1/", "/v1/chat/completions", "/v1/chat/completions"),
        ("", "/v1/chat/completions", "/v1/chat/completions"),
        ("/", "/v1/chat/completions", "/v1/chat/completions"),
        ("/api/paas/v4", "/v1/chat/completions", "/api/paas/v4/chat/completions"),
        ("/v1", "/chat/completions", "/v1/chat/completions"),
        ("", "/chat/completions", "/v1/chat/completions"),
        ("/api/paas/v4", "/chat/completions", "/api/paas/v4/chat/completions"),
    ] {
        let base_url = format!("http://{}{base}", upstream.authority());
        server.change("one", json!({"api_base_url": base_url})).await;
        let answer = server.post(&format!("{asked}{query}"), &chat("llama")).await;
        assert_eq!(answer.status, 200, "{base} {asked}: {}", answer.text());
        assert_eq!(upstream.last().target, format!("{expected}{query}"), "{base} {asked}");
    }
}

#[tokio::test]
async fn each_family_goes_to_a_provider_that_speaks_it() {
    let (home, openai, claude) = (Home::new(), Upstream::start().await, Upstream::start().await);
    let server = home.start().await;
    server.add(provider("openai", &openai.base_url())).await;
    let api = json!({"api": "anthropic-messages"});
    server.add(with(provider("claude", &claude.base_url()), api)).await;

    for stream in [false, true] {
        let ask = with(chat("llama"), json!({"stream": stream, "max_tokens": 8}));
        let answer = server.post("/v1/messages", &ask).await;
        assert_eq!(answer.header("x-sidecar-provider"), "claude", "{}", answer.whole());
        assert!(answer.text().contains("Hello"), "{}", answer.text());
    }
    let seen = claude.last();
    assert_eq!(seen.target, "/v1/messages");
    assert_eq!(seen.json()["model"], "meta/llama-3");
    assert_eq!(seen.header("x-api-key"), key_of("claude"));
    assert_eq!(seen.header("authorization"), "");
    assert_ne!(seen.header("anthropic-version"), "");

    let ask = json!({"model": "llama", "input": "hi"});
    let answer = server.post("/v1/embeddings", &ask).await;
    assert_eq!(answer.header("x-sidecar-provider"), "openai", "{}", answer.whole());
    assert_eq!(openai.last().target, "/v1/embeddings");
    assert_eq!((openai.count(), claude.count()), (1, 2));
}

#[tokio::test]
async fn a_stream_is_passed_on_frame_by_frame_and_byte_for_byte() {
    let (home, upstream) = (Home::new(), Upstream::start().await);
    let server = home.start().await;
    server.add(provider("one", &upstream.base_url())).await;
    let first = "data: {\"choices\":[{\"delta\":{\"content\":\"He\"}}]}\n\n";
    let rest = ": keep-alive\n\ndata:{\"choices\":[],  \"usage\":null}\r\n\r\ndata: [DONE]\n\n";
    let go_on = Arc::new(Notify::new());
    upstream.follow(Script::Stream(vec![
        Step::Send(first),
        Step::Wait(go_on.clone()),
        Step::Send(rest),
    ]));

    let ask = with(chat("llama"), json!({"stream": true}));
    let asked = request("POST", "/v1/chat/completions").body(json_body(&ask)).unwrap();
    let (head, mut body) = server.open(asked).await.into_parts();
    assert_eq!(head.status, 200);
    assert_eq!(head.headers["content-type"], "text/event-stream");
    // The provider sends no more until this has come.
    assert_eq!(String::from_utf8_lossy(&next_bytes(&mut body, first.len()).await), first);
    go_on.notify_one();
    let (bytes, cut) = body_of(&mut body).await;
    assert_eq!(String::from_utf8_lossy(&bytes), rest);
    assert!(!cut);
}

#[tokio::test]
async fn a_caller_who_asks_for_usage_in_a_stream_gets_it_and_nobody_else() {
    let (home, upstream) = (Home::new(), Upstream::start().await);
    let server = home.start().await;
    server.add(provider("one", &upstream.base_url())).await;
    for asked in [false, true] {
        let options = json!({"stream": true, "stream_options": {"include_usage": asked}});
        let answer = server.post("/v1/chat/completions", &with(chat("llama"), options)).await;
        let text = answer.text();
        assert_eq!(text.contains(r#""total_tokens":8"#), asked, "{text}");
        assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
        assert!(!answer.cut);
    }
}
