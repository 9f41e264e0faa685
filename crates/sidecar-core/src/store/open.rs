//! Opening the file.

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageBackend,
    StorageError, TableError, WriteTransaction,
};
use uuid::Uuid;

use super::tables::{
    self, EVENTS, SCHEMA, SCHEMA_KNOWN, STORE_ID, USAGE, USAGE_DAILY, decode_counts, failed,
};
use super::{StoreError, Table, copy};

/// What can be known of a store without writing to it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Peeked {
    /// Names the store.
    pub store: Uuid,
    /// The records of the key vault, see [`crate::keys::VaultRecords::from_bytes`].
    pub vault: Option<Vec<u8>>,
}

/// Reads what decides whether to open the store at all. `None` if there is no store yet, or none
/// that can be read without a repair.
pub(super) fn peek(path: &Path) -> Result<Option<Peeked>, StoreError> {
    if fs::metadata(path).map_or(true, |file| file.len() == 0) {
        return Ok(None);
    }
    // A read-only open trusts the file, and one damaged at just this place can make the engine
    // panic. The real open checks the whole file and says what is wrong.
    match catch_unwind(AssertUnwindSafe(|| peek_trusting(path))) {
        Ok(Err(StoreError::Damaged(_))) | Err(_) => Ok(None),
        Ok(peeked) => peeked,
    }
}

/// Opens the file, making it and its folder if need be, and verifies every page of it.
pub(super) fn open(path: &Path) -> Result<Database, StoreError> {
    let unusable = |source| StoreError::Io { path: path.into(), source };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let is_new = !path.exists();
    if let Some(folder) = folder {
        make_private_folder(folder).map_err(unusable)?;
    }
    let file = private_file(path).map_err(unusable)?;
    drop(file);
    let database = builder().create(path).map_err(|error| refused(path, error))?;
    copy::keep_older(&database, path)?;
    prepare(&database)?;
    if is_new {
        // The engine syncs the file, but not the folder that names it.
        sync_folder_of(path).map_err(unusable)?;
    }
    Ok(database)
}

/// Opens a store that is no file.
pub(super) fn with_backend(backend: impl StorageBackend) -> Result<Database, StoreError> {
    let database = builder()
        .create_with_backend(backend)
        .map_err(|error| StoreError::Unavailable(error.to_string()))?;
    prepare(&database)?;
    Ok(database)
}

/// Makes the tables of a new store, brings those of an older one up to date, and refuses one that
/// a later version wrote. All of it or nothing.
pub(super) fn prepare(database: &Database) -> Result<(), StoreError> {
    let transaction = begin(database).map_err(failed)?;
    {
        let mut meta = transaction.open_table(Table::Meta.definition()).map_err(failed)?;
        let schema = meta.get(SCHEMA).map_err(tables::damaged)?.map(|value| value.value().to_vec());
        match schema {
            Some(schema) if known_schema(&schema)? == SCHEMA_KNOWN => return Ok(()),
            Some(_) => fill_daily(&transaction)?,
            None => {
                let id = Uuid::now_v7();
                meta.insert(STORE_ID, id.as_bytes().as_slice()).map_err(failed)?;
            }
        }
        meta.insert(SCHEMA, SCHEMA_KNOWN.to_be_bytes().as_slice()).map_err(failed)?;
        for table in Table::ALL.into_iter().filter(|table| *table != Table::Meta) {
            transaction.open_table(table.definition()).map_err(failed)?;
        }
        for table in [USAGE, USAGE_DAILY] {
            transaction.open_table(table).map_err(failed)?;
        }
        transaction.open_table(EVENTS).map_err(failed)?;
    }
    transaction.commit().map_err(failed)
}

/// The daily rows that follow from the hourly ones: the first schema has none.
fn fill_daily(transaction: &WriteTransaction) -> Result<(), StoreError> {
    let hourly = transaction.open_table(USAGE).map_err(failed)?;
    let mut daily = transaction.open_table(USAGE_DAILY).map_err(failed)?;
    for row in hourly.iter().map_err(tables::damaged)? {
        let (key, counts) = row.map_err(tables::damaged)?;
        let (hour, provider, model, caller) = key.value();
        let day = crate::usage::day_of(hour);
        tables::add(&mut daily, (day, provider, model, caller), &decode_counts(counts.value())?)?;
    }
    Ok(())
}

/// A write transaction under the rules that every commit follows: two phases, so that two crashes
/// in a row cannot roll back what was acknowledged; and a file that opens without a repair.
pub(super) fn begin(database: &Database) -> Result<redb::WriteTransaction, redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_two_phase_commit(true);
    transaction.set_quick_repair(true);
    Ok(transaction)
}

/// The schema of the tables in `database`; `None` if there are none yet.
pub(super) fn stored_schema(database: &Database) -> Result<Option<u32>, StoreError> {
    let transaction = database.begin_read().map_err(tables::damaged)?;
    let meta = match transaction.open_table(Table::Meta.definition()) {
        Ok(meta) => meta,
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(tables::damaged(error)),
    };
    let schema = meta.get(SCHEMA).map_err(tables::damaged)?;
    schema.map(|schema| known_schema(schema.value())).transpose()
}

pub(super) fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_check_integrity_on_open(true).set_cache_size(CACHE_BYTES);
    builder
}

fn peek_trusting(path: &Path) -> Result<Option<Peeked>, StoreError> {
    let database = match Builder::new().set_cache_size(CACHE_BYTES).open_read_only(path) {
        Ok(database) => database,
        Err(DatabaseError::RepairAborted) => return Ok(None),
        Err(error) => return Err(refused(path, error)),
    };
    let transaction = database.begin_read().map_err(tables::damaged)?;
    let meta = match transaction.open_table(Table::Meta.definition()) {
        Ok(meta) => meta,
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(tables::damaged(error)),
    };
    let read = |key| meta.get(key).map(|value| value.map(|value| value.value().to_vec()));
    let Some(schema) = read(SCHEMA).map_err(tables::damaged)? else { return Ok(None) };
    known_schema(&schema)?;
    let store = store_id(read(STORE_ID).map_err(tables::damaged)?.as_deref())?;
    let vault = read(super::VAULT).map_err(tables::damaged)?;
    Ok(Some(Peeked { store, vault }))
}

pub(super) fn store_id(bytes: Option<&[u8]>) -> Result<Uuid, StoreError> {
    bytes
        .and_then(|bytes| Uuid::from_slice(bytes).ok())
        .ok_or_else(|| StoreError::Damaged("the id of the store".to_owned()))
}

fn known_schema(bytes: &[u8]) -> Result<u32, StoreError> {
    let damaged = |_| StoreError::Damaged("the schema number".to_owned());
    let found = <[u8; 4]>::try_from(bytes).map(u32::from_be_bytes).map_err(damaged)?;
    if found > SCHEMA_KNOWN {
        return Err(StoreError::NewerSchema { found, known: SCHEMA_KNOWN });
    }
    Ok(found)
}

/// Why the engine does not open the file at `path`.
pub(super) fn refused(path: &Path, error: DatabaseError) -> StoreError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => StoreError::InUse { path: path.into() },
        DatabaseError::Storage(StorageError::Io(source)) => match source.kind() {
            // What the engine says of a file that is none of its own.
            io::ErrorKind::InvalidData => StoreError::Damaged(source.to_string()),
            io::ErrorKind::UnexpectedEof => StoreError::Damaged("the file was cut".to_owned()),
            _ => StoreError::Io { path: path.into(), source },
        },
        error => StoreError::Damaged(error.to_string()),
    }
}

/// Readable by its owner only: the keys in the store are sealed, but usage and URLs are not.
#[cfg(unix)]
fn private_file(path: &Path) -> io::Result<fs::File> {
    use std::os::unix::fs::OpenOptionsExt as _;

    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn private_file(path: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

/// A new file that only its owner can read.
pub(crate) fn new_private_file(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;

        options.mode(0o600);
    }
    options.open(path)
}

/// Makes the name of the file at `path` durable.
pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Makes a folder that only its owner can enter, unless there is one.
#[cfg(unix)]
pub(crate) fn make_private_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;

    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
pub(crate) fn make_private_folder(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).create(folder)
}

/// The engine's default is a gigabyte.
const CACHE_BYTES: usize = 16 << 20;
