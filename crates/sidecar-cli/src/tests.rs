//! Whole commands against a scripted admin API.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use clap::Parser as _;
use serde_json::{Value, json};
use sidecar_core::secret::Secret;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// An admin API that gives its answers in order, and keeps what it was asked.
struct Api {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

#[derive(Clone, Debug)]
struct Asked {
    line: String,
    head: String,
    body: Value,
}

/// What a command left behind.
#[derive(Debug)]
struct Done {
    code: u8,
    out: String,
    err: String,
}

impl Api {
    async fn start(answers: impl IntoIterator<Item = (u16, Value)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let answers: Vec<_> = answers.into_iter().collect();
        let seen = Arc::clone(&asked);
        tokio::spawn(async move {
            for (status, body) in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let request = read(&mut stream).await;
                seen.lock().unwrap().push(request);
                let body = if body.is_null() { String::new() } else { body.to_string() };
                let answer = format!(
                    "HTTP/1.1 {status} Scripted\r\nconnection: close\r\ncontent-length: {}\r\n\r\n\
                     {body}",
                    body.len()
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    async fn run(&self, args: &[&str], input: &str) -> Done {
        run_at(&self.url, args, input).await
    }
}

async fn read(stream: &mut TcpStream) -> Asked {
    let mut bytes = Vec::new();
    loop {
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "cut");
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() < length.map_or(0, |length| length.parse().unwrap()) {
            continue;
        }
        let line = text.lines().next().unwrap().trim_end_matches(" HTTP/1.1").to_owned();
        let body = if body.is_empty() { Value::Null } else { serde_json::from_str(body).unwrap() };
        return Asked { line, head, body };
    }
}

async fn run_at(url: &str, args: &[&str], input: &str) -> Done {
    let args = ["sidecar-cli", "--url", url].into_iter().chain(args.iter().copied());
    let cli = Cli::try_parse_from(args).unwrap();
    let tokens = TokenSources::new(Some(Secret::new("the-admin-token")), None, Path::new(""));
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut console = Console::new(&mut out, &mut err, input.as_bytes());
    let code = run(cli, &tokens, &mut console).await;
    drop(console);
    let [out, err] = [out, err].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(!format!("{out}{err}").contains("the-admin-token"));
    Done { code, out, err }
}

fn nim() -> Value {
    json!({
        "id": "1", "name": "nim", "pool": "primary", "status": "healthy", "rpm_limit": 40,
        "api_base_url": "https://h/v1", "api_key": "nvapi-****cdef", "source": "cli",
        "model_mappings": {"llama": {"native_id": "meta/llama", "max_tokens": 8192}},
    })
}

#[tokio::test]
async fn a_list_is_asked_for_with_the_token_and_shown_as_a_table() {
    let api = Api::start([(200, json!({"backends": [nim()]}))]).await;
    let done = api.run(&["providers", "list"], "").await;
    assert_eq!((done.code, done.err.as_str()), (0, ""));
    assert!(done.out.starts_with("NAME  POOL     STATUS"), "{}", done.out);
    assert!(done.out.contains("nim   primary  healthy"), "{}", done.out);
    let asked = &api.asked()[0];
    assert_eq!(asked.line, "GET /api/admin/backends");
    assert!(asked.head.contains("authorization: bearer the-admin-token"), "{}", asked.head);
}

#[tokio::test]
async fn json_is_what_the_api_said() {
    let answer = json!({"backends": [nim()]});
    let api = Api::start([(200, answer.clone())]).await;
    let done = api.run(&["providers", "list", "--json"], "").await;
    assert_eq!(serde_json::from_str::<Value>(&done.out).unwrap(), answer);
}

#[tokio::test]
async fn a_provider_is_added_with_the_key_from_standard_input() {
    let api = Api::start([(201, nim())]).await;
    let args = ["providers", "add", "nim", "--base-url", "https://h/v1", "--model", "llama=m/l"];
    let done = api.run(&args, "nvapi-needle\n").await;
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(!format!("{}{}", done.out, done.err).contains("needle"));
    let asked = &api.asked()[0];
    assert_eq!(asked.line, "POST /api/admin/backends");
    let expected = json!({
        "name": "nim", "api_base_url": "https://h/v1", "api_key": "nvapi-needle", "source": "cli",
        "model_mappings": {"llama": {"native_id": "m/l"}},
    });
    assert_eq!(asked.body, expected);
}

#[tokio::test]
async fn a_new_provider_without_a_url_or_a_key_is_not_sent() {
    let api = Api::start([]).await;
    assert_eq!(api.run(&["providers", "add", "nim"], "key\n").await.code, 2);
    let done = api.run(&["providers", "add", "nim", "--base-url", "https://h"], "").await;
    assert_eq!((done.code, done.err.as_str()), (1, "error: no API key was given\n"));
}

#[tokio::test]
async fn one_model_is_added_without_losing_the_others() {
    let api = Api::start([(200, nim()), (200, nim())]).await;
    let done = api.run(&["providers", "set", "nim", "--model", "qwen"], "").await;
    assert_eq!(done.code, 0, "{}", done.err);
    let asked = api.asked();
    assert_eq!(asked[0].line, "GET /api/admin/backends/nim");
    assert_eq!(asked[1].line, "PUT /api/admin/backends/nim");
    let before = nim();
    let llama = &before["model_mappings"]["llama"];
    assert_eq!(asked[1].body, json!({"model_mappings": {"llama": llama, "qwen": {}}}));
}

#[tokio::test]
async fn mappings_that_cannot_be_read_are_not_overwritten() {
    let api = Api::start([(200, json!({"name": "nim"}))]).await;
    let done = api.run(&["providers", "set", "nim", "--model", "qwen"], "").await;
    assert_eq!(done.code, 1);
    assert_eq!(api.asked().len(), 1);
}

#[tokio::test]
async fn only_what_was_given_is_changed() {
    let api = Api::start([(200, nim())]).await;
    let args = ["providers", "set", "a/b", "--pool", "fallback", "--unset", "rpm"];
    assert_eq!(api.run(&args, "").await.code, 0);
    let asked = &api.asked()[0];
    assert_eq!(asked.line, "PUT /api/admin/backends/a%2Fb");
    assert_eq!(asked.body, json!({"pool": "fallback", "rpm_limit": null}));
    assert_eq!(api.run(&["providers", "set", "nim"], "").await.code, 2);
    let both = ["providers", "set", "nim", "--rpm", "3", "--unset", "rpm"];
    assert_eq!(api.run(&both, "").await.code, 2);
}

#[tokio::test]
async fn a_refusal_is_shown_with_its_field() {
    let refusal = json!({"detail": "must be from 1 to 3600\u{1b}[2J", "field": "burst"});
    let api = Api::start([(400, refusal)]).await;
    let done = api.run(&["providers", "enable", "nim"], "").await;
    assert_eq!(done.code, 1);
    assert_eq!(done.err, "error: burst: must be from 1 to 3600\\u{1b}[2J\n");
}

#[tokio::test]
async fn a_wrong_token_is_told_where_it_comes_from() {
    let api = Api::start([(401, json!({"detail": "unauthorized", "field": null}))]).await;
    let done = api.run(&["pools"], "").await;
    assert_eq!(done.code, 1);
    assert!(done.err.contains("the admin token from SIDECAR_ADMIN_TOKEN;"), "{}", done.err);
    assert!(done.err.contains("secrets/admin.token"), "{}", done.err);
}

#[tokio::test]
async fn nobody_at_the_address_is_told_how_to_start() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let done = run_at(&url, &["pools"], "").await;
    assert_eq!(done.code, 1);
    let start =
        format!("error: cannot reach Sidecar at {url}: is it running? start it with `cargo");
    assert!(done.err.starts_with(&start), "{}", done.err);
}

#[tokio::test]
async fn a_removed_provider_is_named() {
    let api = Api::start([(204, Value::Null), (204, Value::Null)]).await;
    assert_eq!(api.run(&["providers", "remove", "nim"], "").await.out, "removed nim\n");
    let json = api.run(&["providers", "remove", "nim", "--json"], "").await.out;
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), json!({"removed": "nim"}));
}

#[tokio::test]
async fn a_provider_that_fails_its_test_makes_the_command_fail() {
    let report = |ok: bool| json!({"ok": ok, "status": 200, "latency_ms": 5, "model": "llama"});
    let api = Api::start([(200, report(true)), (200, report(false))]).await;
    assert_eq!(api.run(&["providers", "test", "nim", "--model", "llama"], "").await.code, 0);
    let done = api.run(&["providers", "test", "nim"], "").await;
    assert_eq!((done.code, done.err.as_str()), (1, ""));
    let asked = api.asked();
    assert_eq!((&asked[0].body, &asked[1].body), (&json!({"model": "llama"}), &Value::Null));
}

#[tokio::test]
async fn an_import_goes_on_after_a_refusal() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("providers.json");
    let providers = json!({"providers": [
        {"name": "nim", "rpm_limit": 35},
        {"name": "bad", "api_base_url": "ftp://h", "api_key": "needle"},
        {"name": "keyless", "api_base_url": "https://h"},
        {"name": "new", "api_base_url": "https://h", "api_key": "needle"},
    ]});
    fs::write(&file, providers.to_string()).unwrap();
    let refusal = json!({"detail": "must be http or https", "field": "api_base_url"});
    let known = json!({"backends": [nim()]});
    let api = Api::start([(200, known), (200, nim()), (400, refusal), (201, nim())]).await;
    let done = api.run(&["providers", "import", file.to_str().unwrap()], "").await;
    assert_eq!(done.code, 1);
    assert_eq!(
        done.out,
        "updated nim\n\
         refused bad: api_base_url: must be http or https\n\
         refused keyless: api_key: is not in the file, and there is no terminal to ask at\n\
         created new\n\
         2 of 4 imported\n"
    );
    let asked = api.asked();
    assert_eq!(asked[1].line, "PUT /api/admin/backends/nim");
    assert_eq!(asked[1].body, json!({"name": "nim", "rpm_limit": 35, "source": "import"}));
    assert_eq!(asked[3].body["api_key"], "needle");
}

#[tokio::test]
async fn an_import_stops_when_the_server_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("providers.json");
    fs::write(&file, json!([{"name": "nim"}, {"name": "nim"}]).to_string()).unwrap();
    let api = Api::start([(200, json!({"backends": [nim()]})), (502, Value::Null)]).await;
    let done = api.run(&["providers", "import", file.to_str().unwrap(), "--json"], "").await;
    assert_eq!(done.code, 1);
    assert_eq!(serde_json::from_str::<Value>(&done.out).unwrap(), json!({"providers": []}));
    assert!(done.err.contains("502"), "{}", done.err);
}

#[tokio::test]
async fn an_export_can_be_imported() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("providers.json");
    let known = json!({"backends": [nim()]});
    let api = Api::start([(200, known.clone()), (200, known), (200, nim())]).await;
    let path = file.to_str().unwrap();
    let done = api.run(&["providers", "export", "--out", path], "").await;
    assert_eq!((done.code, done.out.as_str()), (0, ""));
    assert!(!fs::read_to_string(&file).unwrap().contains("nvapi"));
    assert_eq!(api.run(&["providers", "import", path], "").await.code, 0);
    assert_eq!(api.asked()[2].body["model_mappings"], nim()["model_mappings"]);
}

#[tokio::test]
async fn a_setting_is_read_changed_and_forgotten() {
    let setting = |value: u32, source: &str| json!({"value": value, "source": source});
    let api = Api::start([
        (200, setting(40, "default")),
        (200, setting(35, "stored")),
        (204, Value::Null),
        (200, setting(40, "default")),
    ])
    .await;
    assert_eq!(api.run(&["config", "get", "rate_rpm"], "").await.out, "40\n");
    let done = api.run(&["config", "set", "rate_rpm", "35"], "").await;
    assert_eq!(done.out, "rate_rpm = 35 (stored)\n");
    let done = api.run(&["config", "unset", "rate_rpm"], "").await;
    assert_eq!(done.out, "rate_rpm = 40 (default)\n");
    let asked = api.asked();
    assert_eq!(asked[1].line, "PUT /api/admin/config/rate_rpm");
    assert_eq!(asked[1].body, json!({"value": 35}));
    assert_eq!(asked[2].line, "DELETE /api/admin/config/rate_rpm");
}
