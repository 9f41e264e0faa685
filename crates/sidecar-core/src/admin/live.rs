//! How everything stands at this moment, without a look into the store.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Admin, AdminError, CooldownEvent, PoolCounts, ProviderView, TotalStats};
use crate::pool::MOST_RECENT;

/// How everything stands at a moment.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct LiveView {
    /// The sums over everything on the books.
    pub totals: TotalStats,
    /// Attempts that ended in the last minute.
    pub requests_per_minute: u64,
    /// Those of them that failed.
    pub errors_per_minute: u64,
    /// Requests under way at providers.
    pub in_flight: usize,
    /// Requests that wait for a free slot.
    pub queue_depth: u32,
    /// How many providers of each pool are in which state.
    pub pools: BTreeMap<&'static str, PoolCounts>,
    /// Every provider, by id.
    pub providers: BTreeMap<String, ProviderView>,
    /// The last rests that began, the newest first.
    pub cooldowns: Vec<CooldownEvent>,
    /// Whether the store can be written.
    pub store_healthy: bool,
}

impl Admin {
    /// How everything stands now. The store is read at the first time only.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub async fn live(&self) -> Result<LiveView, AdminError> {
        let pools = &self.state.pools;
        let totals = self.stats_total().await?;
        let cooldowns = self.recent_cooldowns().await?;
        let (requests_per_minute, errors_per_minute) =
            pools.ledger().last_minute(pools.clock().wall());
        let views = self.providers();
        Ok(LiveView {
            totals,
            requests_per_minute,
            errors_per_minute,
            in_flight: pools.providers().iter().map(|live| live.in_flight_count()).sum(),
            queue_depth: pools.queue_depth(),
            pools: PoolCounts::of(&views),
            providers: views.into_iter().map(|view| (view.id.clone(), view)).collect(),
            cooldowns,
            store_healthy: self.state.store.is_healthy(),
        })
    }

    /// Those of this run, and as many of earlier ones as there is room for.
    async fn recent_cooldowns(&self) -> Result<Vec<CooldownEvent>, AdminError> {
        let before = self.state.cooldowns_before.get_or_try_init(|| async {
            let since = self.state.started;
            let events = self.stats_cooldown(None, MOST_RECENT).await?;
            Ok::<_, AdminError>(events.into_iter().filter(|event| event.at < since).collect())
        });
        let before: &Vec<CooldownEvent> = before.await?;
        let mut events = self.state.pools.registry().journal().recent();
        let room = MOST_RECENT.saturating_sub(events.len());
        events.extend(before.iter().take(room).cloned());
        Ok(events)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::Sidecar;
    use crate::clock::Clock;

    #[tokio::test(start_paused = true)]
    async fn an_empty_installation_has_a_view_too() {
        let sidecar = Sidecar::builder().clock(Clock::simulated()).open().await.unwrap();
        let view = serde_json::to_value(sidecar.admin().live().await.unwrap()).unwrap();
        assert_eq!((&view["queue_depth"], &view["in_flight"]), (&json!(0), &json!(0)));
        assert_eq!(view["totals"]["total_requests"], 0);
        assert_eq!(view["pools"]["primary"]["total"], 0);
        assert_eq!(view["providers"], json!({}));
    }
}
