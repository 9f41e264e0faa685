//! [`SidecarBuilder`].

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Mutex, OnceCell};

use super::Sidecar;
use super::flush::Flusher;
use super::state::{State, Stored, effective};
use crate::backup::Backups;
use crate::callers::{CallerRecord, Callers};
use crate::clock::{Clock, Timestamp};
use crate::keys::{Kek, KeyError, KeyRing, Vault, VaultRecords};
use crate::pool::{Pools, Restored};
use crate::provider::{
    ENV_PROVIDER_ID, FieldError, Provider, ProviderPatch, ProviderRecord, Source,
};
use crate::settings::{SettingError, Settings};
use crate::store::{Change, Loaded, RedbStore, Store, StoreError, Table, VAULT};

/// Configures a [`Sidecar`].
#[derive(Debug, Default)]
pub struct SidecarBuilder {
    place: Option<(PathBuf, KeyRing)>,
    backups: Option<(PathBuf, Duration)>,
    clock: Clock,
    pinned: BTreeMap<&'static str, Value>,
    env_provider: Option<ProviderPatch>,
}

/// Why a [`Sidecar`] could not be opened. No provider, setting or caller has been changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The master key is not the one of this store, or its key records are damaged.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Not one provider's key opens.
    #[error("no provider's key can be opened ({0}); the records were changed or moved")]
    Sealed(#[source] KeyError),
    /// The provider of the environment is not valid.
    #[error("the provider of the environment: {0}")]
    Provider(#[from] FieldError),
}

impl SidecarBuilder {
    /// Keeps everything in the file at `path`, with provider keys sealed under `ring`.
    #[must_use]
    pub fn store(mut self, path: impl Into<PathBuf>, ring: KeyRing) -> Self {
        self.place = Some((path.into(), ring));
        self
    }

    /// Keeps copies of the store in `folder`, each for as long as `keep`. They are made when
    /// somebody asks for one, see [`crate::admin::Admin::make_due_backup`].
    #[must_use]
    pub fn backups(mut self, folder: impl Into<PathBuf>, keep: Duration) -> Self {
        self.backups = Some((folder.into(), keep));
        self
    }

    /// Goes by `clock`, for tests that move the time.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Fixes the setting `key` to the text of an environment variable, whatever the store says.
    pub fn pin_setting(mut self, key: &str, text: &str) -> Result<Self, SettingError> {
        let mut probe = Settings::default();
        let key = probe.set_text(key, text)?;
        self.pinned.insert(key, probe.get(key)?);
        Ok(self)
    }

    /// Adds the provider that the environment makes: it is not stored and cannot be changed.
    #[must_use]
    pub fn env_provider(mut self, patch: ProviderPatch) -> Self {
        self.env_provider = Some(patch);
        self
    }

    /// Opens the store and makes everything ready. Needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]. A wrong master key is found out before anything is written.
    pub async fn open(self) -> Result<Sidecar, OpenError> {
        let Self { place, backups, clock, pinned, env_provider } = self;
        let is_durable = place.is_some();
        let (store, ring) = open_store(place).await?;
        let loaded = store.load().await?;
        let vault = unlock(&*store, &ring, &loaded, &clock).await?;
        let stored = read(&loaded, &vault)?;
        let settings = effective(&stored.settings, &pinned);
        let env_provider = env_provider
            .map(|patch| make_env_provider(patch, &clock, settings.upstream_private))
            .transpose()?;
        let pools = Pools::new(settings, clock);
        if is_durable {
            pools.registry().make_durable(restore(&loaded, pools.clock().wall()));
        }
        let providers = stored.providers.values().chain(&env_provider).cloned();
        pools.replace(providers, effective(&stored.settings, &pinned));
        let callers = open_callers(&stored, &*store, pools.clock()).await?;
        // After the limits are there and before anything can be sent.
        let flusher = Flusher::start(&pools, store.clone(), loaded.usage_batch).await;
        let started = pools.clock().wall();
        let state = State {
            pools,
            store,
            vault,
            backups: backups.map(|(folder, keep)| Arc::new(Backups::new(folder, keep))),
            flusher,
            callers,
            pinned,
            env_provider,
            stored: Arc::new(Mutex::new(stored)),
            started,
            cooldowns_before: OnceCell::new(),
        };
        Ok(Sidecar { state: Arc::new(state) })
    }
}

impl OpenError {
    /// Whether it takes a change of the configuration to go on (exit code 78), rather than of the
    /// machine.
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Key(_) | Self::Sealed(_) | Self::Provider(_) => true,
            Self::Store(error) => matches!(error, StoreError::NewerSchema { .. }),
        }
    }
}

async fn open_store(
    place: Option<(PathBuf, KeyRing)>,
) -> Result<(Arc<dyn Store>, KeyRing), OpenError> {
    let Some((path, ring)) = place else {
        return Ok((Arc::new(RedbStore::in_memory()?), KeyRing::new(Kek::generate())));
    };
    let opening = tokio::task::spawn_blocking(move || {
        if let Some(peeked) = RedbStore::peek(&path)?
            && let Some(vault) = peeked.vault
        {
            Vault::unlock(&ring, peeked.store, &VaultRecords::from_bytes(&vault)?)?;
        }
        Ok((Arc::new(RedbStore::open(&path)?) as Arc<dyn Store>, ring))
    });
    opening.await.unwrap_or_else(|_| {
        Err(StoreError::Damaged("reading it failed in an unforeseen way".to_owned()).into())
    })
}

/// The vault of the store; of an empty one it is made now.
async fn unlock(
    store: &dyn Store,
    ring: &KeyRing,
    loaded: &Loaded,
    clock: &Clock,
) -> Result<Vault, OpenError> {
    if let Some(records) = loaded.rows(Table::Meta).get(VAULT) {
        return Ok(Vault::unlock(ring, loaded.store, &VaultRecords::from_bytes(records)?)?);
    }
    if !loaded.rows(Table::Providers).is_empty() {
        return Err(KeyError::DamagedRecords("they are missing").into());
    }
    let (vault, records) = Vault::create(ring, loaded.store, clock.wall())?;
    store.apply(vec![Change::put(Table::Meta, VAULT, records.to_bytes())]).await?;
    Ok(vault)
}

/// Reads the records. A provider that cannot be read is left out and said so, unless it is all of
/// them: then something is wrong that nobody should start with.
fn read(loaded: &Loaded, vault: &Vault) -> Result<Stored, OpenError> {
    let mut stored = Stored::default();
    let mut refused = None;
    for (id, record) in loaded.rows(Table::Providers) {
        let opened = ProviderRecord::from_bytes(record)
            .ok_or(KeyError::DamagedValue)
            .and_then(|record| record.open(id.clone(), vault));
        match opened {
            Ok(provider) => {
                stored.providers.insert(id.clone(), provider);
            }
            Err(error) => {
                tracing::error!(provider_id = %id, %error, "provider cannot be read, left out");
                refused = Some(error);
            }
        }
    }
    if let (true, Some(error)) = (stored.providers.is_empty(), refused) {
        return Err(OpenError::Sealed(error));
    }
    for (id, record) in loaded.rows(Table::Callers) {
        match CallerRecord::from_bytes(id.clone(), record) {
            Some(caller) => {
                stored.callers.insert(id.clone(), caller);
            }
            None => tracing::error!(caller_id = %id, "caller cannot be read, left out"),
        }
    }
    for (key, value) in loaded.rows(Table::Settings) {
        match setting_from_bytes(value) {
            Some(value) => {
                stored.settings.insert(key.clone(), value);
            }
            None => tracing::error!(key, "setting cannot be read, left out"),
        }
    }
    Ok(stored)
}

/// What an earlier run has left of cooldowns and limits.
fn restore(loaded: &Loaded, now: Timestamp) -> Restored {
    let mut restored = Restored::default();
    for (key, bytes) in loaded.rows(Table::Cells) {
        restored.add_cell(key, bytes, now);
    }
    for (key, bytes) in loaded.rows(Table::Windows) {
        restored.add_window(key, bytes, now);
    }
    restored
}

/// The callers, with what they have spent of their budgets.
async fn open_callers(
    stored: &Stored,
    store: &dyn Store,
    clock: &Clock,
) -> Result<Callers, StoreError> {
    let callers = Callers::default();
    callers.replace(stored.callers.values().cloned());
    if !callers.is_empty() {
        let rows = store.usage(Callers::seed_hours(clock.wall())).await?;
        let spent =
            rows.into_iter().map(|(key, counts)| (key.caller, key.hour, counts.cost_pico_usd));
        callers.seed_spend(spent);
    }
    Ok(callers)
}

fn make_env_provider(
    patch: ProviderPatch,
    clock: &Clock,
    private_allowed: bool,
) -> Result<Provider, FieldError> {
    let mut provider = patch.create(ENV_PROVIDER_ID.to_owned(), clock.wall(), private_allowed)?;
    provider.source = Source::Env;
    Ok(provider)
}

/// A version, then JSON.
pub(crate) fn setting_to_bytes(value: &Value) -> Vec<u8> {
    let mut bytes = vec![SETTING_VERSION];
    bytes.extend_from_slice(value.to_string().as_bytes());
    bytes
}

fn setting_from_bytes(bytes: &[u8]) -> Option<Value> {
    match bytes.split_first() {
        Some((&SETTING_VERSION, json)) => serde_json::from_slice(json).ok(),
        _ => None,
    }
}

const SETTING_VERSION: u8 = 1;
