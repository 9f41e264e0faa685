//! [`ResponseFuture`].

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use pin_project_lite::pin_project;

use super::CellSet;
use super::cell_set::{Pass, Settlement};
use crate::clock::Clock;
use crate::error::{AttemptError, BoxError, Rejected};
use crate::random;
use crate::verdict::{Class, Outcome, Verdict};

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
    caller: u64,
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
                    let answered = match &result {
                        Ok(_) => true,
                        Err(error) => error.downcast_ref::<AttemptError>().is_some_and(is_answer),
                    };
                    guard.settle(&verdict, answered);
                }
                Poll::Ready(result)
            }
        }
    }
}

impl Guard {
    pub(super) fn new(cells: CellSet, pass: Pass, caller: u64, clock: Clock) -> Self {
        Self { cells, pass: Some(pass), caller, clock }
    }

    fn settle(mut self, verdict: &Verdict, answered: bool) {
        if let Some(pass) = self.pass.take() {
            let (caller, jitter) = (Some(self.caller), random::unit());
            let settlement = Settlement { verdict, answered, caller, jitter };
            self.cells.settle(pass, settlement, self.clock.now());
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

/// Whether there was an answer, if a bad one.
fn is_answer(error: &AttemptError) -> bool {
    let is_silence =
        matches!(error.verdict.class, Class::Timeout | Class::Transport | Class::Unreachable);
    error.sent && !is_silence
}
