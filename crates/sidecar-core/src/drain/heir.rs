//! [`Rest`]: what is left when a caller leaves, and [`Heir`]: who takes it over.

use std::future::Future;
use std::sync::{Arc, Weak};

use super::Drains;
use crate::usage::Report;

/// Who reads an answer on when its caller has left.
#[derive(Clone, Debug)]
pub(super) struct Heir {
    drains: Drains,
    /// Held while an answer is read on, and not before, so that no request counts twice.
    guard: Weak<()>,
    /// Says whether the answer has come to its end for the caller, whatever its body still does.
    report: Option<Report>,
}

/// A part of an answer that is taken over when it is dropped, by its heir if it has one.
#[derive(Debug)]
pub(super) struct Rest<T> {
    /// There until it is dropped.
    inner: Option<T>,
    heir: Option<Heir>,
    /// Known where the bounds are that it takes, so that the types around it need none.
    take_over: fn(T, Heir),
}

impl Heir {
    pub(super) fn new(drains: Drains) -> Self {
        Self { drains, guard: Weak::new(), report: None }
    }

    pub(super) fn holding(self, guard: &Arc<()>) -> Self {
        Self { guard: Arc::downgrade(guard), ..self }
    }

    pub(super) fn asking(self, report: Option<Report>) -> Self {
        Self { report, ..self }
    }

    /// Whether the caller has left before the end, so that there is something to be read on for.
    pub(super) fn is_needed(&self) -> bool {
        self.report.as_ref().is_none_or(|report| report.ended().is_none())
    }

    /// Does `reading` in a task, if there is a place for it.
    pub(super) fn spawn(self, reading: impl Future<Output = ()> + Send + 'static) {
        self.drains.spawn(reading, self.guard.upgrade());
    }
}

impl<T> Rest<T> {
    pub(super) fn new(inner: T, heir: Option<Heir>, take_over: fn(T, Heir)) -> Self {
        Self { inner: Some(inner), heir, take_over }
    }

    pub(super) fn get(&self) -> &T {
        self.inner.as_ref().expect(UNTIL_DROPPED)
    }

    pub(super) fn get_mut(&mut self) -> &mut T {
        self.inner.as_mut().expect(UNTIL_DROPPED)
    }

    /// From now on `heir` takes over what is left.
    pub(super) fn leave_to(&mut self, heir: Heir) {
        self.heir = Some(heir);
    }

    /// There is nothing left to take over.
    pub(super) fn take_heir(&mut self) -> Option<Heir> {
        self.heir.take()
    }
}

impl<T> Drop for Rest<T> {
    fn drop(&mut self) {
        if let (Some(inner), Some(heir)) = (self.inner.take(), self.heir.take()) {
            (self.take_over)(inner, heir);
        }
    }
}

const UNTIL_DROPPED: &str = "only the drop takes it out";
