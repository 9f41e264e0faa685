//! [`ResponseFuture`].

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::{Limiter, Slot};
use crate::error::{AttemptError, BoxError, Rejected};

pin_project! {
    /// The future of [`super::RateLimit`].
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
        Admitted { #[pin] future: F, limiter: Limiter, slot: Option<Slot> },
    }
}

impl<F> ResponseFuture<F> {
    pub(super) fn admitted(future: F, limiter: Limiter, slot: Slot) -> Self {
        Self { state: State::Admitted { future, limiter, slot: Some(slot) } }
    }

    pub(super) fn refused(rejected: Rejected) -> Self {
        Self { state: State::Refused { rejected } }
    }
}

impl<F, T, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<T, E>>,
    E: Into<BoxError>,
{
    type Output = Result<T, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Refused { rejected } => Poll::Ready(Err((*rejected).into())),
            StateProj::Admitted { future, limiter, slot } => {
                let result = ready!(future.poll(cx)).map_err(Into::into);
                // A caller who leaves drops this future, and the slot stays taken: the request
                // may be on its way.
                if let (Some(slot), Err(error)) = (slot.take(), &result)
                    && never_sent(error)
                {
                    limiter.give_back(slot);
                }
                Poll::Ready(result)
            }
        }
    }
}

fn never_sent(error: &BoxError) -> bool {
    error.is::<Rejected>() || error.downcast_ref::<AttemptError>().is_some_and(|error| !error.sent)
}
