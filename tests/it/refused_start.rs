//! Starts that must not happen: each ends at once, says why, and leaves everything as it was.

use std::os::unix::fs::PermissionsExt;

use sidecar_core::keys::Kek;

use crate::support::{Home, Process, Upstream, provider};

#[tokio::test]
async fn a_second_server_on_the_same_store_is_refused_and_the_first_goes_on() {
    let (home, upstream) = (Home::new(), Upstream::start().await);
    let server = home.start().await;
    server.add(provider("one", &upstream.base_url())).await;

    let second = Process::start(&mut home.command(), "").wait().await;
    assert!(matches!(second.code, Some(1 | 78)), "{:?}: {}", second.code, second.output());
    assert!(second.output().contains("sidecar.redb"), "{}", second.output());
    assert!(second.output().contains("use"), "{}", second.output());
    assert_eq!(server.names().await, ["one"]);
}

#[tokio::test]
async fn a_malformed_master_key_is_refused_by_the_name_of_its_variable() {
    for bad in ["needle", &"zz-needle".repeat(8)[..64], &"00".repeat(32), "deadbeef"] {
        let home = Home::new();
        let mut command = home.command();
        command.env("SIDECAR_ENCRYPTION_KEY", bad);
        let exit = Process::start(&mut command, "").wait().await;
        assert_eq!(exit.code, Some(78), "{bad:?}: {}", exit.output());
        assert!(exit.output().contains("SIDECAR_ENCRYPTION_KEY"), "{bad:?}: {}", exit.output());
        assert!(!exit.output().contains("needle"), "{bad:?}: {}", exit.output());
        assert!(!home.store().exists(), "{bad:?}: a store was made");
    }
}

#[tokio::test]
async fn a_bad_key_file_is_refused_by_the_name_of_its_variable() {
    let home = Home::new();
    let good = home.master_key().to_owned();
    for (what, text, mode) in [
        ("malformed", "needle", 0o600),
        ("without a primary", "# nothing here\n", 0o600),
        ("open to others", good.as_str(), 0o644),
    ] {
        let file = home.path().join("master.key");
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let mut command = home.command();
        command.env_remove("SIDECAR_ENCRYPTION_KEY").env("SIDECAR_ENCRYPTION_KEY_FILE", &file);
        let exit = Process::start(&mut command, "").wait().await;
        assert_eq!(exit.code, Some(78), "{what}: {}", exit.output());
        assert!(exit.output().contains("SIDECAR_ENCRYPTION_KEY_FILE"), "{}", exit.output());
        assert!(!exit.output().contains("needle"), "{what}: {}", exit.output());
        assert!(!exit.output().contains(&good), "{what}: {}", exit.output());
    }
}

#[tokio::test]
async fn a_wrong_master_key_is_refused_by_the_ids_of_both_and_the_store_is_untouched() {
    let (home, upstream) = (Home::new(), Upstream::start().await);
    let server = home.start().await;
    server.add(provider("one", &upstream.base_url())).await;
    let stopped = server.stop().await;
    assert_eq!(stopped.code, Some(0), "{}", stopped.output());
    let before = std::fs::read(home.store()).unwrap();

    let other = Kek::generate();
    let mut command = home.command();
    command.env("SIDECAR_ENCRYPTION_KEY", other.to_hex().expose());
    let exit = Process::start(&mut command, "").wait().await;
    assert_eq!(exit.code, Some(78), "{}", exit.output());
    for kid in [home.kid(), other.kid()] {
        assert!(exit.output().contains(&kid.to_string()), "{kid}: {}", exit.output());
    }
    assert!(!exit.output().contains(other.to_hex().expose()), "{}", exit.output());
    assert!(std::fs::read(home.store()).unwrap() == before, "the store has changed");

    // With the right key it is all there.
    assert_eq!(home.start().await.names().await, ["one"]);
}
