//! [`Counting`].

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::timeout;

/// Allocations of the whole process are counted for as long as this lives. There is one at a time:
/// who wants the next one waits, and allocates nothing meanwhile.
pub(crate) struct Counting {
    // Ends before the next one may begin, because fields are dropped in this order.
    _profiler: dhat::Profiler,
    _alone: MutexGuard<'static, ()>,
}

impl Counting {
    pub(crate) fn start() -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        // A test that failed has left nothing behind that another one looks at.
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody reads the traces, and to take long ones is slow.
        let profiler = dhat::Profiler::builder().testing().trim_backtraces(Some(4)).build();
        Self { _profiler: profiler, _alone: alone }
    }

    /// Allocations so far; one that is made larger or smaller counts again.
    pub(crate) fn allocations(&self) -> u64 {
        dhat::HeapStats::get().total_blocks
    }

    /// Bytes that are not freed yet.
    pub(crate) fn live_bytes(&self) -> usize {
        dhat::HeapStats::get().curr_bytes
    }
}

/// What `work` yields, all of it on this thread, so that it goes the same way every time.
pub(crate) fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { timeout(PATIENCE, work).await }).expect("an end in time")
}

/// Far beyond what anything here takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
