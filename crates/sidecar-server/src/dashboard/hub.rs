//! [`Hub`]: one look a second for all who watch.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use sidecar_core::Sidecar;
use sidecar_core::admin::{Admin, AdminError};
use sidecar_core::clock::{Clock, Instant};
use tokio::runtime::Handle;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

use super::patch::{diff, without_nulls};
use super::slots::Slots;

/// Looks how everything stands while anybody watches, once a second for all of them, and tells
/// what has changed. It does so on the runtime that it was given, whichever its viewers are on.
/// Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Hub(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    admin: Admin,
    clock: Clock,
    started: Instant,
    runtime: Handle,
    slots: Slots,
    events: broadcast::Sender<Bytes>,
    latest: Mutex<Latest>,
    /// Held while the first look is taken, so that there is never more than one who looks.
    starting: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Latest {
    state: Value,
    /// Counts the states there were.
    revision: u64,
    /// Whoever looks, or has looked until its runtime ended.
    looking: Option<JoinHandle<()>>,
}

impl Hub {
    /// Looks on `runtime`.
    pub(crate) fn new(sidecar: &Sidecar, started: Instant, runtime: Handle) -> Self {
        Self(Arc::new(Inner {
            admin: sidecar.admin(),
            clock: sidecar.pools().clock().clone(),
            started,
            runtime,
            slots: Slots::default(),
            events: broadcast::channel(BACKLOG).0,
            latest: Mutex::default(),
            starting: tokio::sync::Mutex::default(),
        }))
    }

    pub(super) fn slots(&self) -> &Slots {
        &self.0.slots
    }

    /// The state as an event, and the events that come after it.
    pub(super) async fn subscribe(
        &self,
    ) -> Result<(Bytes, broadcast::Receiver<Bytes>), AdminError> {
        let _one_at_a_time = self.0.starting.lock().await;
        // Subscribed first, so that whoever looks goes on looking.
        let events = self.0.events.subscribe();
        if !self.0.latest().is_live() {
            let state = self.0.look().await?;
            let mut latest = self.0.latest();
            latest.state = state;
            latest.revision += 1;
            latest.looking = Some(self.0.runtime.spawn(run(self.0.clone())));
        }
        let resumed = self.resume();
        // Not before: whoever looks could find nobody and stop, just before there is somebody.
        drop(events);
        Ok(resumed)
    }

    /// The same for one who has missed some: the state as it is known.
    pub(super) fn resume(&self) -> (Bytes, broadcast::Receiver<Bytes>) {
        // Events are sent under the same lock, so none is missed and none comes twice.
        let latest = self.0.latest();
        (self.0.snapshot(&latest), self.0.events.subscribe())
    }
}

impl Latest {
    /// Whether somebody looks. A task that has panicked, or lost its runtime, does not.
    fn is_live(&self) -> bool {
        self.looking.as_ref().is_some_and(|looking| !looking.is_finished())
    }
}

impl Inner {
    async fn look(&self) -> Result<Value, AdminError> {
        let view = self.admin.live().await?;
        Ok(without_nulls(serde_json::to_value(view).unwrap_or_default()))
    }

    fn snapshot(&self, latest: &Latest) -> Bytes {
        let mut state = latest.state.clone();
        if let Value::Object(members) = &mut state {
            members.insert("version".to_owned(), env!("CARGO_PKG_VERSION").into());
            let uptime = (self.clock.now() - self.started).as_secs();
            members.insert("uptime_seconds".to_owned(), uptime.into());
            members.insert("time".to_owned(), json!(self.clock.wall()));
        }
        event("snapshot", latest.revision, &state)
    }

    /// A poisoned mutex guards a state that is valid at every step.
    fn latest(&self) -> MutexGuard<'_, Latest> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what `state` changes, or that there is nothing to say; whether anybody listens.
    fn publish(&self, state: Option<Value>, is_tick: bool) -> bool {
        let mut latest = self.latest();
        let change = state.and_then(|state| {
            let change = diff(&latest.state, &state)?;
            latest.state = state;
            latest.revision += 1;
            Some(event("change", latest.revision, &change))
        });
        if let Some(change) = change {
            // Without listeners it is heard by nobody, which is seen to below.
            let _ = self.events.send(change);
        }
        if is_tick {
            let _ = self.events.send(Bytes::from_static(TICK));
        }
        let is_heard = self.events.receiver_count() > 0;
        if !is_heard {
            latest.looking = None;
        }
        is_heard
    }
}

async fn run(inner: Arc<Inner>) {
    let mut beat = 0_u64;
    loop {
        inner.clock.sleep_until(inner.clock.now() + INTERVAL).await;
        beat += 1;
        // A store that cannot be read is shown by its state as soon as there is one.
        let state = inner.look().await.ok();
        if !inner.publish(state, beat.is_multiple_of(BEATS_PER_TICK)) {
            return;
        }
    }
}

fn event(name: &str, revision: u64, data: &Value) -> Bytes {
    format!("event: {name}\nid: {revision}\ndata: {data}\n\n").into()
}

const INTERVAL: Duration = Duration::from_secs(1);
/// A page that has not heard anything for much longer than this is out of touch.
const BEATS_PER_TICK: u64 = 5;
const TICK: &[u8] = b"event: tick\ndata: {}\n\n";
/// Events that a slow listener may be behind before it gets a snapshot.
const BACKLOG: usize = 16;

#[cfg(test)]
mod tests {
    use tokio::runtime::Builder;

    use super::*;

    async fn hub(runtime: Handle) -> Hub {
        let clock = Clock::simulated();
        let sidecar = Sidecar::builder().clock(clock.clone()).open().await.unwrap();
        Hub::new(&sidecar, clock.now(), runtime)
    }

    /// The next event that is no tick. Paused time runs while the store is at work.
    async fn next_change(events: &mut broadcast::Receiver<Bytes>) -> String {
        loop {
            let event = events.recv().await.unwrap();
            if event != TICK {
                return text(event);
            }
        }
    }

    fn text(event: Bytes) -> String {
        String::from_utf8(event.to_vec()).unwrap()
    }

    fn provider(name: &str) -> sidecar_core::provider::ProviderPatch {
        let url = "http://127.0.0.1:9/v1";
        let json = json!({"name": name, "api_base_url": url, "api_key": "sk-0123456789abcdef"});
        serde_json::from_value(json).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn everybody_hears_the_same_changes_after_a_snapshot() {
        let hub = hub(Handle::current()).await;
        let (first, mut one) = hub.subscribe().await.unwrap();
        let first = text(first);
        assert!(first.starts_with("event: snapshot\nid: 1\n") && first.contains("uptime_seconds"));
        let (_, mut two) = hub.subscribe().await.unwrap();
        let admin = hub.0.admin.clone();
        let adding = tokio::spawn(async move { admin.add_provider(provider("nim")).await });
        // Both listen all the time: the paused time runs on while the store is at work.
        let (change, same) = tokio::join!(next_change(&mut one), next_change(&mut two));
        adding.await.unwrap().unwrap();
        assert!(change.starts_with("event: change\nid: 2\n") && change.contains("nim"), "{change}");
        assert!(!change.contains("queue_depth"), "{change}");
        assert_eq!(same, change);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_looks_while_nobody_watches() {
        let hub = hub(Handle::current()).await;
        let (_, events) = hub.subscribe().await.unwrap();
        drop(events);
        tokio::time::sleep(INTERVAL * 2).await;
        assert!(!hub.0.latest().is_live());
        // And whoever comes then gets what is true then.
        hub.0.admin.add_provider(provider("late")).await.unwrap();
        let (snapshot, mut events) = hub.subscribe().await.unwrap();
        assert!(text(snapshot).contains("late"));
        assert_eq!(events.recv().await.unwrap(), TICK);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_shown_what_was_seen_before_the_runtime_ended() {
        let other = Builder::new_current_thread().enable_time().build().unwrap();
        let hub = hub(other.handle().clone()).await;
        let (_, _events) = hub.subscribe().await.unwrap();
        assert_eq!(other.metrics().num_alive_tasks(), 1);
        other.shutdown_background();
        assert!(!hub.0.latest().is_live());
        hub.0.admin.add_provider(provider("late")).await.unwrap();
        let (snapshot, _) = hub.subscribe().await.unwrap();
        assert!(text(snapshot).contains("late"));
    }
}
