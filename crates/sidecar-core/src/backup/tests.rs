//! Copies of real files: made while the store is written, damaged, restored and opened again.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use super::folder::{newest, prune};
use super::*;
use crate::Sidecar;
use crate::clock::Clock;
use crate::keys::{Kek, KeyRing};
use crate::store::{Change, RedbStore, Store, StoreError, Table, UsageBatch};
use crate::usage::{UsageCounts, UsageKey};

const KEY: &str = "8ba0fe4965396c0e0f9d517e5b29dd27518b9017d10cfa8ba219e4cf26633863";
const OTHER_KEY: &str = "b9ecdf5e59d7cabd1c528e32f09a2a208d79ecd6971289116906d9bc1a9307a1";
const DAY: Duration = Duration::from_secs(24 * 3_600);

struct Home {
    folder: TempDir,
}

impl Home {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("data/sidecar.redb")
    }

    fn backups(&self) -> PathBuf {
        self.folder.path().join("backups")
    }

    fn backup(&self, backup: &Backup) -> PathBuf {
        self.backups().join(&backup.name)
    }

    async fn open(&self) -> Sidecar {
        let builder = Sidecar::builder().store(self.store(), ring(KEY)).clock(Clock::simulated());
        builder.backups(self.backups(), 7 * DAY).open().await.unwrap()
    }

    /// Files of the folder of backups, in order.
    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.backups()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn ring(hex: &str) -> KeyRing {
    KeyRing::new(Kek::parse(hex).unwrap())
}

fn provider(name: &str) -> crate::provider::ProviderPatch {
    let fields = serde_json::json!({
        "name": name,
        "api_base_url": "https://api.example.com/v1",
        "api_key": "sk-0123456789abcdef",
    });
    serde_json::from_value(fields).unwrap()
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(1_767_225_600_000) + Duration::from_secs(seconds)
}

fn touch(folder: &Path, at: Timestamp) -> String {
    let name = name::name_of(at).0;
    fs::write(folder.join(&name), "").unwrap();
    name
}

#[tokio::test]
async fn a_copy_is_named_by_its_time_and_names_the_keys_that_it_needs() {
    let home = Home::new();
    let sidecar = home.open().await;
    sidecar.admin().add_provider(provider("one")).await.unwrap();
    let made = sidecar.admin().make_backup().await.unwrap();
    assert!(made.name.starts_with("sidecar-20260101T00000"), "{}", made.name);
    assert_eq!(made.needs_keys, Some(vec![ring(KEY).primary().kid()]));
    assert_eq!(made.size_bytes, fs::metadata(home.backup(&made)).unwrap().len());
    // Two of one second do not get in each other's way.
    let second = sidecar.admin().make_backup().await.unwrap();
    assert!(second.created_at > made.created_at);
    let listed = sidecar.admin().backups().await.unwrap();
    assert_eq!((listed.backups, listed.last_failure), (vec![second, made.clone()], None));
    assert_eq!(home.files().len(), 2, "no draft is left");
    sidecar.close().await.unwrap();

    let bytes = fs::read(home.backup(&made)).unwrap();
    let verified = verify(&home.backup(&made), Some(&ring(KEY))).unwrap();
    assert_eq!((verified.providers, verified.refused.len()), (1, 0));
    assert_eq!(verified.needs_keys, [ring(KEY).primary().kid()]);
    let rows = verified.rows.iter().find(|(table, _)| table == "providers_v1").unwrap();
    assert_eq!(rows.1, 1);
    assert!(fs::read(home.backup(&made)).unwrap() == bytes, "it was only read");
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_can_read_a_copy() {
    use std::os::unix::fs::PermissionsExt as _;

    let home = Home::new();
    let made = home.open().await.admin().make_backup().await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&home.backup(&made)), mode(&home.backups())), (0o600, 0o700));
}

#[tokio::test]
async fn a_wrong_key_is_named_and_the_right_one_opens() {
    let home = Home::new();
    let made = home.open().await.admin().make_backup().await.unwrap();
    let error = verify(&home.backup(&made), Some(&ring(OTHER_KEY))).unwrap_err();
    for hex in [KEY, OTHER_KEY] {
        assert!(error.to_string().contains(&ring(hex).primary().kid().to_string()), "{error}");
    }
    verify(&home.backup(&made), Some(&ring(KEY))).unwrap();
}

/// Each commit writes the same number in two tables. A copy must have it in both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_made_while_the_store_is_written_shows_one_moment_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(RedbStore::open(folder.path().join("sidecar.redb")).unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn({
        let (store, stop) = (store.clone(), stop.clone());
        async move {
            let mut number = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                number += 1;
                let value = number.to_be_bytes().to_vec();
                let changes = [Table::Settings, Table::Callers]
                    .map(|table| Change::put(table, "number", value.clone()));
                store.apply(changes.into()).await.unwrap();
                let key = UsageKey {
                    hour: i64::try_from(number).unwrap(),
                    provider: "p".into(),
                    model: "m".into(),
                    caller: "c".into(),
                };
                let rows = vec![(key, UsageCounts { requests: 1, ..UsageCounts::default() })];
                store.record(UsageBatch { id: number, rows }).await.unwrap();
            }
            number
        }
    });
    let mut before = 0;
    for round in 0..10 {
        let copy = folder.path().join(format!("copy-{round}"));
        store.backup(copy.clone()).await.unwrap();
        let loaded = RedbStore::inspect(&copy).unwrap().loaded;
        let number = |table| {
            let bytes = loaded.rows(table).get("number");
            bytes.map_or(0, |bytes| u64::from_be_bytes(bytes.as_slice().try_into().unwrap()))
        };
        let seen = number(Table::Settings);
        assert_eq!((number(Table::Callers), loaded.revision), (seen, seen));
        assert!(seen >= before && (loaded.usage_batch == seen || loaded.usage_batch + 1 == seen));
        let usage = RedbStore::open(&copy).unwrap().usage(0..=i64::MAX).await.unwrap();
        assert_eq!(usage.len() as u64, loaded.usage_batch);
        before = seen;
    }
    stop.store(true, Ordering::Relaxed);
    assert!(writing.await.unwrap() >= before);
}

#[tokio::test]
async fn a_copy_that_cannot_be_made_is_told_of_until_one_is() {
    let home = Home::new();
    fs::write(home.backups(), "in the way").unwrap();
    let sidecar = home.open().await;
    sidecar.admin().make_backup().await.unwrap_err();
    fs::remove_file(home.backups()).unwrap();
    let listed = sidecar.admin().backups().await.unwrap();
    let failure = listed.last_failure.unwrap();
    assert!(failure.detail.contains("backups"), "{}", failure.detail);
    assert!(listed.backups.is_empty());

    sidecar.admin().make_backup().await.unwrap();
    assert_eq!(sidecar.admin().backups().await.unwrap().last_failure, None);
    // Without a folder there is nothing to make or list.
    let memory = Sidecar::builder().open().await.unwrap().admin();
    assert!(memory.make_backup().await.unwrap_err().to_string().contains("no folder"));
    assert!(memory.backups().await.is_err());
}

#[tokio::test]
async fn what_a_copy_that_was_cut_short_has_left_is_no_copy_and_goes_with_the_next_one() {
    let home = Home::new();
    let sidecar = home.open().await;
    fs::create_dir(home.backups()).unwrap();
    let left = "sidecar-20250101T000000Z.redb.tmp";
    for name in [left, "precious.tmp", "notes.txt"] {
        fs::write(home.backups().join(name), "half").unwrap();
    }
    assert!(sidecar.admin().backups().await.unwrap().backups.is_empty());
    let made = sidecar.admin().make_backup().await.unwrap();
    assert_eq!(home.files(), ["notes.txt", "precious.tmp", made.name.as_str()]);
}

#[tokio::test]
async fn a_store_that_is_closed_meanwhile_leaves_nothing() {
    let home = Home::new();
    let sidecar = home.open().await;
    sidecar.close().await.unwrap();
    assert!(sidecar.admin().make_backup().await.is_err());
    assert_eq!(home.files(), [""; 0]);
}

#[tokio::test]
async fn a_copy_is_due_a_day_after_the_newest_one_also_across_a_restart() {
    let home = Home::new();
    let sidecar = home.open().await;
    let first = sidecar.admin().make_due_backup().await.unwrap().expect("there was none");
    assert_eq!(sidecar.admin().make_due_backup().await.unwrap(), None);
    sidecar.close().await.unwrap();
    let sidecar = home.open().await;
    assert_eq!(sidecar.admin().make_due_backup().await.unwrap(), None);
    let before = home.backups().join("sidecar-20251230T235959Z.redb");
    fs::rename(home.backup(&first), before).unwrap();
    assert!(sidecar.admin().make_due_backup().await.unwrap().is_some());
}

#[test]
fn a_copy_from_the_future_does_not_hold_up_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(newest(&folder.path().join("missing"), at(0)).unwrap(), None);
    touch(folder.path(), at(1_000_000));
    assert_eq!(newest(folder.path(), at(0)).unwrap(), None);
    touch(folder.path(), at(60));
    touch(folder.path(), at(0));
    assert_eq!(newest(folder.path(), at(0)).unwrap(), Some(at(60)));
}

#[test]
fn what_is_old_is_removed_but_never_the_newest_nor_what_is_not_ours() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let [old, kept, newest] = [0, 100, 200].map(|seconds| touch(path, at(seconds)));
    fs::write(path.join("precious.redb"), "").unwrap();
    let exists = |name: &str| path.join(name).exists();

    assert_eq!(prune(path, Duration::from_secs(60), at(160)).unwrap(), 1);
    assert!(!exists(&old) && exists(&kept) && exists(&newest));
    assert_eq!(prune(path, Duration::from_secs(60), at(9_999)).unwrap(), 1);
    assert!(!exists(&kept) && exists(&newest) && exists("precious.redb"));
    assert_eq!(prune(path, Duration::ZERO, at(99_999)).unwrap(), 0);
}

#[test]
fn a_thousand_copies_are_kept_at_most() {
    let folder = tempfile::tempdir().unwrap();
    for second in 0..1_005 {
        touch(folder.path(), at(second));
    }
    assert_eq!(list(folder.path()).unwrap().len(), 1_000);
    assert_eq!(prune(folder.path(), DAY, at(1_005)).unwrap(), 5);
    let listed = list(folder.path()).unwrap();
    assert_eq!((listed.len(), listed[999].created_at), (1_000, at(5)));
    // None of them is a store.
    assert!(listed.iter().all(|backup| backup.needs_keys.is_none()));
}

#[tokio::test]
async fn a_restored_store_has_the_same_rows_and_opens_with_the_same_key() {
    let home = Home::new();
    let sidecar = home.open().await;
    sidecar.admin().add_provider(provider("one")).await.unwrap();
    let made = sidecar.admin().make_backup().await.unwrap();
    sidecar.admin().add_provider(provider("two")).await.unwrap();
    let copy = home.backup(&made);

    // A running server is not robbed of its store.
    let in_use = restore(&copy, &home.store(), true, at(0)).unwrap_err();
    assert!(matches!(in_use, BackupError::InUse { .. }), "{in_use}");
    sidecar.close().await.unwrap();
    let exists = restore(&copy, &home.store(), false, at(0)).unwrap_err();
    assert!(matches!(exists, BackupError::Exists { .. }), "{exists}");

    let newer = fs::read(home.store()).unwrap();
    let restored = restore(&copy, &home.store(), true, at(0)).unwrap();
    let kept = restored.kept.unwrap();
    assert!(kept.ends_with("sidecar.redb.before-restore-20260101T000000Z"), "{}", kept.display());
    assert!(fs::read(kept).unwrap() == newer);
    assert_eq!(restored.verified, verify(&copy, None).unwrap());
    assert_eq!(fs::read_dir(home.store().parent().unwrap()).unwrap().count(), 2);
    let sidecar = home.open().await;
    let names: Vec<_> = sidecar.admin().providers().into_iter().map(|found| found.name).collect();
    assert_eq!(names, ["one"]);

    // The next one of the same second would write over what was kept.
    sidecar.close().await.unwrap();
    assert!(restore(&copy, &home.store(), true, at(0)).is_err());
    let elsewhere = home.folder.path().join("new/folder/sidecar.redb");
    assert_eq!(restore(&copy, &elsewhere, false, at(0)).unwrap().kept, None);
    verify(&elsewhere, Some(&ring(KEY))).unwrap();
}

#[tokio::test]
async fn a_damaged_copy_is_refused_and_nothing_is_moved() {
    let home = Home::new();
    let sidecar = home.open().await;
    for number in 0..50 {
        sidecar.admin().add_provider(provider(&number.to_string())).await.unwrap();
    }
    let made = sidecar.admin().make_backup().await.unwrap();
    sidecar.close().await.unwrap();
    let (copy, good) = (home.backup(&made), fs::read(home.backup(&made)).unwrap());
    let store = fs::read(home.store()).unwrap();
    // Every page that holds a provider, a file that was cut, and no store at all.
    let needle = b"api.example.com";
    let mut flipped = good.clone();
    for place in 0..good.len() - needle.len() {
        if good[place..].starts_with(needle) {
            flipped[place] ^= 1;
        }
    }
    assert!(flipped != good);
    for bytes in [&flipped[..], &good[..good.len() / 2], &good[..100], b""] {
        fs::write(&copy, bytes).unwrap();
        let error = restore(&copy, &home.store(), true, at(0)).unwrap_err();
        assert!(matches!(error, BackupError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains(&made.name), "{error}");
        assert!(fs::read(home.store()).unwrap() == store);
        assert_eq!(fs::read_dir(home.store().parent().unwrap()).unwrap().count(), 1);
    }
}

#[test]
fn a_refusal_of_the_store_is_told_of_the_file_at_hand() {
    let error = StoreError::InUse { path: "draft".into() };
    assert!(BackupError::of_file("copy", error).to_string().starts_with("copy is in use"));
}
