//! [`Listener`].

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use sidecar_core::clock::{Clock, Instant};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use super::Peer;

/// A bound TCP socket that takes connections, into its backlog until it is served.
#[derive(Debug)]
pub struct Listener {
    inner: TcpListener,
}

/// Sees to it that accept errors are logged, but do not fill the log.
#[derive(Debug)]
pub(super) struct AcceptErrors {
    clock: Clock,
    logged: Option<Instant>,
    unlogged: u64,
}

impl Listener {
    /// Listens on `addr`; port 0 is any free one. The address may be one that connections of an
    /// earlier process still linger on.
    ///
    /// Fails if the address is taken or not one of this machine, or if the port is not allowed.
    ///
    /// # Panics
    ///
    /// When called outside a tokio runtime.
    pub fn bind(addr: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        // On Windows it would mean that another process may take the port over.
        #[cfg(not(windows))]
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&addr.into())?;
        socket.listen(BACKLOG)?;
        Ok(Self { inner: TcpListener::from_std(socket.into())? })
    }

    /// The address it listens on, with the port that was chosen. Fails only if the system cannot
    /// tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    /// The next connection. Errors are waited out: nothing is gained by giving up.
    pub(super) async fn accept(&self, errors: &mut AcceptErrors) -> (TcpStream, Peer) {
        loop {
            match self.inner.accept().await {
                Ok((stream, from)) => {
                    let peer = SocketAddr::new(from.ip().to_canonical(), from.port());
                    return (stream, Peer(peer));
                }
                // The client left while it was in the backlog.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                // Out of file descriptors, most likely. The connection is still there, so that
                // another try at once would fail at once.
                Err(error) => {
                    errors.note(&error);
                    tokio::time::sleep(ERROR_PAUSE).await;
                }
            }
        }
    }
}

impl AcceptErrors {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, logged: None, unlogged: 0 }
    }

    fn note(&mut self, error: &io::Error) {
        if let Some(unlogged) = self.count(self.clock.now()) {
            tracing::warn!(%error, unlogged, "cannot accept connections");
        }
    }

    /// Counts an error; how many went unlogged before it if it is to be logged.
    fn count(&mut self, now: Instant) -> Option<u64> {
        if self.logged.is_some_and(|logged| now - logged < LOG_PERIOD) {
            self.unlogged += 1;
            return None;
        }
        self.logged = Some(now);
        Some(std::mem::take(&mut self.unlogged))
    }
}

const BACKLOG: i32 = 1024;

const ERROR_PAUSE: Duration = Duration::from_millis(100);

const LOG_PERIOD: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_errors_are_logged_once_a_second_and_all_counted() {
        let start = Instant::from_nanos(0);
        let mut errors = AcceptErrors::new(Clock::simulated());
        assert_eq!(errors.count(start), Some(0));
        assert_eq!(errors.count(start + Duration::from_millis(100)), None);
        assert_eq!(errors.count(start + Duration::from_millis(999)), None);
        assert_eq!(errors.count(start + Duration::from_millis(1000)), Some(2));
        assert_eq!(errors.count(start + Duration::from_millis(1100)), None);
    }

    #[tokio::test]
    async fn a_taken_address_is_refused() {
        let first = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let second = Listener::bind(first.local_addr().unwrap());
        assert_eq!(second.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
