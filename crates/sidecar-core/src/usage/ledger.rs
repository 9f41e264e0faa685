//! Usage that is not written yet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::rate::Rate;
use super::{UsageCounts, UsageKey};
use crate::clock::Timestamp;

/// Sums by hour, provider, model and caller that the store does not have yet. Clones share them.
///
/// It holds a bounded number of rows: callers may name themselves and their models as they like.
/// What would be a row beyond that is booked under the model and the caller `(other)`.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    books: Arc<Mutex<Books>>,
}

#[derive(Debug, Default)]
struct Books {
    rows: Rows,
    /// The sum of all that was ever booked, written or not.
    booked: UsageCounts,
    rate: Rate,
}

type Rows = HashMap<Row, UsageCounts>;

/// A [`UsageKey`] whose texts are shared, so that booking copies none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Row {
    pub(super) hour: i64,
    pub(super) provider: Arc<str>,
    pub(super) model: Arc<str>,
    pub(super) caller: Arc<str>,
}

impl Ledger {
    /// Takes everything out, to write it.
    pub fn take(&self) -> Vec<(UsageKey, UsageCounts)> {
        let rows = std::mem::take(&mut self.books().rows);
        rows.into_iter().map(|(row, counts)| (row.into(), counts)).collect()
    }

    /// Puts back what could not be written.
    pub fn put_back(&self, rows: Vec<(UsageKey, UsageCounts)>) {
        let mut books = self.books();
        for (key, counts) in rows {
            add(&mut books.rows, key.into(), &counts);
        }
    }

    /// What is not written yet, left where it is.
    pub fn peek(&self) -> Vec<(UsageKey, UsageCounts)> {
        self.books().rows.iter().map(|(row, counts)| (row.clone().into(), *counts)).collect()
    }

    /// The sum of all that was ever booked here.
    pub(crate) fn booked(&self) -> UsageCounts {
        self.books().booked
    }

    /// The part of [`Ledger::booked`] that was taken out, and not put back.
    pub(crate) fn taken(&self) -> UsageCounts {
        let books = self.books();
        let mut taken = books.booked;
        books.rows.values().for_each(|counts| taken.subtract(counts));
        taken
    }

    /// Attempts of the minute before `now`, and those of them that failed.
    pub(crate) fn last_minute(&self, now: Timestamp) -> (u64, u64) {
        self.books().rate.last_minute(now)
    }

    /// Books what was used at `now`.
    pub(super) fn add(&self, row: Row, counts: &UsageCounts, now: Timestamp) {
        let mut books = self.books();
        books.booked.add(counts);
        books.rate.add(now, counts.requests, counts.errors);
        add(&mut books.rows, row, counts);
    }

    /// A poisoned mutex guards plain sums that are valid at every step.
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn add(rows: &mut Rows, row: Row, counts: &UsageCounts) {
    if let Some(sum) = rows.get_mut(&row) {
        sum.add(counts);
        return;
    }
    let row = if rows.len() < MOST_ROWS {
        row
    } else {
        Row { model: OTHER.into(), caller: OTHER.into(), ..row }
    };
    rows.entry(row).or_default().add(counts);
}

impl From<Row> for UsageKey {
    fn from(row: Row) -> Self {
        Self {
            hour: row.hour,
            provider: row.provider.as_ref().into(),
            model: row.model.as_ref().into(),
            caller: row.caller.as_ref().into(),
        }
    }
}

impl From<UsageKey> for Row {
    fn from(key: UsageKey) -> Self {
        Self {
            hour: key.hour,
            provider: key.provider.into(),
            model: key.model.into(),
            caller: key.caller.into(),
        }
    }
}

/// What stands for models and callers that have no row of their own.
pub(super) const OTHER: &str = "(other)";
/// How many rows have one. Beyond it only the number of hours and providers makes new ones.
const MOST_ROWS: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn one() -> UsageCounts {
        UsageCounts { requests: 1, ..UsageCounts::default() }
    }

    const NOW: Timestamp = Timestamp::from_millis(0);

    fn key(caller: &str) -> UsageKey {
        UsageKey { hour: 1, provider: "p".into(), model: "m".into(), caller: caller.into() }
    }

    #[test]
    fn what_is_put_back_adds_to_what_came_since() {
        let ledger = Ledger::default();
        ledger.put_back(vec![(key("c"), one())]);
        let taken = ledger.take();
        ledger.add(key("c").into(), &one(), NOW);
        ledger.put_back(taken);
        assert_eq!(ledger.peek(), [(key("c"), UsageCounts { requests: 2, ..one() })]);
        assert_eq!(ledger.take().len(), 1);
        assert!(ledger.take().is_empty());
    }

    #[test]
    fn callers_who_make_up_names_cost_a_bounded_memory_and_lose_no_count() {
        let ledger = Ledger::default();
        for caller in 0..MOST_ROWS + 500 {
            ledger.add(key(&caller.to_string()).into(), &one(), NOW);
        }
        // Those who have a row keep it.
        ledger.add(key("7").into(), &one(), NOW);
        ledger.put_back(vec![(key("another"), one())]);
        let rows = ledger.take();
        assert_eq!(rows.len(), MOST_ROWS + 1);
        let other = rows.iter().find(|(key, _)| key.caller == OTHER).unwrap();
        assert_eq!((other.0.model.as_str(), other.1.requests), (OTHER, 501));
        let seventh = rows.iter().find(|(key, _)| key.caller == "7").unwrap();
        assert_eq!(seventh.1.requests, 2);
        let sum: u64 = rows.iter().map(|(_, counts)| counts.requests).sum();
        assert_eq!(sum, MOST_ROWS as u64 + 502);
    }

    #[test]
    fn what_was_taken_is_what_was_booked_and_is_no_longer_there() {
        let ledger = Ledger::default();
        ledger.add(key("c").into(), &one(), NOW);
        assert_eq!((ledger.booked().requests, ledger.taken().requests), (1, 0));
        let taken = ledger.take();
        ledger.add(key("d").into(), &one(), NOW);
        assert_eq!((ledger.booked().requests, ledger.taken().requests), (2, 1));
        ledger.put_back(taken);
        assert_eq!((ledger.booked().requests, ledger.taken().requests), (2, 0));
        assert_eq!(ledger.last_minute(NOW), (2, 0));
    }
}
