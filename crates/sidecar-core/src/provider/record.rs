//! A provider as it is stored: its key sealed, bound to the record and to the key's origin.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use super::{Api, LimitShape, Mapping, PoolName, Provider, Source};
use crate::clock::Timestamp;
use crate::keys::{KeyError, Place, Vault};
use crate::secret::Secret;
use crate::url::BaseUrl;

/// A provider as it is stored, in JSON. Fields may be added with a default; a change of meaning
/// needs a new version of the record.
#[derive(Serialize, Deserialize)]
pub(crate) struct ProviderRecord {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    base_url: BaseUrl,
    sealed_key: String,
    api: Api,
    timeout_ms: u64,
    first_token_timeout_ms: u64,
    idle_timeout_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rpm_limit: Option<NonZeroU32>,
    limit_shape: LimitShape,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    burst: Option<NonZeroU32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    pool: PoolName,
    #[serde(default)]
    drain: bool,
    #[serde(default)]
    http2: bool,
    enabled: bool,
    models: BTreeMap<String, Mapping>,
    source: Source,
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    metadata: serde_json::Map<String, serde_json::Value>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl ProviderRecord {
    /// Seals `provider`.
    pub(crate) fn seal(provider: &Provider, vault: &Vault) -> Result<Self, KeyError> {
        let origin = provider.base_url.origin();
        let sealed = vault.seal(&key_place(&provider.id, &origin), &provider.key)?;
        Ok(Self::new(provider, BASE64.encode(&sealed)))
    }

    /// The record of `provider`, with `sealed_key` in the place of its key.
    pub(crate) fn new(provider: &Provider, sealed_key: String) -> Self {
        let provider = provider.clone();
        Self {
            name: provider.name,
            label: provider.label,
            base_url: provider.base_url,
            sealed_key,
            api: provider.api,
            timeout_ms: millis(provider.timeout),
            first_token_timeout_ms: millis(provider.first_token_timeout),
            idle_timeout_ms: millis(provider.idle_timeout),
            rpm_limit: provider.rpm_limit,
            limit_shape: provider.limit_shape,
            burst: provider.burst,
            account: provider.account,
            pool: provider.pool,
            drain: provider.drain,
            http2: provider.http2,
            enabled: provider.enabled,
            models: provider.models,
            source: provider.source,
            metadata: provider.metadata,
            created_at: provider.created_at,
            updated_at: provider.updated_at,
        }
    }

    /// The bytes to store: a version, then JSON.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        serde_json::to_writer(&mut bytes, self).expect("plain data has a JSON form");
        bytes
    }

    /// The inverse of [`ProviderRecord::to_bytes`]; `None` if they cannot be read.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first() {
            Some((&VERSION, json)) => serde_json::from_slice(json).ok(),
            _ => None,
        }
    }

    /// Opens the record with `id`. Fails if the sealed key was made for another record, another
    /// origin or another store.
    pub(crate) fn open(self, id: String, vault: &Vault) -> Result<Provider, KeyError> {
        let origin = self.base_url.origin();
        let key = self.open_key(&id, &origin, vault)?;
        Ok(Provider {
            id,
            name: self.name,
            label: self.label,
            base_url: self.base_url,
            key,
            api: self.api,
            timeout: Duration::from_millis(self.timeout_ms),
            first_token_timeout: Duration::from_millis(self.first_token_timeout_ms),
            idle_timeout: Duration::from_millis(self.idle_timeout_ms),
            rpm_limit: self.rpm_limit,
            limit_shape: self.limit_shape,
            burst: self.burst,
            account: self.account,
            pool: self.pool,
            drain: self.drain,
            http2: self.http2,
            enabled: self.enabled,
            models: self.models,
            source: self.source,
            metadata: self.metadata,
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }

    fn open_key(&self, id: &str, origin: &str, vault: &Vault) -> Result<Secret, KeyError> {
        let sealed = BASE64.decode(self.sealed_key.as_bytes()).unwrap_or_default();
        vault.open(&key_place(id, origin), &sealed)
    }
}

fn key_place<'a>(id: &'a str, origin: &'a str) -> Place<'a> {
    Place { table: "providers", record: id, field: "api_key", origin }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

const VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_without_the_newer_fields_has_their_defaults() {
        let json = r#"{"name": "one", "base_url": "https://one.example/v1", "sealed_key": "",
            "api": "openai-completions", "timeout_ms": 1, "first_token_timeout_ms": 1,
            "idle_timeout_ms": 1, "limit_shape": "window", "pool": "primary", "enabled": true,
            "models": {}, "source": "webui", "created_at": "2026-01-01T00:00:00Z",
            "updated_at": "2026-01-01T00:00:00Z"}"#;
        let record = ProviderRecord::from_bytes(&[&[VERSION][..], json.as_bytes()].concat());
        assert!(record.is_some_and(|record| !record.drain && !record.http2));
    }
}
