//! [`CallerPermit`].

use std::sync::{Arc, Mutex, PoisonError};

use super::Rounds;
use super::live::State;
use crate::clock::Timestamp;

/// A caller's leave for one request. It is held until the answer has ended: dropped, it gives back
/// the place under way and what is left of the reservation.
#[derive(Debug)]
#[must_use = "a request is under way for as long as its permit is held"]
pub struct CallerPermit {
    state: Arc<State>,
    /// What is still reserved, in pico-USD.
    reserved: Mutex<u128>,
    rounds: Option<Rounds>,
}

impl CallerPermit {
    pub(super) fn new(state: Arc<State>, reserved: u128, rounds: Option<Rounds>) -> Self {
        Self { state, reserved: Mutex::new(reserved), rounds }
    }

    /// Counts what an attempt has cost, in pico-USD, when it is booked at `wall`. The reservation
    /// shrinks by as much. A request that took several attempts has each of them settled.
    pub fn settle(&self, cost_pico: u128, wall: Timestamp) {
        let mut reserved = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        let covered = cost_pico.min(*reserved);
        *reserved -= covered;
        self.state.settle(covered, cost_pico, wall);
    }

    /// How far the request's task is; `None` if it names none or its caller has no `max_rounds`.
    pub fn rounds(&self) -> Option<Rounds> {
        self.rounds
    }

    /// The value of the warning header, from 80 % of `max_rounds` on.
    pub fn rounds_warning(&self) -> Option<String> {
        self.rounds.filter(Rounds::is_warning).map(|rounds| rounds.to_string())
    }
}

impl Drop for CallerPermit {
    fn drop(&mut self) {
        let left = *self.reserved.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.state.leave(left);
    }
}
