//! Usage that is not written yet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{UsageCounts, UsageKey};

/// Sums by hour, provider, model and caller that the store does not have yet. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    rows: Arc<Mutex<HashMap<Row, UsageCounts>>>,
}

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
        let rows = std::mem::take(&mut *self.rows());
        rows.into_iter().map(|(row, counts)| (row.into(), counts)).collect()
    }

    /// Puts back what could not be written.
    pub fn put_back(&self, rows: Vec<(UsageKey, UsageCounts)>) {
        let mut kept = self.rows();
        for (key, counts) in rows {
            kept.entry(key.into()).or_default().add(&counts);
        }
    }

    /// What is not written yet, left where it is.
    pub fn peek(&self) -> Vec<(UsageKey, UsageCounts)> {
        self.rows().iter().map(|(row, counts)| (row.clone().into(), *counts)).collect()
    }

    pub(super) fn add(&self, row: Row, counts: &UsageCounts) {
        self.rows().entry(row).or_default().add(counts);
    }

    /// A poisoned mutex guards plain sums that are valid at every step.
    fn rows(&self) -> MutexGuard<'_, HashMap<Row, UsageCounts>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_back_adds_to_what_came_since() {
        let ledger = Ledger::default();
        let key = UsageKey { hour: 1, provider: "p".into(), model: "m".into(), caller: "c".into() };
        let one = UsageCounts { requests: 1, ..UsageCounts::default() };
        ledger.put_back(vec![(key.clone(), one)]);
        let taken = ledger.take();
        ledger.add(key.clone().into(), &one);
        ledger.put_back(taken);
        assert_eq!(ledger.peek(), [(key, UsageCounts { requests: 2, ..UsageCounts::default() })]);
        assert_eq!(ledger.take().len(), 1);
        assert!(ledger.take().is_empty());
    }
}
