//! The binary as it is called: its help and its exit codes.

use std::process::{Command, Output};

fn cli(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sidecar-cli"));
    command.args(args).env_clear().env("SIDECAR_URL", "http://127.0.0.1:1");
    command.env("SIDECAR_ADMIN_TOKEN", "0123456789abcdef").output().expect("the binary was built")
}

#[test]
fn help_shows_examples() {
    let help = cli(&["providers", "add", "--help"]);
    assert!(help.status.success());
    assert!(String::from_utf8(help.stdout).unwrap().contains("Examples:"));
}

#[test]
fn usage_errors_end_with_2_and_failures_with_1() {
    assert_eq!(cli(&["nonsense"]).status.code(), Some(2));
    let refused = cli(&["pools"]);
    assert_eq!(refused.status.code(), Some(1));
    let text = String::from_utf8(refused.stderr).unwrap();
    assert!(text.contains("http://127.0.0.1:1") && text.contains("SIDECAR_URL"), "{text}");
}
