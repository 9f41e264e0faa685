//! Waiting with a limit: no test may hang, and none sleeps for a time that is only hoped for.

use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};

/// What `future` yields; fails the test if that takes too long.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within {PATIENCE:?}"),
    }
}

/// Lets no other test that asks for the same run beside this one: those that are heavy, and those
/// that look at how long something takes.
pub(crate) async fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::const_new(());
    ALONE.lock().await
}

/// What `check` finds at last. For what cannot be awaited: the end of a process, a closed port.
pub(crate) async fn eventually<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    within(what, async {
        loop {
            if let Some(found) = check().await {
                return found;
            }
            tokio::time::sleep(INTERVAL).await;
        }
    })
    .await
}

/// Far beyond what anything here takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
const INTERVAL: Duration = Duration::from_millis(10);
