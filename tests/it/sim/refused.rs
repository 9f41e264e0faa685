//! The error of a connection that nobody accepts.

use std::future::ready;
use std::io;

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use sidecar_core::error::BoxError;
use tokio::net::TcpStream;
use tower::service_fn;

/// What hyper's client says when a connection is refused: the core tells it from a cut one by its
/// type, so it has to be the real one.
pub(super) async fn refused() -> BoxError {
    let connector = service_fn(|_: Uri| {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        ready(Err::<TokioIo<TcpStream>, io::Error>(refused))
    });
    let client: Client<_, Full<Bytes>> =
        Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
    let request = Request::get("http://refused.example/").body(Full::default()).unwrap();
    client.request(request).await.unwrap_err().into()
}
