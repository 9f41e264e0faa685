//! [`Feed`]: what one viewer gets.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::Hub;
use super::slots::Slot;

/// The events for one viewer, as a body.
pub(super) struct Feed {
    next: Option<Bytes>,
    /// Waits for the event after `next`; `None` once the feed is over.
    waiting: Option<Waiting>,
    hub: Hub,
    is_valid: Box<dyn Fn() -> bool + Send>,
    _slot: Slot,
}

type Waiting = Pin<Box<dyn Future<Output = (Result<Bytes, RecvError>, Receiver<Bytes>)> + Send>>;

impl Feed {
    pub(super) fn new(
        snapshot: Bytes,
        events: Receiver<Bytes>,
        hub: Hub,
        slot: Slot,
        is_valid: Box<dyn Fn() -> bool + Send>,
    ) -> Self {
        Self { next: Some(snapshot), waiting: Some(wait(events)), hub, is_valid, _slot: slot }
    }
}

impl Body for Feed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(next) = self.next.take() {
            return Poll::Ready(Some(Ok(Frame::data(next))));
        }
        let Some(waiting) = &mut self.waiting else { return Poll::Ready(None) };
        let (event, events) = ready!(waiting.as_mut().poll(cx));
        // A tick comes every few seconds, so a credential that is gone is noticed soon.
        if !(self.is_valid)() {
            self.waiting = None;
            return Poll::Ready(None);
        }
        let event = match event {
            Ok(event) => {
                self.waiting = Some(wait(events));
                event
            }
            Err(RecvError::Lagged(_)) => {
                let (snapshot, events) = self.hub.resume();
                self.waiting = Some(wait(events));
                snapshot
            }
            Err(RecvError::Closed) => {
                self.waiting = None;
                return Poll::Ready(None);
            }
        };
        Poll::Ready(Some(Ok(Frame::data(event))))
    }
}

fn wait(mut events: Receiver<Bytes>) -> Waiting {
    Box::pin(async move { (events.recv().await, events) })
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use http_body_util::BodyExt as _;
    use sidecar_core::Sidecar;
    use sidecar_core::clock::Clock;
    use tokio::runtime::Handle;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_feed_ends_with_the_credential_of_its_viewer() {
        let clock = Clock::simulated();
        let sidecar = Sidecar::builder().clock(clock.clone()).open().await.unwrap();
        let hub = Hub::new(&sidecar, clock.now(), Handle::current());
        let (snapshot, events) = hub.subscribe().await.unwrap();
        let slot = hub.slots().take("one").unwrap();
        let valid = Arc::new(AtomicBool::new(true));
        let is_valid = valid.clone();
        let is_valid = Box::new(move || is_valid.load(Ordering::Relaxed));
        let mut feed = Feed::new(snapshot, events, hub.clone(), slot, is_valid);
        assert!(feed.frame().await.unwrap().unwrap().into_data().unwrap().starts_with(b"event: s"));
        assert!(feed.frame().await.unwrap().unwrap().into_data().unwrap().starts_with(b"event: t"));
        valid.store(false, Ordering::Relaxed);
        assert!(feed.frame().await.is_none());
        assert!(feed.frame().await.is_none());
    }
}
