//! [`ResponseFuture`].

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use pin_project_lite::pin_project;

use super::body::{Booking, Judged, UsageBody};
use super::report::Report;
use super::scan::Scanner;
use crate::error::{AttemptError, BoxError};
use crate::sse::is_event_stream;
use crate::verdict::{Class, Outcome};

pin_project! {
    /// The future of [`super::Usage`]. Dropped before it is done, the attempt is booked all the
    /// same: the request may have been sent.
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
        let class = match Outcome::of(&result) {
            Outcome::Attempted(verdict) => Some(verdict.class),
            Outcome::Rejected(_) => None,
        };
        let booking = this.booking.take();
        match result {
            Ok(mut response) => {
                let judged = Judged {
                    failed: class.is_some_and(Class::is_failure),
                    is_good: class == Some(Class::Accept),
                    is_possible_duplicate: class.is_some_and(may_have_run),
                };
                let scanner = Scanner::of(response.headers());
                let report = has_open_end(&response).then(Report::default);
                if let Some(report) = &report {
                    response.extensions_mut().insert(report.clone());
                }
                let body = |body| UsageBody::new(body, booking, scanner, judged, report);
                Poll::Ready(Ok(response.map(body)))
            }
            Err(error) => {
                // What was never sent is not an attempt.
                let sent = error.downcast_ref::<AttemptError>().is_none_or(|error| error.sent);
                if let Some(mut booking) = booking {
                    match class {
                        Some(class) if sent => booking.fail(may_have_run(class)),
                        _ => booking.cancel(),
                    }
                }
                Poll::Ready(Err(error))
            }
        }
    }
}

/// Whether there may be more to know of an answer's end than what becomes of its body. Of one that
/// is here already, as most documents are, there is not.
fn has_open_end<B: http_body::Body>(response: &Response<B>) -> bool {
    response.status().is_success()
        && (is_event_stream(response.headers()) || response.body().size_hint().exact().is_none())
}

/// Whether a provider that failed so may have run the request all the same. The other failures are
/// refusals: it says that it did not.
const fn may_have_run(class: Class) -> bool {
    matches!(
        class,
        Class::Overloaded | Class::ServerError | Class::Transport | Class::Timeout | Class::Lying
    )
}
