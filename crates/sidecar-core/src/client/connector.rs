//! A connector that refuses literal addresses which a provider must not have.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use tower::Service;

use super::resolver::{CheckedResolver, is_allowed};
use crate::error::BoxError;
use crate::settings::Settings;
use crate::shared::Shared;

/// Connects by TCP. A literal address does not come by the resolver, so it is checked here: it was
/// allowed when it was entered, but the setting may have changed since.
#[derive(Clone, Debug)]
pub(super) struct CheckedConnector {
    inner: HttpConnector<CheckedResolver>,
    settings: Shared<Settings>,
}

impl CheckedConnector {
    pub(super) fn new(inner: HttpConnector<CheckedResolver>, settings: Shared<Settings>) -> Self {
        Self { inner, settings }
    }
}

impl Service<Uri> for CheckedConnector {
    type Response = <HttpConnector<CheckedResolver> as Service<Uri>>::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Service::poll_ready(&mut self.inner, cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let host = uri.host().map(|host| host.trim_matches(['[', ']']));
        let literal = host.and_then(|host| host.parse::<IpAddr>().ok());
        let private_allowed = self.settings.load().upstream_private;
        if literal.is_some_and(|address| !is_allowed(address, private_allowed)) {
            let refusal = "a provider must not have this address";
            let error = io::Error::new(io::ErrorKind::PermissionDenied, refusal);
            return Box::pin(std::future::ready(Err(error.into())));
        }
        let connecting = Service::call(&mut self.inner, uri);
        Box::pin(async move { connecting.await.map_err(Into::into) })
    }
}
