//! The way to the vendors: the HTTP client that the core is given.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use sidecar_core::error::BoxError;
use tower::Service;

use super::vendor::Vendor;

/// All vendors, each at `{name}.example`.
#[derive(Clone, Debug)]
pub(super) struct Net(Arc<BTreeMap<&'static str, Arc<Vendor>>>);

type Answer = Result<Response<Full<Bytes>>, BoxError>;

impl Net {
    pub(super) fn new(vendors: impl IntoIterator<Item = (&'static str, Vendor)>) -> Self {
        let shared = |(name, vendor)| (name, Arc::new(vendor));
        Self(Arc::new(vendors.into_iter().map(shared).collect()))
    }

    pub(super) fn vendor(&self, name: &str) -> &Arc<Vendor> {
        self.0.get(name).unwrap_or_else(|| panic!("there is no vendor {name:?}"))
    }
}

impl Service<Request<Full<Bytes>>> for Net {
    type Response = Response<Full<Bytes>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let host = request.uri().host().unwrap_or_default();
        let vendor = self.vendor(host.strip_suffix(DOMAIN).unwrap_or(host)).clone();
        Box::pin(vendor.serve(request))
    }
}

/// Where vendors live.
pub(super) const DOMAIN: &str = ".example";
