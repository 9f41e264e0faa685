//! The outermost layer: who may call what, and what is no HTTP that can be trusted.

use std::collections::BTreeSet;

use http::Request;
use http_body_util::Full;
use serde_json::json;

use crate::support::{Home, Server, Upstream, chat, json_body, provider, raw, request, status_of};

#[tokio::test]
async fn health_needs_no_credential() {
    let home = Home::new();
    let server = home.start().await;
    let answer = server.call(Request::get("/health").body(Full::default()).unwrap()).await;
    assert_eq!(answer.status, 200);
    let health = answer.json();
    assert_eq!(health["status"], "ok");
    assert!(health["version"].is_string() && health["uptime_seconds"].is_number(), "{health}");
}

#[tokio::test]
async fn a_server_is_ready_when_a_provider_could_serve() {
    let (home, upstream) = (Home::new(), Upstream::start().await);
    let server = home.start().await;
    let ready = || Request::get("/ready").body(Full::default()).unwrap();
    assert_eq!(server.call(ready()).await.status, 503);
    server.add(provider("one", &upstream.base_url())).await;
    assert_eq!(server.call(ready()).await.status, 200);
    server.change("one", json!({"enabled": false})).await;
    assert_eq!(server.call(ready()).await.status, 503);
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn nothing_of_the_admin_api_answers_without_the_token() {
    let (home, upstream) = (Home::new(), Upstream::start().await);
    let server = named(&home, &upstream).await;
    for path in [
        "backends",
        "backends/admin-needle",
        "backends/admin-needle/test",
        "backends/admin-needle/reset",
        "providers",
        "pools",
        "stats/total",
        "stats/hourly",
        "stats/daily",
        "stats/cooldown",
        "config",
        "config/rate_rpm",
        "callers",
        "callers/one",
        "explain?model=llama",
        "backup",
        "keys/rotate",
        "openapi.json",
        "no/such/path",
    ] {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            let answer = ask(&server, method, &format!("/api/admin/{path}")).await;
            assert_eq!(status_of(&answer), 401, "{method} {path}: {answer}");
            assert!(!answer.contains("admin-needle"), "{method} {path}: {answer}");
        }
    }
    assert_eq!(server.names().await, ["admin-needle"]);
}

#[tokio::test]
async fn a_path_that_is_none_of_ours_is_a_404() {
    let home = Home::new();
    let server = home.start().await;
    for path in ["/", "/nowhere", "/api", "/api/other", "/healthz", "/health/x", "/v2/models"] {
        for method in ["GET", "POST", "DELETE"] {
            // The root may lead a browser to the dashboard.
            if (method, path) != ("GET", "/") {
                let answer = ask(&server, method, path).await;
                assert_eq!(status_of(&answer), 404, "{method} {path}: {answer}");
            }
        }
    }
}

#[tokio::test]
async fn no_way_of_writing_a_path_gets_around_the_token() {
    let (home, upstream) = (Home::new(), Upstream::start().await);
    let server = named(&home, &upstream).await;
    let absolute = [
        format!("http://{}/api/admin/backends", server.addr()),
        "http://elsewhere/api/admin/backends".to_owned(),
    ];
    let written = [
        "/api/admin",
        "/api/admin/",
        "/api/admin/backends/",
        "//api/admin/backends",
        "/api//admin/backends",
        "/api/admin//backends",
        "/./api/admin/backends",
        "/api/./admin/backends",
        "/api/admin/../admin/backends",
        "/health/../api/admin/backends",
        "/dashboard/../api/admin/backends",
        "/v1/../api/admin/backends",
        "/v1/%2e%2e/api/admin/backends",
        "/api/admin/%2e%2e/admin/backends",
        "/api/%2e/admin/backends",
        "/%61pi/admin/backends",
        "/api/%61dmin/backends",
        "/api%2fadmin%2fbackends",
        "/api/admin%2fbackends",
        "/api/admin/backends%2f",
        "/api/admin/backends%00",
        "/api/admin/backends;x=1",
        "/api;x=1/admin/backends",
        "/API/ADMIN/BACKENDS",
        "/Api/Admin/backends",
        "/api\\admin\\backends",
        "/health?/api/admin/backends",
        "*",
    ];
    for path in written.into_iter().chain(absolute.iter().map(String::as_str)) {
        for method in ["GET", "POST"] {
            let answer = ask(&server, method, path).await;
            assert!(status_of(&answer) > 0, "{method} {path}: no answer");
            assert!(!answer.contains("admin-needle"), "{method} {path}: {answer}");
            assert!(!answer.contains("api_base_url"), "{method} {path}: {answer}");
        }
    }
    assert_eq!(server.names().await, ["admin-needle"]);
}

#[tokio::test]
async fn what_could_be_read_in_two_ways_is_refused_and_the_connection_closed() {
    let (home, upstream) = (Home::new(), Upstream::start().await);
    let server = named(&home, &upstream).await;
    let post = "POST /v1/chat/completions HTTP/1.1\r\nhost: sidecar\r\n";
    for (what, bytes) in [
        ("two hosts", "GET /health HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n".to_owned()),
        ("the same host twice", "GET /health HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n".to_owned()),
        ("no host", "GET /health HTTP/1.1\r\naccept: */*\r\n\r\n".to_owned()),
        (
            "chunked and a length",
            format!("{post}transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n"),
        ),
        (
            "a length and chunked",
            format!("{post}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        ),
        ("two lengths", format!("{post}content-length: 5\r\ncontent-length: 6\r\n\r\n")),
        ("no number as length", format!("{post}content-length: +5\r\n\r\n")),
    ] {
        // Whoever took the doubtful request for a shorter one would answer this one, too.
        let smuggled = "GET /health HTTP/1.1\r\nhost: sidecar\r\n\r\n";
        let answer = raw(server.addr(), &format!("{bytes}{smuggled}")).await;
        assert_eq!(status_of(&answer), 400, "{what}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{what}: {answer}");
    }
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn every_answer_has_a_request_id_of_its_own() {
    let (home, upstream) = (Home::new(), Upstream::start().await);
    let server = named(&home, &upstream).await;
    let mut ids = BTreeSet::new();
    let mut count = 0;
    for (method, path, body, status) in [
        ("GET", "/health", json!(null), 200),
        ("GET", "/nowhere", json!(null), 404),
        ("GET", "/api/admin/backends", json!(null), 401),
        ("GET", "/v1/models", json!(null), 200),
        ("GET", "/v1/models/nowhere", json!(null), 404),
        ("POST", "/v1/chat/completions", json!([]), 400),
        ("POST", "/v1/chat/completions", chat("nowhere"), 404),
        ("POST", "/v1/chat/completions", chat("llama"), 200),
        ("POST", "/v1/chat/completions", chat("llama"), 200),
        ("POST", "/v1/messages", json!([]), 400),
    ] {
        let asked = request(method, path).body(json_body(&body)).unwrap();
        let answer = server.call(asked).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.whole());
        let id = answer.header("x-request-id").to_owned();
        assert!(!id.is_empty() && id.len() <= 128, "{method} {path}: {}", answer.whole());
        ids.insert(id);
        count += 1;
    }
    let admin = server.admin("GET", "/backends/nowhere", json!(null)).await;
    ids.insert(admin.header("x-request-id").to_owned());
    assert_eq!(ids.len(), count + 1, "{ids:?}");
}

/// A server with one provider, whose name must not be seen.
async fn named(home: &Home, upstream: &Upstream) -> Server {
    let server = home.start().await;
    server.add(provider("admin-needle", &upstream.base_url())).await;
    server
}

/// A request without credentials and with the path exactly as it is written here.
async fn ask(server: &Server, method: &str, path: &str) -> String {
    let head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", server.addr());
    raw(server.addr(), &format!("{head}content-length: 0\r\nconnection: close\r\n\r\n")).await
}
