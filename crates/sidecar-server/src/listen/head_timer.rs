//! Gives hyper's one timer for request heads two lengths.
//!
//! hyper starts the timer when it begins to wait for a request and drops it when the head is
//! complete, so that one length would have to do for an idle connection, which may be long, and
//! for a head that has begun, which must be short. Here the timer runs for the idle limit until
//! the first byte comes, and for the header limit from then on. A new connection has no idle time.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Sleep, Timer};
use hyper_util::rt::TokioTimer;
use pin_project_lite::pin_project;

use super::socket::Socket;

/// The timer of one connection. hyper is to be given the idle limit as its timeout.
#[derive(Debug)]
pub(super) struct HeadTimer {
    socket: Arc<Socket>,
    header_timeout: Duration,
}

pin_project! {
    #[derive(Debug)]
    struct HeadSleep {
        socket: Arc<Socket>,
        header_timeout: Duration,
        // How much had been received when the idle time began; none once it is over.
        idle_since: Option<u64>,
        #[pin]
        sleep: tokio::time::Sleep,
    }
}

impl HeadTimer {
    pub(super) fn new(socket: Arc<Socket>, header_timeout: Duration) -> Self {
        Self { socket, header_timeout }
    }
}

#[expect(clippy::disallowed_types, reason = "hyper's trait is written in this type")]
impl Timer for HeadTimer {
    /// Not called by an HTTP/1 server.
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        TokioTimer::new().sleep(duration)
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn Sleep>> {
        let received = self.socket.received();
        let (idle_since, sleep) = match received {
            0 => (None, tokio::time::sleep(self.header_timeout)),
            _ => (Some(received), tokio::time::sleep_until(deadline.into())),
        };
        Box::pin(HeadSleep {
            socket: Arc::clone(&self.socket),
            header_timeout: self.header_timeout,
            idle_since,
            sleep,
        })
    }

    /// The time that deadlines are made from: tokio's, as they are waited for with its timers.
    fn now(&self) -> std::time::Instant {
        TokioTimer::new().now()
    }
}

impl Future for HeadSleep {
    type Output = ();

    /// hyper polls this each time it has read a part of a head.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        if this.idle_since.is_some_and(|received| this.socket.received() != received) {
            *this.idle_since = None;
            this.sleep.set(tokio::time::sleep(*this.header_timeout));
        }
        this.sleep.as_mut().poll(cx)
    }
}

impl Sleep for HeadSleep {}
