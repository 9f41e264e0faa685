//! [`Cooldown`].

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Response;
use tower::Service;

use super::CellSet;
use super::cell_set::{Manner, Pass};
use super::future::{Guard, ResponseFuture};
use crate::call::Caller;
use crate::clock::{Clock, Instant};
use crate::error::{BoxError, RejectReason, Rejected};
use crate::usage::Attribution;

/// Refuses a call while a cell rests, and charges the outcome to the cells.
///
/// Readiness is the inner service's: a refusal depends on the moment of the call, and waiting is
/// the pool's business.
#[derive(Clone, Debug)]
pub struct Cooldown<S> {
    inner: S,
    cells: CellSet,
    clock: Clock,
    manner: Manner,
}

impl<S> Cooldown<S> {
    /// Wraps `inner`; see [`super::CooldownLayer`].
    pub fn new(inner: S, cells: CellSet, clock: Clock, lease: Duration) -> Self {
        Self::with_manner(inner, cells, clock, Manner { lease, ..Manner::default() })
    }

    pub(super) fn with_manner(inner: S, cells: CellSet, clock: Clock, manner: Manner) -> Self {
        Self { inner, cells, clock, manner }
    }

    fn admit(&self, now: Instant) -> Result<Pass, Instant> {
        self.cells.admit(now, self.manner).or_else(|ready_at| {
            let early = self.manner.early.then(|| self.cells.admit_early(now, self.manner));
            early.flatten().ok_or(ready_at)
        })
    }
}

impl<S, Req, B> Service<Req> for Cooldown<S>
where
    S: Service<Req, Response = Response<B>>,
    S::Error: Into<BoxError>,
    Req: Attribution,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        match self.admit(self.clock.now()) {
            Ok(pass) => {
                let caller = hash(&request.caller());
                let guard = Guard::new(self.cells.clone(), pass, caller, self.clock.clone());
                ResponseFuture::admitted(self.inner.call(request), guard)
            }
            Err(ready_at) => {
                ResponseFuture::refused(Rejected::new(RejectReason::Cooling, Some(ready_at)))
            }
        }
    }
}

/// Keyed anew in each process, so that nobody can choose a name that looks like another's.
fn hash(caller: &Caller) -> u64 {
    static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    KEYS.hash_one(&caller.0)
}
