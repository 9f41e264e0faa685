//! [`SendError`] and [`BodyError`].

use crate::error::BoxError;

/// Why [`super::HttpsClient`] has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// There is no connection to the provider.
    #[error("cannot connect")]
    Connect(#[source] BoxError),
    /// The connection had ended before any of the request was sent.
    #[error("the connection ended before the request was sent")]
    NotSent(#[source] hyper::Error),
    /// The request was sent, or a part of it, and there is no answer.
    #[error("the connection failed")]
    Failed(#[source] hyper::Error),
    /// There is no answer by HTTP/2. The request was sent, or a part of it, unless the provider
    /// said that it has not touched it.
    #[error("the stream failed")]
    Http2(#[from] h2::Error),
    /// The URL names no host.
    #[error("the URL has no host")]
    NoHost,
}

/// Why the body of an answer ended before it was all there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// It came by HTTP/1.1.
    #[error(transparent)]
    Http1(hyper::Error),
    /// It came by HTTP/2. This is also what a stream ends with that was reset without an error.
    #[error(transparent)]
    Http2(h2::Error),
}

impl SendError {
    /// Whether the provider could not be reached at all: refused, no route, unknown name, failed
    /// handshake.
    pub fn is_connect(&self) -> bool {
        matches!(self, Self::Connect(_))
    }
}
