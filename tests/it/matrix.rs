//! Every route with every method, every credential, and every way to write its path: nothing
//! answers that should not.

use std::fmt::Write as _;

use http::request::Builder;
use serde_json::{Value, json};
use sidecar_server::auth::Credential;
use sidecar_server::routes::ROUTES;

use crate::support::{
    ADMIN_TOKEN, Answer, Home, Server, chat, json_body, provider, raw, request, status_of, with,
};

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Nobody,
    /// A token of the right form, at each place where one could be looked for.
    Guesser(&'static str),
    /// A caller of the proxy.
    Caller,
    /// The admin token, at a place where it means nothing.
    Misplaced(&'static str),
    Admin,
    Session,
    /// A session without what the dashboard adds to it.
    BareSession,
}

struct Rig {
    server: Server,
    caller_key: String,
    cookie: String,
}

/// What must be in [`ROUTES`]: whoever adds a route says here who may use it.
const EXPECTED: &[(&str, &str, Credential)] = &[
    ("DELETE", "/api/admin/backends/{id}", Credential::Admin),
    ("DELETE", "/api/admin/callers/{id}", Credential::Admin),
    ("DELETE", "/api/admin/config/{id}", Credential::Admin),
    ("DELETE", "/api/admin/session", Credential::Admin),
    ("GET", "/api/admin/audit", Credential::Admin),
    ("GET", "/api/admin/backends", Credential::Admin),
    ("GET", "/api/admin/backends/{id}", Credential::Admin),
    ("GET", "/api/admin/backup", Credential::Admin),
    ("GET", "/api/admin/callers", Credential::Admin),
    ("GET", "/api/admin/callers/{id}", Credential::Admin),
    ("GET", "/api/admin/config", Credential::Admin),
    ("GET", "/api/admin/config/{id}", Credential::Admin),
    ("GET", "/api/admin/explain", Credential::Admin),
    ("GET", "/api/admin/openapi.json", Credential::Admin),
    ("GET", "/api/admin/pools", Credential::Admin),
    ("GET", "/api/admin/session", Credential::Admin),
    ("GET", "/api/admin/stats/cooldown", Credential::Admin),
    ("GET", "/api/admin/stats/daily", Credential::Admin),
    ("GET", "/api/admin/stats/hourly", Credential::Admin),
    ("GET", "/api/admin/stats/total", Credential::Admin),
    ("GET", "/dashboard", Credential::None),
    ("GET", "/dashboard/assets/{id*}", Credential::None),
    ("GET", "/dashboard/sse", Credential::Admin),
    ("GET", "/health", Credential::None),
    ("GET", "/models", Credential::Caller),
    ("GET", "/models/{id*}", Credential::Caller),
    ("GET", "/ready", Credential::None),
    ("GET", "/v1/models", Credential::Caller),
    ("GET", "/v1/models/{id*}", Credential::Caller),
    ("POST", "/api/admin/backends", Credential::Admin),
    ("POST", "/api/admin/backends/{id}/reset", Credential::Admin),
    ("POST", "/api/admin/backends/{id}/test", Credential::Admin),
    ("POST", "/api/admin/backup", Credential::Admin),
    ("POST", "/api/admin/callers", Credential::Admin),
    ("POST", "/api/admin/callers/{id}/roll", Credential::Admin),
    ("POST", "/api/admin/keys/rotate", Credential::Admin),
    ("POST", "/api/admin/session", Credential::None),
    ("PUT", "/api/admin/backends/{id}", Credential::Admin),
    ("PUT", "/api/admin/callers/{id}", Credential::Admin),
    ("PUT", "/api/admin/config/{id}", Credential::Admin),
];

const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"];

impl Rig {
    async fn start(home: &Home) -> Self {
        let server = home.start().await;
        let labelled = with(provider("one", "http://127.0.0.1:9/v1"), json!({"label": NEEDLE}));
        server.add(labelled).await;
        let caller = server.admin("POST", "/callers", json!({"name": "agent"})).await.json();
        let body = json_body(&json!({"token": ADMIN_TOKEN}));
        let session = server.call(request("POST", "/api/admin/session").body(body).unwrap()).await;
        Self {
            server,
            caller_key: caller["key"].as_str().unwrap().to_owned(),
            cookie: session.header("set-cookie").split(';').next().unwrap().to_owned(),
        }
    }

    fn shown(&self, who: Who, request: Builder) -> Builder {
        match who {
            Who::Nobody => request,
            Who::Guesser(place) => request.header(place, place_value(place, GUESS)),
            Who::Misplaced(place) => request.header(place, ADMIN_TOKEN),
            Who::Caller => request.header("authorization", format!("Bearer {}", self.caller_key)),
            Who::Admin => request.header("authorization", format!("Bearer {ADMIN_TOKEN}")),
            Who::BareSession => request.header("cookie", &self.cookie),
            Who::Session => request
                .header("cookie", &self.cookie)
                .header("sec-fetch-site", "same-origin")
                .header("x-sidecar-csrf", "1"),
        }
    }

    /// One request, with a body that is refused wherever one is read.
    async fn ask(&self, who: Who, method: &str, path: &str) -> Answer {
        let asked = self.shown(who, request(method, path));
        self.server.call(asked.body(json_body(&json!([]))).unwrap()).await
    }
}

fn place_value(place: &str, token: &str) -> String {
    match place {
        "authorization" => format!("Bearer {token}"),
        "cookie" => format!("__Host-sidecar={token}"),
        _ => token.to_owned(),
    }
}

/// What stands for `{id}` is nothing that is there, so that nothing is lost where it is let in.
fn path_of(pattern: &str) -> String {
    pattern.replace("{id*}", "nothing").replace("{id}", "nothing")
}

#[test]
fn the_list_of_routes_is_the_one_that_was_agreed_on() {
    let mut found: Vec<_> = ROUTES
        .iter()
        .map(|route| (route.method.unwrap_or("*"), route.path, route.credential))
        .collect();
    found.sort_by_key(|(method, path, _)| (*method, *path));
    assert_eq!(found, EXPECTED);
}

#[tokio::test]
async fn nobody_gets_further_than_the_credential_of_a_route() {
    let home = Home::new().env("SIDECAR_ALLOW_ANONYMOUS", "false");
    let rig = Rig::start(&home).await;
    let outsiders = [
        Who::Nobody,
        Who::Guesser("authorization"),
        Who::Guesser("cookie"),
        Who::Caller,
        Who::Misplaced("x-api-key"),
        Who::Misplaced("cookie"),
        Who::Misplaced("x-goog-api-key"),
    ];
    for (_, pattern, credential) in EXPECTED {
        let path = path_of(pattern);
        for method in METHODS {
            let is_route = |(of, other, _): &&(&str, &str, _)| of == &method && other == pattern;
            let is_open = EXPECTED
                .iter()
                .find(is_route)
                .is_some_and(|(_, _, credential)| *credential == Credential::None);
            for who in outsiders {
                let answer = rig.ask(who, method, &path).await;
                let what = format!("{who:?} {method} {path}: {}", answer.whole());
                assert!(!answer.whole().contains(NEEDLE), "{what}");
                match credential {
                    _ if is_open => assert_ne!(answer.status, 401, "{what}"),
                    Credential::Admin => assert!(matches!(answer.status, 401 | 429), "{what}"),
                    Credential::Caller if who == Who::Caller => {
                        assert!(!matches!(answer.status, 401 | 403), "{what}");
                    }
                    Credential::Caller if method == "GET" => {
                        assert!(matches!(answer.status, 401 | 429), "{what}");
                    }
                    // Nothing is behind the other methods.
                    Credential::Caller | Credential::None => {
                        assert!(matches!(answer.status, 401 | 404 | 405 | 429), "{what}");
                    }
                }
            }
            if !is_open && !matches!(method, "GET" | "HEAD") && *credential == Credential::Admin {
                let answer = rig.ask(Who::BareSession, method, &path).await;
                assert_eq!(answer.status, 403, "{method} {path}: {}", answer.whole());
            }
        }
    }
    assert_eq!(rig.server.providers().await.len(), 1);
}

#[tokio::test]
async fn the_operator_gets_to_every_route_by_token_and_by_session() {
    let home = Home::new();
    let rig = Rig::start(&home).await;
    for (method, pattern, credential) in EXPECTED {
        // These end what the others need, or do not end.
        if matches!(*pattern, "/api/admin/session" | "/dashboard/sse")
            || *credential != Credential::Admin
        {
            continue;
        }
        for who in [Who::Admin, Who::Session] {
            let answer = rig.ask(who, method, &path_of(pattern)).await;
            let what = format!("{who:?} {method} {pattern}: {}", answer.whole());
            assert!(matches!(answer.status, 200..=299 | 400 | 404 | 409), "{what}");
        }
    }
}

#[tokio::test]
async fn however_a_path_is_written_it_leads_to_its_route_or_nowhere() {
    let home = Home::new().env("SIDECAR_ALLOW_ANONYMOUS", "false");
    let rig = Rig::start(&home).await;
    let mut seen = String::new();
    for path in ["/api/admin/backends", "/api/admin/backends/one", "/api/admin/config"] {
        for mutated in mutations(path) {
            for who in [Who::Nobody, Who::Caller, Who::Admin] {
                // By hand: a client would put some of them right.
                let headers = rig.shown(who, request("GET", "/")).body(()).unwrap();
                let mut head = format!("GET {mutated} HTTP/1.1\r\nhost: localhost\r\n");
                for (name, value) in headers.headers() {
                    let value = value.to_str().unwrap();
                    writeln!(head, "{name}: {value}\r").unwrap();
                }
                head.push_str("connection: close\r\n\r\n");
                let answer = raw(rig.server.addr(), &head).await;
                let status = status_of(&answer);
                let what = format!("{who:?} {mutated}: {answer}");
                assert!(!answer.contains(NEEDLE), "{what}");
                assert!(matches!(status, 400 | 401 | 404 | 429), "{what}");
                writeln!(seen, "{status} {who:?} {mutated}").unwrap();
            }
        }
    }
    // The rule is not that everything is refused: the plain path is there.
    let plain = rig.server.admin("GET", "/backends/one", Value::Null).await;
    assert!(plain.text().contains(NEEDLE), "{seen}");
}

#[tokio::test]
async fn a_caller_key_is_the_only_way_to_the_proxy_where_one_is_asked_for() {
    let home = Home::new().env("SIDECAR_ALLOW_ANONYMOUS", "false");
    let rig = Rig::start(&home).await;
    for path in ["/v1/chat/completions", "/chat/completions", "/v1/anything", "/v1/messages"] {
        for who in [Who::Nobody, Who::Admin, Who::Session, Who::Misplaced("x-api-key")] {
            let asked = rig.shown(who, request("POST", path));
            let answer = rig.server.call(asked.body(json_body(&chat("llama"))).unwrap()).await;
            assert_eq!(answer.status, 401, "{who:?} {path}: {}", answer.whole());
        }
        let asked = rig.shown(Who::Caller, request("POST", path));
        let answer = rig.server.call(asked.body(json_body(&chat("llama"))).unwrap()).await;
        assert!(!matches!(answer.status, 401 | 403), "{path}: {}", answer.whole());
    }
}

/// Other ways to write `path`, none of which is it.
fn mutations(path: &str) -> Vec<String> {
    let upper = path.to_ascii_uppercase();
    vec![
        format!("/{path}"),
        format!("{path}/"),
        format!("{path}//"),
        format!("{path}/."),
        format!("{path}/.."),
        format!("{path};x"),
        format!("{path}%00"),
        format!("{path}%20"),
        format!("{path}%3f"),
        path.replace("/admin", "//admin"),
        path.replace("/admin", "/./admin"),
        path.replace("/admin", "/%2e/admin"),
        path.replace("/admin", "/x/../admin"),
        path.replace("/admin", "/x/%2e%2e/admin"),
        path.replace("/admin", "%2fadmin"),
        path.replace("/admin", "/%61dmin"),
        path.replace("/admin", "\\admin"),
        path.replace("/admin", "/Admin"),
        format!("/v1/..{path}"),
        format!("/dashboard/..{path}"),
        format!("/dashboard/assets/..{path}"),
        format!("/health/..{path}"),
        format!("http://localhost{path}"),
        format!("http://evil.example{path}"),
        format!("*{path}"),
        upper,
    ]
}

/// What only the admin may see.
const NEEDLE: &str = "needle-5c1fe7";
const GUESS: &str = "admin-00000000000000000000000000000000";
