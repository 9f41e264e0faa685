//! One request sent to one provider.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tower::{Service, ServiceExt};

use super::pools::Pools;
use crate::call::Call;
use crate::clock::Instant;
use crate::endpoint::Endpoint;
use crate::error::{BoxError, Error, Rejected};
use crate::secret::Secret;
use crate::verdict::{Class, Outcome, Verdict, caller_message};

/// What one attempt means for the request.
pub(super) enum Step<B> {
    /// A good answer.
    Done(Response<B>),
    /// The caller's own fault, and whether a larger window would mend it.
    Fault(Error, bool),
    /// The endpoint was refused: nothing was sent.
    Refused,
    /// Another endpoint may do better.
    Failed(Class),
}

/// Sends `call` to `endpoint`, through its stack. `admitted` is called once the cells and the
/// limit have let it through, which is long before there is an answer.
pub(super) async fn attempt<C, B>(
    pools: &Pools,
    endpoint: &Endpoint,
    client: C,
    call: &Call,
    early: bool,
    admitted: &mut (dyn FnMut() + Send),
) -> Step<impl Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static + use<C, B>>
where
    C: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone,
    C::Error: Into<BoxError>,
    C::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let clock = pools.clock();
    let (started, stream) = (clock.now(), call.head().stream);
    // Held from here on, so that whoever chooses meanwhile sees it as busy.
    let _in_flight = endpoint.provider.in_flight.clone();
    let mut stack = endpoint.stack(client, pools, stream, early);
    // Waiting for a client that is busy is not yet sending.
    let ready = match stack.ready().await {
        Ok(ready) => ready,
        Err(error) => {
            tracing::warn!(%error, "the client is out of order");
            return Step::Failed(Class::Transport);
        }
    };
    let mut sending = pin!(ready.call(call.clone()));
    // The layers refuse in the first poll or not at all.
    let first = poll_fn(|cx| Poll::Ready(sending.as_mut().poll(cx))).await;
    let sent = clock.now();
    let result = match first {
        Poll::Pending => {
            admitted();
            sending.await
        }
        Poll::Ready(result) => {
            if !matches!(&result, Err(error) if error.is::<Rejected>()) {
                admitted();
            }
            result
        }
    };
    let verdict = match Outcome::of(&result) {
        Outcome::Rejected(_) => return Step::Refused,
        Outcome::Attempted(verdict) => verdict,
    };
    if result.is_err() && !verdict.class.is_failure() {
        // Nothing was sent, and no other provider could be sent it either.
        return Step::Fault(Error::InvalidRequest("the request cannot be passed on"), false);
    }
    let status = result.as_ref().ok().map(Response::status);
    if verdict.class == Class::RateLimited {
        endpoint.limiter.learn(sent, clock.now());
    }
    endpoint.meter.judged(verdict.class);
    note(pools, endpoint, call, started, status, &verdict);
    match result {
        Ok(response) if verdict.class == Class::Accept => Step::Done(response),
        Ok(response) if !verdict.class.is_failure() => {
            let key = &endpoint.provider.config.key;
            let is_too_long = verdict.class == Class::ContextTooLong;
            // In a box of its own, because it is rare and would make every request larger.
            Step::Fault(Box::pin(fault(response, is_too_long, key)).await, is_too_long)
        }
        Ok(_) | Err(_) => Step::Failed(verdict.class),
    }
}

fn note(
    pools: &Pools,
    endpoint: &Endpoint,
    call: &Call,
    started: Instant,
    status: Option<StatusCode>,
    verdict: &Verdict,
) {
    let clock = pools.clock();
    let (latency, failed) = (clock.now() - started, verdict.class.is_failure());
    endpoint.provider.health.note(latency, status, failed, clock.wall());
    if failed {
        tracing::warn!(
            request_id = %call.head().id,
            provider = %endpoint.provider.name,
            verdict = verdict.class.kind(),
            status = status.map(|status| status.as_u16()),
            "attempt failed"
        );
    }
}

/// The provider's answer to the caller's own fault, in our words' shape. A provider that repeats
/// its own key does not get it to the caller.
async fn fault<B>(response: Response<B>, is_context_too_long: bool, key: &Secret) -> Error
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
    message.is_context_too_long = is_context_too_long;
    message.redact(key);
    if message.message.is_empty() {
        message.message = "the provider refused the request".to_owned();
    }
    Error::CallerFault { status, message: Box::new(message) }
}
