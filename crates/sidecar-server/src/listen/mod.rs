//! The listener: HTTP/1.1 on plain TCP, with a limit on everything a client can make it wait for.
//!
//! hyper speaks the protocol; what it leaves to others is here:
//!
//! - A client that leaves is noticed at once and its request dropped, also when hyper has stopped
//!   looking because the client had sent more than one request (`gone`).
//! - A client that sends nothing, or its request head too slowly, is cut, and a connection may
//!   stay idle for longer than a head may take (`head_timer`).
//! - A client that stops reading is cut (`stall`), and little is buffered for it meanwhile.
//! - A client whose body was refused unread still gets to read the answer (`linger`).
//! - There is a cap on connections, and running out of file descriptors is waited out.
//! - At shutdown running requests are finished, for a bounded time.
//! - Connections may be served at several places, each a runtime with a service of its own
//!   ([`serve_on`]); [`Workers`] are threads that have one each. A connection stays where it began.
//!
//! A client that closes only its sending half counts as gone. Nothing here limits how slowly a
//! request body may arrive, or how long a service takes.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
//! use bytes::Bytes;
//! use http_body_util::Full;
//! use hyper::body::Incoming;
//! use sidecar_server::listen::{self, Limits, Listener, Peer};
//!
//! let hello = tower::service_fn(|request: http::Request<Incoming>| async move {
//!     let peer = request.extensions().get::<Peer>().copied();
//!     let text = format!("hello, {peer:?}");
//!     Ok::<_, std::convert::Infallible>(http::Response::new(Full::<Bytes>::from(text)))
//! });
//! let listener = Listener::bind(([127, 0, 0, 1], 0).into())?;
//! println!("listening on {}", listener.local_addr()?);
//!
//! let stop = async {}; // in a server: a signal
//! let drained = listen::serve(listener, hello, Limits::default(), stop).await;
//! assert_eq!(drained.cut, 0);
//! # Ok(())
//! # }
//! ```

mod connection;
mod gone;
mod head_timer;
mod limits;
mod linger;
mod listener;
mod socket;
mod stall;
mod workers;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use sidecar_core::clock::Clock;
use sidecar_core::error::BoxError;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tower::Service;

use self::connection::Shared;
use self::listener::AcceptErrors;

pub use self::limits::Limits;
pub use self::listener::Listener;
pub use self::workers::Workers;

/// The address a request came from; an extension of every request. An IPv4 address that came in
/// over an IPv6 socket is given as IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer(pub SocketAddr);

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// How many connections were cut because they were still busy when the time to drain was over.
    pub cut: usize,
}

/// Where connections are served, and what serves them there.
struct Place<S> {
    runtime: Handle,
    service: S,
    /// A clone for each connection that is open.
    open: Arc<()>,
}

/// Serves `service` on this runtime until `shutdown` is ready, then stops accepting, lets running
/// requests finish for [`Limits::drain`], and cuts the rest. When it returns, the handlers and
/// bodies of all connections have been dropped, save those that block their thread.
///
/// Each request carries its [`Peer`]. An error of the service, or of a response body, closes the
/// connection without another word.
pub async fn serve<S, B>(
    listener: Listener,
    service: S,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) -> Drained
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    serve_on(listener, [(Handle::current(), service)], limits, shutdown).await
}

/// As [`serve`], on several runtimes, of which each has a service of its own. A new connection goes
/// to the one with the fewest. They have to outlive this: what goes to one that has ended is closed
/// without an answer.
///
/// # Panics
///
/// At once, if `places` is empty.
pub async fn serve_on<S, B>(
    listener: Listener,
    places: impl IntoIterator<Item = (Handle, S)>,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) -> Drained
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let place = |(runtime, service)| Place { runtime, service, open: Arc::new(()) };
    let places: Vec<Place<S>> = places.into_iter().map(place).collect();
    assert!(!places.is_empty(), "there is no place to serve at");
    let clock = Clock::system();
    let mut errors = AcceptErrors::new(clock.clone());
    let permits = Arc::new(Semaphore::new(limits.connections.clamp(1, Semaphore::MAX_PERMITS)));
    let shared = Arc::new(Shared::new(limits, clock));
    let connections = TaskTracker::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let admitted = async {
            // Waiting here, and not with an accepted connection in hand, leaves the rest in the
            // backlog of the kernel, where they cost no file descriptor.
            let permit = Arc::clone(&permits).acquire_owned().await;
            let permit = permit.expect("the semaphore is never closed");
            let (stream, peer) = listener.accept(&mut errors).await;
            // It is registered again where it is served.
            (permit, stream.into_std(), peer)
        };
        let (permit, stream, peer) = tokio::select! {
            biased;
            () = shutdown.as_mut() => break,
            admitted = admitted => admitted,
        };
        let place = places.iter().min_by_key(|place| Arc::strong_count(&place.open));
        let place = place.expect("there is a place to serve at, as was asserted");
        let (service, shared) = (place.service.clone(), Arc::clone(&shared));
        // The place counts one less before another connection is let in.
        let held = (Arc::clone(&place.open), permit);
        let serving = async move {
            match stream.and_then(TcpStream::from_std) {
                Ok(stream) => connection::run(stream, peer, service, &shared).await,
                Err(error) => tracing::warn!(peer = %peer.0, %error, "cannot serve a connection"),
            }
            drop(held);
        };
        connections.spawn_on(serving, &place.runtime);
    }
    drop(listener);
    drain(&connections, &shared).await
}

async fn drain(connections: &TaskTracker, shared: &Shared) -> Drained {
    connections.close();
    shared.drain.cancel();
    if tokio::time::timeout(shared.limits.drain, connections.wait()).await.is_ok() {
        return Drained { cut: 0 };
    }
    let cut = connections.len();
    shared.cut.cancel();
    // What is dropped now books its usage, so whoever closes the store next has to come later.
    // It takes one poll, unless a handler blocks its thread, and that one cannot be waited for.
    let _ = tokio::time::timeout(CUT_WAIT, connections.wait()).await;
    Drained { cut }
}

const CUT_WAIT: Duration = Duration::from_secs(1);
