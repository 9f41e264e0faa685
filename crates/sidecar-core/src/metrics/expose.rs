//! What can be read at any moment, read and written.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::agents::AgentView;
use super::{
    AGENT_HEARTBEAT, AGENT_LIMITED, AGENT_PENDING, AGENT_RESPONSE_TIME, AGENT_STAGNATION,
    COOLDOWN_ACTIVE, COST, EMERGENCY_COUNT, Exposition, Family, IN_FLIGHT, LIMITER_HEADROOM,
    POOL_PROVIDERS, QUEUE_DEPTH, QUEUE_LIMIT, STORE_FLUSH_LAG, STORE_UP,
};
use crate::Sidecar;
use crate::admin::PoolCounts;
use crate::clock::Instant;
use crate::pool::{LiveProvider, Pools};

impl Sidecar {
    /// Writes the metrics that can be read at any moment: states, and what has more digits than a
    /// counter of the facade. What is counted as it happens is at the recorder, see
    /// [`crate::metrics`]; no family is in both.
    pub fn expose(&self, text: &mut Exposition) {
        let pools = self.pools();
        let now = pools.clock().now();
        write_pools(text, &self.admin().pools());
        text.single(&EMERGENCY_COUNT, pools.emergency_count());
        text.single(&QUEUE_DEPTH, pools.queue_depth());
        text.single(&QUEUE_LIMIT, pools.settings().queue_max_depth);
        write_providers(text, &pools.providers(), now);
        write_costs(text, pools);
        text.single(&STORE_UP, u8::from(self.is_store_healthy()));
        if let Some(lag) = pools.metrics().flush_lag(now) {
            text.single(&STORE_FLUSH_LAG, lag.as_secs_f64());
        }
        write_agents(text, pools, now);
    }
}

fn write_pools(text: &mut Exposition, pools: &BTreeMap<&'static str, PoolCounts>) {
    let mut samples = text.family(&POOL_PROVIDERS);
    for (pool, counts) in pools {
        for (kind, count) in [
            ("total", counts.total),
            ("enabled", counts.enabled),
            ("healthy", counts.healthy),
            ("cooling", counts.cooling),
            ("error", counts.error),
            ("disabled", counts.disabled),
        ] {
            samples.sample(&[("pool", *pool), ("type", kind)], count);
        }
    }
    let cooling: u32 = pools.values().map(|counts| counts.cooling).sum();
    text.single(&COOLDOWN_ACTIVE, cooling);
}

fn write_providers(text: &mut Exposition, providers: &[Arc<LiveProvider>], now: Instant) {
    let mut samples = text.family(&IN_FLIGHT);
    for live in providers {
        samples.sample(&[("provider", &*live.name)], live.in_flight_count());
    }
    let mut samples = text.family(&LIMITER_HEADROOM);
    for live in providers {
        samples.sample(&[("provider", &*live.name)], live.limiter.headroom(now));
    }
}

fn write_costs(text: &mut Exposition, pools: &Pools) {
    let mut samples = text.family(&COST);
    pools.metrics().for_each_cost(|provider, model, pico_usd| {
        let (usd, rest) = (pico_usd / PICO, pico_usd % PICO);
        let labels = [("provider", provider), ("model", model)];
        samples.sample(&labels, format_args!("{usd}.{rest:012}"));
    });
}

fn write_agents(text: &mut Exposition, pools: &Pools, now: Instant) {
    let views = pools.metrics().agents.views(now);
    let mut family = |family: &Family, value: fn(&AgentView) -> f64| {
        let mut samples = text.family(family);
        for view in &views {
            let labels = [("agent_name", &*view.name), ("agent_label", view.label.as_str())];
            samples.sample(&labels, value(view));
        }
    };
    family(&AGENT_HEARTBEAT, |view| f64::from(u8::from(view.is_alive)));
    family(&AGENT_STAGNATION, |view| view.stagnation.as_secs_f64());
    family(&AGENT_LIMITED, |view| view.limited);
    family(&AGENT_RESPONSE_TIME, |view| view.response_time);
    family(&AGENT_PENDING, |view| f64::from(view.pending));
}

/// Pico-USD in a USD.
const PICO: u128 = 1_000_000_000_000;
