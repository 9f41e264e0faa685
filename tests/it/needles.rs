//! Secrets stay where they belong: not in the folder, the logs, the admin answers or the errors.

use std::path::{Path, PathBuf};

use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};

use crate::support::{
    ADMIN_TOKEN, Home, Process, Script, Server, Upstream, chat, json_body, provider, request, with,
};

#[tokio::test]
async fn no_secret_shows_up_anywhere() {
    let home = loud_home();
    let upstream = Upstream::start().await;
    let server = home.start().await;
    let mut shown = add_and_change(&server, &upstream).await;
    shown += &call_and_fail(&server, &upstream).await;
    shown += &look_around(&server).await;
    let exit = server.stop().await;
    assert_eq!(exit.code, Some(0), "{}", exit.output());

    assert_clean("an answer", shown.as_bytes(), &home);
    assert_clean("the log", exit.output().as_bytes(), &home);
    assert_clean_folder(home.path(), &home);
}

/// Writes the keys in every way that a write can go well or wrong; all that was answered.
async fn add_and_change(server: &Server, upstream: &Upstream) -> String {
    let one = |extra: Value| with(provider("one", &upstream.base_url()), extra);
    let mut shown = String::new();
    for (method, path, body) in [
        ("POST", "/backends", one(json!({"api_key": KEY}))),
        // Taken, malformed, unknown: each with the key beside it.
        ("POST", "/backends", one(json!({"api_key": KEY}))),
        ("POST", "/backends", one(json!({"name": "two", "api_key": format!("{KEY}\n")}))),
        ("POST", "/backends", one(json!({"name": "two", "api_key": [KEY]}))),
        ("POST", "/backends", one(json!({"name": "two", "apikey": KEY, "rpm_limit": 0}))),
        ("PUT", "/backends/one", json!({"api_key": NEXT_KEY, "label": "changed"})),
        ("PUT", "/config/rate_rpm", json!({"value": KEY})),
    ] {
        shown += &server.admin(method, path, body).await.whole();
    }
    let broken = Full::from(format!(r#"{{"name":"two","api_key":"{KEY}""#));
    let asked = request("POST", "/api/admin/backends")
        .header("authorization", format!("Bearer {ADMIN_TOKEN}"));
    shown += &server.call(asked.body(broken).unwrap()).await.whole();
    let providers = server.providers().await;
    assert_eq!(providers.len(), 1, "{providers:?}");
    assert_eq!(providers[0]["label"], "changed");
    shown
}

/// Calls while the provider answers, and while it repeats the key it was sent in its errors.
async fn call_and_fail(server: &Server, upstream: &Upstream) -> String {
    let mut shown = String::new();
    for script in [
        Script::Good,
        Script::Echo(400),
        Script::Echo(422),
        Script::Echo(500),
        Script::Echo(429),
        Script::Echo(401),
        Script::Reset,
    ] {
        upstream.follow(script);
        let reset = server.admin("POST", "/backends/one/reset", json!(null)).await;
        assert_eq!(reset.status, 200, "{}", reset.text());
        let before = upstream.count();
        for stream in [false, true] {
            let ask = with(chat("llama"), json!({"stream": stream}));
            let asked = request("POST", "/v1/chat/completions")
                .header("authorization", format!("Bearer {CALLER_KEY}"));
            shown += &server.call(asked.body(json_body(&ask)).unwrap()).await.whole();
        }
        shown += &server.admin("POST", "/backends/one/test", json!({})).await.whole();
        assert!(upstream.count() > before, "nothing was sent");
        let key = upstream.last().header("authorization").to_owned();
        assert_eq!(key, format!("Bearer {NEXT_KEY}"));
    }
    shown
}

/// Everything there is to see, with the token, without and with a wrong one.
async fn look_around(server: &Server) -> String {
    let mut shown = String::new();
    for (method, path) in [
        ("GET", "/backends"),
        ("GET", "/backends/one"),
        ("GET", "/providers"),
        ("GET", "/pools"),
        ("GET", "/config"),
        ("GET", "/stats/total"),
        ("GET", "/stats/hourly?hours=24"),
        ("GET", "/stats/daily?days=7"),
        ("GET", "/stats/cooldown?limit=100"),
        ("GET", "/callers"),
        ("GET", "/explain?model=llama"),
        ("POST", "/backup"),
        ("GET", "/backup"),
        ("GET", "/openapi.json"),
        ("DELETE", "/backends/one"),
    ] {
        shown += &server.admin(method, path, json!(null)).await.whole();
    }
    for path in ["/health", "/ready", "/dashboard", "/v1/models", "/api/admin/backends"] {
        let plain = Request::get(path).body(Full::default()).unwrap();
        shown += &server.call(plain).await.whole();
        let guess = Request::get(path).header("authorization", format!("Bearer {WRONG_TOKEN}"));
        shown += &server.call(guess.body(Full::default()).unwrap()).await.whole();
    }
    shown
}

#[tokio::test]
async fn a_key_without_a_known_form_is_not_repeated_to_its_caller_either() {
    let (home, upstream) = (loud_home(), Upstream::following(Script::Echo(400)).await);
    let server = home.start().await;
    let key = json!({"api_key": PLAIN_KEY});
    server.add(with(provider("one", &upstream.base_url()), key)).await;
    let answer = server.post("/v1/chat/completions", &chat("llama")).await;
    assert_eq!(answer.status, 400, "{}", answer.whole());
    assert!(!answer.whole().contains(PLAIN_KEY), "{}", answer.whole());
    let log = server.stop().await.output();
    assert!(!log.contains(PLAIN_KEY), "{log}");
}

#[tokio::test]
async fn a_first_start_tells_where_its_secrets_are_and_not_what_they_are() {
    let home = loud_home();
    let mut command = home.command();
    command.env_remove("SIDECAR_ENCRYPTION_KEY").env_remove("SIDECAR_ADMIN_TOKEN");
    let server = Server::listening(Process::start(&mut command, "")).await;
    let exit = server.stop().await;
    assert_eq!(exit.code, Some(0), "{}", exit.output());

    let secrets = home.path().join("secrets");
    let files: Vec<_> =
        std::fs::read_dir(secrets).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 2, "{files:?}");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        // What is long enough to be a secret: the key or token, not a comment's words.
        for secret in text.split_whitespace().filter(|word| word.len() >= 22) {
            assert!(!exit.output().contains(secret), "{}", file.display());
            for entry in files_of(&home.path().join("data")) {
                assert!(!holds(&std::fs::read(&entry).unwrap(), secret), "{}", entry.display());
            }
        }
    }
    assert!(exit.output().contains("secrets"), "{}", exit.output());
}

/// A home whose server logs all there is, and does not wait for what rests.
fn loud_home() -> Home {
    Home::new().env("LOG_LEVEL", "TRACE").env("SIDECAR_QUEUE_TIMEOUT", "1")
}

fn assert_clean(what: &str, bytes: &[u8], home: &Home) {
    let master_key = home.master_key();
    let upper = master_key.to_uppercase();
    for needle in [SHOWN_OF_NO_KEY, CALLER_KEY, ADMIN_TOKEN, WRONG_TOKEN, master_key, &upper] {
        assert!(!holds(bytes, needle), "{what} holds {needle}");
    }
}

fn assert_clean_folder(folder: &Path, home: &Home) {
    let files = files_of(folder);
    assert!(files.contains(&home.store()), "{files:?}");
    for file in files {
        assert_clean(&file.display().to_string(), &std::fs::read(&file).unwrap(), home);
    }
}

/// All files below `folder`.
fn files_of(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            files.extend(files_of(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files
}

fn holds(bytes: &[u8], needle: &str) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
}

// A masked key shows its first six and last four characters, and no more.
const KEY: &str = "nvapi-FirstProviderNeedle-0123";
const NEXT_KEY: &str = "nvapi-NextProviderNeedle-4567";
/// Of a server of one's own: words, no digit, no vendor's prefix.
const PLAIN_KEY: &str = "correct.horse.battery.staple";
const SHOWN_OF_NO_KEY: &str = "ProviderNeedle";
const CALLER_KEY: &str = "sk-CallerNeedle-89abcdef";
const WRONG_TOKEN: &str = "WrongTokenNeedle-5f0c1e7a9b3d48266e90";
