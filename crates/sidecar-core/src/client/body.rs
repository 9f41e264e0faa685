//! [`ClientBody`].

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::error::BodyError;
use super::http1::Http1Body;
use super::http2::Http2Body;

/// The body of a provider's answer. Dropped before its end, it closes its connection, or by HTTP/2
/// its stream.
#[derive(Debug)]
pub struct ClientBody(Version);

#[derive(Debug)]
enum Version {
    Http1(Http1Body),
    Http2(Http2Body),
}

impl From<Http1Body> for ClientBody {
    fn from(body: Http1Body) -> Self {
        Self(Version::Http1(body))
    }
}

impl From<Http2Body> for ClientBody {
    fn from(body: Http2Body) -> Self {
        Self(Version::Http2(body))
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            Version::Http1(body) => Pin::new(body).poll_frame(cx).map_err(BodyError::Http1),
            Version::Http2(body) => Pin::new(body).poll_frame(cx).map_err(BodyError::Http2),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Version::Http1(body) => body.is_end_stream(),
            Version::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Version::Http1(body) => body.size_hint(),
            Version::Http2(body) => body.size_hint(),
        }
    }
}
