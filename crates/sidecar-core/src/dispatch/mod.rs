//! Makes the request that a provider sees, from scratch.
//!
//! Own framing, the provider's host and key, the provider's name for the model, and an allow-list
//! of the caller's headers. Nothing else of the caller's request gets through.

mod future;
mod headers;
mod layer;
mod prefer_http2;
mod sent;
mod service;
mod target;
mod url;

pub use self::future::ResponseFuture;
pub(crate) use self::headers::response_headers;
pub use self::layer::DispatchLayer;
pub use self::prefer_http2::PreferHttp2;
#[cfg(feature = "client")]
pub(crate) use self::sent::was_refused;
pub use self::service::Dispatch;
pub use self::target::Target;
