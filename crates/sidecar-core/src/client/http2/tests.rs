//! HTTP/2 and the lack of it, over real sockets.

use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::server::SendResponse;
use http::header::HOST;
use http::{Method, Request, Response, StatusCode, Version};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Barrier, Notify};
use tokio::task::{JoinSet, yield_now};
use tokio::time::{pause, resume, timeout};
use tokio_rustls::server::TlsStream;
use tower::Service;

use super::super::tls_server::TlsServer;
use super::super::{BodyError, ClientBody, HttpsClient, KEPT, SendError};
use super::driver::SILENCE;
use super::link::{MOST_STREAMS, STREAM_WINDOW};
use crate::clock::Clock;
use crate::dispatch::{PreferHttp2, was_refused};

mod by_hand;
mod server;

/// Reached only if something hangs.
const PATIENCE: Duration = Duration::from_secs(10);
/// The streams that a connection of the server takes at a time, if nothing else is said.
const STREAMS: u32 = 2;

/// What the server does with a request.
#[derive(Clone)]
enum Reply {
    /// Sends the body back.
    Echo,
    /// The same, once so many others are to be answered, too.
    EchoWith(Arc<Barrier>),
    /// Sends so many bytes.
    Send(usize),
    /// Answers without having read the body.
    Early,
    /// Resets the stream.
    Reset(Reason),
    /// Closes the connection without a word.
    Cut,
    /// Says nothing more on the connection, and hears nothing either.
    Freeze,
}

/// A server of HTTP/2 that replies by a script, and to all of HTTP/1.1 as if it were told to echo.
struct Server {
    url: String,
    client: HttpsClient,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    requests: AtomicUsize,
    /// Both by HTTP/1.1, all others by HTTP/2.
    http1_connections: AtomicUsize,
    http1_requests: AtomicUsize,
    /// Told when a connection has ended.
    ended: Notify,
    /// Told when so much is sent as is taken of an answer that nobody reads.
    sent: Notify,
}

impl Server {
    /// `script` gets the number of the request, from 0.
    async fn start(script: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Self {
        Self::taking(STREAMS, script).await
    }

    /// The same for a server that takes so many streams.
    async fn taking(streams: u32, script: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Self {
        let tls = TlsServer::start(&["h2", "http/1.1"]).await;
        let url = url_of(&tls);
        let server = Self { url, client: tls.client(), seen: Arc::default() };
        let (script, seen) = (Arc::new(script), server.seen.clone());
        tokio::spawn(async move {
            loop {
                let Ok(stream) = tls.accept().await else { continue };
                if is_http2(&stream) {
                    seen.connections.fetch_add(1, Ordering::SeqCst);
                    tokio::spawn(serve(stream, streams, script.clone(), seen.clone()));
                } else {
                    seen.http1_connections.fetch_add(1, Ordering::SeqCst);
                    tokio::spawn(serve_http1(stream, seen.clone()));
                }
            }
        });
        server
    }

    async fn send(&self) -> Result<Response<ClientBody>, SendError> {
        timeout(PATIENCE, send(&self.client, &self.url)).await.unwrap()
    }

    /// Whatever is sent comes back.
    async fn echo_by_any(&self) -> Version {
        let response = self.send().await.unwrap();
        let version = response.version();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "{}");
        version
    }

    async fn echo(&self) {
        assert_eq!(self.echo_by_any().await, Version::HTTP_2);
    }

    /// So many at once; how many of them went by HTTP/2.
    async fn echo_many(self: &Arc<Self>, many: usize) -> usize {
        let mut tasks = JoinSet::new();
        for _ in 0..many {
            let server = self.clone();
            tasks.spawn(async move { server.echo_by_any().await });
        }
        let versions = tasks.join_all().await;
        versions.into_iter().filter(|version| *version == Version::HTTP_2).count()
    }

    /// How many connections it has taken and how many requests it has read, by HTTP/2.
    fn seen(&self) -> (usize, usize) {
        let Seen { connections, requests, .. } = &*self.seen;
        (connections.load(Ordering::SeqCst), requests.load(Ordering::SeqCst))
    }

    async fn until_seen(&self, requests: usize) {
        let seen = async {
            while self.seen().1 < requests {
                yield_now().await;
            }
        };
        timeout(PATIENCE, seen).await.unwrap();
    }

    /// The same by HTTP/1.1.
    fn seen_http1(&self) -> (usize, usize) {
        let Seen { http1_connections, http1_requests, .. } = &*self.seen;
        (http1_connections.load(Ordering::SeqCst), http1_requests.load(Ordering::SeqCst))
    }
}

fn is_http2(stream: &TlsStream<TcpStream>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(b"h2")
}

async fn serve(
    stream: TlsStream<TcpStream>,
    streams: u32,
    script: Arc<impl Fn(usize) -> Reply>,
    seen: Arc<Seen>,
) {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(streams);
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        match script(seen.requests.fetch_add(1, Ordering::SeqCst)) {
            Reply::Echo => {
                tokio::spawn(echo(request, respond));
            }
            Reply::EchoWith(others) => {
                tokio::spawn(async move {
                    others.wait().await;
                    echo(request, respond).await;
                });
            }
            Reply::Send(length) => {
                tokio::spawn(send_bytes(respond, length, seen.clone()));
            }
            Reply::Early => {
                let mut sending = respond.send_response(Response::new(()), false).unwrap();
                sending.send_data("{}".into(), true).unwrap();
            }
            Reply::Reset(reason) => respond.send_reset(reason),
            Reply::Cut => return,
            Reply::Freeze => pending().await,
        }
    }
    seen.ended.notify_one();
}

async fn serve_http1(mut stream: TlsStream<TcpStream>, seen: Arc<Seen>) {
    let mut text = Vec::new();
    while stream.read_buf(&mut text).await.is_ok_and(|read| read > 0) {
        if text.ends_with(b"\r\n\r\n{}") {
            text.clear();
            seen.http1_requests.fetch_add(1, Ordering::SeqCst);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
        }
    }
}

async fn send_bytes(mut respond: SendResponse<Bytes>, length: usize, seen: Arc<Seen>) {
    let mut sending = respond.send_response(Response::new(()), false).unwrap();
    let mut left = Bytes::from(vec![0; length]);
    while !left.is_empty() {
        sending.reserve_capacity(left.len());
        // The other side may have seen enough.
        let Some(Ok(room)) = poll_fn(|cx| sending.poll_capacity(cx)).await else { return };
        let part = left.split_to(room.min(left.len()));
        sending.send_data(part, left.is_empty()).unwrap();
        if length - left.len() >= STREAM_WINDOW as usize {
            seen.sent.notify_one();
        }
    }
}

async fn echo(request: Request<h2::RecvStream>, mut respond: SendResponse<Bytes>) {
    assert_eq!(request.version(), Version::HTTP_2);
    assert!(request.uri().authority().is_some());
    assert!(!request.headers().contains_key(HOST));
    let mut body = request.into_body();
    let mut text = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        text.extend_from_slice(&data);
    }
    let mut sending = respond.send_response(Response::new(()), false).unwrap();
    sending.send_data(text.into(), true).unwrap();
}

fn url_of(server: &TlsServer) -> String {
    format!("{}/chat/completions", server.base_url())
}

fn request(url: &str) -> Request<Full<Bytes>> {
    Request::post(url).header(HOST, "other.example").body(Full::from("{}")).unwrap()
}

/// Whether it counts as sent.
fn may_be_seen(error: &SendError) -> bool {
    matches!(error, SendError::Http2(_)) && !was_refused(error) && !error.is_connect()
}

async fn send(client: &HttpsClient, url: &str) -> Result<Response<ClientBody>, SendError> {
    send_by_http2(client, request(url)).await
}

async fn send_by_http2(
    client: &HttpsClient,
    mut request: Request<Full<Bytes>>,
) -> Result<Response<ClientBody>, SendError> {
    request.extensions_mut().insert(PreferHttp2);
    client.clone().call(request).await
}

/// Answers one request of HTTP/1.1, and gives its text.
async fn answer_http1(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n{}") {
        assert!(stream.read_buf(&mut text).await.unwrap() > 0);
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    String::from_utf8(text).unwrap()
}

/// What comes of the two, which go on at once.
async fn both<A, B>(sending: impl Future<Output = A>, serving: impl Future<Output = B>) -> (A, B) {
    timeout(PATIENCE, async { tokio::join!(sending, serving) }).await.unwrap()
}
