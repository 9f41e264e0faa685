//! [`Callers`].

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::budget::Period;
use super::{CallerKey, CallerRecord, KeyDigest, LiveCaller};
use crate::clock::Timestamp;
use crate::shared::Shared;

/// Every caller with its live state. Clones share them.
#[derive(Clone, Debug)]
pub struct Callers {
    snapshot: Shared<Snapshot>,
    /// Held while a snapshot is made of the last one.
    replacing: Arc<Mutex<()>>,
}

#[derive(Debug, Default)]
struct Snapshot {
    by_id: BTreeMap<String, Arc<LiveCaller>>,
    by_name: HashMap<String, Arc<LiveCaller>>,
    /// By the whole digest, never by a part of a key.
    by_key: HashMap<KeyDigest, KeyEntry>,
}

#[derive(Debug)]
struct KeyEntry {
    caller: Arc<LiveCaller>,
    expires_at: Option<Timestamp>,
    last_used: LastUsed,
}

/// When a key was last used, in milliseconds.
#[derive(Clone, Debug)]
struct LastUsed(Arc<AtomicI64>);

impl Callers {
    /// Makes `records` the callers. What is counted of a caller stays with its id.
    pub fn replace(&self, records: impl IntoIterator<Item = CallerRecord>) {
        let _replacing = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let last = self.snapshot.load();
        let mut next = Snapshot::default();
        for record in records {
            let state = last.by_id.get(&record.id).map(|caller| caller.state.clone());
            let caller = Arc::new(LiveCaller::new(record, state.unwrap_or_default()));
            let record = caller.record();
            for key in &record.keys {
                let last_used = last.by_key.get(&key.digest).map(|entry| entry.last_used.clone());
                let entry = KeyEntry {
                    caller: caller.clone(),
                    expires_at: key.expires_at,
                    last_used: last_used.unwrap_or_default(),
                };
                next.by_key.insert(key.digest, entry);
            }
            next.by_name.insert(record.name.clone(), caller.clone());
            next.by_id.insert(record.id.clone(), caller.clone());
        }
        self.snapshot.store(next);
    }

    /// Whose key `token` is, if it is one that works at `now`. A caller who is disabled or has
    /// expired is found, and refused by [`LiveCaller::admit`].
    pub fn authenticate(&self, token: &str, now: Timestamp) -> Option<Arc<LiveCaller>> {
        // Of a key that is known its checksum is right, too.
        if !CallerKey::has_length(token) {
            return None;
        }
        let snapshot = self.snapshot.load();
        let entry = snapshot.by_key.get(&KeyDigest::of(token))?;
        if entry.expires_at.is_some_and(|at| at <= now) {
            return None;
        }
        entry.last_used.set(now);
        Some(entry.caller.clone())
    }

    /// One caller, by id or name.
    pub fn find(&self, id_or_name: &str) -> Option<Arc<LiveCaller>> {
        let snapshot = self.snapshot.load();
        let by_name = || snapshot.by_name.get(id_or_name);
        snapshot.by_id.get(id_or_name).or_else(by_name).cloned()
    }

    /// All of them, by id.
    pub fn all(&self) -> Vec<Arc<LiveCaller>> {
        self.snapshot.load().by_id.values().cloned().collect()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.snapshot.load().by_id.is_empty()
    }

    /// Whether `name` is that of a caller. Nobody may go by it without one of its keys: what they
    /// use would be booked under it.
    pub fn is_name(&self, name: &str) -> bool {
        self.snapshot.load().by_name.contains_key(name)
    }

    /// When the key of `digest` was last used by this process.
    pub fn last_used(&self, digest: &KeyDigest) -> Option<Timestamp> {
        self.snapshot.load().by_key.get(digest)?.last_used.get()
    }

    /// The hours (see [`Timestamp::hour`]) whose usage counts against the budgets at `now`.
    pub fn seed_hours(now: Timestamp) -> RangeInclusive<i64> {
        Period::Month.around(now).0.hour()..=now.hour()
    }

    /// Counts what was spent in earlier runs: the caller's name, the hour, and the cost in
    /// pico-USD. To be called once, after the first [`Callers::replace`], with the rows of
    /// [`Callers::seed_hours`]. What was booked before a caller was made is not its own.
    pub fn seed_spend<N: AsRef<str>>(&self, rows: impl IntoIterator<Item = (N, i64, u128)>) {
        let snapshot = self.snapshot.load();
        for (name, hour, cost_pico) in rows {
            let name: &str = name.as_ref();
            let Some(caller) = snapshot.by_name.get(name) else { continue };
            if hour >= caller.record().created_at.hour() {
                let wall = Timestamp::from_millis(hour.saturating_mul(HOUR));
                caller.state.seed(cost_pico, wall);
            }
        }
    }
}

impl Default for Callers {
    fn default() -> Self {
        Self { snapshot: Shared::new(Snapshot::default()), replacing: Arc::default() }
    }
}

impl LastUsed {
    fn set(&self, now: Timestamp) {
        self.0.store(now.as_millis(), Ordering::Relaxed);
    }

    fn get(&self) -> Option<Timestamp> {
        let millis = self.0.load(Ordering::Relaxed);
        (millis != NEVER).then_some(Timestamp::from_millis(millis))
    }
}

impl Default for LastUsed {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(NEVER)))
    }
}

const NEVER: i64 = i64::MIN;
/// In milliseconds.
const HOUR: i64 = 3_600_000;
