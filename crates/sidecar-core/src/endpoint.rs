//! One provider's way of serving one model, and the stack that a request to it passes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tower::ServiceBuilder;

use crate::call::Call;
use crate::clock::{Clock, Instant};
use crate::cooldown::{CellSet, Cooldown, CooldownLayer};
use crate::dispatch::{Dispatch, DispatchLayer, Target};
use crate::drain::{Drain, DrainLayer};
use crate::first_byte::{FirstByte, FirstByteLayer, Patience};
use crate::pool::{LiveProvider, Pools};
use crate::provider::{Price, StreamUsage};
use crate::random;
use crate::rate_limit::{Limiter, RateLimit, RateLimitLayer};
use crate::relay::{Relay, RelayConfig, RelayLayer};
use crate::usage::{Attribution, Meter, Usage, UsageLayer, estimate};
use crate::verdict::{Class, Verdict};

/// Everything that is known of a (provider, model) before a request comes.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) provider: Arc<LiveProvider>,
    /// The canonical name of the model.
    pub(crate) model: Arc<str>,
    pub(crate) cells: CellSet,
    pub(crate) limiter: Limiter,
    pub(crate) meter: Meter,
    pub(crate) target: Target,
    pub(crate) context_window: Option<u32>,
    pub(crate) stream_usage: StreamUsage,
    pub(crate) cut_hook: CutHook,
}

/// Charges a stream that breaks after it has begun to the cells of its endpoint.
pub(crate) struct CutHook(Arc<dyn Fn(Class) + Send + Sync>);

/// The stack around the HTTP client `C`.
pub(crate) type Stack<C> = Cooldown<RateLimit<Relay<Drain<Usage<FirstByte<Dispatch<C>>>>>>>;

/// The stack of a test call.
pub(crate) type TestStack<C> = RateLimit<Usage<FirstByte<Dispatch<C>>>>;

impl Endpoint {
    /// The one place where an endpoint's stack is put together, for one request. `early` lets it
    /// through as an early probe, if the cells allow one.
    pub(crate) fn stack<C>(&self, client: C, pools: &Pools, stream: bool, early: bool) -> Stack<C> {
        let (config, clock) = (&self.provider.config, pools.clock());
        let patience = self.patience(stream);
        let relay = RelayConfig {
            idle_timeout: config.idle_timeout,
            stream_usage: self.stream_usage,
            clock: clock.clone(),
        };
        ServiceBuilder::new()
            // Outermost: a resting provider is refused before anything is spent on it.
            .layer(
                CooldownLayer::new(self.cells.clone(), clock.clone())
                    .probe_lease(patience.head + patience.first_event + LEASE_MARGIN)
                    .streaming(stream)
                    .early_probe(early),
            )
            // After the cells, so that a refusal of theirs takes no slot.
            .layer(RateLimitLayer::new(self.limiter.clone(), clock.clone()))
            // Outside the books, which need to see what the provider sent and the caller does not.
            .layer(RelayLayer::new(relay).on_cut(self.cut_hook.0.clone()))
            // Outside the books, which are to see the end of what the caller does not wait for.
            .layer(self.drain(pools))
            // Inside the limits: what was refused is not an attempt and is not booked.
            .layer(UsageLayer::new(self.meter.clone(), clock.clone()))
            // Judges the answer; the layers above read its verdict.
            .layer(FirstByteLayer::new(config.api, patience, clock.clone()))
            // Innermost: nothing above sees the provider's key or its name for the model.
            .layer(DispatchLayer::new(self.target.clone()))
            .service(client)
    }

    /// The stack without cooldowns, for an operator who wants to know how a resting provider is.
    /// Its limit is kept even so.
    pub(crate) fn test_stack<C>(&self, client: C, clock: &Clock) -> TestStack<C> {
        let config = &self.provider.config;
        ServiceBuilder::new()
            .layer(RateLimitLayer::new(self.limiter.clone(), clock.clone()))
            .layer(UsageLayer::new(self.meter.clone(), clock.clone()))
            .layer(FirstByteLayer::new(config.api, self.patience(true), clock.clone()))
            .layer(DispatchLayer::new(self.target.clone()))
            .service(client)
    }

    /// What becomes of an answer whose caller leaves.
    fn drain(&self, pools: &Pools) -> DrainLayer {
        let drains = self.provider.config.drain.then(|| pools.drains().clone());
        DrainLayer::new(drains).holding(&self.provider.in_flight)
    }

    /// Vendors hold the head of a stream back until its first token, and the head of a document
    /// until all of it is there.
    fn patience(&self, stream: bool) -> Patience {
        let config = &self.provider.config;
        let head = if stream { config.first_token_timeout } else { config.timeout };
        Patience { head, first_event: config.first_token_timeout }
    }

    /// What `call` may cost here, in pico-USD, as far as that can be told before; `None` without a
    /// price.
    pub(crate) fn may_cost(&self, call: &Call) -> Option<u128> {
        let mapping = self.provider.config.mapping(&self.model)?;
        let cost = mapping.cost.as_ref()?;
        let prompt = estimate(call.request_bytes());
        let wanted = call.head().max_tokens.unwrap_or(USUAL_ANSWER);
        let answer = mapping.max_tokens.map_or(wanted, |most| wanted.min(most));
        let charge = |tokens: u64, price: Price| u128::from(tokens) * u128::from(price.pico_usd());
        Some(charge(prompt, cost.input) + charge(answer.into(), cost.output))
    }

    /// The share of the limit that is free, from 0 to 1, if a request could pass now; else the
    /// instant to wait for. Reserves nothing.
    pub(crate) fn offer(&self, now: Instant) -> Result<f32, Instant> {
        match (self.cells.ready_at(now), self.limiter.offer(now)) {
            (None, of_limit) => of_limit,
            (Some(at), of_limit) => Err(of_limit.map_or_else(|slot| at.max(slot), |_| at)),
        }
    }

    /// When a request could pass: `None` now, or the instant to wait for. Reserves nothing.
    pub(crate) fn ready_at(&self, now: Instant) -> Option<Instant> {
        self.offer(now).err()
    }

    /// When the slot after `n` others is free.
    pub(crate) fn nth_slot(&self, n: u32, now: Instant) -> Instant {
        let slot = self.limiter.nth_free(n, now);
        self.cells.ready_at(now).map_or(slot, |at| at.max(slot))
    }

    /// Whether it makes sense to wait until it is ready.
    pub(crate) fn is_promising(&self, now: Instant) -> bool {
        self.cells.are_promising(now)
    }

    /// Whether a request could pass as an early probe. Reserves nothing.
    pub(crate) fn admits_early(&self, now: Instant) -> bool {
        self.cells.admits_early(now) && self.limiter.ready_at(now).is_none()
    }
}

impl CutHook {
    pub(crate) fn new(cells: CellSet, clock: Clock) -> Self {
        Self(Arc::new(move |class| {
            cells.note_failure(&Verdict::of(class), clock.now(), random::unit());
        }))
    }
}

impl fmt::Debug for CutHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CutHook")
    }
}

/// What a probe may take beyond the time to the first event.
const LEASE_MARGIN: Duration = Duration::from_secs(10);
/// The tokens of an answer to a request that sets no limit, roughly.
const USUAL_ANSWER: u32 = 1_000;
