//! A backup a day, also across restarts.

use std::time::Duration;

use http::StatusCode;
use sidecar_core::Sidecar;

/// Makes a backup whenever the newest one is a day old. Never ends.
pub(crate) async fn run(sidecar: Sidecar) {
    let (admin, clock) = (sidecar.admin(), sidecar.pools().clock().clone());
    let mut wait = CHECK;
    loop {
        clock.sleep_until(clock.now() + wait).await;
        wait = match admin.make_due_backup().await {
            // Somebody else is making one.
            Err(error) if error.status() == StatusCode::CONFLICT => CHECK,
            // It has been said in the log, and `GET /backup` says it.
            Err(_) => RETRY,
            Ok(_) => CHECK,
        };
    }
}

/// How often the newest one is looked at. A long sleep would not see that the wall clock jumped,
/// nor that the machine slept.
const CHECK: Duration = Duration::from_secs(60);
/// A full disk is not filled a second time at once.
const RETRY: Duration = Duration::from_secs(15 * 60);
