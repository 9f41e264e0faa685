//! [`SendError`].

use hyper_util::client::legacy;

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
    /// What was to go by HTTP/2 failed.
    #[error(transparent)]
    Http2(#[from] legacy::Error),
    /// The URL names no host.
    #[error("the URL has no host")]
    NoHost,
}

impl SendError {
    /// Whether the provider could not be reached at all: refused, no route, unknown name, failed
    /// handshake.
    pub fn is_connect(&self) -> bool {
        match self {
            Self::Connect(_) => true,
            Self::Http2(error) => error.is_connect(),
            Self::NotSent(_) | Self::Failed(_) | Self::NoHost => false,
        }
    }
}
