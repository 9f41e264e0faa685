//! How the agents fare, from what they send.
//!
//! An agent is who a request is booked under: a caller with a key, or the name that one without a
//! key gives itself. A request counts from when it is complete until its answer has ended,
//! whatever it took on the way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;

use crate::call::Head;
use crate::clock::{Clock, Instant};

/// All agents of whom there is something to say. A caller with a key stays; a name that is only
/// given goes an hour after its last request, and there are at most [`MOST_NAMES`] of those: the
/// rest goes under [`OTHER`].
#[derive(Debug, Default)]
pub(crate) struct Agents(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    agents: HashMap<Arc<str>, Entry>,
    /// How many of `agents` have no key.
    named: usize,
    /// When it is worth looking for room again.
    next_sweep: Option<Instant>,
}

#[derive(Debug)]
struct Entry {
    agent: Arc<Agent>,
    has_key: bool,
}

/// One agent.
#[derive(Debug, Default)]
struct Agent(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    label: String,
    pending: u32,
    last_seen: Option<Instant>,
    /// Since when it asks without a good answer.
    stuck_since: Option<Instant>,
    window: Window,
}

/// Sums over the requests that ended in the last five minutes.
#[derive(Debug, Default)]
struct Window([Slot; SLOTS]);

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Slot {
    /// Which stretch of time it is about.
    number: u64,
    requests: u32,
    limited: u32,
    seconds: f64,
}

/// One request of an agent. Dropped, it has ended; unless it is told otherwise, its caller left.
#[derive(Debug)]
pub(crate) struct AgentRequest {
    agent: Arc<Agent>,
    clock: Clock,
    started: Instant,
    is_good: bool,
    is_limited: bool,
}

/// How an agent fares at a moment.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct AgentView {
    pub(super) name: Arc<str>,
    /// What the operator wrote beside its name.
    pub(super) label: String,
    /// Whether it has asked for anything lately, or waits for an answer.
    pub(super) is_alive: bool,
    /// For how long it has asked without a good answer.
    pub(super) stagnation: Duration,
    /// The part of its requests answered with 429.
    pub(super) limited: f64,
    /// The mean time to the end of an answer, in seconds.
    pub(super) response_time: f64,
    /// Requests that wait or are under way.
    pub(super) pending: u32,
}

impl Agents {
    /// A request has come.
    pub(crate) fn begin(&self, head: &Head, clock: &Clock) -> AgentRequest {
        let label = head.live_caller.as_ref().map(|caller| caller.record().label.as_deref());
        let agent = self.agent(&head.caller.0, label.is_some(), head.received);
        agent.begin(label.flatten().unwrap_or_default(), head.received);
        let (clock, started) = (clock.clone(), head.received);
        AgentRequest { agent, clock, started, is_good: false, is_limited: false }
    }

    /// How each of them fares, by name.
    pub(super) fn views(&self, now: Instant) -> Vec<AgentView> {
        let mut known = self.known();
        known.sweep(now);
        let mut views: Vec<_> =
            known.agents.iter().map(|(name, entry)| entry.agent.view(name, now)).collect();
        drop(known);
        views.sort_by(|one, other| one.name.cmp(&other.name));
        views
    }

    fn agent(&self, name: &Arc<str>, has_key: bool, now: Instant) -> Arc<Agent> {
        let mut known = self.known();
        if let Some(entry) = known.agents.get(name) {
            return entry.agent.clone();
        }
        if has_key {
            return known.add(name.clone(), true);
        }
        if known.named >= MOST_NAMES && known.next_sweep.is_none_or(|at| at <= now) {
            known.sweep(now);
        }
        if known.named < MOST_NAMES {
            return known.add(name.clone(), false);
        }
        match known.agents.get(OTHER) {
            Some(entry) => entry.agent.clone(),
            None => known.add(OTHER.into(), true),
        }
    }

    /// Nothing under this lock can panic between two changes that belong together.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn add(&mut self, name: Arc<str>, has_key: bool) -> Arc<Agent> {
        let agent = Arc::new(Agent::default());
        self.named += usize::from(!has_key);
        self.agents.insert(name, Entry { agent: agent.clone(), has_key });
        agent
    }

    fn sweep(&mut self, now: Instant) {
        self.next_sweep = Some(now + SWEEP_PAUSE);
        self.agents.retain(|_, entry| entry.has_key || !entry.agent.is_forgettable(now));
        self.named = self.agents.values().filter(|entry| !entry.has_key).count();
    }
}

impl Agent {
    fn begin(&self, label: &str, now: Instant) {
        let mut state = self.state();
        if state.label != label {
            label.clone_into(&mut state.label);
        }
        if !state.is_alive(now) {
            // It begins anew: what it had not got before does not count.
            state.stuck_since = None;
        }
        state.pending = state.pending.saturating_add(1);
        state.last_seen = Some(now);
        state.stuck_since.get_or_insert(now);
    }

    fn end(&self, request: &AgentRequest, now: Instant) {
        let mut state = self.state();
        state.pending = state.pending.saturating_sub(1);
        if request.is_good {
            state.stuck_since = (state.pending > 0).then_some(now);
        }
        state.window.add(now, request.is_limited, now - request.started);
    }

    fn is_forgettable(&self, now: Instant) -> bool {
        let state = self.state();
        state.pending == 0 && state.last_seen.is_none_or(|at| now - at >= KEPT)
    }

    fn view(&self, name: &Arc<str>, now: Instant) -> AgentView {
        let state = self.state();
        let is_alive = state.is_alive(now);
        let stuck = state.stuck_since.filter(|_| is_alive);
        let sum = state.window.sum(now);
        let requests = f64::from(sum.requests.max(1));
        AgentView {
            name: name.clone(),
            label: state.label.clone(),
            is_alive,
            stagnation: stuck.map_or(Duration::ZERO, |since| now - since),
            limited: f64::from(sum.limited) / requests,
            response_time: sum.seconds / requests,
            pending: state.pending,
        }
    }

    /// A poisoned mutex guards plain counts that are valid at every step.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_alive(&self, now: Instant) -> bool {
        self.pending > 0 || self.last_seen.is_some_and(|at| now - at < WINDOW)
    }
}

impl Window {
    fn add(&mut self, now: Instant, is_limited: bool, took: Duration) {
        let number = slot_number(now);
        let slot = &mut self.0[(number % SLOTS as u64) as usize];
        if slot.number != number {
            *slot = Slot { number, ..Slot::default() };
        }
        slot.requests = slot.requests.saturating_add(1);
        slot.limited = slot.limited.saturating_add(is_limited.into());
        slot.seconds += took.as_secs_f64();
    }

    fn sum(&self, now: Instant) -> Slot {
        let number = slot_number(now);
        let recent = self.0.iter().filter(|slot| slot.number + SLOTS as u64 > number);
        recent.fold(Slot { number, ..Slot::default() }, |sum, slot| Slot {
            number,
            requests: sum.requests.saturating_add(slot.requests),
            limited: sum.limited.saturating_add(slot.limited),
            seconds: sum.seconds + slot.seconds,
        })
    }
}

impl AgentRequest {
    /// It has an answer, which has begun.
    pub(crate) fn answered(&mut self) {
        self.is_good = true;
    }

    /// It got none; this is the status of what it gets instead.
    pub(crate) fn refused(&mut self, status: StatusCode) {
        self.is_limited = status == StatusCode::TOO_MANY_REQUESTS;
    }

    /// Its answer broke after it had begun.
    pub(crate) fn broke(&mut self) {
        self.is_good = false;
    }
}

impl Drop for AgentRequest {
    fn drop(&mut self) {
        self.agent.end(self, self.clock.now());
    }
}

fn slot_number(now: Instant) -> u64 {
    now.as_nanos() / SLOT_NANOS
}

/// What stands for names that there is no room for.
const OTHER: &str = "(other)";
/// How many names without a key are told apart.
const MOST_NAMES: usize = 200;
/// How long a name without a key is kept.
const KEPT: Duration = Duration::from_secs(3_600);
const SWEEP_PAUSE: Duration = Duration::from_secs(60);
/// What counts as lately.
const WINDOW: Duration = Duration::from_secs(300);
const SLOTS: usize = 10;
const SLOT_NANOS: u64 = WINDOW.as_nanos() as u64 / SLOTS as u64;

#[cfg(test)]
#[path = "tests/agents.rs"]
mod tests;
