//! A provider's configuration with its live state.

use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http::HeaderValue;

use super::health::HealthRecord;
use super::journal::{Journal, Watch};
use super::restored::Restored;
use crate::clock::{Clock, Instant};
use crate::cooldown::{Cell, CooldownPolicy, SavedRest, TripObserver};
use crate::metrics::Metrics;
use crate::provider::{LimitShape, Provider};
use crate::rate_limit::Limiter;
use crate::settings::Settings;

/// A provider as one snapshot has it, with the state that outlives the snapshot.
#[derive(Debug)]
pub(crate) struct LiveProvider {
    pub(crate) config: Provider,
    pub(crate) limiter: Limiter,
    pub(crate) key_cell: Arc<Cell>,
    pub(crate) health: Arc<HealthRecord>,
    /// Its strong count tells how many requests are in flight.
    pub(crate) in_flight: Arc<()>,
    pub(crate) name: Arc<str>,
    /// The name in a header, if it can stand there.
    pub(crate) name_header: Option<HeaderValue>,
}

/// The live state by what it belongs to. A rebuilt snapshot finds what the last one used; what no
/// snapshot uses any more is forgotten, but for cells that rest, and for limiters, whose last minute
/// must count on.
#[derive(Debug)]
pub(crate) struct Registry {
    maps: Mutex<Maps>,
    clock: Clock,
    journal: Arc<Journal>,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Maps {
    limiters: HashMap<Box<str>, Limiter>,
    /// Under which key the limiter of a provider id was last.
    accounts: HashMap<Box<str>, Box<str>>,
    health: HashMap<Box<str>, Weak<HealthRecord>>,
    in_flight: HashMap<Box<str>, Weak<()>>,
    cells: HashMap<CellKey, Arc<Cell>>,
    /// Whether limits are kept durably: then they send on leases only.
    is_durable: bool,
    restored: Restored,
}

/// What a cell stands for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CellKey {
    /// The credential of a provider id.
    Key(Box<str>),
    /// An account and a native model.
    Quota(Box<str>, Box<str>),
    /// An origin and a native model.
    Endpoint(Box<str>, Box<str>),
    /// An origin.
    Origin(Box<str>),
}

/// A limit as it is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Limit {
    rpm: NonZeroU32,
    burst: Option<NonZeroU32>,
}

impl Limit {
    fn of(config: &Provider, settings: &Settings) -> Self {
        let rpm = config.rpm_limit.unwrap_or(settings.rate_rpm);
        let burst = match config.limit_shape {
            LimitShape::Window => None,
            LimitShape::Smooth => Some(config.burst.unwrap_or(DEFAULT_BURST)),
        };
        Self { rpm, burst }
    }
}

impl LiveProvider {
    pub(crate) fn in_flight_count(&self) -> usize {
        Arc::strong_count(&self.in_flight).saturating_sub(IDLE_COUNT)
    }
}

impl CellKey {
    /// The name of the scope, for people.
    pub(crate) const fn scope(&self) -> &'static str {
        match self {
            Self::Key(_) => "key",
            Self::Quota(..) => "quota",
            Self::Endpoint(..) => "endpoint",
            Self::Origin(_) => "origin",
        }
    }

    /// A text to store it under. None of its parts has a line break.
    pub(crate) fn to_text(&self) -> String {
        match self {
            Self::Key(only) | Self::Origin(only) => format!("{}\n{only}", self.scope()),
            Self::Quota(first, model) | Self::Endpoint(first, model) => {
                format!("{}\n{first}\n{model}", self.scope())
            }
        }
    }
}

impl Registry {
    pub(crate) fn new(clock: Clock) -> Self {
        let (journal, metrics) = (Arc::default(), Metrics::new());
        Self { maps: Mutex::default(), clock, journal, metrics }
    }

    /// What has changed and is to outlive a restart.
    pub(crate) fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// What is measured.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// From now on the state is kept durably, and begins as an earlier run has left it. Before
    /// there are any providers.
    pub(crate) fn make_durable(&self, restored: Restored) {
        let mut maps = self.maps();
        maps.is_durable = true;
        maps.restored = restored;
    }

    /// Every limiter, if they are kept durably.
    pub(crate) fn durable_limiters(&self) -> Vec<(String, Limiter)> {
        let maps = self.maps();
        if !maps.is_durable {
            return Vec::new();
        }
        let limiters = maps.limiters.iter();
        limiters.map(|(key, limiter)| (key.as_ref().to_owned(), limiter.clone())).collect()
    }

    /// What of the cell of `key` is to be kept; `None` if nothing is.
    pub(crate) fn export(&self, key: &CellKey, now: Instant) -> Option<SavedRest> {
        let cell = self.maps().cells.get(key).cloned();
        cell.and_then(|cell| cell.export(now))
    }

    /// Writes down what happens to the cells of `keys` by way of one endpoint.
    pub(crate) fn watch(
        &self,
        keys: [CellKey; 4],
        provider: &str,
        model: &Arc<str>,
    ) -> Arc<dyn TripObserver> {
        Arc::new(Watch {
            journal: self.journal.clone(),
            clock: self.clock.clone(),
            keys,
            provider: provider.to_owned(),
            model: model.clone(),
        })
    }

    /// `providers` with the state they had before.
    pub(crate) fn live(
        &self,
        providers: Vec<Provider>,
        settings: &Settings,
        now: Instant,
    ) -> Vec<Arc<LiveProvider>> {
        // The vendor has one limit for an account; of several that were entered for it, the least
        // is the safe one.
        let mut limits: HashMap<Box<str>, Limit> = HashMap::new();
        for config in &providers {
            let limit = Limit::of(config, settings);
            let known = limits.entry(config.account_key().into()).or_insert(limit);
            *known = (*known).min(limit);
        }
        let live = |config: Provider| {
            let limit = limits[config.account_key()];
            Arc::new(self.live_one(config, limit, settings, now))
        };
        providers.into_iter().map(live).collect()
    }

    fn live_one(
        &self,
        config: Provider,
        limit: Limit,
        settings: &Settings,
        now: Instant,
    ) -> LiveProvider {
        let mut maps = self.maps();
        let limiter = match maps.limiters.get(config.account_key()) {
            Some(limiter) => {
                limiter.configure(limit.rpm, limit.burst, now);
                limiter.clone()
            }
            None => {
                let limiter = match limit.burst {
                    None => Limiter::window(limit.rpm),
                    Some(burst) => Limiter::smooth(limit.rpm, burst),
                };
                let key = config.account_key();
                if let Some((record, age)) = maps.restored.windows.remove(key) {
                    limiter.restore(&record, age, now);
                }
                if maps.is_durable {
                    let journal = self.journal.clone();
                    limiter.lease(Arc::new(move || journal.wake()));
                }
                maps.limiters.insert(key.into(), limiter.clone());
                limiter
            }
        };
        // What a provider has sent counts on in the account it moves to.
        let account = maps.accounts.insert(config.id.as_str().into(), config.account_key().into());
        if let Some(account) = account.filter(|account| **account != *config.account_key())
            && let Some(before) = maps.limiters.get(&account)
        {
            limiter.restore(&before.export(now), Duration::ZERO, now);
        }
        let health = upgrade_or_default(&mut maps.health, &config.id);
        let in_flight = upgrade_or_default(&mut maps.in_flight, &config.id);
        drop(maps);
        let key_cell =
            self.cell(CellKey::Key(config.id.as_str().into()), settings, limit.rpm.get());
        let name: Arc<str> = config.name.as_str().into();
        let name_header = HeaderValue::from_str(&name).ok();
        LiveProvider { config, limiter, key_cell, health, in_flight, name, name_header }
    }

    /// The cell of `key`, made if it is new.
    pub(crate) fn cell(&self, key: CellKey, settings: &Settings, rpm: u32) -> Arc<Cell> {
        let policy = CooldownPolicy::new(settings.cooldown_base, settings.cooldown_max);
        let mut maps = self.maps();
        if let Some(cell) = maps.cells.get(&key) {
            cell.configure(policy, rpm);
            return cell.clone();
        }
        let cell = Arc::new(Cell::new(policy, rpm));
        if let Some((rest, remaining)) = maps.restored.cells.remove(&key.to_text()) {
            cell.restore(&rest, remaining, self.clock.now());
        }
        maps.cells.insert(key, cell.clone());
        cell
    }

    /// Ends every rest of a provider, of whatever model, and forgets why.
    pub(crate) fn reset(&self, config: &Provider) {
        let origin = config.base_url.origin();
        let mut reset = Vec::new();
        for (key, cell) in &self.maps().cells {
            let is_its = match key {
                CellKey::Key(id) => **id == *config.id,
                CellKey::Quota(account, _) => **account == *config.account_key(),
                CellKey::Endpoint(of, _) | CellKey::Origin(of) => **of == *origin,
            };
            if is_its {
                cell.reset();
                reset.push(key.clone());
            }
        }
        reset.into_iter().for_each(|key| self.journal.note(key));
    }

    /// Forgets what a provider's key was rested for: it has a new one.
    pub(crate) fn reset_key(&self, provider: &LiveProvider) {
        provider.key_cell.reset();
        self.journal.note(CellKey::Key(provider.config.id.as_str().into()));
    }

    /// Forgets cells that nothing uses and that do not rest. Callers can make up models, and so
    /// cells, without end: what such a one has come to is not worth keeping.
    pub(crate) fn sweep_cells(&self) {
        let now = self.clock.now();
        let mut gone = Vec::new();
        self.maps().cells.retain(|key, cell| {
            let is_kept = Arc::strong_count(cell) > 1 || cell.state_at(now).until.is_some();
            if !is_kept {
                gone.push(key.clone());
            }
            is_kept
        });
        gone.into_iter().for_each(|key| self.journal.note(key));
    }

    /// Forgets what nothing uses any more. A limiter is kept while its last minute may count.
    pub(crate) fn sweep(&self, now: Instant) {
        self.sweep_cells();
        let mut maps = self.maps();
        let Maps { accounts, health, .. } = &mut *maps;
        accounts.retain(|id, _| health.get(id).is_some_and(|health| health.strong_count() > 0));
        maps.health.retain(|_, health| health.strong_count() > 0);
        maps.in_flight.retain(|_, in_flight| in_flight.strong_count() > 0);
        maps.limiters.retain(|_, limiter| limiter.is_shared() || limiter.headroom(now) < 1.0);
    }

    /// A poisoned mutex guards maps that are valid at every step.
    fn maps(&self) -> MutexGuard<'_, Maps> {
        self.maps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn upgrade_or_default<T: Default>(map: &mut HashMap<Box<str>, Weak<T>>, id: &str) -> Arc<T> {
    if let Some(value) = map.get(id).and_then(Weak::upgrade) {
        return value;
    }
    let value = Arc::new(T::default());
    map.insert(id.into(), Arc::downgrade(&value));
    value
}

/// One in each snapshot's provider; the registry's own is weak.
const IDLE_COUNT: usize = 1;
const DEFAULT_BURST: NonZeroU32 = NonZeroU32::MIN;
