//! What one commit writes.

use redb::{Database, ReadableTable, ReadableTableMetadata, WriteTransaction};

use super::tables::{
    self, AUDIT, AUDIT_NUMBER, EVENT, EVENTS, REVISION, SEQUENCE, USAGE, USAGE_BATCH, USAGE_DAILY,
    failed,
};
use super::{Change, NewEvent, StoreError, Table, UsageBatch, open};

/// A part of a commit.
#[derive(Debug)]
pub(super) enum Work {
    Changes(Vec<Change>),
    Usage(UsageBatch),
    Events(Vec<NewEvent>),
    Audit(Vec<NewEvent>),
    /// A bounded part of what is older.
    Prune {
        before_hour: i64,
        before_day: i64,
    },
}

/// What a commit has done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Done {
    pub(super) revision: u64,
    /// Whether nothing is left of what was to be pruned.
    pub(super) is_pruned: bool,
}

/// Commits `works` as one.
pub(super) fn write(
    database: &Database,
    works: &[Work],
    sequence: u64,
) -> Result<Done, StoreError> {
    let transaction = open::begin(database).map_err(failed)?;
    let done = put(&transaction, works, sequence)?;
    transaction.commit().map_err(failed)?;
    Ok(done)
}

fn put(transaction: &WriteTransaction, works: &[Work], sequence: u64) -> Result<Done, StoreError> {
    let changed = works.iter().filter(|work| matches!(work, Work::Changes(_))).count() as u64;
    put_records(transaction, works)?;
    let mut meta = transaction.open_table(Table::Meta.definition()).map_err(failed)?;
    let revision = tables::number(&meta, REVISION)? + changed;
    let batch = put_usage(transaction, works, tables::number(&meta, USAGE_BATCH)?)?;
    let event = put_events(transaction, works, tables::number(&meta, EVENT)?, MOST_EVENTS)?;
    let audit = put_audit(transaction, works, tables::number(&meta, AUDIT_NUMBER)?, MOST_AUDIT)?;
    let is_pruned = prune(transaction, works)?;
    let numbers = [
        (REVISION, revision),
        (USAGE_BATCH, batch),
        (EVENT, event),
        (AUDIT_NUMBER, audit),
        (SEQUENCE, sequence),
    ];
    for (key, number) in numbers {
        meta.insert(key, number.to_be_bytes().as_slice()).map_err(failed)?;
    }
    Ok(Done { revision, is_pruned })
}

fn put_records(transaction: &WriteTransaction, works: &[Work]) -> Result<(), StoreError> {
    for table in Table::ALL {
        let changes = works.iter().filter_map(|work| match work {
            Work::Changes(changes) => Some(changes),
            _ => None,
        });
        let mut changes = changes.flatten().filter(|change| change.table == table).peekable();
        if changes.peek().is_none() {
            continue;
        }
        let mut records = transaction.open_table(table.definition()).map_err(failed)?;
        for Change { key, value, .. } in changes {
            match value {
                Some(value) => records.insert(key.as_str(), value.as_slice()).map_err(failed)?,
                None => records.remove(key.as_str()).map_err(failed)?,
            };
        }
    }
    Ok(())
}

/// Adds the batches that come after the one with the id `last`; gives the id of the last one.
fn put_usage(
    transaction: &WriteTransaction,
    works: &[Work],
    mut last: u64,
) -> Result<u64, StoreError> {
    let mut hourly = transaction.open_table(USAGE).map_err(failed)?;
    let mut daily = transaction.open_table(USAGE_DAILY).map_err(failed)?;
    for work in works {
        let Work::Usage(batch) = work else { continue };
        if batch.id <= last {
            // It was committed after all when its fate seemed unknown.
            continue;
        }
        last = batch.id;
        for (key, added) in &batch.rows {
            tables::add(&mut hourly, tables::usage_key(key), added)?;
            tables::add(&mut daily, tables::daily_key(&key.daily()), added)?;
        }
    }
    Ok(last)
}

/// Appends the events and drops the oldest, so that `most` are kept; gives the number of the last
/// one.
fn put_events(
    transaction: &WriteTransaction,
    works: &[Work],
    mut last: u64,
    most: u64,
) -> Result<u64, StoreError> {
    let mut table = transaction.open_table(EVENTS).map_err(failed)?;
    for work in works {
        let Work::Events(events) = work else { continue };
        for NewEvent { at_ms, body } in events {
            last += 1;
            table.insert((*at_ms, last), body.as_slice()).map_err(failed)?;
            if table.len().map_err(failed)? > most {
                table.pop_first().map_err(failed)?;
            }
        }
    }
    Ok(last)
}

/// The same for rows of the audit log.
fn put_audit(
    transaction: &WriteTransaction,
    works: &[Work],
    mut last: u64,
    most: u64,
) -> Result<u64, StoreError> {
    let rows = works.iter().filter_map(|work| match work {
        Work::Audit(rows) => Some(rows),
        _ => None,
    });
    let mut rows = rows.flatten().peekable();
    if rows.peek().is_none() {
        return Ok(last);
    }
    let mut table = transaction.open_table(AUDIT).map_err(failed)?;
    for NewEvent { at_ms, body } in rows {
        last += 1;
        table.insert((last, *at_ms), body.as_slice()).map_err(failed)?;
        if table.len().map_err(failed)? > most {
            table.pop_first().map_err(failed)?;
        }
    }
    Ok(last)
}

/// Whether nothing is left of what was to be pruned.
fn prune(transaction: &WriteTransaction, works: &[Work]) -> Result<bool, StoreError> {
    let mut room = PRUNED_AT_ONCE;
    for work in works {
        let Work::Prune { before_hour, before_day } = work else { continue };
        let before_ms = before_hour.saturating_mul(MS_PER_HOUR);
        let mut hourly = transaction.open_table(USAGE).map_err(failed)?;
        pop_while(&mut hourly, &mut room, |(hour, ..)| hour < *before_hour)?;
        let mut daily = transaction.open_table(USAGE_DAILY).map_err(failed)?;
        pop_while(&mut daily, &mut room, |(day, ..)| day < *before_day)?;
        let mut events = transaction.open_table(EVENTS).map_err(failed)?;
        pop_while(&mut events, &mut room, |(at_ms, _)| at_ms < before_ms)?;
    }
    Ok(room > 0)
}

/// Removes the first rows of `table` as long as they are old, at most `room` of them.
fn pop_while<K: redb::Key + 'static>(
    table: &mut redb::Table<'_, K, &'static [u8]>,
    room: &mut usize,
    is_old: impl for<'k> Fn(K::SelfType<'k>) -> bool,
) -> Result<(), StoreError> {
    while *room > 0 {
        let is_first_old = match table.first().map_err(failed)? {
            Some((key, _)) => is_old(key.value()),
            None => false,
        };
        if !is_first_old {
            break;
        }
        table.pop_first().map_err(failed)?;
        *room -= 1;
    }
    Ok(())
}

/// How many rows one commit prunes, so that nobody waits long for it.
const PRUNED_AT_ONCE: usize = 2_000;
/// How many events are kept.
const MOST_EVENTS: u64 = 100_000;
/// How many rows of the audit log are kept.
const MOST_AUDIT: u64 = 10_000;
const MS_PER_HOUR: i64 = 3_600_000;

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;

    use super::*;

    #[test]
    fn the_oldest_events_make_room_for_the_latest() {
        let database = open::with_backend(InMemoryBackend::new()).unwrap();
        let transaction = open::begin(&database).unwrap();
        let event = |at_ms| NewEvent { at_ms, body: Vec::new() };
        let work = |times: [i64; 4]| Work::Events(times.map(event).into());
        let works = [work([5, 1, 9, 7]), work([8, 2, 6, 9])];
        assert_eq!(put_events(&transaction, &works, 10, 3).unwrap(), 18);
        let table = transaction.open_table(EVENTS).unwrap();
        let keys = table.iter().unwrap().map(|row| row.unwrap().0.value());
        assert_eq!(keys.collect::<Vec<_>>(), [(8, 15), (9, 13), (9, 18)]);
    }

    #[test]
    fn the_first_audit_rows_make_room_for_the_last_whatever_the_clock_says() {
        let database = open::with_backend(InMemoryBackend::new()).unwrap();
        let transaction = open::begin(&database).unwrap();
        let work = |at_ms| Work::Audit(vec![NewEvent { at_ms, body: Vec::new() }]);
        let works = [work(5), work(1), work(9), work(7)];
        assert_eq!(put_audit(&transaction, &works, 10, 3).unwrap(), 14);
        let table = transaction.open_table(AUDIT).unwrap();
        let keys = table.iter().unwrap().map(|row| row.unwrap().0.value());
        assert_eq!(keys.collect::<Vec<_>>(), [(12, 1), (13, 9), (14, 7)]);
    }
}
