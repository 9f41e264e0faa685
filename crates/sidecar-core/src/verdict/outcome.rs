//! Reading a [`Verdict`] from what a service returned.

use http::Response;

use super::{Verdict, judge};
use crate::error::{AttemptError, BoxError, Rejected};
use crate::provider::Api;

/// What became of a call, as a layer sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A layer further in refused it: nothing was sent.
    Rejected(Rejected),
    /// It was sent, or at least tried.
    Attempted(Verdict),
}

impl Outcome {
    /// The outcome of `result`: the verdict that [`crate::first_byte::FirstByte`] left on the
    /// response or the error; of a service without it, what status and headers alone say.
    pub fn of<B>(result: &Result<Response<B>, BoxError>) -> Self {
        match result {
            Ok(response) => Self::Attempted(Verdict::of_response(response)),
            Err(error) => match error.downcast_ref::<Rejected>() {
                Some(rejected) => Self::Rejected(*rejected),
                None => Self::Attempted(
                    error
                        .downcast_ref::<AttemptError>()
                        .map_or_else(Verdict::transport, |error| error.verdict.clone()),
                ),
            },
        }
    }
}

impl Verdict {
    fn of_response<B>(response: &Response<B>) -> Self {
        response.extensions().get::<Self>().cloned().unwrap_or_else(|| {
            // Needed only where a header names a moment in place of a wait.
            let now = crate::clock::Clock::system().wall();
            judge(response.status(), response.headers(), &[], Api::default(), now)
        })
    }
}
