//! One request over many providers: try, go on, wait.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response};
use http_body::Body;
use http_body_util::Full;
use tower::Service;

use super::answer::{ResponseBody, Served, answer};
use super::attempt::{Step, attempt};
use super::gather::deliver;
use super::plan::{Next, Position, Walk};
use super::pools::Pools;
use super::snapshot::ModelPlan;
use super::wait::Waiting;
use crate::call::{Call, Head};
use crate::callers::{Admit, CallerPermit, CallerRefusal, is_task_id};
use crate::clock::Instant;
use crate::endpoint::Endpoint;
use crate::error::{BoxError, Error};
use crate::metrics::AgentRequest;
use crate::random;
use crate::settings::Settings;
use crate::verdict::Class;

/// Sends `call` to one provider after the other until one answers, none is left, or the caller's
/// patience ends.
pub(super) async fn run<C, B>(
    pools: Pools,
    client: C,
    call: Call,
) -> Result<Response<ResponseBody>, Error>
where
    C: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone,
    C::Error: Into<BoxError>,
    C::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let mut request = Some(pools.metrics().agents.begin(call.head(), pools.clock()));
    let answer = admitted(&pools, client, &call, &mut request).await;
    if let (Err(error), Some(request)) = (&answer, &mut request) {
        request.refused(error.status());
    }
    answer
}

/// The same, if its caller may have it. With an answer goes the `request` that it ends.
async fn admitted<C, B>(
    pools: &Pools,
    client: C,
    call: &Call,
    request: &mut Option<AgentRequest>,
) -> Result<Response<ResponseBody>, Error>
where
    C: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone,
    C::Error: Into<BoxError>,
    C::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let permit = admit_caller(pools, call)?;
    let mut response = Attempts::new(pools, call, request).run(client).await?;
    if let Some(rounds) = permit.and_then(|permit| permit.rounds_warning())
        && let Ok(rounds) = HeaderValue::from_str(&rounds)
    {
        response.headers_mut().insert(ROUNDS, rounds);
    }
    Ok(response)
}

/// The leave of the caller whose key it was; it lasts as long as the call, also as its answer.
fn admit_caller(pools: &Pools, call: &Call) -> Result<Option<Arc<CallerPermit>>, Error> {
    let head = call.head();
    let Some(live) = &head.live_caller else { return Ok(None) };
    let task = match head.headers.get(TASK).map(HeaderValue::to_str) {
        None => None,
        Some(Ok(task)) if is_task_id(task) => Some(task),
        Some(_) => {
            return Err(Error::InvalidRequest(
                "x-sidecar-task must be 1 to 128 visible characters",
            ));
        }
    };
    let clock = pools.clock();
    let estimate = if live.has_budget() { pools.may_cost(call) } else { 0 };
    let wanted =
        Admit::new(head.model.as_deref(), clock.now(), clock.wall()).task(task).estimate(estimate);
    let permit = Arc::new(live.admit(&wanted).map_err(|refusal| {
        pools.metrics().refused(&refusal);
        match refusal {
            CallerRefusal::Model => unknown_model(head),
            refusal => Error::CallerLimit(refusal),
        }
    })?);
    Ok(Some(head.permit.get_or_init(|| permit).clone()))
}

/// The attempts of one request.
struct Attempts<'a> {
    pools: &'a Pools,
    settings: Arc<Settings>,
    /// The revision of providers and settings that it was planned with, as a header too.
    revision: (u64, HeaderValue),
    call: &'a Call,
    /// What its agent waits for, until there is an answer.
    request: &'a mut Option<AgentRequest>,
    waiting: Waiting<'a>,
    made: u32,
    /// The time that was spent on providers, and on pauses for their sake.
    elsewhere: Duration,
    /// The last endpoint that was sent to in vain and why, while nothing was sent after it.
    left: Option<(Position, Class)>,
    /// Whether the last attempt may have cost the provider something, so that the next one needs
    /// leave.
    owes: bool,
    /// Whether the next attempt has been allowed already.
    has_leave: bool,
    /// The last endpoint that failed, and how.
    failed: Option<(Position, Class)>,
    /// When it was sent to.
    failed_at: Instant,
    /// The one retry of a lone provider has been spent.
    retried: bool,
    /// An answer to the caller's own fault, should no larger window be found.
    fault: Option<Error>,
}

impl<'a> Attempts<'a> {
    fn new(pools: &'a Pools, call: &'a Call, request: &'a mut Option<AgentRequest>) -> Self {
        let settings = pools.settings();
        let waiting = Waiting::new(pools, call);
        Self {
            pools,
            settings,
            revision: (0, HeaderValue::from_static("0")),
            call,
            request,
            waiting,
            made: 0,
            elsewhere: Duration::ZERO,
            left: None,
            owes: false,
            has_leave: false,
            failed: None,
            failed_at: call.head().received,
            retried: false,
            fault: None,
        }
    }

    async fn run<C, B>(mut self, client: C) -> Result<Response<ResponseBody>, Error>
    where
        C: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone,
        C::Error: Into<BoxError>,
        C::Future: Send + 'static,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let (head, clock) = (self.call.head(), self.pools.clock());
        self.pools.budget().deposit(clock.now());
        // Planned anew when the providers have changed while it waited.
        'plan: loop {
            let plan = self.pools.plan(head).ok_or_else(|| unknown_model(head))?;
            self.revision = (plan.revision, plan.revision_header.clone());
            self.settings = plan.settings.clone();
            let mut walk = Walk::new(&plan, head);
            if !walk.has_any() {
                return Err(unknown_model(head));
            }
            if self.waiting.must_queue() {
                // Whoever waits already has the older right to the next slot.
                self.queue(&walk).await?;
                if self.is_stale(&plan) {
                    continue 'plan;
                }
            }
            loop {
                let now = clock.now();
                let next = walk.next(now, self.waiting.since().unwrap_or(now));
                if self.made >= self.settings.max_pool_retries {
                    return Err(self.give_up(next.is_at(now)));
                }
                match next {
                    Next::Try(position, endpoint) => {
                        if !self.may_try_again(now) {
                            return Err(self.give_up(None));
                        }
                        let step = self.attempt(endpoint, client.clone(), false).await?;
                        if !matches!(step, Step::Refused) {
                            self.note_failover(position);
                        }
                        match step {
                            Step::Done(response) => return Ok(self.answer(response, endpoint)),
                            Step::Fault(error, true) => {
                                walk.require_larger_window(endpoint);
                                self.left = Some((position, Class::ContextTooLong));
                                self.fault = Some(error);
                            }
                            Step::Fault(error, false) => return Err(error),
                            // It is busy after all; the next walk sees when it is free.
                            Step::Refused => self.waiting.after_refusal().await?,
                            Step::Failed(class) => {
                                walk.exclude(position);
                                self.failed = Some((position, class));
                                self.left = self.failed;
                                self.failed_at = now;
                                self.owes = is_costly(class);
                            }
                        }
                    }
                    Next::Wait(at) if self.fault.is_none() && at <= head.queue_until => {
                        self.queue(&walk).await?;
                        self.waiting.until(at).await?;
                        if self.is_stale(&plan) {
                            self.failed = None;
                            continue 'plan;
                        }
                        if clock.now() - self.failed_at >= FORGIVENESS {
                            // Time has passed, and whoever failed before may do better now.
                            walk.forgive();
                            self.failed = None;
                        }
                    }
                    Next::Wait(_) | Next::Nothing(_)
                        if self.pause_for_retry(now, &mut walk).await? => {}
                    next => {
                        if let Some(response) = self.try_early(&walk, &client, now).await? {
                            return Ok(response);
                        }
                        return Err(self.give_up(next.is_at(now)));
                    }
                }
            }
        }
    }

    /// Whether the providers have changed since `plan` was made.
    fn is_stale(&self, plan: &Arc<ModelPlan>) -> bool {
        let fresh = self.pools.plan(self.call.head());
        fresh.is_none_or(|fresh| !Arc::ptr_eq(&fresh, plan))
    }

    /// Takes a place in the queue and waits for its turn, unless the slot that would come to it
    /// lies behind its patience: nobody waits for nothing.
    async fn queue(&mut self, walk: &Walk<'_>) -> Result<(), Error> {
        if let Some(ahead) = self.waiting.enter()? {
            let now = self.pools.clock().now();
            match walk.slot_after(ahead, now) {
                Some(at) if at > self.call.head().queue_until => {
                    return Err(self.give_up(Some(at - now)));
                }
                _ => {}
            }
        }
        self.waiting.turn().await
    }

    /// Sends to one endpoint and, if the caller wants it whole, gathers its answer, all within the
    /// caller's patience.
    async fn attempt<C, B>(
        &mut self,
        endpoint: &Endpoint,
        client: C,
        early: bool,
    ) -> Result<
        Step<impl Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static + use<C, B>>,
        Error,
    >
    where
        C: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone,
        C::Error: Into<BoxError>,
        C::Future: Send + 'static,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let (pools, call) = (self.pools, self.call);
        let most = self.settings.complete_max_bytes as usize;
        let started = pools.clock().now();
        let waiting = &mut self.waiting;
        let admitted = &mut || waiting.served();
        let mut sending = pin!(async move {
            let step = attempt(pools, endpoint, client, call, early, admitted).await;
            deliver(step, endpoint, call, most).await
        });
        let step = match call.head().deadline {
            None => sending.await,
            Some(deadline) => {
                let deadline = pools.clock().to_tokio(deadline);
                match tokio::time::timeout_at(deadline, sending.as_mut()).await {
                    Ok(step) => step,
                    Err(_) => return Err(self.fault.take().unwrap_or(Error::UpstreamTimeout)),
                }
            }
        };
        self.elsewhere += pools.clock().now() - started;
        if !matches!(step, Step::Refused | Step::Fault(_, false)) {
            self.made += 1;
            self.has_leave = false;
            self.owes = false;
        }
        Ok(step)
    }

    /// A lone provider that has failed by chance gets one more try after a pause.
    async fn pause_for_retry(&mut self, now: Instant, walk: &mut Walk<'_>) -> Result<bool, Error> {
        let Some((position, class)) = self.failed else { return Ok(false) };
        if self.retried
            || self.fault.is_some()
            || !is_transient(class)
            || walk.is_busy(position, now)
        {
            return Ok(false);
        }
        self.retried = true;
        let clock = self.pools.clock();
        let until = now + RETRY_PAUSE + RETRY_PAUSE.mul_f64(random::unit());
        if self.call.head().deadline.is_some_and(|deadline| until >= deadline) {
            return Ok(false);
        }
        clock.sleep_until(until).await;
        self.elsewhere += clock.now() - now;
        walk.allow(position);
        Ok(true)
    }

    /// It was sent to `position`, after another one in vain or not.
    fn note_failover(&mut self, position: Position) {
        if let Some((left, class)) = self.left.take()
            && left != position
        {
            self.pools.metrics().failed_over(class);
        }
    }

    /// Nothing else is left: a provider whose rest is a guess may be tried before its end.
    async fn try_early<C, B>(
        &mut self,
        walk: &Walk<'_>,
        client: &C,
        now: Instant,
    ) -> Result<Option<Response<ResponseBody>>, Error>
    where
        C: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone,
        C::Error: Into<BoxError>,
        C::Future: Send + 'static,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        // A request that has met a failure just now knows better.
        if self.failed.is_some() || self.fault.is_some() {
            return Ok(None);
        }
        let Some((endpoint, pool, rpm)) = walk.early(now) else { return Ok(None) };
        let permille = self.settings.emergency_permille;
        let Some(_leave) = self.pools.emergency().leave(pool, rpm, permille, now) else {
            return Ok(None);
        };
        // In a box of its own, because it is rare and would make every request larger.
        match Box::pin(self.attempt(endpoint, client.clone(), true)).await? {
            Step::Done(response) => Ok(Some(self.answer(response, endpoint))),
            Step::Fault(error, _) => Err(error),
            Step::Refused | Step::Failed(_) => Ok(None),
        }
    }

    /// The first attempt is free, and so is every one after an answer that cost the provider
    /// nothing; others are bounded for all requests together. Leave once given lasts until
    /// something is sent.
    fn may_try_again(&mut self, now: Instant) -> bool {
        self.has_leave = self.has_leave || !self.owes || self.pools.budget().withdraw(now);
        self.has_leave
    }

    fn answer<B>(&mut self, response: Response<B>, endpoint: &Endpoint) -> Response<ResponseBody>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let provider = &endpoint.provider;
        let (queued, (revision, header)) = (self.waiting.queued(), self.revision.clone());
        let name = provider.name.clone();
        let served = Served { provider: name, attempts: self.made, queued, revision };
        let total = self.pools.clock().now() - self.call.head().received;
        self.pools.metrics().spent(total.saturating_sub(queued).saturating_sub(self.elsewhere));
        answer(response, provider, (served, header), self.call, self.request.take())
    }

    /// Nothing is left; `next_available` is when something might be.
    fn give_up(&mut self, next_available: Option<Duration>) -> Error {
        let least = Duration::from_secs(self.settings.exhausted_retry_after_seconds.into());
        self.fault.take().unwrap_or_else(|| Error::Exhausted {
            next_available,
            attempts: self.made,
            retry_after: next_available.map_or(least, |wait| least.max(wait + ROUND_UP)),
        })
    }
}

fn unknown_model(head: &Head) -> Error {
    Error::UnknownModel(head.model.as_deref().unwrap_or_default().to_owned())
}

const fn is_transient(class: Class) -> bool {
    matches!(class, Class::ServerError | Class::Transport | Class::Unreachable)
}

/// Whether the provider may have worked for the answer that was none.
const fn is_costly(class: Class) -> bool {
    matches!(class, Class::ServerError | Class::Transport | Class::Timeout | Class::Lying)
}

const TASK: HeaderName = HeaderName::from_static("x-sidecar-task");
const ROUNDS: HeaderName = HeaderName::from_static("x-sidecar-task-rounds");
/// After so long a failure says little of the next try.
const FORGIVENESS: Duration = Duration::from_secs(1);
/// The least pause before the same provider is tried again; at most twice as long.
const RETRY_PAUSE: Duration = Duration::from_millis(250);
/// `Retry-After` is in whole seconds and must not be too early.
const ROUND_UP: Duration = Duration::from_millis(999);
