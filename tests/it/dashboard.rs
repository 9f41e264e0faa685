//! The dashboard from outside: its files, and the feed of how everything stands.

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::support::{
    ADMIN_TOKEN, Home, Server, Upstream, chat, json_body, provider, request, within,
};

/// An event of the feed.
#[derive(Debug)]
struct Event {
    name: String,
    data: Value,
}

/// A feed as a page reads it.
struct Feed {
    body: Incoming,
    text: String,
}

impl Feed {
    async fn open(server: &Server, cookie: &str) -> Self {
        let asked = request("GET", "/dashboard/sse").header("cookie", cookie);
        let answer = server.open(asked.body(Default::default()).unwrap()).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self { body: answer.into_body(), text: String::new() }
    }

    /// The next event; `None` if the feed has ended.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    event.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default()
                };
                let data = serde_json::from_str(field("data: ")).unwrap();
                let event = Event { name: field("event: ").to_owned(), data };
                self.text = rest.to_owned();
                return Some(event);
            }
            let frame = within("an event", self.body.frame()).await?;
            let data = frame.unwrap().into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&data).unwrap());
        }
    }

    /// The first change that has something at `pointer`.
    async fn change_of(&mut self, pointer: &str) -> Value {
        loop {
            let event = self.next().await.expect("the feed goes on");
            if event.name == "change" && event.data.pointer(pointer).is_some() {
                return event.data;
            }
        }
    }
}

#[tokio::test]
async fn every_file_of_the_page_comes_with_the_rules_that_keep_it_safe() {
    let home = Home::new();
    let server = home.start().await;
    for path in ["/dashboard", "/dashboard/assets/app.js"] {
        let answer = server.call(request("GET", path).body(Default::default()).unwrap()).await;
        assert_eq!(answer.status, 200, "{path}");
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        assert!(policy.contains("require-trusted-types-for 'script'"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        let again = request("GET", path).header("if-none-match", answer.header("etag"));
        assert_eq!(server.call(again.body(Default::default()).unwrap()).await.status, 304);
    }
    for path in ["/dashboard/", "/dashboard/assets/", "/dashboard/assets/../../lib.rs"] {
        let answer = server.call(request("GET", path).body(Default::default()).unwrap()).await;
        assert_eq!(answer.status, 404, "{path}");
    }
    let foreign = request("GET", "/dashboard").header("host", "evil.example");
    assert_eq!(server.call(foreign.body(Default::default()).unwrap()).await.status, 421);
}

#[tokio::test]
async fn a_request_moves_the_numbers_of_those_who_watch() {
    let (home, upstream) = (Home::new(), Upstream::start().await);
    let server = home.start().await;
    let closed = request("GET", "/dashboard/sse").body(Default::default()).unwrap();
    assert_eq!(server.call(closed).await.status, 401);

    let cookie = log_in(&server).await;
    let mut feed = Feed::open(&server, &cookie).await;
    let snapshot = feed.next().await.unwrap();
    assert_eq!(snapshot.name, "snapshot");
    assert_eq!(snapshot.data["totals"]["total_requests"], 0);
    assert_eq!(snapshot.data["providers"], json!({}));
    assert!(snapshot.data["version"].is_string() && snapshot.data["uptime_seconds"].is_u64());

    let id = server.add(provider("one", &upstream.base_url())).await["id"].clone();
    let added = feed.change_of("/providers").await;
    assert_eq!(added["providers"][id.as_str().unwrap()]["name"], "one");
    assert_eq!(server.post("/v1/chat/completions", &chat("llama")).await.status, 200);
    let moved = feed.change_of("/totals/total_requests").await;
    assert_eq!(moved["totals"]["total_requests"], 1);
    assert_eq!(moved["totals"]["total_tokens"], 8);

    let out = request("DELETE", "/api/admin/session")
        .header("cookie", &cookie)
        .header("sec-fetch-site", "same-origin")
        .header("x-sidecar-csrf", "1");
    assert_eq!(server.call(out.body(Default::default()).unwrap()).await.status, 204);
    while feed.next().await.is_some() {}
}

#[tokio::test]
async fn totals_go_on_after_a_restart_and_are_those_of_the_statistics() {
    let (home, upstream) = (Home::new(), Upstream::start().await);
    let server = home.start().await;
    server.add(provider("one", &upstream.base_url())).await;
    for _ in 0..3 {
        assert_eq!(server.post("/v1/chat/completions", &chat("llama")).await.status, 200);
    }
    server.stop().await;
    let server = home.start().await;
    assert_eq!(server.post("/v1/chat/completions", &chat("llama")).await.status, 200);
    let mut feed = Feed::open(&server, &log_in(&server).await).await;
    let totals = feed.next().await.unwrap().data["totals"].clone();
    assert_eq!(totals["total_requests"], 4);
    let answer = server.admin("GET", "/stats/total", Value::Null).await;
    assert_eq!(answer.json(), totals);
}

#[tokio::test]
async fn a_page_of_another_site_spends_nothing() {
    let (home, upstream) = (Home::new(), Upstream::start().await);
    let server = home.start().await;
    server.add(provider("one", &upstream.base_url())).await;
    for (origin, status) in [
        ("https://evil.example", 403),
        ("null", 403),
        ("http://localhost:3000", 200),
        ("app://notes", 200),
    ] {
        let asked = request("POST", "/v1/chat/completions").header("origin", origin);
        let answer = server.call(asked.body(json_body(&chat("llama"))).unwrap()).await;
        assert_eq!(answer.status, status, "{origin}: {}", answer.whole());
    }
    assert_eq!(upstream.count(), 2);
}

/// The cookie of a new session.
async fn log_in(server: &Server) -> String {
    let body = json_body(&json!({"token": ADMIN_TOKEN}));
    let answer = server.call(request("POST", "/api/admin/session").body(body).unwrap()).await;
    answer.header("set-cookie").split(';').next().unwrap().to_owned()
}
