//! [`Origins`]: by which way a request goes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::link::{Link, Place, Room};
use crate::clock::{Clock, Instant};

/// What is known of the origins that are spoken to.
#[derive(Debug)]
pub(super) struct Origins {
    known: Mutex<HashMap<Box<str>, Origin>>,
    clock: Clock,
}

#[derive(Debug)]
enum Origin {
    /// A request connects to it.
    Dialled,
    Linked(Arc<Link>),
    /// It did not take HTTP/2, and is not asked again before this.
    Http1(Instant),
}

/// By which way a request goes.
#[derive(Debug)]
pub(super) enum Way<'a> {
    Http2(Place),
    Http1,
    /// It is the one to find out.
    Dial(Dialling<'a>),
}

/// In the hands of the one who connects. Dropped without a finding, it leaves that to the next.
#[derive(Debug)]
pub(super) struct Dialling<'a> {
    origins: &'a Origins,
    authority: Box<str>,
    found: Option<Origin>,
}

impl Origins {
    pub(super) fn new(clock: Clock) -> Self {
        Self { known: Mutex::default(), clock }
    }

    /// The way to `authority`, by HTTP/2 only if that is free at once: one that dials, and those
    /// that come meanwhile do not wait for it.
    pub(super) fn way(&self, authority: &str) -> Way<'_> {
        let now = self.clock.now();
        let mut known = self.lock();
        match known.get(authority) {
            Some(Origin::Linked(link)) => match link.place() {
                Room::Place(place) => return Way::Http2(place),
                Room::Full => return Way::Http1,
                Room::Closed => {}
            },
            Some(Origin::Http1(until)) if *until <= now => {}
            Some(Origin::Dialled | Origin::Http1(_)) => return Way::Http1,
            None if known.len() < MOST_ORIGINS => {}
            None => {
                known.retain(|_, origin| origin.is_current(now));
                if known.len() == MOST_ORIGINS {
                    return Way::Http1;
                }
            }
        }
        let authority = Box::<str>::from(authority);
        known.insert(authority.clone(), Origin::Dialled);
        Way::Dial(Dialling { origins: self, authority, found: None })
    }

    /// What is locked here is valid at every step.
    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Origin>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Origin {
    fn is_current(&self, now: Instant) -> bool {
        match self {
            Self::Dialled => true,
            Self::Linked(link) => !link.is_closed(),
            Self::Http1(until) => now < *until,
        }
    }
}

impl Dialling<'_> {
    /// The origin takes HTTP/2, on `link`.
    pub(super) fn finds_http2(mut self, link: Arc<Link>) {
        self.found = Some(Origin::Linked(link));
    }

    /// The origin takes HTTP/1.1 only.
    pub(super) fn finds_http1(mut self) {
        self.found = Some(Origin::Http1(self.origins.clock.now() + ASKED_AGAIN));
    }
}

impl Drop for Dialling<'_> {
    fn drop(&mut self) {
        let mut known = self.origins.lock();
        match self.found.take() {
            Some(origin) => known.insert(std::mem::take(&mut self.authority), origin),
            None => known.remove(&self.authority),
        };
    }
}

/// After which time an origin that did not take HTTP/2 is asked again.
const ASKED_AGAIN: Duration = Duration::from_secs(600);
/// The most origins that are known; others are spoken to by HTTP/1.1.
const MOST_ORIGINS: usize = 1_024;

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const ORIGIN: &str = "one.example";

    fn dial<'a>(origins: &'a Origins, authority: &str) -> Dialling<'a> {
        match origins.way(authority) {
            Way::Dial(dialling) => dialling,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_dials_and_the_others_do_not_wait() {
        let origins = Origins::new(Clock::simulated());
        let dialling = dial(&origins, ORIGIN);
        assert!(matches!(origins.way(ORIGIN), Way::Http1));
        dial(&origins, "two.example");
        drop(dialling);
        dial(&origins, ORIGIN);
    }

    #[tokio::test(start_paused = true)]
    async fn who_did_not_take_http2_is_asked_again_later() {
        let origins = Origins::new(Clock::simulated());
        dial(&origins, ORIGIN).finds_http1();
        advance(ASKED_AGAIN - Duration::from_secs(1)).await;
        assert!(matches!(origins.way(ORIGIN), Way::Http1));
        advance(Duration::from_secs(1)).await;
        dial(&origins, ORIGIN).finds_http1();
        assert!(matches!(origins.way(ORIGIN), Way::Http1));
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_so_many_origins_are_known_at_a_time() {
        let origins = Origins::new(Clock::simulated());
        for n in 0..MOST_ORIGINS {
            dial(&origins, &format!("{n}.example")).finds_http1();
        }
        assert!(matches!(origins.way(ORIGIN), Way::Http1));
        assert_eq!(origins.lock().len(), MOST_ORIGINS);
        advance(ASKED_AGAIN).await;
        dial(&origins, ORIGIN).finds_http1();
        assert_eq!(origins.lock().len(), 1);
    }
}
