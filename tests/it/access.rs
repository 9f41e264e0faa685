//! The operator's side: sessions, other people's pages, guessing, foreign names, and what is kept
//! of it all.

use http::Request;
use http::request::Builder;
use http_body_util::Full;
use serde_json::{Value, json};

use crate::support::{
    ADMIN_TOKEN, Answer, Home, Server, Upstream, chat, json_body, key_of, provider, raw, request,
    status_of, with,
};

#[tokio::test]
async fn the_token_gives_a_session_in_a_cookie_for_this_host_alone() {
    let home = Home::new();
    let server = home.start().await;
    let answer = log_in(&server, ADMIN_TOKEN).await;
    assert_eq!((answer.status, answer.body.len()), (204, 0), "{}", answer.whole());
    let cookie = answer.header("set-cookie");
    let (id, attributes) = cookie.split_once("; ").unwrap();
    assert_eq!(attributes, "Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=43200");
    let id = id.strip_prefix("__Host-sidecar=").unwrap();
    assert_eq!(id.len(), 43, "{id}");
    assert!(!cookie.contains(ADMIN_TOKEN));

    let cookie = cookie_of(&answer);
    let shown = get(&server, "/session", &cookie).await;
    assert_eq!(shown.status, 200, "{}", shown.whole());
    assert_eq!(shown.json()["kind"], "session");
    let left = shown.json()["expires_in_seconds"].as_u64().unwrap();
    assert!((1_700..=1_800).contains(&left), "{left}");
    assert_eq!(get(&server, "/backends", &cookie).await.status, 200);
    let token = server.admin("GET", "/session", json!(null)).await;
    assert_eq!(token.json(), json!({"kind": "token", "expires_in_seconds": null}));
    assert_eq!(get(&server, "/session", "__Host-sidecar=x").await.status, 401);
    assert_eq!(get(&server, "/session", &format!("{cookie}; {cookie}")).await.status, 401);
}

#[tokio::test]
async fn a_log_in_takes_the_place_of_the_one_before() {
    let home = Home::new();
    let server = home.start().await;
    let before = cookie_of(&log_in(&server, ADMIN_TOKEN).await);
    let body = json_body(&json!({"token": ADMIN_TOKEN}));
    let again = request("POST", SESSION).header("cookie", &before).body(body).unwrap();
    let after = cookie_of(&server.call(again).await);
    assert_ne!(after, before);
    assert_eq!(get(&server, "/pools", &before).await.status, 401);
    assert_eq!(get(&server, "/pools", &after).await.status, 200);
}

#[tokio::test]
async fn nothing_but_the_token_logs_in() {
    let home = Home::new();
    let server = home.start().await;
    let (large, wrong) = (json!({"token": "x".repeat(9_999)}), json!({"token": "wrong"}));
    let (more, list) = (json!({"token": ADMIN_TOKEN, "more": 1}), json!([ADMIN_TOKEN]));
    for (body, status) in [(json!({}), 400), (more, 400), (list, 400), (large, 413), (wrong, 401)] {
        let answer = server.call(request("POST", SESSION).body(json_body(&body)).unwrap()).await;
        assert_eq!(answer.status, status, "{}", answer.whole());
        assert!(answer.json()["detail"].is_string(), "{}", answer.whole());
        assert_eq!(answer.header("set-cookie"), "");
        assert!(!answer.whole().contains(ADMIN_TOKEN));
    }
    // A proxy that says that the way to it was open to all.
    for (name, value) in [
        ("x-forwarded-proto", "http"),
        ("sec-fetch-site", "cross-site"),
        ("origin", "http://evil.example"),
    ] {
        let body = json_body(&json!({"token": ADMIN_TOKEN}));
        let asked = request("POST", SESSION).header(name, value).body(body).unwrap();
        let answer = server.call(asked).await;
        assert_eq!(answer.status, 403, "{name}: {}", answer.whole());
        assert_eq!(answer.header("set-cookie"), "");
    }
}

#[tokio::test]
async fn with_a_session_only_the_dashboard_changes_things() {
    let (home, upstream) = (Home::new(), Upstream::start().await);
    let server = home.start().await;
    server.add(provider("one", &upstream.base_url())).await;
    let cookie = cookie_of(&log_in(&server, ADMIN_TOKEN).await);
    let own_origin = format!("http://{}", server.addr());
    let csrf = ("x-sidecar-csrf", "1");
    let own = ("sec-fetch-site", "same-origin");
    let refused: [&[(&str, &str)]; 7] = [
        &[],
        &[own],
        &[csrf],
        &[csrf, ("sec-fetch-site", "cross-site")],
        &[csrf, ("sec-fetch-site", "same-site")],
        &[csrf, ("sec-fetch-site", "none")],
        &[csrf, ("origin", "http://evil.example")],
    ];
    for headers in refused {
        for (method, path, body) in [
            ("PUT", "/backends/one", json!({"label": "changed"})),
            ("DELETE", "/backends/one", json!({})),
            ("POST", "/backends", provider("two", &upstream.base_url())),
            ("PUT", "/config/rate_rpm", json!({"value": 7})),
            ("DELETE", "/session", json!({})),
        ] {
            let asked = with_headers(method, path, &cookie, headers);
            let answer = server.call(asked.body(json_body(&body)).unwrap()).await;
            assert_eq!(answer.status, 403, "{method} {path} {headers:?}: {}", answer.whole());
            assert!(answer.json()["detail"].is_string());
        }
    }
    for site in ["cross-site", "same-site"] {
        let asked = with_headers("GET", "/backends", &cookie, &[("sec-fetch-site", site)]);
        assert_eq!(server.call(asked.body(Full::default()).unwrap()).await.status, 403);
    }
    let providers = server.providers().await;
    assert_eq!((providers.len(), &providers[0]["label"]), (1, &Value::Null));
    let rate = server.admin("GET", "/config/rate_rpm", json!(null)).await.json();
    assert_eq!(rate["source"], "default");

    for (label, headers) in [("a", [csrf, own]), ("b", [csrf, ("origin", own_origin.as_str())])] {
        let asked = with_headers("PUT", "/backends/one", &cookie, &headers);
        let answer = server.call(asked.body(json_body(&json!({"label": label}))).unwrap()).await;
        assert_eq!(answer.status, 200, "{}", answer.whole());
        assert_eq!(server.providers().await[0]["label"], label);
    }
}

#[tokio::test]
async fn a_log_out_ends_one_session_and_a_restart_all() {
    let home = Home::new();
    let server = home.start().await;
    let (one, two) = (
        cookie_of(&log_in(&server, ADMIN_TOKEN).await),
        cookie_of(&log_in(&server, ADMIN_TOKEN).await),
    );
    let own = [("x-sidecar-csrf", "1"), ("sec-fetch-site", "same-origin")];
    let asked = with_headers("DELETE", "/session", &one, &own);
    let answer = server.call(asked.body(Full::default()).unwrap()).await;
    assert_eq!(answer.status, 204, "{}", answer.whole());
    let taken = answer.header("set-cookie");
    assert!(taken.starts_with("__Host-sidecar=;") && taken.ends_with("Max-Age=0"), "{taken}");
    assert_eq!(get(&server, "/pools", &one).await.status, 401);
    assert_eq!(get(&server, "/pools", &two).await.status, 200);
    server.stop().await;
    let server = home.start().await;
    assert_eq!(get(&server, "/pools", &two).await.status, 401);
}

#[tokio::test]
async fn guessing_is_told_to_wait_and_the_right_token_is_not() {
    let home = Home::new();
    let server = home.start().await;
    let guess = async || bearer(&server, "Bearer guess").await;
    for round in 0..10 {
        let answer = if round % 2 == 0 { log_in(&server, "guess").await } else { guess().await };
        assert_eq!(answer.status, 401, "{round}: {}", answer.whole());
    }
    for answer in [log_in(&server, "guess").await, guess().await, guess().await] {
        assert_eq!(answer.status, 429, "{}", answer.whole());
        let wait: u64 = answer.header("retry-after").parse().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
        assert!(answer.json()["detail"].is_string());
    }
    let key = request("POST", "/v1/chat/completions").header("authorization", "Bearer sk-sc-guess");
    let answer = server.call(key.body(json_body(&chat("llama"))).unwrap()).await;
    assert_eq!(answer.status, 429, "{}", answer.whole());
    assert_ne!(answer.header("retry-after"), "");
    assert_eq!(answer.header("x-should-retry"), "false");
    assert_eq!(answer.json()["error"]["type"], "rate_limit_error");

    assert_eq!(bearer(&server, &format!("Bearer {ADMIN_TOKEN}")).await.status, 200);
    let cookie = cookie_of(&log_in(&server, ADMIN_TOKEN).await);
    assert_eq!(get(&server, "/pools", &cookie).await.status, 200);
    // Nothing shown is no guess.
    let nothing = request("GET", "/api/admin/pools").body(Full::default()).unwrap();
    assert_eq!(server.call(nothing).await.status, 401);

    // Ten have a row of their own, and nothing of what was guessed.
    let audit = server.admin("GET", "/audit?limit=1000", json!(null)).await;
    let failed = |status: u64| {
        let events = audit.json()["events"].as_array().unwrap().clone();
        events
            .iter()
            .filter(|event| event["outcome"] == status && event["action"] == "login")
            .count()
    };
    assert_eq!((failed(401), failed(429), failed(204)), (10, 0, 1), "{}", audit.text());
    assert!(!audit.text().contains("guess"), "{}", audit.text());
}

#[tokio::test]
async fn under_a_foreign_name_the_operators_side_does_not_answer() {
    let home = Home::new().env("SIDECAR_ALLOWED_HOSTS", "sidecar.example, box:9190");
    let server = home.start().await;
    let port = server.addr().port();
    let status = async |method: &str, path: &str, host: &str| {
        let head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
        let token = format!("authorization: Bearer {ADMIN_TOKEN}\r\ncontent-length: 0\r\n\r\n");
        raw(server.addr(), &format!("{head}{token}")).await
    };
    for host in ["evil.example", "box", "127.0.0.1.evil.example", "192.0.2.1", "[::2]:9190"] {
        for (method, path) in [
            ("GET", "/api/admin/backends"),
            ("PUT", "/api/admin/config/rate_rpm"),
            ("POST", "/api/admin/session"),
            ("GET", "/api/admin/no/such/path"),
            ("GET", "/dashboard"),
            ("GET", "/dashboard/sse"),
        ] {
            let answer = status(method, path, host).await;
            assert_eq!(status_of(&answer), 421, "{host} {method} {path}: {answer}");
            assert!(answer.contains("SIDECAR_ALLOWED_HOSTS"), "{answer}");
        }
        assert_eq!(status_of(&status("GET", "/health", host).await), 200, "{host}");
        assert_eq!(status_of(&status("GET", "/v1/models", host).await), 200, "{host}");
    }
    let own = [format!("127.0.0.1:{port}"), format!("localhost:{port}"), "[::1]".to_owned()];
    let named =
        ["sidecar.example".to_owned(), "SIDECAR.example:443".to_owned(), "box:9190".to_owned()];
    for host in own.into_iter().chain(named) {
        let answer = status("GET", "/api/admin/backends", &host).await;
        assert_eq!(status_of(&answer), 200, "{host}: {answer}");
    }
}

#[tokio::test]
async fn who_changed_what_is_kept_and_no_value_is() {
    let (home, upstream) = (Home::new(), Upstream::start().await);
    let server = home.start().await;
    let added = provider("one", &upstream.base_url());
    server.add(with(added, json!({"label": NEEDLE}))).await;
    let cookie = cookie_of(&log_in(&server, ADMIN_TOKEN).await);
    let own = [("x-sidecar-csrf", "1"), ("sec-fetch-site", "same-origin")];
    let asked = with_headers("PUT", "/backends/one", &cookie, &own);
    let body = json!({"label": NEEDLE, "rpm_limit": 7, "api_key": format!("sk-{NEEDLE}-0123")});
    let changed = server.call(asked.body(json_body(&body)).unwrap()).await;
    assert_eq!(changed.status, 200, "{}", changed.whole());
    for (method, path, body, status) in [
        // Refused by its value, by its name, and because there is none.
        ("PUT", "/config/rate_rpm", json!({"value": NEEDLE}), 400),
        ("PUT", "/config/rate_rpm", json!({NEEDLE: 1}), 400),
        ("DELETE", "/backends/gone", json!(null), 404),
        ("GET", "/backends/one", json!(null), 200),
    ] {
        let answer = server.admin(method, path, body).await;
        assert_eq!(answer.status, status, "{}", answer.whole());
    }

    let audit = server.admin("GET", "/audit", json!(null)).await;
    assert_eq!(audit.status, 200, "{}", audit.whole());
    assert!(!audit.text().contains(NEEDLE), "{}", audit.text());
    assert!(!audit.text().contains(&key_of("one")), "{}", audit.text());
    let events = audit.json()["events"].as_array().unwrap().clone();
    let rows: Vec<_> = events
        .iter()
        .map(|event| json!([event["action"], event["target"], event["fields"], event["outcome"]]))
        .collect();
    let all = ["api_base_url", "api_key", "label", "model_mappings", "name"];
    assert_eq!(
        rows,
        [
            json!(["remove_provider", "gone", [], 404]),
            json!(["change_setting", "rate_rpm", [], 400]),
            json!(["change_setting", "rate_rpm", ["value"], 400]),
            json!(["change_provider", "one", ["api_key", "label", "rpm_limit"], 200]),
            json!(["login", null, [], 204]),
            json!(["add_provider", "one", all, 201]),
        ]
    );
    let session = events[3]["actor"].as_str().unwrap();
    assert!(session.starts_with("session:") && session.len() == 16, "{session}");
    assert_eq!((&events[4]["actor"], &events[5]["actor"]), (&json!(session), &json!("token")));
    assert!(!cookie.contains(&session["session:".len()..]));
    assert_eq!(events[3]["request_id"], changed.header("x-request-id"));
    assert!(events.iter().all(|event| event["peer"] == "127.0.0.1" && event["at"].is_string()));

    // Page by page, the same; and all of it after a restart.
    let before = events[2]["id"].as_u64().unwrap();
    server.stop().await;
    let server = home.start().await;
    let page = server.admin("GET", &format!("/audit?limit=2&before={before}"), json!(null)).await;
    assert_eq!(page.json()["events"], json!(events[3..5]));
    for query in ["limit=0", "limit=1001", "before=x", "after=1"] {
        let answer = server.admin("GET", &format!("/audit?{query}"), json!(null)).await;
        assert_eq!(answer.status, 400, "{query}: {}", answer.whole());
    }
}

async fn log_in(server: &Server, token: &str) -> Answer {
    let body = json_body(&json!({"token": token}));
    server.call(request("POST", SESSION).body(body).unwrap()).await
}

async fn bearer(server: &Server, credential: &str) -> Answer {
    let asked = request("GET", "/api/admin/pools").header("authorization", credential);
    server.call(asked.body(Full::default()).unwrap()).await
}

/// What a browser sends back of the cookie it was given.
fn cookie_of(answer: &Answer) -> String {
    assert_eq!(answer.status, 204, "{}", answer.whole());
    answer.header("set-cookie").split(';').next().unwrap().to_owned()
}

async fn get(server: &Server, path: &str, cookie: &str) -> Answer {
    let asked = Request::get(format!("/api/admin{path}")).header("cookie", cookie);
    server.call(asked.body(Full::default()).unwrap()).await
}

fn with_headers(method: &str, path: &str, cookie: &str, headers: &[(&str, &str)]) -> Builder {
    let asked = request(method, &format!("/api/admin{path}")).header("cookie", cookie);
    headers.iter().fold(asked, |asked, (name, value)| asked.header(*name, *value))
}

const SESSION: &str = "/api/admin/session";
const NEEDLE: &str = "AuditNeedle";
