//! [`Drains`].

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::{timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;

/// The answers that are read on without their callers. Cheap to clone; clones share them.
#[derive(Clone, Debug)]
pub struct Drains {
    tasks: TaskTracker,
    stop: CancellationToken,
    /// One for each that may be read on at a time.
    places: Arc<Semaphore>,
    clock: Clock,
}

impl Drains {
    /// None yet.
    pub fn new(clock: Clock) -> Self {
        Self {
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            places: Arc::new(Semaphore::new(MOST)),
            clock,
        }
    }

    /// Gives all of them up and waits, for at most a second, until they are dropped and so booked.
    /// From now on nothing is read on any more.
    pub async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        // Whoever is held up inside a poll is not worth waiting for.
        let _ = timeout(LAST_WAIT, self.tasks.wait()).await;
    }

    /// Does `reading` in a task, within the time limit, and keeps `held` meanwhile. If there is no
    /// place for it, or no runtime any more, it is dropped.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        reading: impl Future<Output = ()> + Send + 'static,
        held: T,
    ) {
        let Ok(runtime) = Handle::try_current() else { return };
        let Ok(place) = self.places.clone().try_acquire_owned() else { return };
        let until = self.clock.to_tokio(self.clock.now() + LONGEST);
        let stop = self.stop.clone();
        self.tasks.spawn_on(
            async move {
                let _held = (place, held);
                let _ = timeout_at(until, stop.run_until_cancelled(reading)).await;
            },
            &runtime,
        );
    }
}

/// How many answers are read on at a time.
const MOST: usize = 64;
/// How long one answer is read on.
const LONGEST: Duration = Duration::from_secs(30);
/// How long the last ones may take to be dropped.
const LAST_WAIT: Duration = Duration::from_secs(1);
