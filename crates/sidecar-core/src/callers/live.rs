//! A caller with its live state.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::budget::Spending;
use super::pace::Pace;
use super::tasks::Tasks;
use super::{CallerPermit, CallerRecord, CallerRefusal, Rounds, Usd, is_task_id};
use crate::call::Caller;
use crate::clock::{Instant, Timestamp};

/// A caller as it is configured now, with the state that outlives a change.
#[derive(Debug)]
pub struct LiveCaller {
    record: CallerRecord,
    name: Arc<str>,
    pub(super) state: Arc<State>,
}

/// What a caller asks for.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Admit<'a> {
    /// The model it names.
    pub model: Option<&'a str>,
    /// The task the request belongs to; what [`is_task_id`] refuses is no task.
    pub task: Option<&'a str>,
    /// What it may cost, in pico-USD; 0 if there is no price.
    pub estimate_pico: u128,
    /// Now.
    pub now: Instant,
    /// Now, by the calendar.
    pub wall: Timestamp,
}

/// How a caller stands at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct LiveNumbers {
    /// Requests under way.
    pub in_flight: u32,
    /// What it has paid since midnight UTC.
    pub spent_today_usd: Usd,
    /// What it has paid since the first of the month, UTC.
    pub spent_month_usd: Usd,
    /// What the requests under way may still cost.
    pub reserved_usd: Usd,
    /// Requests that would be admitted at once; `None` without a limit.
    pub rpm_remaining: Option<u32>,
    /// Tasks that are counted.
    pub tasks: usize,
}

/// What is counted of a caller. Clones of its `Arc` are held by every snapshot and every permit.
#[derive(Debug, Default)]
pub(super) struct State(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    in_flight: u32,
    spending: Spending,
    pace: Option<Pace>,
    tasks: Tasks,
}

impl<'a> Admit<'a> {
    /// A request for `model`, of no task and without a price.
    pub fn new(model: Option<&'a str>, now: Instant, wall: Timestamp) -> Self {
        Self { model, task: None, estimate_pico: 0, now, wall }
    }

    /// The same as a part of `task`.
    #[must_use]
    pub fn task(self, task: Option<&'a str>) -> Self {
        Self { task, ..self }
    }

    /// The same with what it may cost, in pico-USD.
    #[must_use]
    pub fn estimate(self, estimate_pico: u128) -> Self {
        Self { estimate_pico, ..self }
    }
}

impl LiveCaller {
    pub(super) fn new(record: CallerRecord, state: Arc<State>) -> Self {
        let name = Arc::from(record.name.as_str());
        Self { record, name, state }
    }

    /// Its configuration.
    pub fn record(&self) -> &CallerRecord {
        &self.record
    }

    /// The name usage is booked under.
    pub fn caller(&self) -> Caller {
        Caller(self.name.clone())
    }

    /// Whether it may use `model`.
    pub fn may_use(&self, model: &str) -> bool {
        self.record.allows(Some(model))
    }

    /// Whether what it spends is limited, so that it matters what a request may cost.
    pub(crate) fn has_budget(&self) -> bool {
        self.record.budget_daily.is_some() || self.record.budget_monthly.is_some()
    }

    /// Asks all limits at once. What is refused counts against none of them.
    ///
    /// # Errors
    ///
    /// The first limit that refuses, those first that no waiting helps.
    pub fn admit(&self, request: &Admit<'_>) -> Result<CallerPermit, CallerRefusal> {
        let Admit { model, task, estimate_pico, now, wall } = *request;
        let record = &self.record;
        if !record.enabled {
            return Err(CallerRefusal::Disabled);
        }
        if record.is_expired(wall) {
            return Err(CallerRefusal::Expired);
        }
        if !record.allows(model) {
            return Err(CallerRefusal::Model);
        }
        let task = record.max_rounds.zip(task.filter(|task| is_task_id(task)));

        // Nothing is taken before the last of them has agreed.
        let mut state = self.state.inner();
        if let Some((max, task)) = task {
            let checked = state.tasks.check(task, max, now);
            checked.map_err(|retry_after| CallerRefusal::Rounds { retry_after })?;
        }
        let checked = state.spending.check(record.budget(), estimate_pico, wall);
        checked.map_err(|retry_after| CallerRefusal::Budget { retry_after })?;
        if record.concurrency.is_some_and(|most| state.in_flight >= most.get()) {
            return Err(CallerRefusal::Concurrency);
        }
        if let Some(rpm) = record.rpm {
            let admitted = state.pace(rpm, now).admit(now);
            admitted.map_err(|due| CallerRefusal::Rate { retry_after: due - now })?;
        }
        state.in_flight = state.in_flight.saturating_add(1);
        state.spending.reserve(estimate_pico);
        let rounds =
            task.map(|(max, task)| Rounds { used: state.tasks.count(task, now), max: max.get() });
        Ok(CallerPermit::new(self.state.clone(), estimate_pico, rounds))
    }

    /// How it stands.
    pub fn numbers(&self, now: Instant, wall: Timestamp) -> LiveNumbers {
        let mut state = self.state.inner();
        let (spent_today_usd, spent_month_usd, reserved_usd) = state.spending.sums(wall);
        LiveNumbers {
            in_flight: state.in_flight,
            spent_today_usd,
            spent_month_usd,
            reserved_usd,
            rpm_remaining: self.record.rpm.map(|rpm| state.pace(rpm, now).free(now)),
            tasks: state.tasks.len(now),
        }
    }
}

impl State {
    /// Counts `cost`, of which `covered` was reserved.
    pub(super) fn settle(&self, covered: u128, cost: u128, wall: Timestamp) {
        let mut state = self.inner();
        state.spending.release(covered);
        state.spending.pay(cost, wall);
    }

    /// Counts what an earlier run has paid.
    pub(super) fn seed(&self, cost: u128, wall: Timestamp) {
        self.inner().spending.pay_past(cost, wall);
    }

    /// One request has ended, and `reserved` was not needed.
    pub(super) fn leave(&self, reserved: u128) {
        let mut state = self.inner();
        state.in_flight = state.in_flight.saturating_sub(1);
        state.spending.release(reserved);
    }

    /// A poisoned mutex guards plain counts that are valid at every step.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// The rate limit, at `rpm` from now on.
    fn pace(&mut self, rpm: NonZeroU32, now: Instant) -> &mut Pace {
        let pace = self.pace.get_or_insert_with(|| Pace::new(rpm));
        pace.set_rpm(rpm, now);
        pace
    }
}
