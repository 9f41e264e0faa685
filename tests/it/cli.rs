//! The command line against a running server.

use std::process::Command;

use serde_json::Value;
use sidecar_core::keys::Kek;

use crate::support::{ADMIN_TOKEN, Exit, Home, Process, Script, Server, Upstream, key_of, program};

/// One run of the command line in `home`.
async fn run(home: &Home, server: &Server, args: &[&str], input: &str) -> Exit {
    let mut command = Command::new(program("sidecar-cli"));
    command
        .args(args)
        .current_dir(home.path())
        .env_clear()
        .env("SIDECAR_URL", server.url())
        .env("SIDECAR_ADMIN_TOKEN", ADMIN_TOKEN);
    Process::start(&mut command, input).wait().await
}

/// A run that must go well; what it printed for programs or people.
async fn run_well(home: &Home, server: &Server, args: &[&str], input: &str) -> String {
    let exit = run(home, server, args, input).await;
    assert_eq!(exit.code, Some(0), "{args:?}: {}", exit.output());
    assert!(!exit.output().contains("0123456789"), "{args:?}: {}", exit.output());
    exit.stdout
}

/// Adds a provider; its key comes in by standard input.
async fn add(home: &Home, server: &Server, name: &str, base_url: &str) -> Exit {
    let args = ["providers", "add", name, "--base-url", base_url];
    let args = [&args[..], &["--model", "llama=meta/llama-3", "--key-stdin"]].concat();
    run(home, server, &args, &format!("{}\n", key_of(name))).await
}

/// The provider called `name` in the output of `providers list --json`.
async fn listed(home: &Home, server: &Server, name: &str) -> Option<Value> {
    let printed = run_well(home, server, &["providers", "list", "--json"], "").await;
    let list: Value = serde_json::from_str(&printed).unwrap();
    let providers = list.as_array().or_else(|| list["backends"].as_array()).unwrap();
    providers.iter().find(|provider| provider["name"] == name).cloned()
}

#[tokio::test]
async fn a_generated_master_key_is_a_new_and_good_one() {
    let home = Home::new();
    let server = home.start().await;
    let mut kids = Vec::new();
    for _ in 0..2 {
        let exit = run(&home, &server, &["keys", "generate"], "").await;
        assert_eq!(exit.code, Some(0), "{}", exit.output());
        let key = exit.stdout.split_whitespace().find_map(|word| Kek::parse(word).ok());
        kids.push(key.expect("a master key is printed").kid());
    }
    assert_ne!(kids[0], kids[1]);
}

#[tokio::test]
async fn a_provider_is_added_changed_tried_and_removed() {
    let (home, upstream) = (Home::new(), Upstream::start().await);
    let server = home.start().await;

    let added = add(&home, &server, "alpha", &upstream.base_url()).await;
    assert_eq!(added.code, Some(0), "{}", added.output());
    assert!(!added.output().contains("0123456789"), "{}", added.output());
    let alpha = listed(&home, &server, "alpha").await.unwrap();
    assert_eq!(alpha["api_base_url"], upstream.base_url());
    assert_eq!(alpha["api_key"], "sk-alp****cdef");
    assert_eq!(alpha["model_mappings"]["llama"]["native_id"], "meta/llama-3");
    assert_eq!(alpha["source"], "cli");
    assert!(run_well(&home, &server, &["providers", "list"], "").await.contains("alpha"));
    assert!(run_well(&home, &server, &["providers", "show", "alpha"], "").await.contains("alpha"));

    run_well(&home, &server, &["providers", "set", "alpha", "--rpm", "7"], "").await;
    assert_eq!(listed(&home, &server, "alpha").await.unwrap()["rpm_limit"], 7);
    run_well(&home, &server, &["providers", "disable", "alpha"], "").await;
    assert_eq!(listed(&home, &server, "alpha").await.unwrap()["enabled"], false);
    run_well(&home, &server, &["providers", "enable", "alpha"], "").await;
    assert_eq!(listed(&home, &server, "alpha").await.unwrap()["enabled"], true);

    run_well(&home, &server, &["providers", "test", "alpha"], "").await;
    let seen = upstream.last();
    assert_eq!(seen.header("authorization"), format!("Bearer {}", key_of("alpha")));
    upstream.follow(Script::status(500, "broken"));
    let exit = run(&home, &server, &["providers", "test", "alpha"], "").await;
    assert_eq!(exit.code, Some(1), "{}", exit.output());

    run_well(&home, &server, &["providers", "remove", "alpha"], "").await;
    assert!(listed(&home, &server, "alpha").await.is_none());
}

#[tokio::test]
async fn what_the_server_refuses_is_exit_code_1_and_says_why() {
    let (home, upstream) = (Home::new(), Upstream::start().await);
    let server = home.start().await;
    assert_eq!(add(&home, &server, "alpha", &upstream.base_url()).await.code, Some(0));
    let again = add(&home, &server, "alpha", &upstream.base_url()).await;
    assert_eq!(again.code, Some(1), "{}", again.output());
    assert!(again.stderr.contains("name"), "{}", again.output());
    let bad_url = add(&home, &server, "beta", "ftp://127.0.0.1/").await;
    assert_eq!(bad_url.code, Some(1), "{}", bad_url.output());
    for exit in [&again, &bad_url] {
        assert!(!exit.output().contains("0123456789"), "{}", exit.output());
    }
    for args in [["show", "nobody"], ["remove", "nobody"], ["test", "nobody"]] {
        let exit = run(&home, &server, &["providers", args[0], args[1]], "").await;
        assert_eq!(exit.code, Some(1), "{args:?}: {}", exit.output());
        assert!(!exit.stderr.is_empty(), "{args:?}");
    }
    assert_eq!(server.names().await, ["alpha"]);
}

#[tokio::test]
async fn a_wrong_token_or_a_server_that_is_not_there_is_exit_code_1() {
    let home = Home::new();
    let server = home.start().await;
    for (name, value) in
        [("SIDECAR_ADMIN_TOKEN", "WrongTokenNeedle"), ("SIDECAR_URL", "http://127.0.0.1:1")]
    {
        let mut command = Command::new(program("sidecar-cli"));
        command
            .args(["providers", "list"])
            .current_dir(home.path())
            .env_clear()
            .env("SIDECAR_URL", server.url())
            .env("SIDECAR_ADMIN_TOKEN", ADMIN_TOKEN)
            .env(name, value);
        let exit = Process::start(&mut command, "").wait().await;
        assert_eq!(exit.code, Some(1), "{name}: {}", exit.output());
        assert!(!exit.stderr.is_empty(), "{name}");
        for secret in [ADMIN_TOKEN, "WrongTokenNeedle"] {
            assert!(!exit.output().contains(secret), "{name}: {}", exit.output());
        }
    }
}

#[tokio::test]
async fn what_is_no_command_is_exit_code_2() {
    let home = Home::new();
    let server = home.start().await;
    for args in [
        &["frobnicate"][..],
        &["providers", "frobnicate"],
        &["providers", "add"],
        &["providers", "show"],
        &["providers", "set", "alpha", "--rpm", "many"],
        // Secrets do not come from the command line.
        &["providers", "add", "alpha", "--api-key", "sk-0123456789"],
    ] {
        let exit = run(&home, &server, args, "").await;
        assert_eq!(exit.code, Some(2), "{args:?}: {}", exit.output());
    }
    assert_eq!(server.names().await, [""; 0]);
}
