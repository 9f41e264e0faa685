//! [`PreferHttp2`].

/// In the extensions of a request: its provider is to be spoken to by HTTP/2 if it can be.
///
/// It is a wish of the operator, set with the provider's `http2`. A client may ignore it; the
/// default one follows it for `https` URLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreferHttp2;
