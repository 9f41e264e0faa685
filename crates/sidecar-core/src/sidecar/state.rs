//! What is stored, and what follows from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::{Mutex, OnceCell, OwnedMutexGuard};

use super::flush::Flusher;
use crate::admin::CooldownEvent;
use crate::backup::Backups;
use crate::callers::{CallerRecord, Callers};
use crate::clock::Timestamp;
use crate::keys::Vault;
use crate::pool::Pools;
use crate::provider::Provider;
use crate::settings::Settings;
use crate::store::{Change, Store, StoreError};

/// What the admin handle works on.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) pools: Pools,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) vault: Vault,
    /// Where copies of the store are kept, if anywhere.
    pub(crate) backups: Option<Arc<Backups>>,
    pub(crate) flusher: Flusher,
    /// Those who may call, by their keys.
    pub(crate) callers: Callers,
    /// Settings from the environment, which win over stored ones.
    pub(crate) pinned: BTreeMap<&'static str, Value>,
    /// The provider that the environment makes.
    pub(crate) env_provider: Option<Provider>,
    /// What the store holds. The lock is held from reading it to the durable change, so that no
    /// two changes lose one another.
    pub(crate) stored: Arc<Mutex<Stored>>,
    /// When this run began.
    pub(crate) started: Timestamp,
    /// The last rests of earlier runs, once somebody has asked.
    pub(crate) cooldowns_before: OnceCell<Vec<CooldownEvent>>,
}

/// What the store holds of providers and settings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stored {
    /// By id.
    pub(crate) providers: BTreeMap<String, Provider>,
    pub(crate) settings: BTreeMap<String, Value>,
    pub(crate) callers: BTreeMap<String, CallerRecord>,
}

/// What the store holds, while nobody else may change it.
pub(crate) type Locked = OwnedMutexGuard<Stored>;

impl State {
    /// The settings of the environment over those of `stored` over the defaults.
    pub(crate) fn settings(&self, stored: &Stored) -> Settings {
        effective(&stored.settings, &self.pinned)
    }

    /// What the store holds, for a change that nothing comes between.
    pub(crate) async fn lock(&self) -> Locked {
        self.stored.clone().lock_owned().await
    }

    /// Makes `change` durable, and then has its `effect`, also if nobody waits for it any more: a
    /// change that is durable and has no effect would come as a surprise at the next start.
    pub(crate) async fn commit(
        self: &Arc<Self>,
        mut stored: Locked,
        change: Change,
        effect: impl FnOnce(&Self, &mut Stored) + Send + 'static,
    ) -> Result<Locked, StoreError> {
        let state = self.clone();
        let committing = tokio::spawn(async move {
            state.store.apply(vec![change]).await?;
            effect(&state, &mut stored);
            Ok(stored)
        });
        // It ends early with its runtime alone.
        committing.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Makes `stored` effective.
    pub(crate) fn publish(&self, stored: &Stored) {
        let providers = stored.providers.values().chain(&self.env_provider).cloned();
        self.pools.replace(providers, self.settings(stored));
    }
}

/// Of a stored value that this version does not accept the default counts: a newer version may
/// have written it.
pub(crate) fn effective(
    stored: &BTreeMap<String, Value>,
    pinned: &BTreeMap<&'static str, Value>,
) -> Settings {
    let mut settings = Settings::default();
    let stored = stored.iter().map(|(key, value)| (key.as_str(), value));
    for (key, value) in stored.chain(pinned.iter().map(|(key, value)| (*key, value))) {
        if let Err(error) = settings.set(key, value) {
            tracing::warn!(key, %error, "setting ignored");
        }
    }
    settings
}
