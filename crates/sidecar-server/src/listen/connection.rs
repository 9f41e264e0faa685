//! Serves one connection.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use sidecar_core::clock::Clock;
use sidecar_core::error::BoxError;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt as _};

use super::gone::gone;
use super::head_timer::HeadTimer;
use super::linger::linger;
use super::socket::{Socket, SocketIo};
use super::stall::StallTimer;
use super::{Limits, Peer};

/// What all connections of a server share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) limits: Limits,
    pub(super) clock: Clock,
    /// Cancelled when running requests are to be the last ones.
    pub(super) drain: CancellationToken,
    /// Cancelled when running requests are to be dropped.
    pub(super) cut: CancellationToken,
}

/// Why a connection ended.
#[derive(Debug)]
enum End {
    /// hyper was done with it: it was closed, or it failed.
    Finished(hyper::Result<()>),
    /// The client left.
    Gone,
    /// The server could not wait any longer.
    Cut,
}

impl Shared {
    pub(super) fn new(limits: Limits, clock: Clock) -> Self {
        let (drain, cut) = (CancellationToken::new(), CancellationToken::new());
        Self { limits, clock, drain, cut }
    }
}

/// Serves the requests of `stream` until the connection ends for whatever reason.
pub(super) async fn run<S, B>(stream: TcpStream, peer: Peer, service: S, shared: &Shared)
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    // A socket that refuses these is closed already, which reading it will tell.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(&stream).set_send_buffer_size(shared.limits.send_buffer);

    let socket = Arc::new(Socket::new(stream));
    let end = drive(&socket, peer, service, shared).await;
    let answered_early = match &end {
        End::Finished(Ok(())) => socket.body_announced(),
        // hyper has answered with a 4xx.
        End::Finished(Err(error)) => error.is_parse(),
        End::Gone | End::Cut => false,
    };
    if answered_early {
        tokio::select! {
            biased;
            () = shared.drain.cancelled() => {}
            () = linger(socket.stream(), shared.limits.linger) => {}
        }
    }
    match end {
        End::Finished(Ok(())) => tracing::trace!(peer = %peer.0, "connection closed"),
        End::Finished(Err(error)) => {
            let cause = std::error::Error::source(&error).map(tracing::field::display);
            tracing::debug!(peer = %peer.0, %error, cause, "connection failed");
        }
        End::Gone => tracing::debug!(peer = %peer.0, "client left"),
        End::Cut => tracing::debug!(peer = %peer.0, "connection cut by shutdown"),
    }
}

/// Lets hyper serve the connection. When this returns, the handler and the response body of a
/// request that was running have been dropped.
async fn drive<S, B>(socket: &Arc<Socket>, peer: Peer, service: S, shared: &Shared) -> End
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let announced = Arc::clone(socket);
    let service = service.map_request(move |mut request: Request<Incoming>| {
        announced.announce_body(!request.body().is_end_stream());
        request.extensions_mut().insert(peer);
        request
    });
    let stall = StallTimer::new(shared.limits.write_stall, shared.clock.clone());
    let io = TokioIo::new(SocketIo::new(Arc::clone(socket), stall));
    let connection =
        builder(socket, shared).serve_connection(io, TowerToHyperService::new(service));

    let mut connection = pin!(connection);
    let mut left = pin!(gone(socket.stream()));
    let mut draining = false;
    loop {
        tokio::select! {
            // hyper first, so that an answer that is ready goes out before anything else counts.
            biased;
            result = connection.as_mut() => return End::Finished(result),
            () = left.as_mut() => return End::Gone,
            () = shared.cut.cancelled() => return End::Cut,
            () = shared.drain.cancelled(), if !draining => {
                draining = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

fn builder(socket: &Arc<Socket>, shared: &Shared) -> http1::Builder {
    let limits = &shared.limits;
    let timer = HeadTimer::new(Arc::clone(socket), limits.header_timeout, shared.clock.clone());
    let mut builder = http1::Builder::new();
    builder
        .half_close(false)
        .keep_alive(true)
        // Must be set: without a timer there are no timeouts at all.
        .timer(timer)
        .header_read_timeout(limits.idle_timeout)
        .max_headers(limits.max_headers)
        .max_header_size(limits.max_header_size)
        .max_buf_size(limits.buffer.max(MIN_BUFFER));
    builder
}

/// hyper panics if it is given less.
const MIN_BUFFER: usize = 8 * 1024;
