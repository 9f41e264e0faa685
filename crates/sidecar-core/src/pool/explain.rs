//! Why a request made now would go where it would go.

use std::time::Duration;

use http::Method;
use serde::Serialize;

use super::plan::{Next, Walk};
use super::pools::Pools;
use super::snapshot::Tier;
use crate::call::{Caller, Head};
use crate::clock::Instant;
use crate::cooldown::{Cell, Cells};
use crate::endpoint::Endpoint;
use crate::ingest::Family;
use crate::provider::{ANY_MODEL, PoolName};

/// Every candidate for a request, every filter, the numbers, and what would happen.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Explanation {
    /// The model that was asked about.
    pub model: String,
    /// Who would ask.
    pub caller: String,
    /// What would happen, in words.
    pub outcome: String,
    /// The provider it would go to, at once or after `wait_ms`.
    pub provider: Option<String>,
    /// How long it would wait for a slot, in milliseconds.
    pub wait_ms: Option<u64>,
    /// How many requests wait for a slot, of all models.
    pub queue_depth: u32,
    /// The pools in the order of their use, with the candidates in each.
    pub pools: Vec<PoolCandidates>,
    /// Providers that are no candidates, and why.
    pub excluded: Vec<Excluded>,
}

/// The candidates of one pool.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct PoolCandidates {
    /// The pool.
    pub pool: PoolName,
    /// How long a request waits for one of them before it goes on, in seconds.
    pub spill_after_seconds: u64,
    /// The candidates, the first choice first.
    pub candidates: Vec<Candidate>,
}

/// One provider that could serve the model.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Candidate {
    /// Its name.
    pub provider: String,
    /// Its own name for the model.
    pub native_id: String,
    /// Whether it could be sent a request now.
    pub ready: bool,
    /// When it could, in milliseconds from now.
    pub ready_in_ms: Option<u64>,
    /// Whether that is worth waiting for.
    pub worth_waiting: bool,
    /// The free share of its limit, from 0 to 1; more is chosen first.
    pub headroom: f32,
    /// Requests that may go out in this minute.
    pub free_slots: u32,
    /// Its limit.
    pub rpm: u32,
    /// Requests that are under way; fewer is chosen first among equals.
    pub in_flight: usize,
    /// Tokens of prompt and answer, if they are known.
    pub context_window: Option<u32>,
    /// The cells that rest or have a past.
    pub cells: Vec<CellView>,
}

/// A cooldown cell that rests or has a past.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct CellView {
    /// What it stands for: `key`, `quota`, `endpoint` or `origin`.
    pub scope: &'static str,
    /// How often it has tripped without proven recovery.
    pub level: u8,
    /// Why it tripped last.
    pub reason: Option<&'static str>,
    /// What is left of its rest, in milliseconds.
    pub rests_ms: Option<u64>,
}

/// A provider that is no candidate.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Excluded {
    /// Its name.
    pub provider: String,
    /// Why it is none.
    pub reason: &'static str,
}

impl Pools {
    /// What would become of a request of `caller` for `model`, made now by the protocol of
    /// `family`: every candidate, every filter, the numbers. Nothing is sent or reserved.
    pub fn explain(&self, model: &str, caller: Option<&str>, family: Family) -> Explanation {
        let now = self.clock().now();
        let head = Head {
            model: Some(model.into()),
            caller: caller.map_or_else(Caller::anonymous, |name| Caller(name.into())),
            queue_until: now + self.settings().queue_timeout,
            ..Head::of_our_own("explain", Method::POST, family, String::new(), now)
        };
        self.explain_head(&head)
    }

    fn explain_head(&self, head: &Head) -> Explanation {
        let now = self.clock().now();
        let model = head.model.as_deref().unwrap_or_default();
        let mut explanation = Explanation {
            model: model.to_owned(),
            caller: head.caller.0.as_ref().into(),
            outcome: "refused at once: no provider serves this model on this protocol".to_owned(),
            provider: None,
            wait_ms: None,
            queue_depth: self.queue().depth(),
            pools: Vec::new(),
            excluded: self.excluded(head),
        };
        let Some(plan) = self.plan(head) else { return explanation };
        let walk = Walk::new(&plan, head);
        explanation.pools = plan.tiers.iter().map(|tier| candidates(tier, &walk, now)).collect();
        if !walk.has_any() {
            return explanation;
        }
        match walk.next(now, now) {
            Next::Try(_, endpoint) => {
                let name = endpoint.provider.name.as_ref();
                explanation.outcome = format!("sent to {name} at once");
                explanation.provider = Some(name.to_owned());
            }
            Next::Wait(at) if at <= head.queue_until => {
                let wait = millis(at - now);
                explanation.outcome = format!("waits {wait} ms for a slot");
                explanation.wait_ms = Some(wait);
            }
            Next::Wait(at) | Next::Nothing(Some(at)) => {
                let wait = millis(at - now);
                let text = format!("refused at once: the soonest provider is back in {wait} ms");
                explanation.outcome = text;
            }
            Next::Nothing(None) => {
                explanation.outcome = "refused at once: no provider is left".to_owned();
            }
        }
        explanation
    }

    fn excluded(&self, head: &Head) -> Vec<Excluded> {
        let reason = |config: &crate::provider::Provider| {
            let model = head.model.as_deref().unwrap_or_default();
            if !config.enabled {
                Some("is disabled")
            } else if !config.models.contains_key(model) && !config.models.contains_key(ANY_MODEL) {
                Some("does not map the model")
            } else if !config.api.speaks(head.family) {
                Some("speaks another protocol")
            } else {
                None
            }
        };
        let providers = self.providers();
        let excluded = providers.iter().filter_map(|live| {
            let reason = reason(&live.config)?;
            Some(Excluded { provider: live.config.name.clone(), reason })
        });
        excluded.collect()
    }
}

fn candidates(tier: &Tier, walk: &Walk<'_>, now: Instant) -> PoolCandidates {
    let fitting = tier.endpoints.iter().filter(|endpoint| walk.fits(endpoint));
    let mut candidates: Vec<Candidate> = fitting.map(|endpoint| candidate(endpoint, now)).collect();
    candidates.sort_by(|one, other| {
        let by_ready = other.ready.cmp(&one.ready);
        let by_headroom = other.headroom.total_cmp(&one.headroom);
        by_ready.then(by_headroom).then(one.in_flight.cmp(&other.in_flight))
    });
    PoolCandidates { pool: tier.pool, spill_after_seconds: tier.spill_after.as_secs(), candidates }
}

fn candidate(endpoint: &Endpoint, now: Instant) -> Candidate {
    let ready_at = endpoint.ready_at(now);
    let Cells { key, quota, endpoint: of_endpoint, origin, .. } = &*endpoint.cells;
    let cells = [("key", key), ("quota", quota), ("endpoint", of_endpoint), ("origin", origin)];
    Candidate {
        provider: endpoint.provider.name.as_ref().into(),
        native_id: endpoint.target.native().to_owned(),
        ready: ready_at.is_none(),
        ready_in_ms: ready_at.map(|at| millis(at - now)),
        worth_waiting: endpoint.is_promising(now),
        headroom: endpoint.limiter.headroom(now),
        free_slots: endpoint.limiter.free(now),
        rpm: endpoint.limiter.rpm().get(),
        in_flight: endpoint.provider.in_flight_count(),
        context_window: endpoint.context_window,
        cells: cells.into_iter().filter_map(|(scope, cell)| view(scope, cell, now)).collect(),
    }
}

fn view(scope: &'static str, cell: &Cell, now: Instant) -> Option<CellView> {
    let state = cell.state_at(now);
    let rests_ms = state.until.map(|until| millis(until - now));
    let has_past = state.level > 0 || rests_ms.is_some();
    let reason = state.class.map(|class| class.kind());
    has_past.then_some(CellView { scope, level: state.level, reason, rests_ms })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
