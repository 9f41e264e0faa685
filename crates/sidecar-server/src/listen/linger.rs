//! Closes a connection so that the client can read the last answer.

use std::future::poll_fn;
use std::net::Shutdown;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;

/// Ends the sending half and discards what still comes in, until the client closes too or `limit`
/// is over.
///
/// Closing a socket with unread input resets the connection, and a reset takes from the client
/// what it has not yet read. So a client that is refused while it is still sending its body would
/// see a broken connection in place of the reason.
pub(super) async fn linger(stream: &TcpStream, limit: Duration) {
    // hyper has done so, or the socket is closed already.
    let _ = SockRef::from(stream).shutdown(Shutdown::Write);
    let _ = tokio::time::timeout(limit, discard(stream)).await;
}

async fn discard(stream: &TcpStream) {
    let mut scrap = vec![0; 16 * 1024];
    let mut left = MAX_DISCARDED;
    // Unlike `readable`, this yields to other tasks, the timeout included, if data never ends.
    while left > 0 && poll_fn(|cx| stream.poll_read_ready(cx)).await.is_ok() {
        match stream.try_read(&mut scrap) {
            Ok(0) => return,
            Ok(read) => left = left.saturating_sub(read),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

/// More than any body that is accepted, so that one a little over the cap is answered properly.
const MAX_DISCARDED: usize = 64 * 1024 * 1024;
