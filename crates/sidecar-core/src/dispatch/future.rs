//! [`ResponseFuture`].

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::sent::{is_unreachable, never_sent};
use crate::error::{AttemptError, BoxError};
use crate::verdict::{Class, Verdict};

pin_project! {
    /// The future of [`super::Dispatch`]. Its errors are [`AttemptError`]s.
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
        Sent { #[pin] future: F },
        Unsendable { error: Option<BoxError> },
    }
}

impl<F> ResponseFuture<F> {
    pub(super) fn sent(future: F) -> Self {
        Self { state: State::Sent { future } }
    }

    pub(super) fn unsendable(error: BoxError) -> Self {
        Self { state: State::Unsendable { error: Some(error) } }
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
            StateProj::Sent { future } => Poll::Ready(ready!(future.poll(cx)).map_err(|error| {
                let error = error.into();
                let unreachable = is_unreachable(&error);
                let class = if unreachable { Class::Unreachable } else { Class::Transport };
                let sent = !never_sent(&error);
                AttemptError::new(Verdict::of(class), sent, Some(error)).into()
            })),
            StateProj::Unsendable { error } => {
                let verdict = Verdict::of(Class::CallerFault);
                Poll::Ready(Err(AttemptError::new(verdict, false, error.take()).into()))
            }
        }
    }
}
