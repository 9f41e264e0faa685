//! One request over many providers: try, go on, wait.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tower::{Service, ServiceExt};

use super::answer::{ResponseBody, Served, answer};
use super::plan::{Next, Position, Walk};
use super::pools::Pools;
use crate::call::Call;
use crate::clock::Instant;
use crate::endpoint::Endpoint;
use crate::error::{BoxError, Error};
use crate::jitter;
use crate::secret::Secret;
use crate::settings::Settings;
use crate::verdict::{Class, Outcome, Verdict, caller_message};

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
    let deadline = call.head().deadline;
    let request = Attempts::new(&pools, &call).run(client);
    match deadline {
        None => request.await,
        Some(deadline) => {
            let deadline = pools.clock().to_tokio(deadline);
            tokio::time::timeout_at(deadline, request).await.unwrap_or(Err(Error::UpstreamTimeout))
        }
    }
}

/// The attempts of one request.
struct Attempts<'a> {
    pools: &'a Pools,
    settings: Arc<Settings>,
    call: &'a Call,
    made: u32,
    queued: Duration,
    /// The one retry of a lone provider has been spent.
    retried: bool,
    /// An answer to the caller's own fault, should no larger window be found.
    fault: Option<Error>,
}

/// What one attempt means for the request.
enum Step<B> {
    Done(Response<B>),
    Fault(Error),
    /// The endpoint was refused: nothing was sent.
    Refused,
    Failed(Class),
}

impl<'a> Attempts<'a> {
    fn new(pools: &'a Pools, call: &'a Call) -> Self {
        let settings = pools.settings();
        let (made, queued) = (0, Duration::ZERO);
        Self { pools, settings, call, made, queued, retried: false, fault: None }
    }

    async fn run<C, B>(mut self, client: C) -> Result<Response<ResponseBody>, Error>
    where
        C: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone,
        C::Error: Into<BoxError>,
        C::Future: Send + 'static,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let head = self.call.head();
        let plan = self.pools.plan(head).ok_or_else(|| unknown_model(head.model.as_deref()))?;
        let mut walk = Walk::new(&plan, head);
        if !walk.has_any() {
            return Err(unknown_model(head.model.as_deref()));
        }
        let mut last_failed: Option<(Position, Class)> = None;
        loop {
            let now = self.pools.clock().now();
            if self.made >= self.settings.max_pool_retries {
                return Err(self.give_up(None));
            }
            match walk.next(now) {
                Next::Try(position, endpoint) => {
                    let in_flight = endpoint.provider.in_flight.clone();
                    match self.attempt(endpoint, client.clone()).await {
                        Step::Done(response) => {
                            let served = self.served(endpoint);
                            let provider = &endpoint.provider;
                            return Ok(answer(response, provider, served, &head.id, in_flight));
                        }
                        Step::Fault(Error::CallerFault { status, message })
                            if message.is_context_too_long =>
                        {
                            walk.require_larger_window(endpoint);
                            self.fault = Some(Error::CallerFault { status, message });
                        }
                        Step::Fault(error) => return Err(error),
                        // It is busy after all; the next walk sees when it is free.
                        Step::Refused => {}
                        Step::Failed(class) => {
                            walk.exclude(position);
                            last_failed = Some((position, class));
                        }
                    }
                }
                Next::Wait(at) => {
                    if self.fault.is_some() || at > head.queue_until {
                        return Err(self.give_up(Some(at - now)));
                    }
                    self.wait(now, at).await?;
                    walk.forgive();
                }
                Next::Nothing(soonest) => match last_failed.take() {
                    Some((position, class)) if !self.retried && is_transient(class) => {
                        self.retried = true;
                        let pause = RETRY_PAUSE + RETRY_PAUSE.mul_f64(jitter::unit());
                        self.pools.clock().sleep_until(now + pause).await;
                        walk.allow(position);
                    }
                    _ => return Err(self.give_up(soonest.map(|at| at - now))),
                },
            }
        }
    }

    /// Sends to one endpoint, through its stack.
    async fn attempt<C, B>(
        &mut self,
        endpoint: &Endpoint,
        client: C,
    ) -> Step<impl Body<Data = Bytes, Error = B::Error> + Send + Unpin + 'static + use<C, B>>
    where
        C: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone,
        C::Error: Into<BoxError>,
        C::Future: Send + 'static,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let clock = self.pools.clock();
        let (started, stream) = (clock.now(), self.call.head().stream);
        let result = endpoint.stack(client, clock, stream).oneshot(self.call.clone()).await;
        let Outcome::Attempted(verdict) = Outcome::of(&result) else { return Step::Refused };
        if result.is_err() && !verdict.class.is_failure() {
            // Nothing was sent, and no other provider could be sent it either.
            return Step::Fault(Error::InvalidRequest("the request cannot be passed on"));
        }
        self.made += 1;
        self.note(endpoint, started, result.as_ref().ok().map(Response::status), &verdict);
        match result {
            Ok(response) if verdict.class == Class::Accept => Step::Done(response),
            Ok(response)
                if !verdict.class.fails_over() || verdict.class == Class::ContextTooLong =>
            {
                let key = &endpoint.provider.config.key;
                Step::Fault(fault(response, verdict.class, key).await)
            }
            Ok(_) | Err(_) => Step::Failed(verdict.class),
        }
    }

    fn note(
        &self,
        endpoint: &Endpoint,
        started: Instant,
        status: Option<http::StatusCode>,
        verdict: &Verdict,
    ) {
        let clock = self.pools.clock();
        let (latency, failed) = (clock.now() - started, verdict.class.is_failure());
        endpoint.provider.health.note(latency, status, failed, clock.wall());
        if failed {
            tracing::warn!(
                request_id = %self.call.head().id,
                provider = %endpoint.provider.name,
                verdict = verdict.class.kind(),
                status = status.map(|status| status.as_u16()),
                "attempt failed"
            );
        }
    }

    /// Waits in the queue until `at`.
    async fn wait(&mut self, now: Instant, at: Instant) -> Result<(), Error> {
        let _place = self.pools.queue().enter(self.settings.queue_max_depth)?;
        let clock = self.pools.clock();
        clock.sleep_until(at).await;
        self.queued += clock.now() - now;
        Ok(())
    }

    fn served(&self, endpoint: &Endpoint) -> Served {
        Served {
            provider: endpoint.provider.name.clone(),
            attempts: self.made,
            queued: self.queued,
        }
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

/// The provider's answer to the caller's own fault, in our words' shape. A provider that repeats
/// its own key does not get it to the caller.
async fn fault<B>(response: Response<B>, class: Class, key: &Secret) -> Error
where
    B: Body<Data = Bytes> + Unpin,
{
    let status = response.status();
    // At most 64 KiB, and already read.
    let body = match response.into_body().collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => Bytes::new(),
    };
    let mut message = caller_message(&body).unwrap_or_default();
    message.is_context_too_long = class == Class::ContextTooLong;
    message.redact(key);
    if message.message.is_empty() {
        message.message = "the provider refused the request".to_owned();
    }
    Error::CallerFault { status, message: Box::new(message) }
}

fn unknown_model(model: Option<&str>) -> Error {
    Error::UnknownModel(model.unwrap_or_default().to_owned())
}

const fn is_transient(class: Class) -> bool {
    matches!(class, Class::ServerError | Class::Transport | Class::Unreachable)
}

/// The least pause before the same provider is tried again; at most twice as long.
const RETRY_PAUSE: Duration = Duration::from_millis(250);
/// `Retry-After` is in whole seconds and must not be too early.
const ROUND_UP: Duration = Duration::from_millis(999);
