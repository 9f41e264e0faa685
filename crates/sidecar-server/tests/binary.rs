//! The binary as it is called: its help, its check, its exit codes.

use std::path::Path;
use std::process::{Command, Output};

fn server(folder: &Path, args: &[&str], env: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sidecar-server"))
        .current_dir(folder)
        .args(args)
        .env_clear()
        .envs(env.iter().copied())
        .output()
        .expect("the binary was built")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn help_shows_examples_and_version_a_version() {
    let folder = tempfile::tempdir().unwrap();
    let help = server(folder.path(), &["--help"], &[]);
    assert!(help.status.success() && text(&help.stdout).contains("Examples:"));
    let version = server(folder.path(), &["--version"], &[]);
    assert!(text(&version.stdout).contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_check_of_nothing_passes_and_makes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let check = server(folder.path(), &["--check"], &[]);
    assert!(check.status.success(), "{}", text(&check.stderr));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_wrong_variable_ends_the_start_with_its_name_and_code_78() {
    let folder = tempfile::tempdir().unwrap();
    for (name, value) in
        [("LOG_LEVEL", "loud"), ("SIDECAR_PORT", "x"), ("SIDECAR_ENCRYPTION_KEY", "00")]
    {
        // Should it not be refused, a check ends all the same.
        let refused = server(folder.path(), &["--check"], &[(name, value)]);
        assert_eq!(refused.status.code(), Some(78));
        assert!(text(&refused.stderr).contains(name));
    }
    assert_eq!(server(folder.path(), &["--nonsense"], &[]).status.code(), Some(2));
}
