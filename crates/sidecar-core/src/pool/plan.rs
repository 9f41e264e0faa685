//! Which endpoint a request should go to next.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::snapshot::{ModelPlan, Tier};
use crate::call::Head;
use crate::clock::Instant;
use crate::endpoint::Endpoint;

/// One request's walk over the tiers of its model.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    plan: &'a ModelPlan,
    head: &'a Head,
    /// Endpoints this request is done with, by tier and index.
    tried: Vec<(usize, usize)>,
    /// Only endpoints whose window is known to be larger are of use.
    window_over: Option<u32>,
}

/// What to do next.
#[derive(Debug)]
pub(super) enum Next<'a> {
    /// Send to this one.
    Try(Position, &'a Endpoint),
    /// All are busy; the soonest that is worth waiting for is free then.
    Wait(Instant),
    /// There is none left that is worth waiting for. The soonest of the others may be back then.
    Nothing(Option<Instant>),
}

/// When the soonest of the busy endpoints is free.
#[derive(Debug, Default)]
struct Soonest {
    of_all: Option<Instant>,
    /// Of those that are worth waiting for.
    promising: Option<Instant>,
}

impl Soonest {
    fn note(&mut self, at: Instant, is_promising: bool) {
        let sooner = |than: Option<Instant>| Some(than.map_or(at, |than| than.min(at)));
        self.of_all = sooner(self.of_all);
        if is_promising {
            self.promising = sooner(self.promising);
        }
    }
}

/// Where an endpoint stands in the plan.
pub(super) type Position = (usize, usize);

impl<'a> Walk<'a> {
    /// The walk of one request.
    pub(super) fn new(plan: &'a Arc<ModelPlan>, head: &'a Head) -> Self {
        Self { plan, head, tried: Vec::new(), window_over: None }
    }

    /// Whether any endpoint speaks the request's family and is the one it insists on.
    pub(super) fn has_any(&self) -> bool {
        self.plan.tiers.iter().flat_map(|tier| &tier.endpoints).any(|e| self.fits(e))
    }

    /// The best endpoint of the first tier that has one free: most headroom first, then fewest in
    /// flight, then by turns.
    pub(super) fn next(&self, now: Instant) -> Next<'a> {
        let mut soonest = Soonest::default();
        for (tier_index, tier) in self.plan.tiers.iter().enumerate() {
            if let Some(index) = self.best(tier_index, tier, now, &mut soonest) {
                return Next::Try((tier_index, index), &tier.endpoints[index]);
            }
        }
        soonest.promising.map_or(Next::Nothing(soonest.of_all), Next::Wait)
    }

    /// Not again in this walk.
    pub(super) fn exclude(&mut self, position: Position) {
        self.tried.push(position);
    }

    /// Try it once more after all.
    pub(super) fn allow(&mut self, position: Position) {
        self.tried.retain(|tried| *tried != position);
    }

    /// Time has passed, and whoever failed before may do better now.
    pub(super) fn forgive(&mut self) {
        self.tried.clear();
    }

    /// Only endpoints with a larger window than that of `endpoint`.
    pub(super) fn require_larger_window(&mut self, endpoint: &Endpoint) {
        let window = endpoint.context_window.unwrap_or(u32::MAX);
        self.window_over = Some(self.window_over.map_or(window, |over| over.max(window)));
    }

    fn best(
        &self,
        tier_index: usize,
        tier: &Tier,
        now: Instant,
        soonest: &mut Soonest,
    ) -> Option<usize> {
        let count = tier.endpoints.len();
        let start = tier.turn.fetch_add(1, Ordering::Relaxed);
        let mut best: Option<(usize, f32, usize)> = None;
        for offset in 0..count {
            let index = (start.wrapping_add(offset)) % count;
            let endpoint = &tier.endpoints[index];
            if !self.fits(endpoint) {
                continue;
            }
            if let Some(at) = endpoint.ready_at(now) {
                // One that failed in this request and rests now may be worth waiting for, too.
                soonest.note(at, endpoint.is_promising(now));
                continue;
            }
            if self.tried.contains(&(tier_index, index)) {
                continue;
            }
            let headroom = endpoint.limiter.headroom(now);
            let in_flight = endpoint.provider.in_flight_count();
            let better = best.is_none_or(|(_, most, fewest)| {
                headroom > most || (headroom == most && in_flight < fewest)
            });
            if better {
                best = Some((index, headroom, in_flight));
            }
        }
        best.map(|(index, ..)| index)
    }

    fn fits(&self, endpoint: &Endpoint) -> bool {
        let config = &endpoint.provider.config;
        config.api.speaks(self.head.family)
            && self
                .head
                .pinned
                .as_deref()
                .is_none_or(|pinned| pinned == config.name || pinned == config.id)
            && self
                .window_over
                .is_none_or(|over| endpoint.context_window.is_some_and(|window| window > over))
    }
}
