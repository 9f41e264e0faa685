//! What of the live state has changed and is to outlive a restart.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::live::CellKey;
use crate::admin::CooldownEvent;
use crate::clock::Clock;
use crate::cooldown::{Trip, TripObserver};
use crate::store::NewEvent;
use crate::verdict::Scope;

/// Collects what has changed until somebody writes it.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    news: Mutex<News>,
    wake: Notify,
    /// The last rests that began, the newest first.
    recent: Mutex<VecDeque<CooldownEvent>>,
}

/// What has changed since it was last taken.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// Cells to be saved again.
    pub(crate) cells: HashSet<CellKey>,
    /// What happened to them.
    pub(crate) events: Vec<NewEvent>,
}

/// Writes down what happens to the cells of one endpoint.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) journal: Arc<Journal>,
    pub(super) clock: Clock,
    /// Of the key, the quota, the endpoint and the origin.
    pub(super) keys: [CellKey; 4],
    pub(super) provider: String,
    pub(super) model: Arc<str>,
}

impl Journal {
    /// Takes everything out, to write it.
    pub(crate) fn take(&self) -> News {
        std::mem::take(&mut *self.news())
    }

    /// Puts back what could not be written.
    pub(crate) fn put_back(&self, news: News) {
        let mut kept = self.news();
        kept.cells.extend(news.cells);
        let room = MOST_EVENTS.saturating_sub(kept.events.len());
        kept.events.extend(news.events.into_iter().take(room));
    }

    /// The cell of `key` is to be saved again, or forgotten.
    pub(crate) fn note(&self, key: CellKey) {
        self.news().cells.insert(key);
    }

    /// There is something that should be written at once.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Waits for [`Journal::wake`].
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// The last rests that began in this run, the newest first; at most [`MOST_RECENT`].
    pub(crate) fn recent(&self) -> Vec<CooldownEvent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn remember(&self, event: CooldownEvent) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.truncate(MOST_RECENT - 1);
        recent.push_front(event);
    }

    /// A poisoned mutex guards plain collections that are valid at every step.
    fn news(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    fn key(&self, scope: Scope) -> Option<&CellKey> {
        let [key, quota, endpoint, origin] = &self.keys;
        match scope {
            Scope::None => None,
            Scope::Key => Some(key),
            Scope::Quota => Some(quota),
            Scope::Endpoint => Some(endpoint),
            Scope::Origin => Some(origin),
        }
    }
}

impl TripObserver for Watch {
    fn tripped(&self, scope: Scope, trip: &Trip) {
        let Some(key) = self.key(scope) else { return };
        let at = self.clock.wall();
        let event = CooldownEvent {
            at,
            backend_id: self.provider.clone(),
            model: Some(self.model.as_ref().to_owned()),
            scope: key.scope().to_owned(),
            reason: trip.class.kind().to_owned(),
            source: trip.source.kind().to_owned(),
            level: trip.level,
            duration_ms: u64::try_from(trip.length.as_millis()).unwrap_or(u64::MAX),
            until: at + trip.length,
        };
        tracing::info!(
            provider_id = %self.provider,
            model = %self.model,
            scope = key.scope(),
            reason = trip.class.kind(),
            level = trip.level,
            seconds = trip.length.as_secs(),
            "cooldown"
        );
        let mut news = self.journal.news();
        news.cells.insert(key.clone());
        if news.events.len() < MOST_EVENTS {
            news.events.push(NewEvent { at_ms: at.as_millis(), body: event.to_bytes() });
        }
        drop(news);
        self.journal.remember(event);
        // A restart right after it should not forget it.
        self.journal.wake();
    }

    fn changed(&self, scope: Scope) {
        if let Some(key) = self.key(scope) {
            self.journal.news().cells.insert(key.clone());
        }
    }
}

/// How many rests are remembered.
pub(crate) const MOST_RECENT: usize = 50;
/// Events that may wait to be written. More come only while the store cannot be, and then the
/// newest are dropped.
const MOST_EVENTS: usize = 1_000;
