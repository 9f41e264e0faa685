//! [`Workers`]: the threads that connections are served on.

use std::io;
use std::num::NonZeroUsize;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Threads with a runtime each. A connection stays on one of them with everything that its
/// requests need, so that no request waits until another thread has woken up, and no two threads
/// work on one request's memory.
///
/// They end with [`Workers::stop`]. If this is only dropped, they end soon after, and nobody knows
/// when. Either way what still runs on them is dropped with them, save what blocks a thread, which
/// comes to its end first.
#[derive(Debug)]
pub struct Workers {
    handles: Vec<Handle>,
    /// Has the threads end, also when it is dropped.
    stop: DropGuard,
    /// Cancelled by a thread that ends without having been told to.
    failed: CancellationToken,
    /// The threads that have not ended.
    running: TaskTracker,
}

impl Workers {
    /// As many as the machine lets this process use at a time, and 8 at most: these take more
    /// requests than any number of LLM keys do, and every further one has connections to the
    /// providers of its own, to which the same requests are then spread more thinly.
    ///
    /// Fails if the system does not give a thread, or what a runtime needs.
    pub fn start() -> io::Result<Self> {
        Self::of(thread::available_parallelism().map_or(1, NonZeroUsize::get).min(MOST))
    }

    pub(crate) fn of(count: usize) -> io::Result<Self> {
        let (stop, failed) = (CancellationToken::new(), CancellationToken::new());
        // From here on those that have started are stopped if another one cannot.
        let mut workers = Self {
            handles: Vec::new(),
            stop: stop.clone().drop_guard(),
            failed: failed.clone(),
            running: TaskTracker::new(),
        };
        for number in 0..count {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            workers.handles.push(runtime.handle().clone());
            let (running, stop) = (workers.running.token(), stop.clone());
            let alarm = failed.clone().drop_guard();
            let worker = thread::Builder::new().name(format!("sidecar-{number}"));
            worker.spawn(move || work(running, runtime, &stop, alarm))?;
        }
        Ok(workers)
    }

    /// Where to spawn what is to run on each of them. There is at least one.
    pub fn handles(&self) -> &[Handle] {
        &self.handles
    }

    /// Ready once a thread has ended that nobody had told to, because its runtime panicked; a task
    /// that panics does not end it. What was there is lost, and so is what is spawned there from
    /// then on: a server had better be stopped, and started anew.
    pub async fn failed(&self) {
        self.failed.cancelled().await;
    }

    /// Ends them and waits until they have ended, 2 s at most: only what blocks a thread, like a
    /// backup that is being made, takes any time.
    pub async fn stop(self) {
        drop(self.stop);
        self.running.close();
        if tokio::time::timeout(STOP_WAIT, self.running.wait()).await.is_err() {
            tracing::warn!(busy = self.running.len(), "threads did not end in time");
        }
    }
}

/// What each thread does. Its arguments are dropped from the last to the first, so that it counts
/// as running until its runtime, with all that ran there, is gone.
fn work(_running: TaskTrackerToken, runtime: Runtime, stop: &CancellationToken, alarm: DropGuard) {
    runtime.block_on(stop.cancelled());
    alarm.disarm();
}

const MOST: usize = 8;
const STOP_WAIT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::pin::pin;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, mpsc};
    use std::task::{Context, Wake, Waker};

    use sidecar_core::clock::Clock;
    use tokio::sync::oneshot;
    use tokio::time::{sleep, timeout};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// Ends with an error once the runtime of `handle` is gone.
    fn end_of(handle: &Handle) -> oneshot::Receiver<()> {
        let (sender, end) = oneshot::channel();
        handle.spawn(async move {
            pending::<()>().await;
            drop(sender);
        });
        end
    }

    /// Blocks a thread of `handle` until there is a message, and then tells so.
    fn block(handle: &Handle) -> (mpsc::Sender<()>, oneshot::Receiver<()>, Arc<AtomicBool>) {
        let (release, released) = mpsc::channel();
        let (started, has_started) = oneshot::channel();
        let done = Arc::new(AtomicBool::new(false));
        let told = done.clone();
        handle.spawn_blocking(move || {
            started.send(()).unwrap();
            released.recv().unwrap();
            told.store(true, Ordering::Relaxed);
        });
        (release, has_started, done)
    }

    #[tokio::test]
    async fn each_is_a_thread_of_its_own_and_ends_when_they_are_dropped() {
        let workers = Workers::start().unwrap();
        assert!((1..=MOST).contains(&workers.handles().len()));
        let mut threads = vec![thread::current().id()];
        let mut ends = Vec::new();
        for handle in workers.handles() {
            ends.push(end_of(handle));
            threads.push(handle.spawn(async { thread::current().id() }).await.unwrap());
        }
        threads.sort_unstable_by_key(|id| format!("{id:?}"));
        threads.dedup();
        assert_eq!(threads.len(), workers.handles().len() + 1);
        drop(workers);
        for end in ends {
            assert!(timeout(PATIENCE, end).await.unwrap().is_err());
        }
    }

    #[tokio::test]
    async fn they_have_ended_when_they_have_been_stopped() {
        let workers = Workers::of(2).unwrap();
        let mut ends: Vec<_> = workers.handles().iter().map(end_of).collect();
        let (release, has_started, done) = block(&workers.handles()[0]);
        timeout(PATIENCE, has_started).await.unwrap().unwrap();
        let mut stopping = pin!(workers.stop());
        assert!(timeout(Duration::ZERO, stopping.as_mut()).await.is_err());
        release.send(()).unwrap();
        stopping.await;
        assert!(done.load(Ordering::Relaxed));
        for end in &mut ends {
            assert_eq!(end.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_blocked_is_left_behind_in_the_end() {
        let clock = Clock::simulated();
        let workers = Workers::of(1).unwrap();
        let (release, has_started, done) = block(&workers.handles()[0]);
        has_started.await.unwrap();
        let begin = clock.now();
        workers.stop().await;
        assert!(clock.now() - begin >= STOP_WAIT);
        assert!(!done.load(Ordering::Relaxed));
        release.send(()).unwrap();
    }

    /// A waker of which the timers of a runtime die.
    struct Bomb;

    impl Wake for Bomb {
        fn wake(self: Arc<Self>) {
            panic!("a test lets a runtime panic");
        }
    }

    #[tokio::test]
    async fn one_that_dies_is_noticed_and_a_task_that_panics_is_none() {
        let workers = Workers::of(2).unwrap();
        let panics = workers.handles()[0].spawn(async { panic!("a test lets a task panic") });
        assert!(panics.await.unwrap_err().is_panic());
        assert!(timeout(Duration::ZERO, workers.failed()).await.is_err());

        let end = end_of(&workers.handles()[1]);
        workers.handles()[1].spawn(async {
            let mut timer = pin!(sleep(Duration::from_millis(1)));
            let bomb = Waker::from(Arc::new(Bomb));
            assert!(timer.as_mut().poll(&mut Context::from_waker(&bomb)).is_pending());
            pending::<()>().await;
        });
        timeout(PATIENCE, workers.failed()).await.unwrap();
        assert!(timeout(PATIENCE, end).await.unwrap().is_err());
        // The other one goes on.
        workers.handles()[0].spawn(async {}).await.unwrap();
        timeout(PATIENCE, workers.stop()).await.unwrap();
    }

    #[tokio::test]
    async fn those_that_were_stopped_have_not_failed() {
        let workers = Workers::of(1).unwrap();
        let failed = workers.failed.clone();
        workers.stop().await;
        assert!(!failed.is_cancelled());
    }
}
