//! A TLS server with a certificate of its own, and a client that trusts it.

use std::io;
use std::sync::Arc;

use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::HttpsClient;
use crate::settings::Settings;
use crate::shared::Shared;
use crate::url::BaseUrl;

pub(super) struct TlsServer {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    roots: RootCertStore,
}

impl TlsServer {
    /// Takes `protocols` by ALPN.
    pub(super) async fn start(protocols: &[&str]) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key.into())
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        Self { listener, acceptor: Arc::new(config).into(), roots }
    }

    pub(super) fn client(&self) -> HttpsClient {
        HttpsClient::trusting(self.roots.clone(), Shared::new(Settings::default())).unwrap()
    }

    /// `host:port`.
    pub(super) fn authority(&self) -> String {
        self.listener.local_addr().unwrap().to_string()
    }

    pub(super) fn base_url(&self) -> BaseUrl {
        BaseUrl::parse(&format!("https://{}/v1", self.authority())).unwrap()
    }

    /// The next connection. Fails if the client gives it up.
    pub(super) async fn accept(&self) -> io::Result<TlsStream<TcpStream>> {
        let (stream, _) = self.listener.accept().await?;
        self.acceptor.accept(stream).await
    }
}
