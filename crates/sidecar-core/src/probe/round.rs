//! Who is due, how they are asked, and what follows from it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tower::{Service, ServiceExt};

use super::listing::{self, Listing};
use super::{Known, Prober};
use crate::cooldown::CellSet;
use crate::error::BoxError;
use crate::pool::{LiveProvider, Pools};
use crate::random;
use crate::verdict::{Outcome, Scope, Verdict};

/// What became of one question.
struct Answer {
    provider: Arc<LiveProvider>,
    cells: CellSet,
    latency: Duration,
    status: Option<StatusCode>,
    verdict: Verdict,
}

impl Prober {
    /// Asks everybody who is due once, a few at a time, and waits at most `patience` for each.
    pub(super) async fn round<C, B>(&mut self, client: C, interval: Duration, patience: Duration)
    where
        C: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + 'static,
        C::Error: Into<BoxError>,
        C::Future: Send + 'static,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        // Dropped with this future, it ends what it runs.
        let mut asking = JoinSet::new();
        for provider in self.due(interval.max(LEAST_INTERVAL)) {
            if asking.len() >= AT_A_TIME
                && let Some(Ok(Some(answer))) = asking.join_next().await
            {
                self.settle(answer);
            }
            asking.spawn(ask(self.pools.clone(), provider, client.clone(), patience));
        }
        while let Some(asked) = asking.join_next().await {
            if let Ok(Some(answer)) = asked {
                self.settle(answer);
            }
        }
    }

    /// Those that are wanted and have nothing to do for `interval`. They count as asked from now
    /// on, whatever comes of it. A provider that is new here was not idle so far.
    fn due(&mut self, interval: Duration) -> Vec<Arc<LiveProvider>> {
        let now = self.pools.clock().now();
        let mut providers = self.pools.providers();
        let mut known = HashMap::with_capacity(providers.len());
        providers.retain(|provider| {
            let last_attempt = provider.health.get().last_check_at;
            let id = &provider.config.id;
            let (id, mut state) = self.known.remove_entry(id).unwrap_or_else(|| {
                (id.clone(), Known { last_attempt, quiet_since: now, listing: None })
            });
            if state.last_attempt != last_attempt {
                state.last_attempt = last_attempt;
                state.quiet_since = now;
            }
            let is_due = provider.config.enabled
                && provider.in_flight_count() == 0
                && now - state.quiet_since >= interval;
            if is_due {
                state.quiet_since = now;
            }
            known.insert(id, state);
            is_due
        });
        // Who is no longer there is forgotten.
        self.known = known;
        providers
    }

    fn settle(&mut self, answer: Answer) {
        let Answer { provider, cells, latency, status, verdict } = answer;
        let (clock, id) = (self.pools.clock(), &provider.config.id);
        let (now, scope) = (clock.now(), verdict.class.scope());
        // A spent quota or a missing model is no fault of the provider's.
        let failed = matches!(scope, Scope::Key | Scope::Endpoint | Scope::Origin);
        provider.health.note(latency, status, failed, clock.wall());
        let kind = verdict.class.kind();
        tracing::debug!(provider = %provider.name, verdict = kind, "idle provider asked");
        let Some(known) = self.known.get_mut(id) else { return };
        // This was no traffic.
        known.last_attempt = provider.health.get().last_check_at;
        let current = self.pools.provider(id);
        if !current.is_some_and(|current| Arc::ptr_eq(&current, &provider)) {
            // It was changed meanwhile, perhaps its key or its address.
            return;
        }
        match scope {
            Scope::Origin => cells.note_failure(&verdict, now, random::unit()),
            Scope::Endpoint => {}
            Scope::None | Scope::Key | Scope::Quota => cells.note_recovery(Scope::Origin, now),
        }
        let Some(listing) = Listing::of(&verdict) else { return };
        match (known.listing.replace(listing), listing) {
            (Some(Listing::Granted), Listing::Refused) => {
                cells.note_failure(&verdict, now, random::unit());
            }
            (Some(Listing::Refused), Listing::Granted) => cells.note_recovery(Scope::Key, now),
            _ => {}
        }
    }
}

/// Asks one provider. `None` if nothing was sent, because its limit is used up for now or because
/// there is no way to put the question.
async fn ask<C, B>(
    pools: Pools,
    provider: Arc<LiveProvider>,
    client: C,
    patience: Duration,
) -> Option<Answer>
where
    C: Service<Request<Full<Bytes>>, Response = Response<B>>,
    C::Error: Into<BoxError>,
    C::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let clock = pools.clock();
    // Many keys of one vendor, all at the same moment, are a burst.
    clock.sleep_until(clock.now() + MOST_DELAY.mul_f64(random::unit())).await;
    let endpoint = pools.endpoint_of(&provider, None)?;
    let started = clock.now();
    let call = listing::call(provider.config.api, started);
    // The stack without cooldowns: those that rest are the ones to ask.
    let asking = endpoint.test_stack(client, clock).oneshot(call);
    let (verdict, status) = match timeout(patience, asking).await {
        Err(_) => (Verdict::timeout(), None),
        Ok(result) => match Outcome::of(&result) {
            Outcome::Attempted(verdict) if result.is_ok() || verdict.class.is_failure() => {
                (verdict, result.ok().map(|response| response.status()))
            }
            _ => return None,
        },
    };
    let latency = clock.now() - started;
    Some(Answer { provider, cells: endpoint.cells, latency, status, verdict })
}

/// How many are asked at a time.
const AT_A_TIME: usize = 4;
const MOST_DELAY: Duration = Duration::from_secs(1);
/// Nobody is asked more often, whatever the setting says.
const LEAST_INTERVAL: Duration = Duration::from_secs(10);
