//! The one word that says how a provider is, and how many are how.

use std::collections::BTreeMap;

use serde::Serialize;

use super::ProviderView;
use crate::provider::PoolName;

/// How a provider is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It can be used.
    Healthy,
    /// It rests, as a whole or with every model it serves.
    Cooling,
    /// Its key is refused or has no money.
    Error,
    /// The operator does not want it used.
    Disabled,
}

/// How many providers of a pool are how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct PoolCounts {
    /// All of them.
    pub total: u32,
    /// Those the operator wants used.
    pub enabled: u32,
    /// Those that can be used.
    pub healthy: u32,
    /// Those that rest.
    pub cooling: u32,
    /// Those whose key is of no use.
    pub error: u32,
    /// Those the operator does not want used.
    pub disabled: u32,
}

impl PoolCounts {
    pub(super) fn of(providers: &[ProviderView]) -> BTreeMap<&'static str, Self> {
        let mut pools = BTreeMap::from(PoolName::ALL.map(|pool| (pool.as_str(), Self::default())));
        for provider in providers {
            let counts = pools.entry(provider.pool.as_str()).or_default();
            counts.total += 1;
            counts.enabled += u32::from(provider.enabled);
            *match provider.status {
                Status::Healthy => &mut counts.healthy,
                Status::Cooling => &mut counts.cooling,
                Status::Error => &mut counts.error,
                Status::Disabled => &mut counts.disabled,
            } += 1;
        }
        pools
    }
}
