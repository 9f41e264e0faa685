//! Whether a failed request can have reached the provider.

use std::error::Error;

use hyper_util::client::legacy;

#[cfg(feature = "client")]
use crate::client::SendError;
use crate::error::BoxError;

/// Whether the provider cannot have seen the request: no connection was made, or the client
/// handed the request back; or it said by HTTP/2 that it has not touched it. Measured for
/// hyper-util 0.1.21; a closed fresh connection is unknowable and counts as sent. Of other clients
/// everything counts as sent.
pub(super) fn never_sent(error: &BoxError) -> bool {
    #[cfg(feature = "client")]
    match error.downcast_ref::<SendError>() {
        Some(SendError::Connect(_) | SendError::NotSent(_) | SendError::NoHost) => return true,
        Some(SendError::Failed(_)) => return false,
        Some(SendError::Http2(error)) => return was_refused(error),
        None => {}
    }
    error.downcast_ref::<legacy::Error>().is_some_and(never_sent_by_hyper_util)
}

fn never_sent_by_hyper_util(client_error: &legacy::Error) -> bool {
    #[cfg(feature = "client")]
    if was_refused(client_error) {
        return true;
    }
    client_error.is_connect()
        || client_error.connect_info().is_none()
        || was_handed_back(client_error)
}

/// Whether the provider's address could not be reached at all: refused, no route, unknown name,
/// failed handshake.
pub(super) fn is_unreachable(error: &BoxError) -> bool {
    #[cfg(feature = "client")]
    if let Some(error) = error.downcast_ref::<SendError>() {
        return error.is_connect();
    }
    error.downcast_ref::<legacy::Error>().is_some_and(legacy::Error::is_connect)
}

/// Whether the provider said by HTTP/2 that it has not touched the request and will not: it
/// refused the stream, or it closed the connection in good order before it came to it (RFC 9113,
/// sections 8.7 and 6.8). Such a request may be sent again, whatever it does.
#[cfg(feature = "client")]
pub(crate) fn was_refused(error: &(dyn Error + 'static)) -> bool {
    chain(error).any(|error| error.downcast_ref::<h2::Error>().is_some_and(is_refusal))
}

/// Of a connection that is going away, only the requests that it does not come to get this error;
/// those that it has taken on end with its own end.
#[cfg(feature = "client")]
fn is_refusal(error: &h2::Error) -> bool {
    let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    let going = error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
    error.is_remote() && (refused || going)
}

fn was_handed_back(error: &(dyn Error + 'static)) -> bool {
    chain(error)
        .any(|error| error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled))
}

/// `error` and what it came from.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

#[cfg(all(test, feature = "client"))]
mod tests {
    use super::*;

    /// Those of a provider are met in the client's tests: nobody else can make them.
    #[test]
    fn what_no_provider_said_is_no_refusal() {
        for reason in [h2::Reason::REFUSED_STREAM, h2::Reason::NO_ERROR] {
            assert!(!was_refused(&h2::Error::from(reason)));
        }
        assert!(!was_refused(&std::io::Error::other("refused")));
    }
}
