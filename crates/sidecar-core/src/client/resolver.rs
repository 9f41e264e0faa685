//! Name resolution that refuses addresses a provider must not have.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tower::Service;

use crate::settings::Settings;
use crate::shared::Shared;
use crate::url::{HostClass, classify_ip};

/// The system's resolver, less the addresses that are not allowed.
#[derive(Clone, Debug)]
pub(super) struct CheckedResolver {
    inner: GaiResolver,
    settings: Shared<Settings>,
}

impl CheckedResolver {
    pub(super) fn new(settings: Shared<Settings>) -> Self {
        Self { inner: GaiResolver::new(), settings }
    }
}

/// Whether a provider may have this address.
pub(super) fn is_allowed(address: IpAddr, private_allowed: bool) -> bool {
    match classify_ip(address) {
        HostClass::Public => true,
        HostClass::Private | HostClass::Loopback => private_allowed,
        _ => false,
    }
}

impl Service<Name> for CheckedResolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Service::poll_ready(&mut self.inner, cx)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let private_allowed = self.settings.load().upstream_private;
        let resolving = Service::call(&mut self.inner, name);
        Box::pin(async move {
            let allowed: Vec<SocketAddr> = resolving
                .await?
                .filter(|address| is_allowed(address.ip(), private_allowed))
                .collect();
            if allowed.is_empty() {
                return Err(io::Error::new(
                    io::ErrorKind::PermissionDenied,
                    "the name resolves to no address that a provider may have",
                ));
            }
            Ok(allowed.into_iter())
        })
    }
}
