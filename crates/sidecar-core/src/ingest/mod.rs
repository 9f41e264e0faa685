//! Reads a caller's request once and makes a [`Call`](crate::call::Call) of it.
//!
//! The body is collected up to the cap, because the model's name stands in it; the name, `stream`
//! and nothing else are parsed, in place. From then on the body is shared bytes, so that sending
//! it again is free.

mod future;
mod layer;
mod multipart;
mod path;
mod read;
mod scan;
mod service;
mod splice;

pub use self::future::ResponseFuture;
pub use self::layer::IngestLayer;
pub use self::path::{Family, usual_path};
pub use self::scan::ScanError;
pub use self::service::Ingest;
pub(crate) use self::splice::{json_string, splice};
