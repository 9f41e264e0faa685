//! [`ResponseFuture`].

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use http_body::Body;

use super::DrainBody;
use super::body::read_on;
use super::heir::{Heir, Rest};

/// The future of [`super::Drain`]. Dropped between its first poll, which sends the request, and the
/// answer, it is waited for without its caller, and then its body is read on.
#[derive(Debug)]
pub struct ResponseFuture<F> {
    rest: Rest<F>,
    /// Takes over as soon as there is something to be taken over.
    heir: Option<Heir>,
}

impl<F> ResponseFuture<F> {
    pub(super) fn new<B, E>(inner: F, heir: Option<Heir>) -> Self
    where
        F: Future<Output = Result<Response<B>, E>> + Send + 'static,
        B: Body + Send + Unpin + 'static,
        E: 'static,
    {
        Self { rest: Rest::new(inner, None, take_over::<F, B, E>), heir }
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>> + Unpin,
    B: Body + Send + Unpin + 'static,
{
    type Output = Result<Response<DrainBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let Some(heir) = this.heir.take() {
            this.rest.leave_to(heir);
        }
        let result = ready!(Pin::new(this.rest.get_mut()).poll(cx));
        let heir = this.rest.take_heir();
        Poll::Ready(result.map(|response| {
            let heir = heir.filter(|_| response.status().is_success());
            let heir = heir.map(|heir| heir.asking(response.extensions().get().cloned()));
            response.map(|body| DrainBody::new(body, heir))
        }))
    }
}

fn take_over<F, B, E>(future: F, heir: Heir)
where
    F: Future<Output = Result<Response<B>, E>> + Send + 'static,
    B: Body + Send + Unpin + 'static,
    E: 'static,
{
    heir.spawn(async move {
        let Ok(response) = future.await else { return };
        if response.status().is_success() {
            read_on(response.into_body()).await;
        }
    });
}
