//! [`Driver`]: moves a connection, and sees to it that it is alive.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Weak;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::Connection;
use h2::{Ping, PingPong};
use tokio::time::{timeout, timeout_at};

use super::super::KEPT;
use super::super::exchange::Exchange;
use super::super::prewarm::Prewarmed;
use super::super::watched::WatchedStream;
use super::link::Link;
use crate::clock::{Clock, Instant};

/// What moves a connection. Dropped, it ends the connection and all requests on it.
pub(super) struct Driver {
    connection: Connection<Prewarmed<WatchedStream>, Bytes>,
    pings: Option<PingPong>,
    exchange: Exchange,
    link: Weak<Link>,
    clock: Clock,
    watch: Watch,
}

/// Follows how long a connection has been silent. One that is cut without a word would hold all
/// its requests up.
#[derive(Debug)]
struct Watch {
    heard: Instant,
    /// When it was asked for a sign of life that it has not given yet.
    asked: Option<Instant>,
}

/// What to do about a connection.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Nothing before this.
    Wait(Instant),
    /// Ask for a sign of life, and nothing before this.
    Ask(Instant),
    /// It has given no sign of life.
    GiveUp,
    /// Nobody has needed it for long.
    Retire,
}

impl Driver {
    pub(super) fn new(
        mut connection: Connection<Prewarmed<WatchedStream>, Bytes>,
        exchange: Exchange,
        link: Weak<Link>,
        clock: Clock,
    ) -> Self {
        let pings = connection.ping_pong();
        let watch = Watch { heard: clock.now(), asked: None };
        Self { connection, pings, exchange, link, clock, watch }
    }

    /// Ends with the connection.
    pub(super) async fn run(mut self) {
        loop {
            let is_used = self.link.upgrade().is_some_and(|link| link.is_used());
            let until = match self.watch.step(self.clock.now(), is_used) {
                Step::Wait(until) => until,
                Step::Ask(until) => {
                    self.ask();
                    until
                }
                Step::GiveUp => {
                    tracing::debug!("a connection gives no sign of life, its requests fail");
                    return;
                }
                // A request may have come at the last moment.
                Step::Retire if self.link.upgrade().is_none_or(|link| link.retire()) => break,
                Step::Retire => continue,
            };
            let until = self.clock.to_tokio(until);
            if timeout_at(until, poll_fn(|cx| self.poll_ended(cx))).await.is_ok() {
                return;
            }
        }
        // Nobody has a hold on it, so that it says goodbye.
        let _ = timeout(PATIENCE, poll_fn(|cx| self.poll_ended(cx))).await;
    }

    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // What it ends with is told to its requests.
        let polled = Pin::new(&mut self.connection).poll(cx).map(drop);
        if self.exchange.take_heard() {
            self.watch.hears(self.clock.now());
        }
        polled
    }

    fn ask(&mut self) {
        if let Some(pings) = &mut self.pings {
            // An earlier answer would be in the way. If there is none yet, that one is waited for.
            let _ = pings.poll_pong(&mut Context::from_waker(Waker::noop()));
            let _ = pings.send_ping(Ping::opaque());
        }
    }
}

impl Watch {
    fn hears(&mut self, now: Instant) {
        *self = Self { heard: now, asked: None };
    }

    fn step(&mut self, now: Instant, is_used: bool) -> Step {
        if !is_used {
            self.asked = None;
            let end = self.heard + KEPT;
            // It may come into use meanwhile.
            return if now < end { Step::Wait(end.min(now + SILENCE)) } else { Step::Retire };
        }
        match self.asked {
            Some(asked) if now - asked >= PATIENCE => Step::GiveUp,
            Some(asked) => Step::Wait(asked + PATIENCE),
            None if now - self.heard < SILENCE => Step::Wait(self.heard + SILENCE),
            None => {
                self.asked = Some(now);
                Step::Ask(now + PATIENCE)
            }
        }
    }
}

/// How long a connection with requests may be silent before it is asked for a sign of life.
pub(super) const SILENCE: Duration = Duration::from_secs(15);
/// How long the sign of life may take.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    const START: Instant = Instant::from_nanos(1_000_000_000_000);

    fn at(seconds: u64) -> Instant {
        START + Duration::from_secs(seconds)
    }

    fn watch() -> Watch {
        Watch { heard: START, asked: None }
    }

    #[test]
    fn a_silent_connection_with_requests_is_asked_and_then_given_up() {
        let mut watch = watch();
        assert_eq!(watch.step(at(0), true), Step::Wait(at(15)));
        assert_eq!(watch.step(at(15), true), Step::Ask(at(20)));
        assert_eq!(watch.step(at(16), true), Step::Wait(at(20)));
        assert_eq!(watch.step(at(20), true), Step::GiveUp);
    }

    #[test]
    fn whatever_is_heard_is_a_sign_of_life() {
        let mut watch = watch();
        assert_eq!(watch.step(at(15), true), Step::Ask(at(20)));
        watch.hears(at(19));
        assert_eq!(watch.step(at(20), true), Step::Wait(at(34)));
        assert_eq!(watch.step(at(34), true), Step::Ask(at(39)));
    }

    #[test]
    fn a_connection_without_requests_is_not_asked_but_retired() {
        let mut watch = watch();
        assert_eq!(watch.step(at(0), false), Step::Wait(at(15)));
        assert_eq!(watch.step(at(20), false), Step::Wait(at(30)));
        assert_eq!(watch.step(at(30), false), Step::Retire);
    }

    #[test]
    fn a_request_that_comes_after_a_long_silence_is_no_reason_to_give_up_at_once() {
        let mut watch = watch();
        assert_eq!(watch.step(at(15), true), Step::Ask(at(20)));
        assert_eq!(watch.step(at(20), false), Step::Wait(at(30)));
        assert_eq!(watch.step(at(29), true), Step::Ask(at(34)));
    }
}
