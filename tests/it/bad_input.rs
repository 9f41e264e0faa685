//! Every bad input gets its stated error, and nothing changes.

use bytes::Bytes;
use http_body_util::Full;
use serde_json::{Value, json};

use crate::support::{
    ADMIN_TOKEN, Answer, Home, Server, Upstream, chat, json_body, key_of, provider, raw_upload,
    request, status_of, with,
};

/// A server with the providers `one` and `two` at `upstream`.
async fn two_providers(home: &Home, upstream: &Upstream) -> Server {
    let server = home.start().await;
    server.add(provider("one", &upstream.base_url())).await;
    server.add(provider("two", &upstream.base_url())).await;
    server
}

/// The providers without what changes by itself.
async fn configured(server: &Server) -> Vec<Value> {
    let mut providers = server.providers().await;
    for provider in &mut providers {
        let fields = provider.as_object_mut().unwrap();
        for live in LIVE {
            fields.remove(live);
        }
    }
    providers
}

#[tokio::test]
async fn a_request_that_cannot_be_read_is_refused_and_goes_nowhere() {
    let (home, upstream) = (Home::new(), Upstream::start().await);
    let server = two_providers(&home, &upstream).await;
    let before = configured(&server).await;
    let bodies: &[(&str, &[u8])] = &[
        ("nothing", b""),
        ("not JSON", b"model=llama"),
        ("half of it", br#"{"model":"llama","messages":["#),
        ("more than it", br#"{"model":"llama"}{"model":"llama"}"#),
        ("an array", br#"["llama",true]"#),
        ("a string", br#""llama""#),
        ("no model", br#"{"messages":[]}"#),
        ("no text as model", br#"{"model":7}"#),
        ("null as model", br#"{"model":null}"#),
        ("two models", br#"{"model":"llama","model":"other"}"#),
        ("two models, one in disguise", br#"{"model":"llama","mod\u0065l":"other"}"#),
        ("invalid UTF-8 as model", b"{\"model\":\"ll\xffma\"}"),
        ("invalid UTF-8 elsewhere", b"{\"model\":\"llama\",\"messages\":[\"\xc3\x28\"]}"),
    ];
    for (what, body) in bodies {
        let body = Full::new(Bytes::from_static(body));
        let asked = request("POST", "/v1/chat/completions").body(body).unwrap();
        assert_openai_error(what, &server.call(asked).await, 400);
    }

    let asked = request("POST", "/v1/chat/completions").header("x-sidecar-deadline-ms", "soon");
    let answer = server.call(asked.body(json_body(&chat("llama"))).unwrap()).await;
    assert_openai_error("no number as deadline", &answer, 400);

    assert_eq!(upstream.count(), 0);
    assert_eq!(configured(&server).await, before);
}

#[tokio::test]
async fn a_body_over_the_cap_is_refused_however_it_is_framed() {
    let (home, upstream) = (Home::new(), Upstream::start().await);
    let server = two_providers(&home, &upstream).await;
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: sidecar\r\n\
                content-type: application/json\r\nconnection: close\r\n";
    let length = 40 << 20;
    for (what, framing, start) in [
        ("stated", format!("content-length: {length}"), String::new()),
        // One chunk that says that it is as long.
        ("chunked", "transfer-encoding: chunked".to_owned(), format!("{length:x}\r\n")),
    ] {
        let answer =
            raw_upload(server.addr(), &format!("{head}{framing}\r\n\r\n{start}"), length).await;
        assert_eq!(status_of(&answer), 413, "{what}: {answer}");
        assert!(answer.contains(r#""code":"body_too_large""#), "{what}: {answer}");
    }
    assert_eq!(upstream.count(), 0);
    let answer = server.post("/v1/chat/completions", &chat("llama")).await;
    assert_eq!(answer.status, 200, "the next request is served: {}", answer.whole());
}

#[tokio::test]
async fn a_provider_that_cannot_be_is_refused_field_by_field() {
    let (home, upstream) = (Home::new(), Upstream::start().await);
    let server = two_providers(&home, &upstream).await;
    let before = configured(&server).await;
    let url = |url: &str| json!({"api_base_url": url});
    for (change, status, field) in [
        (url("ftp://127.0.0.1/v1"), 400, "api_base_url"),
        (url("file:///etc/passwd"), 400, "api_base_url"),
        (url("http://user:needle@127.0.0.1/v1"), 400, "api_base_url"),
        (url("http://169.254.169.254/v1"), 400, "api_base_url"),
        (url("http://169.254.169.254./v1"), 400, "api_base_url"),
        (url("http://2852039166/v1"), 400, "api_base_url"),
        (url("http://0xa9fea9fe/v1"), 400, "api_base_url"),
        (url("http://[::ffff:169.254.169.254]/v1"), 400, "api_base_url"),
        (url("http://[fe80::1]/v1"), 400, "api_base_url"),
        (url("http://metadata.google.internal/v1"), 400, "api_base_url"),
        (url("http://127.0.0.1/v1?x=1"), 400, "api_base_url"),
        (url("http://127.0.0.1/v1#x"), 400, "api_base_url"),
        (url("not a url"), 400, "api_base_url"),
        (url(""), 400, "api_base_url"),
        (json!({"rpm_limit": 0}), 400, "rpm_limit"),
        (json!({"rpm_limit": 1_000_001}), 400, "rpm_limit"),
        (json!({"timeout_seconds": 0}), 400, "timeout_seconds"),
        (json!({"name": ""}), 400, "name"),
        (json!({"name": "two"}), 409, "name"),
        (json!({"api_key": ""}), 400, "api_key"),
        (json!({"api_key": "sk-one****cdef"}), 400, "api_key"),
        (json!({"api_key": "line\nneedle"}), 400, "api_key"),
    ] {
        // As a new provider, and as a change to one that is there.
        let new = with(provider("three", &upstream.base_url()), change.clone());
        assert_refused(&server.admin("POST", "/backends", new).await, status, field, &change);
        // A new origin needs its key, so that the URL is all that is wrong.
        let key = json!({"api_key": key_of("one")});
        let change = if field == "api_base_url" { with(key, change) } else { change };
        let answer = server.admin("PUT", "/backends/one", change.clone()).await;
        assert_refused(&answer, status, field, &change);
    }
    for field in ["name", "api_base_url", "api_key"] {
        let mut new = provider("three", &upstream.base_url());
        new.as_object_mut().unwrap().remove(field);
        let answer = server.admin("POST", "/backends", new).await;
        assert_refused(&answer, 400, field, &json!("missing"));
    }
    assert_eq!(configured(&server).await, before);
}

#[tokio::test]
async fn an_admin_body_of_another_form_is_refused_and_says_why() {
    let (home, upstream) = (Home::new(), Upstream::start().await);
    let server = two_providers(&home, &upstream).await;
    let before = configured(&server).await;
    for (change, named) in [
        (json!({"unknwon": 1}), "unknwon"),
        (json!({"id": "another"}), "id"),
        (json!({"status": "healthy"}), "status"),
        (json!({"pool": "third"}), "pool"),
        (json!({"api": "smtp"}), "api"),
        (json!({"enabled": "yes"}), "enabled"),
        (json!({"rpm_limit": "many"}), "rpm_limit"),
        (json!({"model_mappings": {"m": {"unknwon": 1}}}), "unknwon"),
    ] {
        let new = with(provider("three", &upstream.base_url()), change.clone());
        for answer in [
            server.admin("POST", "/backends", new).await,
            server.admin("PUT", "/backends/one", change.clone()).await,
        ] {
            assert_eq!(answer.status, 400, "{change}: {}", answer.whole());
            assert!(answer.text().contains(named), "{change}: {}", answer.text());
            assert!(answer.json()["detail"].is_string(), "{}", answer.text());
        }
    }
    // An array is no object, even where its elements would fit the fields by their order.
    for body in ["", "{", "[]", r#"["three"]"#, "null", r#"{"label":"three"} x"#] {
        for (method, path) in [("POST", "/api/admin/backends"), ("PUT", "/api/admin/backends/one")]
        {
            let asked =
                request(method, path).header("authorization", format!("Bearer {ADMIN_TOKEN}"));
            let answer = server.call(asked.body(body.into()).unwrap()).await;
            assert_eq!(answer.status, 400, "{method} {body}: {}", answer.whole());
            assert!(answer.json()["detail"].is_string(), "{}", answer.text());
        }
    }
    assert_eq!(configured(&server).await, before);
}

#[tokio::test]
async fn a_masked_key_written_back_is_refused() {
    let (home, upstream) = (Home::new(), Upstream::start().await);
    let server = two_providers(&home, &upstream).await;
    let before = configured(&server).await;
    let masked = before[0]["api_key"].clone();
    assert_eq!(masked, "sk-one****cdef");
    let change = json!({"api_key": masked});
    let answer = server.admin("PUT", "/backends/one", change.clone()).await;
    assert_refused(&answer, 400, "api_key", &change);
    assert_eq!(configured(&server).await, before);
}

#[tokio::test]
async fn a_key_is_not_taken_along_to_a_new_origin() {
    let (home, upstream) = (Home::new(), Upstream::start().await);
    let server = two_providers(&home, &upstream).await;
    let before = configured(&server).await;
    let elsewhere = Upstream::start().await;
    let change = json!({"api_base_url": elsewhere.base_url()});
    let answer = server.admin("PUT", "/backends/one", change.clone()).await;
    assert_refused(&answer, 409, "api_key", &change);
    assert_eq!(configured(&server).await, before);

    // With the key it may go; the path alone may change without.
    server.change("one", with(change, json!({"api_key": key_of("one")}))).await;
    let path = format!("http://{}/v2", elsewhere.authority());
    server.change("one", json!({"api_base_url": path})).await;
}

#[tokio::test]
async fn a_name_that_is_taken_is_refused() {
    let (home, upstream) = (Home::new(), Upstream::start().await);
    let server = two_providers(&home, &upstream).await;
    let before = configured(&server).await;
    let again = provider("one", &upstream.base_url());
    let answer = server.admin("POST", "/backends", again).await;
    assert_refused(&answer, 409, "name", &json!("one"));
    assert_eq!(configured(&server).await, before);
}

#[tokio::test]
async fn a_provider_that_is_not_there_is_a_404() {
    let (home, upstream) = (Home::new(), Upstream::start().await);
    let server = two_providers(&home, &upstream).await;
    let before = configured(&server).await;
    for (method, path, body) in [
        ("GET", "/backends/three", json!(null)),
        ("PUT", "/backends/three", json!({"rpm_limit": 3})),
        ("DELETE", "/backends/three", json!(null)),
        ("POST", "/backends/three/test", json!({})),
        ("POST", "/backends/three/reset", json!(null)),
        ("GET", "/providers/three", json!(null)),
        ("GET", "/config/three", json!(null)),
    ] {
        let answer = server.admin(method, path, body).await;
        assert_eq!(answer.status, 404, "{method} {path}: {}", answer.whole());
        assert!(answer.json()["detail"].is_string(), "{}", answer.text());
    }
    assert_eq!(configured(&server).await, before);
}

#[tokio::test]
async fn a_setting_out_of_range_is_refused() {
    let (home, upstream) = (Home::new(), Upstream::start().await);
    let server = two_providers(&home, &upstream).await;
    let before = server.admin("GET", "/config", json!(null)).await.json();
    for body in [json!({"value": 0}), json!({"value": "many"}), json!({"value": null}), json!({})] {
        let answer = server.admin("PUT", "/config/rate_rpm", body.clone()).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.whole());
        assert!(answer.json()["detail"].is_string(), "{}", answer.text());
    }
    assert_eq!(server.admin("GET", "/config", json!(null)).await.json(), before);
}

#[tokio::test]
async fn nothing_is_shown_or_changed_without_the_token() {
    let (home, upstream) = (Home::new(), Upstream::start().await);
    let server = two_providers(&home, &upstream).await;
    let before = configured(&server).await;
    for credential in [
        None,
        Some(format!("Bearer {}", &ADMIN_TOKEN[1..])),
        Some(format!("Bearer {ADMIN_TOKEN}x")),
        Some(format!("Basic {ADMIN_TOKEN}")),
        Some("Bearer ".to_owned()),
    ] {
        let mut asked = request("DELETE", "/api/admin/backends/one");
        if let Some(credential) = &credential {
            asked = asked.header("authorization", credential);
        }
        let answer = server.call(asked.body(Full::default()).unwrap()).await;
        assert_eq!(answer.status, 401, "{credential:?}: {}", answer.whole());
        assert!(answer.json()["detail"].is_string(), "{}", answer.text());
    }
    assert_eq!(configured(&server).await, before);
}

fn assert_openai_error(what: &str, answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{what}: {}", answer.whole());
    assert_ne!(answer.header("x-request-id"), "", "{what}");
    let error = &answer.json()["error"];
    assert_eq!(error["type"], "invalid_request_error", "{what}: {error}");
    for field in ["message", "code"] {
        assert_ne!(error[field].as_str().unwrap_or_default(), "", "{what}: {error}");
    }
}

/// An admin error that names the field, and does not repeat what must not be repeated.
fn assert_refused(answer: &Answer, status: u16, field: &str, change: &Value) {
    assert_eq!(answer.status, status, "{change}: {}", answer.whole());
    let said = answer.json();
    assert_eq!(said["field"], field, "{change}: {said}");
    assert_ne!(said["detail"].as_str().unwrap_or_default(), "", "{change}: {said}");
    assert!(!said.to_string().contains("needle"), "{change}: {said}");
}

/// What the providers' JSON says of the moment, not of what was entered.
const LIVE: [&str; 5] =
    ["status", "cooldown_until", "consecutive_429_count", "health", "rate_limiter"];
