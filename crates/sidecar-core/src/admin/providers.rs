//! Adding, changing and removing providers.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{Admin, AdminError, PoolCounts, ProviderView};
use crate::provider::{ENV_PROVIDER_ID, FieldError, Provider, ProviderPatch, ProviderRecord};
use crate::sidecar::Stored;
use crate::store::{Change, Table};

impl Admin {
    /// Every provider, by name.
    pub fn providers(&self) -> Vec<ProviderView> {
        let mut views: Vec<_> =
            self.state.pools.providers().iter().map(|live| self.view(live)).collect();
        views.sort_by(|one, other| one.name.cmp(&other.name));
        views
    }

    /// One provider, by id or name.
    pub fn provider(&self, id_or_name: &str) -> Result<ProviderView, AdminError> {
        let live = self.state.pools.provider(id_or_name).ok_or(AdminError::NotFound)?;
        Ok(self.view(&live))
    }

    /// How many providers of each pool are in which state.
    pub fn pools(&self) -> BTreeMap<&'static str, PoolCounts> {
        PoolCounts::of(&self.providers())
    }

    /// Adds a provider.
    ///
    /// # Errors
    ///
    /// A field that is missing or wrong, a name that is taken, a store that cannot be written.
    pub async fn add_provider(&self, patch: ProviderPatch) -> Result<ProviderView, AdminError> {
        let mut stored = self.state.stored.lock().await;
        let now = self.state.pools.clock().wall();
        let private_allowed = self.state.settings(&stored).upstream_private;
        let provider = patch.create(Uuid::now_v7().to_string(), now, private_allowed)?;
        let id = provider.id.clone();
        self.put(&mut stored, provider).await?;
        self.provider(&id)
    }

    /// Changes the fields of a provider that `patch` has.
    ///
    /// # Errors
    ///
    /// As for [`Admin::add_provider`]; also a new origin without the key for it.
    pub async fn change_provider(
        &self,
        id_or_name: &str,
        patch: ProviderPatch,
    ) -> Result<ProviderView, AdminError> {
        let mut stored = self.state.stored.lock().await;
        let current = find(&stored, id_or_name)?;
        let now = self.state.pools.clock().wall();
        let private_allowed = self.state.settings(&stored).upstream_private;
        let has_new_key = patch.api_key.is_some();
        let provider = patch.apply(current, now, private_allowed)?;
        let id = provider.id.clone();
        self.put(&mut stored, provider).await?;
        if has_new_key && let Some(live) = self.state.pools.provider(&id) {
            // What the old key was rested for says nothing about the new one.
            self.state.pools.registry().reset_key(&live);
        }
        self.provider(&id)
    }

    /// Removes a provider. What it has used stays on the books.
    pub async fn remove_provider(&self, id_or_name: &str) -> Result<(), AdminError> {
        let mut stored = self.state.stored.lock().await;
        let id = find(&stored, id_or_name)?.id.clone();
        self.state.store.apply(vec![Change::delete(Table::Providers, id.as_str())]).await?;
        stored.providers.remove(&id);
        self.state.publish(&stored);
        Ok(())
    }

    /// Ends every rest of a provider, forgets why, and enables it.
    pub async fn reset_provider(&self, id_or_name: &str) -> Result<ProviderView, AdminError> {
        let live = self.state.pools.provider(id_or_name).ok_or(AdminError::NotFound)?;
        if !live.config.enabled {
            let enable = ProviderPatch { enabled: Some(true), ..ProviderPatch::default() };
            self.change_provider(&live.config.id, enable).await?;
        }
        self.state.pools.reset(&live);
        self.provider(&live.config.id)
    }

    /// Makes `provider` durable, then effective.
    async fn put(&self, stored: &mut Stored, provider: Provider) -> Result<(), AdminError> {
        let mut others = stored.providers.values().chain(&self.state.env_provider);
        if others.any(|other| other.name == provider.name && other.id != provider.id) {
            return Err(FieldError::conflict("name", "is taken by another provider").into());
        }
        let record = ProviderRecord::seal(&provider, &self.state.vault)?.to_bytes();
        let change = Change::put(Table::Providers, provider.id.as_str(), record);
        self.state.store.apply(vec![change]).await?;
        stored.providers.insert(provider.id.clone(), provider);
        self.state.publish(stored);
        Ok(())
    }
}

fn find<'a>(stored: &'a Stored, id_or_name: &str) -> Result<&'a Provider, AdminError> {
    if id_or_name == ENV_PROVIDER_ID {
        return Err(AdminError::ReadOnly("this provider"));
    }
    let by_name = || stored.providers.values().find(|provider| provider.name == id_or_name);
    stored.providers.get(id_or_name).or_else(by_name).ok_or(AdminError::NotFound)
}
