//! Names every request and writes one line about it when its answer has ended.
//!
//! The id is ours, whatever the caller sent, and stands in the answer as `x-request-id`, and
//! in those of Anthropic's family as `request-id`, too. Nothing a caller wrote is logged but the
//! path, without its query string, shortened.

mod body;
mod future;
mod layer;
mod service;

pub use self::body::AccessBody;
pub use self::future::ResponseFuture;
pub use self::layer::AccessLayer;
pub use self::service::Access;
