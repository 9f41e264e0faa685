//! [`Link`]: one connection, in the hands of who uses it.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;

use super::super::MOST_READ;
use super::super::error::SendError;
use super::super::exchange::{Exchange, is_closed};
use super::super::prewarm::Prewarmed;
use super::super::watched::WatchedStream;
use super::Http1Body;

/// One connection. It moves only while it is polled.
pub(super) struct Link {
    sender: SendRequest<Full<Bytes>>,
    driver: Pin<Box<Driver>>,
    exchange: Exchange,
}

/// Why there is no answer.
pub(super) struct Failure {
    pub(super) error: SendError,
    /// Whether the connection had most likely been given up before the request came to it.
    pub(super) is_stale: bool,
}

/// What a connection goes over.
pub(super) type Io = TokioIo<Prewarmed<WatchedStream>>;

type Driver = Connection<Io, Full<Bytes>>;

impl Link {
    /// A connection over `stream`, which nothing has been sent on.
    pub(super) async fn over(stream: Io) -> Result<Self, SendError> {
        let exchange = stream.inner().exchange().clone();
        let mut builder = Builder::new();
        // The number of headers is left at hyper's 100: naming one costs an allocation an answer.
        builder.max_buf_size(MOST_READ);
        let (sender, driver) =
            builder.handshake(stream).await.map_err(|error| SendError::Connect(error.into()))?;
        Ok(Self { sender, driver: Box::pin(driver), exchange })
    }

    /// Sends `request`, and waits for the head of its answer.
    pub(super) async fn ask(
        mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Http1Body>, Failure> {
        let answer = {
            let mut asking = pin!(self.sender.try_send_request(request));
            let mut has_ended = false;
            poll_fn(|cx| {
                // It writes the request and reads the answer, so it comes first. What it ends with
                // is told to the one who asks, too.
                has_ended = has_ended || self.driver.as_mut().poll(cx).is_ready();
                asking.as_mut().poll(cx)
            })
            .await
        };
        match answer {
            Ok(answer) => Ok(answer.map(|body| Http1Body::driven(body, self))),
            Err(mut failure) => {
                let was_sent = failure.take_message().is_none();
                let error = failure.into_error();
                let is_stale = !was_sent || (self.exchange.is_silent_again() && is_closed(&error));
                let error =
                    if was_sent { SendError::Failed(error) } else { SendError::NotSent(error) };
                Err(Failure { error, is_stale })
            }
        }
    }

    /// Moves on; ready once the connection has ended.
    pub(super) fn poll_driven(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.driver.as_mut().poll(cx).map(drop)
    }

    /// Whether another request may be sent on it, as far as can be seen now.
    pub(super) fn is_usable(&mut self) -> bool {
        // Nobody is to be woken by it from now on.
        let has_ended = self.poll_driven(&mut Context::from_waker(Waker::noop())).is_ready();
        !has_ended && self.sender.is_ready()
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("exchange", &self.exchange).finish_non_exhaustive()
    }
}
