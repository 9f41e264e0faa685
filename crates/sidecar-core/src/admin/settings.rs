//! Reading and changing settings.

use serde::Serialize;
use serde_json::Value;

use super::{Admin, AdminError, EntityTag, Precondition};
use crate::settings::{SPECS, SettingError, Settings, Spec};
use crate::sidecar::{State, Stored, setting_to_bytes};
use crate::store::{Change, Table};

/// A setting as an operator sees it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct SettingView {
    /// Its name.
    pub key: &'static str,
    /// The value in force.
    pub value: Value,
    /// The value it has if nobody sets it.
    pub default: Value,
    /// Where the value in force comes from.
    pub source: SettingSource,
    /// What it means, with its unit.
    pub help: &'static str,
    /// Stands for its value and where that comes from.
    #[serde(skip)]
    pub etag: EntityTag,
}

/// Where a setting's value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum SettingSource {
    /// The environment, which wins.
    Env,
    /// The store.
    Stored,
    /// Nobody set it.
    Default,
}

impl Admin {
    /// Every setting.
    pub async fn settings(&self) -> Vec<SettingView> {
        let stored = self.state.stored.lock().await;
        SPECS.iter().filter_map(|spec| self.setting_view(spec, &stored)).collect()
    }

    /// One setting.
    pub async fn setting(&self, key: &str) -> Result<SettingView, AdminError> {
        let stored = self.state.stored.lock().await;
        self.find_setting(key, &stored)
    }

    /// Changes a setting. It takes effect at once and survives a restart.
    ///
    /// # Errors
    ///
    /// An unknown key, a value the setting does not take, a setting fixed by the environment, a
    /// `precondition` that does not hold.
    pub async fn set_setting(
        &self,
        key: &str,
        value: &Value,
        precondition: &Precondition,
    ) -> Result<SettingView, AdminError> {
        let stored = self.state.lock().await;
        let mut probe = Settings::default();
        probe.set(key, value)?;
        self.changeable(key, &stored, precondition)?;
        let change = Change::put(Table::Settings, key, setting_to_bytes(value));
        let (name, value) = (key.to_owned(), value.clone());
        let effect = move |state: &State, stored: &mut Stored| {
            stored.settings.insert(name, value);
            state.publish(stored);
        };
        let stored = self.state.commit(stored, change, effect).await?;
        self.find_setting(key, &stored)
    }

    /// Takes a setting back to its default.
    ///
    /// # Errors
    ///
    /// As for [`Admin::set_setting`].
    pub async fn unset_setting(
        &self,
        key: &str,
        precondition: &Precondition,
    ) -> Result<SettingView, AdminError> {
        let stored = self.state.lock().await;
        self.changeable(key, &stored, precondition)?;
        let name = key.to_owned();
        let effect = move |state: &State, stored: &mut Stored| {
            stored.settings.remove(&name);
            state.publish(stored);
        };
        let change = Change::delete(Table::Settings, key);
        let stored = self.state.commit(stored, change, effect).await?;
        self.find_setting(key, &stored)
    }

    fn changeable(
        &self,
        key: &str,
        stored: &Stored,
        precondition: &Precondition,
    ) -> Result<(), AdminError> {
        let current = self.find_setting(key, stored)?;
        if self.state.pinned.contains_key(key) {
            return Err(AdminError::ReadOnly("this setting"));
        }
        precondition.check("the setting", current.etag)
    }

    fn find_setting(&self, key: &str, stored: &Stored) -> Result<SettingView, AdminError> {
        let spec = SPECS.iter().find(|spec| spec.key == key);
        spec.and_then(|spec| self.setting_view(spec, stored))
            .ok_or_else(|| SettingError::Unknown(key.to_owned()).into())
    }

    fn setting_view(&self, spec: &Spec, stored: &Stored) -> Option<SettingView> {
        let source = if self.state.pinned.contains_key(spec.key) {
            SettingSource::Env
        } else if stored.settings.contains_key(spec.key) {
            SettingSource::Stored
        } else {
            SettingSource::Default
        };
        let value = self.state.settings(stored).get(spec.key).ok()?;
        Some(SettingView {
            key: spec.key,
            etag: self.setting_tag(spec.key, &value, source),
            value,
            default: Settings::default().get(spec.key).ok()?,
            source,
            help: spec.help,
        })
    }
}
