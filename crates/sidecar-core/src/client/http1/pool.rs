//! [`Pool`]: connections that are kept from one request to the next.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use http::Uri;
use http::uri::Scheme;

use super::super::KEPT;
use super::link::Link;
use crate::clock::{Clock, Instant};

/// Kept connections by their origin.
#[derive(Debug)]
pub(super) struct Pool {
    shelves: Arc<Mutex<Shelves>>,
    clock: Clock,
}

#[derive(Debug, Default)]
struct Shelves {
    http: HashMap<Box<str>, Arc<Shelf>>,
    https: HashMap<Box<str>, Arc<Shelf>>,
    is_swept: bool,
}

/// The kept connections to one origin, that which was used last at the end.
#[derive(Debug)]
pub(super) struct Shelf {
    idle: Mutex<Vec<Idle>>,
    clock: Clock,
}

#[derive(Debug)]
struct Idle {
    link: Link,
    since: Instant,
}

/// Whoever looks for what has become too old. Dropped, it is over.
struct Sweeper {
    shelves: Weak<Mutex<Shelves>>,
    clock: Clock,
}

impl Pool {
    pub(super) fn new(clock: Clock) -> Self {
        Self { shelves: Arc::default(), clock }
    }

    /// Where connections to the origin of `uri` are kept; `None` if it has none.
    pub(super) fn shelf(&self, uri: &Uri) -> Option<Arc<Shelf>> {
        let (scheme, authority) = (uri.scheme()?, uri.authority()?.as_str());
        let mut shelves = lock(&self.shelves);
        if !shelves.is_swept {
            shelves.is_swept = true;
            let (shelves, clock) = (Arc::downgrade(&self.shelves), self.clock.clone());
            tokio::spawn(Sweeper { shelves, clock }.run());
        }
        let by_authority =
            if *scheme == Scheme::HTTPS { &mut shelves.https } else { &mut shelves.http };
        if let Some(shelf) = by_authority.get(authority) {
            return Some(shelf.clone());
        }
        let shelf = Arc::new(Shelf { idle: Mutex::default(), clock: self.clock.clone() });
        by_authority.insert(authority.into(), shelf.clone());
        Some(shelf)
    }
}

impl Shelf {
    /// The connection that was used last, if there is one that can be used again.
    pub(super) fn take(&self) -> Option<Link> {
        let now = self.clock.now();
        loop {
            let mut link = {
                let mut idle = lock(&self.idle);
                let last = idle.pop()?;
                if now - last.since >= KEPT {
                    // The others are older.
                    idle.clear();
                    return None;
                }
                last.link
            };
            if link.is_usable() {
                return Some(link);
            }
        }
    }

    /// Keeps `link` for the next request, if it can be used for one.
    pub(super) fn put(&self, mut link: Link) {
        if !link.is_usable() {
            return;
        }
        let since = self.clock.now();
        let mut idle = lock(&self.idle);
        if idle.len() < MOST_IDLE {
            idle.push(Idle { link, since });
        }
    }
}

impl Sweeper {
    /// Ends when there is nothing left to sweep.
    async fn run(self) {
        loop {
            self.clock.sleep_until(self.clock.now() + KEPT).await;
            let Some(shelves) = self.shelves.upgrade() else { return };
            let mut shelves = lock(&shelves);
            let now = self.clock.now();
            shelves.http.retain(|_, shelf| is_used(shelf, now));
            shelves.https.retain(|_, shelf| is_used(shelf, now));
            if shelves.http.is_empty() && shelves.https.is_empty() {
                return;
            }
        }
    }
}

impl Drop for Sweeper {
    /// Its runtime may have ended before its work.
    fn drop(&mut self) {
        if let Some(shelves) = self.shelves.upgrade() {
            lock(&shelves).is_swept = false;
        }
    }
}

/// Whether there is anything on `shelf`, or may be soon, once the old is gone.
fn is_used(shelf: &Arc<Shelf>, now: Instant) -> bool {
    let mut idle = lock(&shelf.idle);
    idle.retain(|idle| now - idle.since < KEPT);
    !idle.is_empty() || Arc::strong_count(shelf) > 1
}

/// What is locked here is valid at every step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many connections to one origin are kept.
const MOST_IDLE: usize = 512;
