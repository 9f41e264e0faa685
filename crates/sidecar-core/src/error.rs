//! The errors a caller can meet, and the typed refusals and failures inside the stacks.

use std::fmt;
use std::time::Duration;

use http::StatusCode;

use crate::callers::CallerRefusal;
use crate::clock::Instant;
use crate::ingest::ScanError;
use crate::verdict::{CallerMessage, Verdict};

/// Any error, as the layers pass it along.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a request got no answer from a provider. [`crate::openai::error_response`] turns it into
/// the answer a caller sees.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The body is not what it should be.
    #[error("{0}")]
    InvalidBody(#[from] ScanError),
    /// The request is not what it should be otherwise.
    #[error("{0}")]
    InvalidRequest(&'static str),
    /// The body is over the cap.
    #[error("the request body is larger than {limit} bytes")]
    BodyTooLarge {
        /// The cap in bytes.
        limit: u32,
    },
    /// The body did not arrive.
    #[error("the request body did not arrive in time or was cut")]
    BodyUnreadable,
    /// The path is not one of ours.
    #[error("there is nothing at this path")]
    UnknownPath,
    /// No provider maps this model.
    #[error("the model {0:?} does not exist or no provider serves it on this endpoint")]
    UnknownModel(String),
    /// The provider said that the caller is at fault.
    #[error("the provider refused the request")]
    CallerFault {
        /// The provider's status.
        status: StatusCode,
        /// Its message, in our four fields.
        message: Box<CallerMessage>,
    },
    /// Nothing is left that could answer within the caller's patience.
    #[error("all provider pools exhausted")]
    Exhausted {
        /// The soonest that a slot may be free.
        next_available: Option<Duration>,
        /// How many providers the request was sent to.
        attempts: u32,
        /// The `Retry-After` to answer with.
        retry_after: Duration,
    },
    /// The caller's patience ended in the queue.
    #[error("no provider slot became free in time")]
    QueueTimeout,
    /// The caller's patience ended while a provider was at work.
    #[error("the provider did not answer in time")]
    UpstreamTimeout,
    /// The queue is full.
    #[error("too many requests are waiting for a provider slot")]
    QueueFull,
    /// Too many requests are in flight here.
    #[error("too many requests are in flight here")]
    Overloaded,
    /// The caller's own limits say no.
    #[error(transparent)]
    CallerLimit(CallerRefusal),
    /// Something here is broken.
    #[error("internal error")]
    Internal(#[source] BoxError),
}

/// A refusal that means that nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejected {
    /// Who refused.
    pub reason: RejectReason,
    /// The soonest time that it is worth asking again; `None` if it takes an operator.
    pub ready_at: Option<Instant>,
}

/// Who refused, see [`Rejected`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RejectReason {
    /// A cooldown cell is open.
    Cooling,
    /// The rate limit is used up.
    RateLimited,
}

/// An attempt that was made and did not yield an answer.
#[derive(Debug)]
#[non_exhaustive]
pub struct AttemptError {
    /// What it means.
    pub verdict: Verdict,
    /// Whether the provider may have seen the request. If not, its slot is given back.
    pub sent: bool,
    source: Option<BoxError>,
}

impl Error {
    /// The HTTP status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::InvalidBody(_) | Self::InvalidRequest(_) => StatusCode::BAD_REQUEST,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyUnreadable => StatusCode::REQUEST_TIMEOUT,
            Self::UnknownPath | Self::UnknownModel(_) => StatusCode::NOT_FOUND,
            Self::CallerFault { status, .. } => *status,
            Self::Exhausted { .. } | Self::QueueTimeout | Self::QueueFull | Self::Overloaded => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::CallerLimit(refusal) => refusal.status(),
            Self::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The `type` of the answer, in OpenAI's words.
    pub fn error_type(&self) -> &'static str {
        if let Self::CallerLimit(refusal) = self {
            return refusal.error_type();
        }
        if self.status().is_client_error() { "invalid_request_error" } else { "server_error" }
    }

    /// The `code` of the answer.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidBody(error) => error.code(),
            Self::InvalidRequest(_) => "invalid_request",
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::BodyUnreadable => "body_unreadable",
            Self::UnknownPath => "unknown_path",
            Self::UnknownModel(_) => "model_not_found",
            Self::CallerFault { .. } => "provider_refused",
            Self::Exhausted { .. } => "all_pools_exhausted",
            Self::QueueTimeout => "queue_timeout",
            Self::CallerLimit(refusal) => refusal.code(),
            Self::UpstreamTimeout => "upstream_timeout",
            Self::QueueFull | Self::Overloaded => "overloaded",
            Self::Internal(_) => "internal_error",
        }
    }

    /// The `Retry-After` of the answer.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Exhausted { retry_after, .. } => Some(*retry_after),
            Self::CallerLimit(refusal) => refusal.retry_after(),
            Self::QueueFull | Self::Overloaded => Some(Duration::from_secs(1)),
            _ => None,
        }
    }
}

impl Rejected {
    /// A refusal for `reason` until `ready_at`.
    pub fn new(reason: RejectReason, ready_at: Option<Instant>) -> Self {
        Self { reason, ready_at }
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.reason {
            RejectReason::Cooling => "the provider is cooling down",
            RejectReason::RateLimited => "the provider's rate limit is used up",
        })
    }
}

impl std::error::Error for Rejected {}

impl AttemptError {
    /// A failure with `verdict`; `sent` says whether the provider may have seen the request.
    pub fn new(verdict: Verdict, sent: bool, source: Option<BoxError>) -> Self {
        Self { verdict, sent, source }
    }
}

impl fmt::Display for AttemptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attempt failed: {}", self.verdict.class.kind())
    }
}

impl std::error::Error for AttemptError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
