//! [`ResponseFuture`].

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use pin_project_lite::pin_project;
use sidecar_core::error::{BoxError, Error};
use tokio::sync::OwnedSemaphorePermit;

use super::InFlightBody;

pin_project! {
    /// The future of [`super::InFlight`].
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
        Refused,
        Admitted { #[pin] future: F, permit: Option<OwnedSemaphorePermit> },
    }
}

impl<F> ResponseFuture<F> {
    pub(super) fn admitted(future: F, permit: OwnedSemaphorePermit) -> Self {
        Self { state: State::Admitted { future, permit: Some(permit) } }
    }

    pub(super) fn refused() -> Self {
        Self { state: State::Refused }
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Response<InFlightBody<B>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Refused => Poll::Ready(Err(Error::Overloaded.into())),
            StateProj::Admitted { future, permit } => {
                let response = ready!(future.poll(cx)).map_err(Into::into)?;
                let permit = permit.take();
                Poll::Ready(Ok(response.map(|body| InFlightBody::new(body, permit))))
            }
        }
    }
}
