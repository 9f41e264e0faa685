//! Backups, and another master key, while requests are served.

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use sidecar_core::keys::Kek;
use tokio::task::JoinHandle;

use crate::support::{
    ADMIN_TOKEN, Exit, Home, Process, Server, Upstream, all_ready, chat, json_body, key_of,
    program, provider, request, try_send, with, within,
};

/// Callers that ask one request after the other, each of which must be served.
struct Load {
    stop: Arc<AtomicBool>,
    callers: Vec<JoinHandle<usize>>,
}

impl Load {
    fn start(server: &Server) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let callers = (0..CALLERS).map(|_| tokio::spawn(ask(server.addr(), stop.clone())));
        Self { callers: callers.collect(), stop }
    }

    /// How many requests were served.
    async fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let mut served = 0;
        for caller in self.callers {
            served += within("the last answer", caller).await.unwrap();
        }
        served
    }
}

async fn ask(addr: SocketAddr, stop: Arc<AtomicBool>) -> usize {
    let mut served = 0;
    while !stop.load(Ordering::Relaxed) {
        let asked = request("POST", "/v1/chat/completions").body(json_body(&chat("llama")));
        let answer = within("an answer", try_send(addr, asked.unwrap())).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.whole());
        served += 1;
    }
    served
}

/// A provider with a limit that nothing here comes near.
fn roomy(name: &str, upstream: &Upstream) -> Value {
    with(provider(name, &upstream.base_url()), json!({"rpm_limit": 100_000}))
}

/// Whether a request is served with the key of the provider `one` as it was entered.
async fn assert_serves(server: &Server, upstream: &Upstream) {
    all_ready(server).await;
    let asked = request("POST", "/v1/chat/completions").header("x-sidecar-provider", "one");
    let answer = server.call(asked.body(json_body(&chat("llama"))).unwrap()).await;
    assert_eq!(answer.status, 200, "{}", answer.whole());
    assert_eq!(upstream.last().header("authorization"), format!("Bearer {}", key_of("one")));
}

async fn cli(home: &Home, url: &str, args: &[&str]) -> Exit {
    let mut command = Command::new(program("sidecar-cli"));
    command
        .args(args)
        .current_dir(home.path())
        .env_clear()
        .env("SIDECAR_URL", url)
        .env("SIDECAR_ADMIN_TOKEN", ADMIN_TOKEN);
    Process::start(&mut command, "").wait().await
}

async fn cli_well(home: &Home, url: &str, args: &[&str]) -> String {
    let exit = cli(home, url, args).await;
    assert_eq!(exit.code, Some(0), "{args:?}: {}", exit.output());
    exit.stdout
}

/// A key file of `home` with this content.
fn key_file(home: &Home, text: &str) -> PathBuf {
    let path = home.path().join("master.key");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    path
}

/// How to start the server of `home` with a key file.
fn with_file(home: &Home, file: &Path) -> Command {
    let mut command = home.command();
    command.env_remove("SIDECAR_ENCRYPTION_KEY").env("SIDECAR_ENCRYPTION_KEY_FILE", file);
    command
}

async fn start(command: &mut Command) -> Server {
    Server::listening(Process::start(command, "")).await
}

async fn post(server: &Server, path: &str, status: u16) -> Value {
    let answer = server.admin("POST", path, Value::Null).await;
    assert_eq!(answer.status, status, "{}", answer.whole());
    answer.json()
}

#[tokio::test]
async fn a_backup_made_under_load_serves_in_another_place_with_the_same_master_key() {
    let (home, upstream) = (Home::new(), Upstream::start().await);
    let server = home.start().await;
    server.add(roomy("one", &upstream)).await;
    all_ready(&server).await;
    let load = Load::start(&server);
    let mut made = Value::Null;
    for number in 0..3 {
        server.add(roomy(&format!("more-{number}"), &upstream)).await;
        made = post(&server, "/backup", 201).await;
    }
    assert!(load.end().await > 0);
    let kid = home.kid().to_string();
    assert_eq!(made["needs_keys"], json!([kid]));
    let listed = server.admin("GET", "/backup", Value::Null).await.json();
    assert_eq!(listed["backups"].as_array().unwrap().len(), 3);
    assert_eq!((&listed["backups"][0], &listed["last_failure"]), (&made, &Value::Null));
    let audit = server.admin("GET", "/audit", Value::Null).await.json();
    let row = &audit["events"][0];
    assert_eq!((&row["action"], &row["target"]), (&json!("make_backup"), &made["name"]));

    let url = server.url();
    let name = made["name"].as_str().unwrap();
    let table = cli_well(&home, &url, &["backup", "list"]).await;
    assert!(table.contains(name) && table.contains(&kid), "{table}");
    let file = home.path().join("data/backups").join(name).display().to_string();
    let checked = cli_well(&home, &url, &["backup", "verify", &file, "--json"]).await;
    let checked: Value = serde_json::from_str(&checked).unwrap();
    assert_eq!((&checked["providers"], &checked["opens"]), (&json!(4), &Value::Null));
    // The store itself is in use.
    let to = home.store().display().to_string();
    let refused = cli(&home, &url, &["backup", "restore", &file, "--to", &to, "--force"]).await;
    assert_eq!(refused.code, Some(1), "{}", refused.output());
    assert!(refused.stderr.contains("in use"), "{}", refused.output());
    let stopped = server.stop().await;
    assert_eq!(stopped.code, Some(0), "{}", stopped.output());

    let other = Home::new();
    let to = other.store().display().to_string();
    cli_well(&other, &url, &["backup", "restore", &file, "--to", &to]).await;
    let again = cli(&other, &url, &["backup", "restore", &file, "--to", &to]).await;
    assert_eq!(again.code, Some(1), "{}", again.output());
    assert!(again.stderr.contains("--force"), "{}", again.output());
    let wrong = Process::start(&mut other.command(), "").wait().await;
    assert_eq!(wrong.code, Some(78), "{}", wrong.output());
    assert!(wrong.output().contains(&kid), "{}", wrong.output());
    let server = start(other.command().env("SIDECAR_ENCRYPTION_KEY", home.master_key())).await;
    assert_eq!(server.names().await.len(), 4);
    assert_serves(&server, &upstream).await;
}

#[tokio::test]
async fn the_master_key_is_changed_under_load_and_no_request_fails() {
    let (home, upstream) = (Home::new(), Upstream::start().await);
    let (old, new) = (home.master_key().to_owned(), Kek::generate());
    let new_hex = new.to_hex();
    let file = key_file(&home, &old);
    let server = start(&mut with_file(&home, &file)).await;
    server.add(roomy("one", &upstream)).await;
    let before = post(&server, "/backup", 201).await;
    all_ready(&server).await;
    let load = Load::start(&server);

    // Without the old key it could not be read.
    key_file(&home, new_hex.expose());
    let refused = post(&server, "/keys/rotate", 409).await;
    assert!(refused["detail"].as_str().unwrap().contains(&home.kid().to_string()), "{refused}");
    key_file(&home, &format!("primary {}\ndecrypt {old}\n", new_hex.expose()));
    let rotated = post(&server, "/keys/rotate", 200).await;
    let needing = json!([{"name": before["name"], "kids": [home.kid().to_string()]}]);
    let expected = json!({
        "primary": new.kid().to_string(),
        "rewrapped": 1,
        "still_needed": {"backups": needing},
    });
    assert_eq!(rotated, expected);
    let url = server.url();
    let text = cli_well(&home, &url, &["keys", "rotate"]).await;
    assert!(text.starts_with("nothing was changed"), "{text}");
    server.add(roomy("sealed-after", &upstream)).await;
    assert!(load.end().await > 0);
    let stopped = server.stop().await;
    assert_eq!(stopped.code, Some(0), "{}", stopped.output());
    assert!(!stopped.output().contains(new_hex.expose()));

    let exit = Process::start(&mut home.command(), "").wait().await;
    assert_eq!(exit.code, Some(78), "the old key alone: {}", exit.output());
    let checked = cli_well(&home, &url, &["keys", "verify", "--key-file", "master.key"]).await;
    assert!(checked.contains(&new.kid().to_string()), "{checked}");
    let file = key_file(&home, new_hex.expose());
    let server = start(&mut with_file(&home, &file)).await;
    assert_eq!(server.names().await, ["one", "sealed-after"]);
    assert_serves(&server, &upstream).await;
    // The backup of before opens with the old key only.
    let backup = home.path().join("data/backups").join(before["name"].as_str().unwrap());
    let backup = backup.display().to_string();
    let exit = cli(&home, &url, &["keys", "verify", &backup, "--key-file", "master.key"]).await;
    assert_eq!(exit.code, Some(1), "{}", exit.output());
    key_file(&home, &old);
    cli_well(&home, &url, &["keys", "verify", &backup, "--key-file", "master.key"]).await;
}

#[tokio::test]
async fn kill_9_at_any_step_of_a_rotation_leaves_a_store_that_opens() {
    let (home, upstream) = (Home::new(), Upstream::start().await);
    let (old, new) = (home.master_key().to_owned(), Kek::generate());
    let new = new.to_hex();
    let file = key_file(&home, &old);
    let mut server = start(&mut with_file(&home, &file)).await;
    server.add(roomy("one", &upstream)).await;
    // The new file is in place, and nothing was rotated.
    key_file(&home, &format!("primary {}\ndecrypt {old}\n", new.expose()));
    server.process().kill();

    let mut server = start(&mut with_file(&home, &file)).await;
    assert_serves(&server, &upstream).await;
    // On its way to the disk, or there; nobody waits for the answer.
    let asked = request("POST", "/api/admin/keys/rotate")
        .header("authorization", format!("Bearer {ADMIN_TOKEN}"))
        .body(json_body(&Value::Null))
        .unwrap();
    let asking = tokio::spawn(try_send(server.addr(), asked));
    tokio::task::yield_now().await;
    server.process().kill();
    // Whether it was answered is all the same.
    let _ = within("the call to end", asking).await;

    let mut server = start(&mut with_file(&home, &file)).await;
    assert_serves(&server, &upstream).await;
    post(&server, "/keys/rotate", 200).await;
    server.process().kill();

    let file = key_file(&home, new.expose());
    let server = start(&mut with_file(&home, &file)).await;
    assert_serves(&server, &upstream).await;
}

#[tokio::test]
async fn a_key_of_the_environment_takes_a_restart() {
    let (home, upstream) = (Home::new(), Upstream::start().await);
    let server = home.start().await;
    server.add(roomy("one", &upstream)).await;
    let refused = post(&server, "/keys/rotate", 409).await;
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.contains("SIDECAR_ENCRYPTION_KEYS_OLD"), "{detail}");
    assert!(!detail.contains(home.master_key()));
    server.stop().await;

    let new = Kek::generate().to_hex();
    let mut command = home.command();
    command.env("SIDECAR_ENCRYPTION_KEY", new.expose());
    let server = start(command.env("SIDECAR_ENCRYPTION_KEYS_OLD", home.master_key())).await;
    for rewrapped in [1, 0] {
        assert_eq!(post(&server, "/keys/rotate", 200).await["rewrapped"], rewrapped);
    }
    server.stop().await;
    let server = start(home.command().env("SIDECAR_ENCRYPTION_KEY", new.expose())).await;
    assert_serves(&server, &upstream).await;
}

const CALLERS: usize = 4;
