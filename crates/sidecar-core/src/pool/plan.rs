//! Which endpoint a request should go to next.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::iter;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::snapshot::{ModelPlan, Tier};
use crate::call::Head;
use crate::clock::Instant;
use crate::endpoint::Endpoint;
use crate::provider::PoolName;

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

impl Next<'_> {
    /// How long it takes at least until something is free, if that is known.
    pub(super) fn is_at(&self, now: Instant) -> Option<Duration> {
        match self {
            Self::Try(..) => None,
            Self::Wait(at) => Some(*at - now),
            Self::Nothing(at) => at.map(|at| at - now),
        }
    }
}

/// When the soonest of the busy endpoints is free.
#[derive(Debug, Default)]
struct Soonest {
    of_all: Option<Instant>,
    /// Of those that are worth waiting for.
    promising: Option<Instant>,
}

impl Soonest {
    fn join(&mut self, other: &Self) {
        for (at, is_promising) in [(other.of_all, false), (other.promising, true)] {
            if let Some(at) = at {
                self.note(at, || is_promising);
            }
        }
    }

    /// Asks whether it is promising only if that makes a difference.
    fn note(&mut self, at: Instant, is_promising: impl FnOnce() -> bool) {
        let is_sooner = |than: Option<Instant>| than.is_none_or(|than| at < than);
        if is_sooner(self.of_all) {
            self.of_all = Some(at);
        }
        if is_sooner(self.promising) && is_promising() {
            self.promising = Some(at);
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
    /// flight, then by turns. `since` is when the request began to wait for one.
    ///
    /// Of a tier with more than [`SAMPLE`] free it is the best of so many, and of others each time:
    /// the best of a few that change is as good as the best of all (M. Mitzenmacher, "The Power of
    /// Two Choices in Randomized Load Balancing", 2001).
    pub(super) fn next(&self, now: Instant, since: Instant) -> Next<'a> {
        let mut soonest = Soonest::default();
        for (tier_index, tier) in self.plan.tiers.iter().enumerate() {
            let mut of_tier = Soonest::default();
            if let Some(index) = self.best(tier_index, tier, now, &mut of_tier) {
                return Next::Try((tier_index, index), &tier.endpoints[index]);
            }
            // A slot that is free in a moment is cheaper than the next pool.
            if let Some(at) = of_tier.promising
                && at - since <= tier.spill_after.max(MOMENT)
                && at <= self.head.queue_until
            {
                return Next::Wait(at);
            }
            soonest.join(&of_tier);
        }
        soonest.promising.map_or(Next::Nothing(soonest.of_all), Next::Wait)
    }

    /// When a slot is free for the one that has `ahead` others before it, as far as the limits and
    /// rests of now tell; `None` if none that is worth waiting for ever is.
    pub(super) fn slot_after(&self, ahead: u32, now: Instant) -> Option<Instant> {
        let endpoints: Vec<&Endpoint> = self
            .plan
            .endpoints()
            .map(|endpoint| &**endpoint)
            .filter(|endpoint| self.fits(endpoint) && endpoint.is_promising(now))
            .collect();
        let first = |(index, endpoint): (usize, &&Endpoint)| {
            Reverse((endpoint.nth_slot(0, now), index, 0_u32))
        };
        let mut offers: BinaryHeap<_> = endpoints.iter().enumerate().map(first).collect();
        for _ in 0..ahead.min(MOST_AHEAD) {
            let mut soonest = offers.peek_mut()?;
            let Reverse((at, index, taken)) = &mut *soonest;
            *taken += 1;
            *at = endpoints[*index].nth_slot(*taken, now);
        }
        offers.peek().map(|Reverse((at, ..))| *at)
    }

    /// An endpoint that could be tried early, and the pool it belongs to with the sum of its
    /// limits.
    pub(super) fn early(&self, now: Instant) -> Option<(&'a Endpoint, PoolName, u64)> {
        self.plan.tiers.iter().find_map(|tier| {
            let could =
                |endpoint: &&Arc<Endpoint>| self.fits(endpoint) && endpoint.admits_early(now);
            let endpoint = tier.endpoints.iter().find(could)?;
            let rpm = tier.endpoints.iter().map(|e| u64::from(e.limiter.rpm().get())).sum();
            Some((&**endpoint, tier.pool, rpm))
        })
    }

    /// Not again in this walk.
    pub(super) fn exclude(&mut self, position: Position) {
        self.tried.push(position);
    }

    /// Try it once more after all.
    pub(super) fn allow(&mut self, position: Position) {
        self.tried.retain(|tried| *tried != position);
    }

    /// Whether the endpoint at `position` could not be sent anything anyway.
    pub(super) fn is_busy(&self, (tier, index): Position, now: Instant) -> bool {
        let endpoint = self.plan.tiers.get(tier).and_then(|tier| tier.endpoints.get(index));
        endpoint.is_none_or(|endpoint| endpoint.ready_at(now).is_some())
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
        let mut best: Option<(usize, f32)> = None;
        let mut choices = 0;
        for index in in_turn(tier) {
            let endpoint = &tier.endpoints[index];
            if !self.fits(endpoint) {
                continue;
            }
            let headroom = match endpoint.offer(now) {
                Ok(headroom) => headroom,
                Err(at) => {
                    // One that failed in this request and rests now may be worth waiting for, too,
                    // but not if there is one that is free.
                    if best.is_none() {
                        soonest.note(at, || endpoint.is_promising(now));
                    }
                    continue;
                }
            };
            if self.tried.contains(&(tier_index, index)) {
                continue;
            }
            let in_flight = |index: usize| tier.endpoints[index].provider.in_flight_count();
            let is_better = best.is_none_or(|(best, most)| {
                headroom > most || (headroom == most && in_flight(index) < in_flight(best))
            });
            if is_better {
                best = Some((index, headroom));
            }
            choices += 1;
            if choices == SAMPLE {
                break;
            }
        }
        best.map(|(index, _)| index)
    }

    pub(super) fn fits(&self, endpoint: &Endpoint) -> bool {
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

/// The indices of all endpoints, each time from another one on. The steps are long, because those
/// of one vendor stand side by side and rest together: whoever stands behind them would get all of
/// their turns.
fn in_turn(tier: &Tier) -> impl Iterator<Item = usize> {
    let count = tier.endpoints.len().max(1);
    let start = tier.turn.fetch_add(1, Ordering::Relaxed) % count;
    let step = STEP % count;
    let next = move |index: &usize| {
        let next = index + step;
        Some(if next < count { next } else { next - count })
    };
    iter::successors(Some(start), next).take(tier.endpoints.len())
}

/// So many endpoints of a tier that could be sent to are compared.
const SAMPLE: usize = 32;
/// A prime, so that steps of it come to every index of a tier before they come to any again. No
/// multiple of a size from 33 to 1000 is nearer to it than 4.
const STEP: usize = 46_649_741;
/// The queue is seldom longer, and a guess needs no more.
const MOST_AHEAD: u32 = 1_000;
/// Waiting this long is never worse than going on to the next pool.
const MOMENT: Duration = Duration::from_millis(20);
