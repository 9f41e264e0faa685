//! Adding, changing and removing providers.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{Admin, AdminError, PoolCounts, Precondition, ProviderView};
use crate::provider::{ENV_PROVIDER_ID, FieldError, Provider, ProviderPatch, ProviderRecord};
use crate::sidecar::{Locked, State, Stored};
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

    /// How often providers or settings have changed in this run. Every answer of the proxy names
    /// the one revision of all of them that it was planned with.
    pub fn revision(&self) -> u64 {
        self.state.pools.revision()
    }

    /// Adds a provider.
    ///
    /// # Errors
    ///
    /// A field that is missing or wrong, a name that is taken, a store that cannot be written.
    pub async fn add_provider(&self, patch: ProviderPatch) -> Result<ProviderView, AdminError> {
        let stored = self.state.lock().await;
        let now = self.state.pools.clock().wall();
        let private_allowed = self.state.settings(&stored).upstream_private;
        let provider = patch.create(Uuid::now_v7().to_string(), now, private_allowed)?;
        let id = provider.id.clone();
        let _stored = self.put(stored, provider, false).await?;
        self.provider(&id)
    }

    /// Changes the fields of a provider that `patch` has.
    ///
    /// # Errors
    ///
    /// As for [`Admin::add_provider`]; also a new origin without the key for it, and a
    /// `precondition` that does not hold.
    pub async fn change_provider(
        &self,
        id_or_name: &str,
        patch: ProviderPatch,
        precondition: &Precondition,
    ) -> Result<ProviderView, AdminError> {
        let stored = self.state.lock().await;
        let current = find(&stored, id_or_name)?;
        precondition.check("the provider", self.provider_tag(current))?;
        let now = self.state.pools.clock().wall();
        let private_allowed = self.state.settings(&stored).upstream_private;
        let has_new_key = patch.api_key.is_some();
        let provider = patch.apply(current, now, private_allowed)?;
        let id = provider.id.clone();
        let _stored = self.put(stored, provider, has_new_key).await?;
        self.provider(&id)
    }

    /// Removes a provider. What it has used stays on the books.
    ///
    /// # Errors
    ///
    /// An unknown provider, a `precondition` that does not hold, a store that cannot be written.
    pub async fn remove_provider(
        &self,
        id_or_name: &str,
        precondition: &Precondition,
    ) -> Result<(), AdminError> {
        let stored = self.state.lock().await;
        let current = find(&stored, id_or_name)?;
        precondition.check("the provider", self.provider_tag(current))?;
        let id = current.id.clone();
        let change = Change::delete(Table::Providers, id.as_str());
        let effect = move |state: &State, stored: &mut Stored| {
            stored.providers.remove(&id);
            state.publish(stored);
        };
        self.state.commit(stored, change, effect).await?;
        Ok(())
    }

    /// Ends every rest of a provider, forgets why, and enables it.
    pub async fn reset_provider(&self, id_or_name: &str) -> Result<ProviderView, AdminError> {
        let live = self.state.pools.provider(id_or_name).ok_or(AdminError::NotFound)?;
        if !live.config.enabled {
            let enable = ProviderPatch { enabled: Some(true), ..ProviderPatch::default() };
            self.change_provider(&live.config.id, enable, &Precondition::Any).await?;
        }
        self.state.pools.reset(&live);
        self.provider(&live.config.id)
    }

    /// Makes `provider` durable, then effective.
    async fn put(
        &self,
        stored: Locked,
        provider: Provider,
        has_new_key: bool,
    ) -> Result<Locked, AdminError> {
        let mut others = stored.providers.values().chain(&self.state.env_provider);
        if others.any(|other| other.name == provider.name && other.id != provider.id) {
            return Err(FieldError::conflict("name", "is taken by another provider").into());
        }
        let record = ProviderRecord::seal(&provider, &self.state.vault)?.to_bytes();
        let change = Change::put(Table::Providers, provider.id.as_str(), record);
        let effect = move |state: &State, stored: &mut Stored| {
            let id = provider.id.clone();
            stored.providers.insert(id.clone(), provider);
            state.publish(stored);
            if has_new_key && let Some(live) = state.pools.provider(&id) {
                // What the old key was rested for says nothing about the new one.
                state.pools.registry().reset_key(&live);
            }
        };
        Ok(self.state.commit(stored, change, effect).await?)
    }
}

fn find<'a>(stored: &'a Stored, id_or_name: &str) -> Result<&'a Provider, AdminError> {
    if id_or_name == ENV_PROVIDER_ID {
        return Err(AdminError::ReadOnly("this provider"));
    }
    let by_name = || stored.providers.values().find(|provider| provider.name == id_or_name);
    stored.providers.get(id_or_name).or_else(by_name).ok_or(AdminError::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sidecar;

    #[tokio::test]
    async fn a_change_that_nobody_waits_for_any_more_takes_effect_all_the_same() {
        let admin = Sidecar::builder().open().await.unwrap().admin();
        let patch = r#"{"name": "one", "api_base_url": "https://one.example/v1",
                        "api_key": "sk-0123456789"}"#;
        let adding = admin.add_provider(serde_json::from_str(patch).unwrap());
        tokio::select! {
            biased;
            _ = adding => panic!("it is not durable that soon"),
            () = std::future::ready(()) => {}
        }
        // Whoever changes something next waits for it.
        let slower = serde_json::from_str(r#"{"rpm_limit": 7}"#).unwrap();
        let one = admin.change_provider("one", slower, &Precondition::Any).await.unwrap();
        assert_eq!(one.rpm_limit, Some(7));
    }
}
