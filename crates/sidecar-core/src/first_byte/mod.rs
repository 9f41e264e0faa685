//! Holds an answer back until it is worth something.
//!
//! Until the first meaningful event nothing has reached the caller, so everything before it can
//! still go to another provider: an error status, an error inside a 200, an empty stream, a
//! silent one. [`FirstByte`] judges the answer, leaves the [`crate::verdict::Verdict`] on it, and
//! hands over the bytes it held.

mod body;
mod future;
mod hold;
mod layer;
mod service;

pub use self::body::FirstByteBody;
pub use self::future::ResponseFuture;
pub use self::layer::{FirstByteLayer, Patience};
pub use self::service::FirstByte;

#[cfg(test)]
mod tests;
