//! Whether a failed request can have reached the provider.

use std::error::Error;

use hyper_util::client::legacy;

use crate::error::BoxError;

/// Whether the provider cannot have seen the request: no connection was made, or the client
/// handed the request back. Measured for hyper-util 0.1.21; a closed fresh connection is
/// unknowable and counts as sent. Of other clients everything counts as sent.
pub(super) fn never_sent(error: &BoxError) -> bool {
    let Some(client_error) = error.downcast_ref::<legacy::Error>() else { return false };
    client_error.is_connect() || client_error.connect_info().is_none() || was_handed_back(error)
}

/// Whether the provider's address could not be reached at all: refused, no route, unknown name,
/// failed handshake.
pub(super) fn is_unreachable(error: &BoxError) -> bool {
    error.downcast_ref::<legacy::Error>().is_some_and(legacy::Error::is_connect)
}

fn was_handed_back(error: &BoxError) -> bool {
    let mut source: Option<&(dyn Error + 'static)> = Some(&**error);
    while let Some(error) = source {
        if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled) {
            return true;
        }
        source = error.source();
    }
    false
}
