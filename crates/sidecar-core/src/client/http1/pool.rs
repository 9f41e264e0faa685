//! [`Pool`]: connections that are kept from one request to the next.

use std::collections::HashMap;
use std::mem;
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
        let (shelf, was_swept) = {
            let mut shelves = lock(&self.shelves);
            let was_swept = mem::replace(&mut shelves.is_swept, true);
            (shelves.get(scheme, authority, &self.clock), was_swept)
        };
        if !was_swept {
            // Not under the lock: a runtime that is about to end drops at once what it is given.
            let (shelves, clock) = (Arc::downgrade(&self.shelves), self.clock.clone());
            tokio::spawn(Sweeper { shelves, clock }.run());
        }
        Some(shelf)
    }
}

impl Shelves {
    fn get(&mut self, scheme: &Scheme, authority: &str, clock: &Clock) -> Arc<Shelf> {
        let shelves = if *scheme == Scheme::HTTPS { &mut self.https } else { &mut self.http };
        if let Some(shelf) = shelves.get(authority) {
            return shelf.clone();
        }
        let shelf = Arc::new(Shelf { idle: Mutex::default(), clock: clock.clone() });
        shelves.insert(authority.into(), shelf.clone());
        shelf
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn uri(text: &'static str) -> Uri {
        Uri::from_static(text)
    }

    fn count(pool: &Pool) -> (usize, bool) {
        let shelves = lock(&pool.shelves);
        (shelves.http.len() + shelves.https.len(), shelves.is_swept)
    }

    #[tokio::test(start_paused = true)]
    async fn an_origin_that_nobody_asks_for_any_more_is_forgotten() {
        let pool = Pool::new(Clock::simulated());
        let one = pool.shelf(&uri("http://a:1/x")).unwrap();
        assert!(Arc::ptr_eq(&one, &pool.shelf(&uri("http://a:1/y?z")).unwrap()));
        for other in ["https://a:1/x", "http://a:2/x", "http://b:1/x"] {
            assert!(!Arc::ptr_eq(&one, &pool.shelf(&uri(other)).unwrap()), "{other}");
        }
        assert!(pool.shelf(&uri("/x")).is_none());
        assert_eq!(count(&pool), (4, true));
        tokio::time::sleep(KEPT + Duration::from_secs(1)).await;
        assert_eq!(count(&pool), (1, true));
        drop(one);
        tokio::time::sleep(KEPT).await;
        assert_eq!(count(&pool), (0, false));
    }

    #[test]
    fn a_runtime_that_ends_takes_nothing_along() {
        let pool = Pool::new(Clock::system());
        let runtime =
            || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for _ in 0..2 {
            // It ends before anything was swept, and the next one begins anew.
            runtime().block_on(async { pool.shelf(&uri("http://a/")).map(drop) });
            assert_eq!(count(&pool), (1, false));
        }
    }

    #[test]
    fn what_is_asked_for_while_a_runtime_ends_holds_nobody_up() {
        struct Last(Arc<Pool>);

        impl Drop for Last {
            fn drop(&mut self) {
                // Whatever is spawned now is dropped at once.
                self.0.shelf(&uri("http://a/"));
            }
        }

        let pool = Arc::new(Pool::new(Clock::system()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let last = Last(pool.clone());
        runtime.spawn(async move {
            let _last = last;
            std::future::pending::<()>().await;
        });
        runtime.block_on(tokio::task::yield_now());
        drop(runtime);
        assert_eq!(count(&pool), (1, false));
    }
}
