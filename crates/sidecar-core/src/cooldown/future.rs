//! [`ResponseFuture`].

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use pin_project_lite::pin_project;

use super::CellSet;
use super::cell_set::Pass;
use crate::clock::Clock;
use crate::error::{BoxError, Rejected};
use crate::jitter;
use crate::verdict::{Outcome, Verdict};

pin_project! {
    /// The future of [`super::Cooldown`].
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProj]
    #[derive(Debug)]
    enum State<F> {
        Refused { rejected: Rejected },
        Admitted { #[pin] future: F, guard: Option<Guard> },
    }
}

/// The leave of the cells. Dropped unsettled, it is given back uncounted.
#[derive(Debug)]
pub(super) struct Guard {
    cells: CellSet,
    pass: Option<Pass>,
    clock: Clock,
}

impl<F> ResponseFuture<F> {
    pub(super) fn admitted(future: F, guard: Guard) -> Self {
        Self { state: State::Admitted { future, guard: Some(guard) } }
    }

    pub(super) fn refused(rejected: Rejected) -> Self {
        Self { state: State::Refused { rejected } }
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Response<B>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Refused { rejected } => Poll::Ready(Err((*rejected).into())),
            StateProj::Admitted { future, guard } => {
                let result = ready!(future.poll(cx)).map_err(Into::into);
                if let (Some(guard), Outcome::Attempted(verdict)) =
                    (guard.take(), Outcome::of(&result))
                {
                    guard.settle(&verdict);
                }
                Poll::Ready(result)
            }
        }
    }
}

impl Guard {
    pub(super) fn new(cells: CellSet, pass: Pass, clock: Clock) -> Self {
        Self { cells, pass: Some(pass), clock }
    }

    fn settle(mut self, verdict: &Verdict) {
        if let Some(pass) = self.pass.take() {
            self.cells.settle(pass, verdict, self.clock.now(), jitter::unit());
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(pass) = self.pass.take() {
            self.cells.release(pass, self.clock.now());
        }
    }
}
