//! [`ResponseFuture`].

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use pin_project_lite::pin_project;

use super::body::{Booking, UsageBody};
use super::scan::Scanner;
use crate::error::{AttemptError, BoxError};
use crate::verdict::Outcome;

pin_project! {
    /// The future of [`super::Usage`]. Dropped before it is done, the attempt is booked as failed:
    /// the request may have been sent.
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        inner: F,
        booking: Option<Booking>,
    }
}

impl<F> ResponseFuture<F> {
    pub(super) fn new(inner: F, booking: Booking) -> Self {
        Self { inner, booking: Some(booking) }
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
    B: http_body::Body,
{
    type Output = Result<Response<UsageBody<B>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.inner.poll(cx)).map_err(Into::into);
        let outcome = Outcome::of(&result);
        let booking = this.booking.take();
        match result {
            Ok(response) => {
                let failed = matches!(&outcome, Outcome::Attempted(v) if v.class.is_failure());
                let scanner = Scanner::of(response.headers());
                Poll::Ready(Ok(response.map(|body| UsageBody::new(body, booking, scanner, failed))))
            }
            Err(error) => {
                // What was never sent is not an attempt.
                let sent = match outcome {
                    Outcome::Rejected(_) => false,
                    Outcome::Attempted(_) => {
                        error.downcast_ref::<AttemptError>().is_none_or(|error| error.sent)
                    }
                };
                if let (Some(mut booking), false) = (booking, sent) {
                    booking.cancel();
                }
                Poll::Ready(Err(error))
            }
        }
    }
}
