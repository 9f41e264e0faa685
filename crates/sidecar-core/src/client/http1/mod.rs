//! HTTP/1.1 over kept connections.
//!
//! A request drives its connection itself, and the body of the answer does so after it: both are
//! polled by whoever waits for them. A task for each connection, as hyper-util has it, would have
//! to be woken for each step of an answer, and would wake the request in turn. Between two
//! requests nobody drives a connection. Whether it has ended meanwhile is seen when it is taken.

mod body;
mod link;
mod pool;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::Full;

use self::link::{Io, Link};
use self::pool::Pool;
use super::AT_ONCE;
use super::error::SendError;
use super::prewarm::PrewarmedConnector;
use crate::clock::Clock;

pub(super) use self::body::Http1Body;
use self::body::kept_by;

/// Sends by HTTP/1.1.
#[derive(Debug)]
pub(super) struct Http1Client {
    pool: Pool,
    pub(super) connector: PrewarmedConnector,
    clock: Clock,
}

impl Http1Client {
    pub(super) fn new(connector: PrewarmedConnector, clock: Clock) -> Self {
        Self { pool: Pool::new(clock.clone()), connector, clock }
    }

    /// Sends once, and once more on a new connection if the first try met a kept one that had been
    /// given up.
    ///
    /// Such a connection shows at once. One that is cut later was cut while the provider was at
    /// work, and to ask again would cost twice.
    pub(super) async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Http1Body>, SendError> {
        let uri = std::mem::take(request.uri_mut());
        let shelf = self.pool.shelf(&uri).ok_or(SendError::NoHost)?;
        for_origin(&mut request, &uri)?;
        let Some(kept) = shelf.take() else {
            // In a box of its own, because it is rare and would make every request larger.
            let link = Box::pin(self.dial(uri, Dial::Any)).await?;
            let answer = link.ask(request).await.map_err(|failure| failure.error)?;
            return Ok(kept_by(shelf, answer));
        };
        // Which connection has been given up shows only when it is too late to ask for the
        // request back. The copy is that of the head; the body is shared.
        let (again, started) = (request.clone(), self.clock.now());
        let first = match kept.ask(request).await {
            Ok(answer) => return Ok(kept_by(shelf, answer)),
            Err(failure) if failure.is_stale && self.clock.now() - started < AT_ONCE => {
                failure.error
            }
            Err(failure) => return Err(failure.error),
        };
        tracing::debug!("a kept connection had been closed, the request is sent again");
        // Of two failures the first counts: that the second try reached nobody does not mean that
        // nobody has seen the request.
        let second = match Box::pin(self.dial(uri, Dial::New)).await {
            Ok(link) => link.ask(again).await.map_err(|failure| failure.error),
            Err(error) => Err(error),
        };
        second.map(|answer| kept_by(shelf, answer)).map_err(|second| {
            tracing::debug!(error = %second, "sending again failed, too");
            first
        })
    }

    /// Sends on `stream`, which nothing has been sent on and HTTP/1.1 has been agreed on.
    pub(super) async fn send_over(
        &self,
        stream: Io,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Http1Body>, SendError> {
        let uri = std::mem::take(request.uri_mut());
        let shelf = self.pool.shelf(&uri).ok_or(SendError::NoHost)?;
        for_origin(&mut request, &uri)?;
        let answer = Link::over(stream).await?.ask(request).await;
        Ok(kept_by(shelf, answer.map_err(|failure| failure.error)?))
    }

    async fn dial(&self, uri: Uri, dial: Dial) -> Result<Link, SendError> {
        let stream = match dial {
            Dial::Any => self.connector.connect(uri).await,
            Dial::New => self.connector.connect_anew(uri).await,
        };
        Link::over(stream.map_err(SendError::Connect)?).await
    }
}

/// Which connection will do.
enum Dial {
    /// One that was made ahead, or a new one.
    Any,
    New,
}

/// Makes `request`, which goes to `uri`, one to the server of that: with a path alone in its first
/// line, and a host.
fn for_origin<B>(request: &mut Request<B>, uri: &Uri) -> Result<(), SendError> {
    let host = || uri.authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok());
    if !request.headers().contains_key(HOST) {
        request.headers_mut().insert(HOST, host().ok_or(SendError::NoHost)?);
    }
    *request.uri_mut() =
        uri.path_and_query().map_or_else(|| Uri::from_static("/"), |path| Uri::from(path.clone()));
    Ok(())
}
