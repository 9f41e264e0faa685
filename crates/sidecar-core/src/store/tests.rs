//! The store over real files, damaged files and a disk that fails.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use redb::StorageBackend;
use tempfile::TempDir;

use super::tables::{SCHEMA, SCHEMA_KNOWN, STORE_ID, USAGE, decode_counts, encode_counts};
use super::*;

fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data/sidecar.redb");
    (folder, path)
}

fn setting(key: &str, value: &[u8]) -> Change {
    Change::put(Table::Settings, key, value.to_vec())
}

fn batch(id: u64, requests: u64) -> UsageBatch {
    let key = UsageKey { hour: 5, provider: "p".into(), model: "m".into(), caller: "c".into() };
    UsageBatch { id, rows: vec![(key, UsageCounts { requests, ..UsageCounts::default() })] }
}

async fn requests(store: &RedbStore) -> u64 {
    let hourly = store.usage(0..=9).await.unwrap();
    let hourly: u64 = hourly.iter().map(|(_, counts)| counts.requests).sum();
    let daily = store.usage_daily(0..=9).await.unwrap();
    let daily: u64 = daily.iter().map(|(_, counts)| counts.requests).sum();
    assert_eq!(hourly, daily, "they are written together");
    hourly
}

/// One request in each of `hours`.
fn hourly(id: u64, hours: impl IntoIterator<Item = i64>) -> UsageBatch {
    let counts = UsageCounts { requests: 1, ..UsageCounts::default() };
    let key = |hour| UsageKey { hour, provider: "p".into(), model: "m".into(), caller: "c".into() };
    UsageBatch { id, rows: hours.into_iter().map(|hour| (key(hour), counts)).collect() }
}

fn event(at_ms: i64, body: &str) -> NewEvent {
    NewEvent { at_ms, body: body.into() }
}

async fn bodies(store: &RedbStore, from_ms: i64, limit: usize, newest_first: bool) -> Vec<String> {
    let events = store.events(from_ms, limit, newest_first).await.unwrap();
    events.into_iter().map(|event| String::from_utf8(event.body).unwrap()).collect()
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let (_folder, path) = place();
    let store = RedbStore::open(&path).unwrap();
    let id = store.load().await.unwrap().store;
    assert_eq!(store.apply(vec![setting("a", b"1"), setting("b", b"2")]).await.unwrap(), 1);
    assert_eq!(store.apply(vec![Change::delete(Table::Settings, "a")]).await.unwrap(), 2);
    store.record(batch(1, 7)).await.unwrap();
    store.close().await.unwrap();
    assert!(matches!(store.apply(Vec::new()).await, Err(StoreError::Closed)));

    let store = RedbStore::open(&path).unwrap();
    let loaded = store.load().await.unwrap();
    assert_eq!((loaded.store, loaded.revision, loaded.usage_batch), (id, 2, 1));
    assert_eq!(loaded.rows(Table::Settings).keys().collect::<Vec<_>>(), ["b"]);
    assert_eq!(requests(&store).await, 7);
}

#[tokio::test]
async fn a_batch_that_is_handed_in_again_counts_once() {
    let store = RedbStore::in_memory().unwrap();
    for id in [1, 1, 2, 1, 2] {
        store.record(batch(id, 1)).await.unwrap();
    }
    assert_eq!(requests(&store).await, 2);
}

#[tokio::test]
async fn usage_is_found_by_its_hours_only() {
    let store = RedbStore::in_memory().unwrap();
    store.record(batch(1, 1)).await.unwrap();
    assert_eq!(store.usage(5..=5).await.unwrap().len(), 1);
    assert_eq!(store.usage(0..=4).await.unwrap().len(), 0);
    assert_eq!(store.usage(6..=9).await.unwrap().len(), 0);
}

#[tokio::test]
async fn many_writers_lose_nothing() {
    let (_folder, path) = place();
    let store = Arc::new(RedbStore::open(&path).unwrap());
    let writers: Vec<_> = (0..100)
        .map(|index| {
            let store = store.clone();
            let change = setting(&index.to_string(), b"x");
            tokio::spawn(async move { store.apply(vec![change]).await.unwrap() })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let loaded = store.load().await.unwrap();
    assert_eq!((loaded.revision, loaded.rows(Table::Settings).len()), (100, 100));
}

#[test]
fn a_second_one_on_the_same_file_is_refused() {
    let (_folder, path) = place();
    let _store = RedbStore::open(&path).unwrap();
    assert!(matches!(RedbStore::open(&path), Err(StoreError::InUse { .. })));
}

#[cfg(unix)]
#[test]
fn only_the_owner_can_read_it() {
    use std::os::unix::fs::PermissionsExt as _;

    let (_folder, path) = place();
    let _store = RedbStore::open(&path).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
}

#[tokio::test]
async fn a_file_that_a_later_version_wrote_is_refused_and_left_alone() {
    let (_folder, path) = place();
    let store = RedbStore::open(&path).unwrap();
    let later = SCHEMA_KNOWN + 1;
    let newer = Change::put(Table::Meta, SCHEMA, later.to_be_bytes().to_vec());
    store.apply(vec![newer]).await.unwrap();
    store.close().await.unwrap();
    let before = fs::read(&path).unwrap();
    let error = RedbStore::open(&path).unwrap_err();
    let StoreError::NewerSchema { found, known } = error else { panic!("{error}") };
    assert_eq!((found, known), (later, SCHEMA_KNOWN));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_file_that_is_no_store_is_refused() {
    let (folder, _) = place();
    let path = folder.path().join("text");
    fs::write(&path, "x".repeat(10_000)).unwrap();
    let error = RedbStore::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::Damaged(_)), "{error}");
}

/// A disk in memory that can be told to fail.
#[derive(Clone, Debug, Default)]
struct Disk {
    bytes: Arc<Mutex<Vec<u8>>>,
    /// How many more syncs succeed, if they are counted.
    counted: Arc<AtomicBool>,
    syncs_left: Arc<AtomicU32>,
    /// Whether a failing sync keeps what was written all the same.
    full: Arc<AtomicBool>,
}

impl Disk {
    fn fail_after(&self, syncs: u32) {
        self.syncs_left.store(syncs, Ordering::SeqCst);
        self.counted.store(true, Ordering::SeqCst);
    }

    fn heal(&self) {
        self.counted.store(false, Ordering::SeqCst);
        self.full.store(false, Ordering::SeqCst);
    }

    fn store(&self) -> RedbStore {
        let disk = self.clone();
        RedbStore::start(move || open::with_backend(disk.clone())).unwrap()
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.lock().unwrap().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let offset = offset as usize;
        out.copy_from_slice(&self.bytes.lock().unwrap()[offset..offset + out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.bytes.lock().unwrap().resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.counted.load(Ordering::SeqCst)
            && self
                .syncs_left
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                .is_err()
        {
            return Err(io::Error::other("the disk failed"));
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if self.full.load(Ordering::SeqCst) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        let offset = offset as usize;
        self.bytes.lock().unwrap()[offset..offset + data.len()].copy_from_slice(data);
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        Ok(())
    }
}

/// However far a commit gets before the disk fails once, it is made exactly once.
#[tokio::test]
async fn a_commit_whose_fate_is_unknown_is_neither_lost_nor_made_twice() {
    for syncs in 0..6 {
        let disk = Disk::default();
        let store = disk.store();
        store.record(batch(1, 1)).await.unwrap();
        disk.fail_after(syncs);
        // The next sync fails and every one after it, until the disk is well again; the batch is
        // handed in again as the flusher does.
        let first = store.record(batch(2, 10)).await;
        disk.heal();
        if first.is_err() {
            store.record(batch(2, 10)).await.unwrap();
        }
        assert_eq!(requests(&store).await, 11, "{syncs} syncs");
        assert!(store.is_healthy());
    }
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_recovers_when_there_is_space() {
    let disk = Disk::default();
    let store = disk.store();
    store.apply(vec![setting("a", b"1")]).await.unwrap();
    disk.full.store(true, Ordering::SeqCst);
    let error = store.apply(vec![setting("b", b"2")]).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    assert!(!store.is_healthy());
    disk.heal();
    store.apply(vec![setting("c", b"3")]).await.unwrap();
    let loaded = store.load().await.unwrap();
    let keys: Vec<_> = loaded.rows(Table::Settings).keys().cloned().collect();
    assert_eq!(keys, ["a", "c"]);
}

/// Every flipped bit is either harmless or refused, never served.
#[tokio::test]
async fn a_damaged_file_is_refused_or_right() {
    let (folder, path) = place();
    let store = RedbStore::open(&path).unwrap();
    let value = vec![0xA5; 2_000];
    let changes: Vec<_> = (0..40).map(|key| setting(&format!("{key:02}"), &value)).collect();
    store.apply(changes).await.unwrap();
    let whole = store.load().await.unwrap();
    store.close().await.unwrap();
    drop(store);
    let bytes = fs::read(&path).unwrap();
    let copy = folder.path().join("copy.redb");
    let mut refused = 0;
    for step in 0..60 {
        let mut damaged = bytes.clone();
        let at = step * 104_729 % damaged.len();
        damaged[at] ^= 1 << (step % 8);
        fs::write(&copy, damaged).unwrap();
        match RedbStore::open(&copy) {
            Err(_) => refused += 1,
            Ok(store) => {
                let loaded = store.load().await.unwrap();
                assert_eq!(loaded.rows(Table::Settings), whole.rows(Table::Settings), "byte {at}");
                store.close().await.unwrap();
            }
        }
    }
    assert!(refused > 0);
}

#[test]
fn counts_are_read_as_they_were_written() {
    let counts = UsageCounts {
        requests: 1,
        errors: 2,
        prompt_tokens: 3,
        cost_pico_usd: u128::MAX,
        first_byte_count: u64::MAX,
        possible_duplicates: 4,
        suspect: 5,
        provider_cost_pico_usd: 6,
        ..UsageCounts::default()
    };
    let bytes = encode_counts(&counts);
    assert_eq!(decode_counts(&bytes).unwrap(), counts);
    for length in 0..bytes.len() {
        assert!(decode_counts(&bytes[..length]).is_err());
    }
    assert!(decode_counts(&[&bytes[..], &[0]].concat()).is_err());
}

/// A row as the first version wrote it: twelve counts that rise from 1, and a cost of 99.
fn first_version_row() -> Vec<u8> {
    let counts = (1..=12_u64).flat_map(u64::to_be_bytes);
    [1].into_iter().chain(counts).chain(99_u128.to_be_bytes()).collect()
}

#[test]
fn a_row_of_the_first_version_is_read_with_nothing_for_what_came_later() {
    let row = first_version_row();
    let counts = decode_counts(&row).unwrap();
    assert_eq!((counts.requests, counts.first_byte_count), (1, 12));
    assert_eq!((counts.cost_pico_usd, counts.provider_cost_pico_usd), (99, 0));
    assert_eq!((counts.possible_duplicates, counts.suspect), (0, 0));
    assert!(decode_counts(&[&row[..], &[0]].concat()).is_err());
    // The next version is not for this one to read.
    let mut next = encode_counts(&counts);
    next[0] = 3;
    assert!(decode_counts(&next).is_err());
}

#[tokio::test]
async fn a_store_of_the_first_schema_is_brought_up_to_date() {
    let (_folder, path) = place();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let id = Uuid::now_v7();
    {
        let database = redb::Database::create(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        {
            let mut meta = transaction.open_table(Table::Meta.definition()).unwrap();
            meta.insert(SCHEMA, 1_u32.to_be_bytes().as_slice()).unwrap();
            meta.insert(STORE_ID, id.as_bytes().as_slice()).unwrap();
            let mut settings = transaction.open_table(Table::Settings.definition()).unwrap();
            settings.insert("a", b"1".as_slice()).unwrap();
            transaction.open_table(Table::Providers.definition()).unwrap();
            let mut usage = transaction.open_table(USAGE).unwrap();
            for hour in [-1_i64, 23, 24, 25] {
                usage.insert((hour, "p", "m", "c"), first_version_row().as_slice()).unwrap();
            }
        }
        transaction.commit().unwrap();
    }
    for _ in 0..2 {
        let store = RedbStore::open(&path).unwrap();
        let loaded = store.load().await.unwrap();
        assert_eq!((loaded.store, loaded.rows(Table::Settings).len()), (id, 1));
        let daily = store.usage_daily(-9..=9).await.unwrap();
        let daily: Vec<_> = daily.iter().map(|(key, counts)| (key.day, counts.requests)).collect();
        assert_eq!(daily, [(-1, 1), (0, 1), (1, 2)]);
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn records_of_every_table_are_loaded() {
    let store = RedbStore::in_memory().unwrap();
    let tables = [Table::Providers, Table::Callers, Table::Cells, Table::Windows];
    let changes = tables.map(|table| Change::put(table, "key", b"1".to_vec()));
    store.apply(changes.into()).await.unwrap();
    let loaded = store.load().await.unwrap();
    for table in tables {
        assert_eq!(loaded.rows(table)["key"], b"1", "{table:?}");
    }
}

#[tokio::test]
async fn what_is_old_is_pruned_and_the_rest_stays() {
    let store = RedbStore::in_memory().unwrap();
    // More than one commit prunes.
    store.record(hourly(1, -2_400..2_400)).await.unwrap();
    let hour = 3_600_000;
    let events = vec![event(-1, "old"), event(2 * hour - 1, "old"), event(2 * hour, "new")];
    store.append(events).await.unwrap();
    store.prune(2, -3).await.unwrap();
    let hours = store.usage(i64::MIN..=i64::MAX).await.unwrap();
    assert_eq!((hours.len(), hours[0].0.hour), (2_398, 2));
    let days = store.usage_daily(i64::MIN..=i64::MAX).await.unwrap();
    assert_eq!((days.len(), days[0].0.day, days[0].1.requests), (103, -3, 24));
    assert_eq!(bodies(&store, i64::MIN, 9, false).await, ["new"]);
    // Nothing is left to prune.
    store.prune(2, -3).await.unwrap();
    assert_eq!(store.usage(0..=9).await.unwrap().len(), 8);
}

#[tokio::test]
async fn events_are_found_by_their_time_from_either_end() {
    let (_folder, path) = place();
    let store = RedbStore::open(&path).unwrap();
    store.append(vec![event(10, "a"), event(20, "b")]).await.unwrap();
    store.append(vec![event(20, "c"), event(30, "d")]).await.unwrap();
    assert_eq!(bodies(&store, 0, 9, false).await, ["a", "b", "c", "d"]);
    assert_eq!(bodies(&store, 0, 2, true).await, ["d", "c"]);
    assert_eq!(bodies(&store, 20, 9, true).await, ["d", "c", "b"]);
    assert_eq!(bodies(&store, 21, 9, false).await, ["d"]);
    store.close().await.unwrap();

    let store = RedbStore::open(&path).unwrap();
    store.append(vec![event(30, "e")]).await.unwrap();
    let seqs: Vec<_> =
        store.events(30, 9, false).await.unwrap().iter().map(|event| event.seq).collect();
    assert_eq!(seqs, [4, 5]);
}

#[tokio::test]
async fn audit_rows_are_found_from_the_last_one_back_also_after_a_restart() {
    let (_folder, path) = place();
    let store = RedbStore::open(&path).unwrap();
    // A store of an earlier version has no such table.
    assert!(store.audit(9, None).await.unwrap().is_empty());
    store.append_audit(vec![event(30, "a"), event(10, "b")]).await.unwrap();
    store.close().await.unwrap();

    let store = RedbStore::open(&path).unwrap();
    store.append_audit(vec![event(20, "c")]).await.unwrap();
    let rows = async |limit, before| {
        let rows = store.audit(limit, before).await.unwrap();
        rows.iter().map(|row| (row.seq, row.at_ms)).collect::<Vec<_>>()
    };
    assert_eq!(rows(9, None).await, [(3, 20), (2, 10), (1, 30)]);
    assert_eq!(rows(1, Some(3)).await, [(2, 10)]);
    assert!(rows(9, Some(1)).await.is_empty());
    assert_eq!(bodies(&store, 0, 9, false).await, [""; 0]);
}
