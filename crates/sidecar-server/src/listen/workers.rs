//! [`Workers`]: the threads that connections are served on.

use std::io;
use std::num::NonZeroUsize;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

/// Threads with a runtime each. A connection stays on one of them with everything that its
/// requests need, so that no request waits until another thread has woken up, and no two threads
/// work on one request's memory.
///
/// They end soon after this is dropped, and what still runs on them is dropped with them.
#[derive(Debug)]
pub struct Workers {
    handles: Vec<Handle>,
    stop: CancellationToken,
}

impl Workers {
    /// As many as the machine lets this process use at a time.
    pub fn start() -> io::Result<Self> {
        let count = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        // From here on those that have started are stopped if another one cannot.
        let mut workers = Self { handles: Vec::new(), stop: CancellationToken::new() };
        for number in 0..count {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            workers.handles.push(runtime.handle().clone());
            let stop = workers.stop.clone();
            let worker = thread::Builder::new().name(format!("sidecar-{number}"));
            worker.spawn(move || runtime.block_on(stop.cancelled()))?;
        }
        Ok(workers)
    }

    /// Where to spawn what is to run on each of them. There is at least one.
    pub fn handles(&self) -> &[Handle] {
        &self.handles
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;
    use tokio::time::timeout;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn each_is_a_thread_of_its_own_and_ends_when_they_are_dropped() {
        let workers = Workers::start().unwrap();
        let mut threads = Vec::new();
        let mut ended = Vec::new();
        for handle in workers.handles() {
            let (sender, end) = oneshot::channel::<()>();
            ended.push(end);
            threads.push(handle.spawn(async { thread::current().id() }).await.unwrap());
            handle.spawn(async move {
                std::future::pending::<()>().await;
                drop(sender);
            });
        }
        threads.push(thread::current().id());
        threads.sort_unstable_by_key(|id| format!("{id:?}"));
        threads.dedup();
        assert_eq!(threads.len(), workers.handles().len() + 1);
        drop(workers);
        for end in ended {
            assert!(timeout(PATIENCE, end).await.unwrap().is_err());
        }
    }
}
