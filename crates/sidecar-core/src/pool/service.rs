//! [`Pool`].

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use tower::Service;

use super::{Pools, ResponseBody, failover, heartbeat};
use crate::call::Call;
use crate::error::{BoxError, Error};

/// Chooses a provider for each call, and another one when it fails. Always ready: admission
/// depends on the call.
#[derive(Clone, Debug)]
pub struct Pool<C> {
    client: C,
    pools: Pools,
}

/// The future of [`Pool`].
pub struct ResponseFuture(Running);

/// A request under way.
pub(super) type Running = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// What comes of a request.
pub(super) type Answer = Result<Response<ResponseBody>, Error>;

impl<C> Pool<C> {
    /// Sends by `client`; see [`super::PoolLayer`].
    pub fn new(client: C, pools: Pools) -> Self {
        Self { client, pools }
    }
}

impl<C, B> Service<Call> for Pool<C>
where
    C: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + Sync + 'static,
    C::Error: Into<BoxError>,
    C::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody>;
    type Error = Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> ResponseFuture {
        let waiting = heartbeat::is_needed(call.head()).then(|| call.clone());
        let run: Running = Box::pin(failover::run(self.pools.clone(), self.client.clone(), call));
        ResponseFuture(match waiting {
            None => run,
            Some(call) => Box::pin(heartbeat::keep_alive(run, call)),
        })
    }
}

impl Future for ResponseFuture {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
