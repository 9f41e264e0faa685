//! Copies of a store: how one is written, and what one holds.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{
    Database, Key, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    TableDefinition, TableError, TableHandle, Value, WriteTransaction,
};

use super::overlay::Overlay;
use super::tables::{self, AUDIT, EVENTS, SCHEMA_KNOWN, USAGE, USAGE_DAILY};
use super::{Loaded, StoreError, Table, engine, open};

/// What a file holds, after every page of it was checked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Inspected {
    /// The version of its tables.
    pub schema: u32,
    /// Its records, as this version would read them.
    pub loaded: Loaded,
    /// The number of rows of each table.
    pub rows: Vec<(String, u64)>,
}

/// Writes everything that `from` sees into a new file, which is on the disk when this is done. If
/// it fails there is no file.
pub(super) fn copy(from: &ReadTransaction, to: &Path) -> Result<(), StoreError> {
    let target = Target(to);
    drop(open::new_private_file(to).map_err(|error| target.failed(error))?);
    let copied = copy_into(from, &target);
    if copied.is_err() {
        // If even that fails, what is left has no name of a copy.
        let _ = fs::remove_file(to);
    }
    copied
}

/// Keeps a store of an older schema as it is, beside `path`, where it is about to be brought up to
/// date.
pub(super) fn keep_older(database: &Database, path: &Path) -> Result<(), StoreError> {
    let schema = match open::stored_schema(database)? {
        Some(schema) if schema < SCHEMA_KNOWN => schema,
        _ => return Ok(()),
    };
    let (draft, kept) = (beside(path, "tmp"), beside(path, &format!("schema-{schema}")));
    // Left by a start that was cut short.
    let _ = fs::remove_file(&draft);
    copy(&database.begin_read().map_err(tables::damaged)?, &draft)?;
    let unusable = |source| StoreError::Io { path: kept.clone(), source };
    fs::rename(&draft, &kept).map_err(unusable)?;
    open::sync_folder_of(&kept).map_err(unusable)?;
    tracing::info!(copy = %kept.display(), schema, "the store is kept as it was before the update");
    Ok(())
}

/// Reads the file at `path`, which no process may have open, without writing to it.
pub(super) fn inspect(path: &Path) -> Result<Inspected, StoreError> {
    // The check finds what is damaged, but the engine may panic before it comes to that.
    catch_unwind(AssertUnwindSafe(|| inspect_all(path)))
        .unwrap_or_else(|_| Err(StoreError::Damaged("it cannot be read".to_owned())))
}

/// `path` with `.` and `suffix` at the end.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

fn inspect_all(path: &Path) -> Result<Inspected, StoreError> {
    let file = Overlay::open(path)?;
    let none = || StoreError::Damaged("there is no store in it".to_owned());
    // The engine makes a new database of nothing.
    if fs::metadata(path).is_ok_and(|file| file.len() == 0) {
        return Err(none());
    }
    let database =
        open::builder().create_with_backend(file).map_err(|error| open::refused(path, error))?;
    let schema = open::stored_schema(&database)?.ok_or_else(none)?;
    let rows = count(&database.begin_read().map_err(tables::damaged)?)?;
    // In memory only.
    open::prepare(&database)?;
    Ok(Inspected { schema, loaded: engine::load(&database)?, rows })
}

fn count(from: &ReadTransaction) -> Result<Vec<(String, u64)>, StoreError> {
    let listed = from.list_tables().map_err(tables::damaged)?;
    let rows = listed.map(|table| {
        let name = table.name().to_owned();
        let table = from.open_untyped_table(table).map_err(tables::damaged)?;
        Ok((name, table.len().map_err(tables::damaged)?))
    });
    rows.collect()
}

fn copy_into(from: &ReadTransaction, target: &Target<'_>) -> Result<(), StoreError> {
    refuse_unknown_tables(from)?;
    let database = open::builder().create(target.0).map_err(|error| target.failed(error))?;
    let transaction = open::begin(&database).map_err(|error| target.failed(error))?;
    for table in Table::ALL {
        copy_table(from, &transaction, table.definition(), target)?;
    }
    copy_table(from, &transaction, USAGE, target)?;
    copy_table(from, &transaction, USAGE_DAILY, target)?;
    copy_table(from, &transaction, EVENTS, target)?;
    copy_table(from, &transaction, AUDIT, target)?;
    transaction.commit().map_err(|error| target.failed(error))?;
    database.close().map_err(|error| target.failed(error))?;
    let file = fs::File::open(target.0).map_err(|error| target.failed(error))?;
    file.sync_all().map_err(|error| target.failed(error))
}

/// A copy that lacks something must not look like a good one.
fn refuse_unknown_tables(from: &ReadTransaction) -> Result<(), StoreError> {
    let mut known = Table::ALL.map(|table| table.definition().name().to_owned()).to_vec();
    let others = [USAGE.name(), USAGE_DAILY.name(), EVENTS.name(), AUDIT.name()];
    known.extend(others.map(str::to_owned));
    for table in from.list_tables().map_err(unread)? {
        let name = table.name();
        if !known.iter().any(|known| known == name) {
            let detail = format!("table {name} is of a later version, which has to copy it");
            return Err(StoreError::Damaged(detail));
        }
    }
    Ok(())
}

/// A table that is not there is not made either: which ones there are depends on the schema.
fn copy_table<K: Key + 'static, V: Value + 'static>(
    from: &ReadTransaction,
    to: &WriteTransaction,
    definition: TableDefinition<'static, K, V>,
    target: &Target<'_>,
) -> Result<(), StoreError> {
    let rows = match from.open_table(definition) {
        Ok(rows) => rows,
        Err(TableError::TableDoesNotExist(_)) => return Ok(()),
        Err(error) => return Err(unread(error)),
    };
    let mut table = to.open_table(definition).map_err(|error| target.failed(error))?;
    for row in rows.iter().map_err(unread)? {
        let (key, value) = row.map_err(unread)?;
        table.insert(key.value(), value.value()).map_err(|error| target.failed(error))?;
    }
    Ok(())
}

/// The file that is written.
struct Target<'a>(&'a Path);

impl Target<'_> {
    fn failed(&self, error: impl Into<redb::Error>) -> StoreError {
        StoreError::Copy { path: self.0.into(), detail: error.into().to_string() }
    }
}

/// The store may be closed, or opened again after a failed commit, while it is copied.
fn unread(error: impl Into<redb::Error>) -> StoreError {
    match error.into() {
        redb::Error::DatabaseClosed => StoreError::Closed,
        error => tables::damaged(error),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tables::{SCHEMA, STORE_ID};
    use super::super::{Change, NewEvent, RedbStore, Store};
    use super::*;

    fn older(path: &Path) {
        let database = Database::create(path).unwrap();
        let transaction = database.begin_write().unwrap();
        {
            let mut meta = transaction.open_table(Table::Meta.definition()).unwrap();
            meta.insert(SCHEMA, 1_u32.to_be_bytes().as_slice()).unwrap();
            meta.insert(STORE_ID, [7; 16].as_slice()).unwrap();
            for table in Table::ALL.into_iter().filter(|table| *table != Table::Meta) {
                transaction.open_table(table.definition()).unwrap();
            }
            transaction.open_table(USAGE).unwrap();
        }
        transaction.commit().unwrap();
    }

    #[tokio::test]
    async fn a_copy_has_every_table_the_audit_log_too() {
        let folder = tempfile::tempdir().unwrap();
        let store = RedbStore::open(folder.path().join("sidecar.redb")).unwrap();
        store.apply(vec![Change::put(Table::Settings, "a", b"1".to_vec())]).await.unwrap();
        let event = |at_ms| NewEvent { at_ms, body: b"x".to_vec() };
        store.append(vec![event(1), event(2)]).await.unwrap();
        store.append_audit(vec![event(1), event(2), event(3)]).await.unwrap();
        let copy = folder.path().join("copy");
        store.backup(copy.clone()).await.unwrap();

        let copied = inspect(&copy).unwrap();
        let rows = |name: &str| copied.rows.iter().find(|(table, _)| table == name).unwrap().1;
        assert_eq!((rows("settings_v1"), rows("events_v1"), rows("audit_v1")), (1, 2, 3));
        assert_eq!(copied.schema, SCHEMA_KNOWN);
        let loaded = store.load().await.unwrap();
        assert_eq!((copied.loaded.store, copied.loaded.revision), (loaded.store, loaded.revision));
        // Its numbers go on where they were.
        let store = RedbStore::open(&copy).unwrap();
        store.append_audit(vec![event(4)]).await.unwrap();
        let last = store.audit(1, None).await.unwrap();
        assert_eq!((last[0].seq, last[0].at_ms), (4, 4));
    }

    #[tokio::test]
    async fn a_file_that_is_there_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let store = RedbStore::in_memory().unwrap();
        let path = folder.path().join("copy");
        fs::write(&path, "precious").unwrap();
        assert!(matches!(store.backup(path.clone()).await, Err(StoreError::Copy { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }

    #[tokio::test]
    async fn a_table_of_a_later_version_is_not_left_out_in_silence() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sidecar.redb");
        RedbStore::open(&path).unwrap().close().await.unwrap();
        let database = Database::open(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        let later: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("later_v1");
        transaction.open_table(later).unwrap();
        transaction.commit().unwrap();
        drop(database);
        let store = RedbStore::open(&path).unwrap();
        let copy = folder.path().join("copy");
        let error = store.backup(copy.clone()).await.unwrap_err();
        assert!(error.to_string().contains("later_v1"), "{error}");
        assert!(!copy.exists());
    }

    #[test]
    fn a_store_is_kept_as_it_was_before_it_is_brought_up_to_date() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sidecar.redb");
        older(&path);
        let store = RedbStore::open(&path).unwrap();
        let kept = inspect(&folder.path().join("sidecar.redb.schema-1")).unwrap();
        assert_eq!((kept.schema, kept.loaded.store.as_bytes()), (1, &[7; 16]));
        drop(store);
        let files = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(files, 2, "no draft is left");
    }

    #[test]
    fn what_is_no_store_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let foreign = folder.path().join("foreign");
        drop(Database::create(&foreign).unwrap());
        let foreign = fs::read(&foreign).unwrap();
        for bytes in [&b""[..], b"hello", &[0; 9_000], &foreign] {
            fs::write(&path, bytes).unwrap();
            let error = inspect(&path).unwrap_err();
            assert!(matches!(error, StoreError::Damaged(_)), "{error}");
            assert!(fs::read(&path).unwrap() == bytes);
        }
        let missing = inspect(&folder.path().join("missing")).unwrap_err();
        assert!(matches!(missing, StoreError::Io { .. }), "{missing}");
    }

    #[tokio::test]
    async fn a_store_in_use_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sidecar.redb");
        let _store = RedbStore::open(&path).unwrap();
        assert!(matches!(inspect(&path), Err(StoreError::InUse { .. })));
    }
}
