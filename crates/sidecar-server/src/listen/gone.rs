//! Tells when the client has left.
//!
//! hyper notices an end of input only while its read buffer is empty. A client that has sent one
//! byte more than its request could therefore leave unseen, and the request would run on to its
//! own end. The kernel reports the end of input apart from readiness to read (EPOLLRDHUP), so it
//! can be awaited without reading anything.

use tokio::net::TcpStream;

/// Waits until the client has closed its sending half or reset the connection. Data that it sent
/// before may still be unread.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) async fn gone(stream: &TcpStream) {
    use tokio::io::Interest;

    // Of the two things tokio reports to those who wait for priority data one cannot come, as the
    // socket is not registered for it, and the other is the closed reading side. Waiting for
    // readiness to read would be woken by data too, and at once while data is left unread. That
    // could be cleared only on a second registration of the socket, at the price of a second file
    // descriptor for each connection.
    //
    // A closed side stays closed, so an empty answer means that the wake-up was about something
    // else. An error means that the runtime is going away, and the connection with it.
    while matches!(stream.ready(Interest::PRIORITY).await, Ok(ready) if ready.is_empty()) {}
}

/// Never tells: elsewhere only hyper's own watch is at work.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) async fn gone(_stream: &TcpStream) {
    std::future::pending().await
}
