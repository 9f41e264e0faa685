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

#[tokio::test]
async fn who_speaks_http2_gets_it_on_one_connection() {
    let server = Server::start(|_| Reply::Echo).await;
    for _ in 0..20 {
        server.echo().await;
    }
    assert_eq!(server.seen(), (1, 20));
    assert_eq!(server.seen_http1(), (0, 0));
}

#[tokio::test]
async fn who_does_not_speak_it_gets_http1() {
    let server = TlsServer::start(&["http/1.1"]).await;
    let (client, url) = (server.client(), url_of(&server));
    let serving = async {
        let mut stream = server.accept().await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        answer_http1(&mut stream).await;
        answer_http1(&mut stream).await
    };
    let sending = async {
        for _ in 0..2 {
            let response = send(&client, &url).await.unwrap();
            assert_eq!(response.version(), Version::HTTP_11);
        }
    };
    let both = async { tokio::join!(sending, serving) };
    let ((), seen) = timeout(PATIENCE, both).await.unwrap();
    assert!(seen.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{seen}");
    assert_eq!(seen.matches("host: ").count(), 1, "{seen}");
    assert!(seen.contains(&format!("host: {}\r\n", server.authority())), "{seen}");
}

#[tokio::test]
async fn nobody_gets_it_who_was_not_to() {
    let server = TlsServer::start(&["h2", "http/1.1"]).await;
    let (client, url) = (server.client(), url_of(&server));
    let serving = async {
        let mut stream = server.accept().await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), None);
        answer_http1(&mut stream).await
    };
    let both = async { tokio::join!(client.clone().call(request(&url)), serving) };
    let (response, seen) = timeout(PATIENCE, both).await.unwrap();
    assert_eq!(response.unwrap().version(), Version::HTTP_11);
    assert!(seen.contains("host: other.example\r\n"), "{seen}");
}

#[tokio::test]
async fn nobody_gets_it_without_tls() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/v1/chat/completions", listener.local_addr().unwrap());
    let client = HttpsClient::new().unwrap();
    let serving = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        answer_http1(&mut stream).await
    };
    let both = async { tokio::join!(send(&client, &url), serving) };
    let (response, seen) = timeout(PATIENCE, both).await.unwrap();
    assert_eq!(response.unwrap().version(), Version::HTTP_11);
    assert!(seen.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{seen}");
}

#[tokio::test]
async fn a_refused_request_is_sent_once_more() {
    let server = Server::start(|nth| match nth {
        0 => Reply::Reset(Reason::REFUSED_STREAM),
        _ => Reply::Echo,
    })
    .await;
    server.echo().await;
    assert_eq!(server.seen().1, 2);
}

#[tokio::test]
async fn a_request_that_is_refused_twice_was_never_sent() {
    let server = Server::start(|_| Reply::Reset(Reason::REFUSED_STREAM)).await;
    let error = server.send().await.unwrap_err();
    assert!(was_refused(&error) && !error.is_connect());
    assert_eq!(server.seen().1, 2);
}

#[tokio::test]
async fn any_other_reset_is_an_error_at_once() {
    for reason in [Reason::INTERNAL_ERROR, Reason::CANCEL, Reason::ENHANCE_YOUR_CALM] {
        let server = Server::start(move |_| Reply::Reset(reason)).await;
        let error = server.send().await.unwrap_err();
        assert!(may_be_seen(&error));
        assert_eq!(server.seen(), (1, 1));
    }
}

#[tokio::test]
async fn a_connection_that_is_cut_after_an_answer_is_not_taken_for_a_stale_one() {
    let server = Server::start(|nth| if nth == 0 { Reply::Echo } else { Reply::Cut }).await;
    server.echo().await;
    let error = server.send().await.unwrap_err();
    assert!(may_be_seen(&error));
    assert_eq!(server.seen(), (1, 2));
}

#[tokio::test]
async fn requests_beyond_the_streams_of_a_connection_go_by_http1_at_once() {
    let others = Arc::new(Barrier::new(STREAMS as usize + 1));
    let held = others.clone();
    let script = move |nth| match nth {
        1..=2 => Reply::EchoWith(held.clone()),
        _ => Reply::Echo,
    };
    let server = Arc::new(Server::start(script).await);
    server.echo().await;
    let holding = server.clone();
    let holding = tokio::spawn(async move { holding.echo_many(STREAMS as usize).await });
    server.until_seen(3).await;
    assert_eq!(timeout(PATIENCE, server.echo_many(10)).await.unwrap(), 0);
    assert_eq!(server.seen_http1().1, 10);
    others.wait().await;
    assert_eq!(holding.await.unwrap(), STREAMS as usize);
    // The streams are free again.
    server.echo().await;
    assert_eq!(server.seen(), (1, 4));
}

#[tokio::test]
async fn no_more_share_a_connection_than_its_window_is_made_for() {
    let others = Arc::new(Barrier::new(MOST_STREAMS + 1));
    let held = others.clone();
    let script = move |nth| if nth == 0 { Reply::Echo } else { Reply::EchoWith(held.clone()) };
    let server = Arc::new(Server::taking(1_000, script).await);
    server.echo().await;
    let all = server.clone();
    let all = tokio::spawn(async move { all.echo_many(MOST_STREAMS + 5).await });
    timeout(PATIENCE, others.wait()).await.unwrap();
    assert_eq!(timeout(PATIENCE, all).await.unwrap().unwrap(), MOST_STREAMS);
    assert_eq!(server.seen_http1().1, 5);
}

#[tokio::test]
async fn requests_that_come_while_the_first_one_connects_do_not_wait_for_it() {
    let server = Arc::new(Server::start(|_| Reply::Echo).await);
    let by_http2 = timeout(PATIENCE, server.echo_many(10)).await.unwrap();
    assert!(by_http2 >= 1);
    assert_eq!(server.seen(), (1, by_http2));
    assert_eq!(server.seen_http1().1, 10 - by_http2);
}

#[tokio::test]
async fn a_request_that_is_dropped_for_want_of_a_stream_is_never_sent() {
    let others = Arc::new(Barrier::new(STREAMS as usize + 1));
    let held = others.clone();
    let script = move |nth| match nth {
        1..=2 => Reply::EchoWith(held.clone()),
        _ => Reply::Echo,
    };
    let server = Arc::new(Server::start(script).await);
    server.echo().await;
    let holding = server.clone();
    let holding = tokio::spawn(async move { holding.echo_many(STREAMS as usize).await });
    server.until_seen(3).await;
    {
        let mut dropped = pin!(send(&server.client, &server.url));
        assert!(dropped.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    others.wait().await;
    holding.await.unwrap();
    for _ in 0..5 {
        server.echo().await;
    }
    assert_eq!(server.seen(), (1, 8));
    assert_eq!(server.seen_http1().1, 0);
}

#[tokio::test]
async fn who_leaves_frees_a_stream() {
    let others = Arc::new(Barrier::new(STREAMS as usize + 1));
    let server = Server::start(move |nth| match nth {
        1..=2 => Reply::Send(64 << 20),
        4..=5 => Reply::EchoWith(others.clone()),
        _ => Reply::Echo,
    })
    .await;
    server.echo().await;
    drop((server.send().await.unwrap(), server.send().await.unwrap()));
    server.echo().await;
    {
        let mut both = pin!(async { tokio::join!(server.send(), server.send()) });
        tokio::select! {
            _ = &mut both => panic!("nobody has answered"),
            () = server.until_seen(6) => {}
        }
    }
    server.echo().await;
    assert_eq!(server.seen(), (1, 7));
}

#[tokio::test]
async fn an_answer_that_nobody_reads_holds_no_other_up() {
    let server = Server::start(|nth| match nth {
        0 => Reply::Send(64 << 20),
        _ => Reply::Send(1 << 20),
    })
    .await;
    let stalled = server.send().await.unwrap();
    timeout(PATIENCE, server.seen.sent.notified()).await.unwrap();
    for _ in 0..3 {
        let response = server.send().await.unwrap();
        assert_eq!(response.version(), Version::HTTP_2);
        let body = timeout(PATIENCE, response.into_body().collect()).await.unwrap();
        assert_eq!(body.unwrap().to_bytes().len(), 1 << 20);
    }
    // It has not been lost meanwhile.
    let body = timeout(PATIENCE, stalled.into_body().collect()).await.unwrap();
    assert_eq!(body.unwrap().to_bytes().len(), 64 << 20);
}

#[tokio::test]
async fn a_large_body_is_sent_as_the_provider_takes_it() {
    let server = Server::start(|_| Reply::Echo).await;
    let text = Bytes::from("0123456789abcdef".repeat(1 << 16));
    let request = Request::post(&server.url).body(Full::from(text.clone())).unwrap();
    let both = async {
        let response = send_by_http2(&server.client, request).await.unwrap();
        response.into_body().collect().await.unwrap().to_bytes()
    };
    assert_eq!(timeout(PATIENCE, both).await.unwrap(), text);
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_request_is_whole_and_leaves_nothing_behind() {
    let server = Server::start(|nth| if nth % 2 == 1 { Reply::Early } else { Reply::Echo }).await;
    server.echo().await;
    for _ in 0..5 {
        let body = Full::from(vec![b'x'; 4 << 20]);
        let request = Request::post(&server.url).body(body).unwrap();
        let response = send_by_http2(&server.client, request).await.unwrap();
        let body = timeout(PATIENCE, response.into_body().collect()).await.unwrap();
        assert_eq!(body.unwrap().to_bytes(), "{}");
        server.echo().await;
    }
    assert_eq!(server.seen(), (1, 11));
}

#[tokio::test]
async fn headers_of_http1_alone_are_left_out() {
    let server = Server::start(|_| Reply::Echo).await;
    let mut request = request(&server.url);
    for name in ["connection", "keep-alive", "te", "transfer-encoding"] {
        request.headers_mut().insert(name, "x".parse().unwrap());
    }
    send_by_http2(&server.client, request).await.unwrap();
}

#[tokio::test]
async fn a_connection_that_nobody_needs_is_closed() {
    let server = Server::start(|_| Reply::Echo).await;
    server.echo().await;
    let clock = Clock::system();
    let started = clock.now();
    pause();
    server.seen.ended.notified().await;
    let waited = clock.now() - started;
    resume();
    assert!(waited >= KEPT - Duration::from_secs(1) && waited < 2 * KEPT, "{waited:?}");
    server.echo().await;
    assert_eq!(server.seen(), (2, 2));
}

#[tokio::test]
async fn a_connection_without_a_sign_of_life_is_given_up() {
    let held = Arc::new(Notify::new());
    let notify = held.clone();
    let server = Server::start(move |_| {
        notify.notify_one();
        Reply::Freeze
    })
    .await;
    let mut sending = pin!(send(&server.client, &server.url));
    tokio::select! {
        _ = &mut sending => panic!("nobody has answered"),
        () = held.notified() => {}
    }
    let clock = Clock::system();
    let started = clock.now();
    pause();
    let error = sending.await.unwrap_err();
    assert!(may_be_seen(&error));
    let waited = clock.now() - started;
    assert!(waited > SILENCE && waited < Duration::from_secs(30), "{waited:?}");
}

/// The frames of a connection, by hand: no library closes one under the requests of others.
mod frames {
    use super::*;

    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const RESET: u8 = 3;
    const SETTINGS: u8 = 4;
    const GO_AWAY: u8 = 7;
    const END_STREAM: u8 = 1;
    const END_HEADERS: u8 = 4;
    const PREFACE: usize = 24;
    const OK: u8 = 0x88;
    const NO_CONTENT: u8 = 0x89;

    /// Says its settings, and hears the other side out.
    pub(super) async fn greet(stream: &mut TlsStream<TcpStream>) {
        stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
        stream.read_exact(&mut [0; PREFACE]).await.unwrap();
    }

    /// Reads until a frame of this kind comes, and gives the number of its stream.
    async fn next(stream: &mut TlsStream<TcpStream>, kind: u8) -> u8 {
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await.unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            stream.read_exact(&mut vec![0; length as usize]).await.unwrap();
            if head[3] == kind {
                return head[8];
            }
        }
    }

    pub(super) async fn next_request(stream: &mut TlsStream<TcpStream>) -> u8 {
        next(stream, HEADERS).await
    }

    pub(super) async fn next_reset(stream: &mut TlsStream<TcpStream>) -> u8 {
        next(stream, RESET).await
    }

    /// A 200 without a body.
    pub(super) async fn answer(stream: &mut TlsStream<TcpStream>, id: u8) {
        stream.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, id, &[OK])).await.unwrap();
    }

    /// How an answer comes.
    #[derive(Clone, Copy, Debug)]
    pub(super) enum Shape {
        /// A 204.
        NoContent,
        /// A length, and nothing more, as for HEAD.
        Length,
        /// The end by itself.
        Empty,
        Whole,
        /// Followed by the wish that no more of the request be sent.
        WholeThenReset,
        Half,
        /// The same with a length that is not kept to.
        HalfOfLength,
        /// Nothing at all after the head.
        Nothing,
        /// Reset with an error.
        Failed,
    }

    /// Answers in this shape, with a reset without an error where it is cut short.
    pub(super) async fn answer_in(stream: &mut TlsStream<TcpStream>, id: u8, shape: Shape) {
        // `content-length: 4`, as a literal.
        let (ok, four) = (&[OK][..], &[OK, 0x0f, 0x0d, 1, b'4'][..]);
        let half = frame(DATA, 0, id, b"ha");
        let no_error = frame(RESET, 0, id, &[0; 4]);
        let head = |fields| frame(HEADERS, END_HEADERS, id, fields);
        let frames = match shape {
            Shape::NoContent => frame(HEADERS, END_HEADERS | END_STREAM, id, &[NO_CONTENT]),
            Shape::Length => frame(HEADERS, END_HEADERS | END_STREAM, id, four),
            Shape::Empty => [head(ok), frame(DATA, END_STREAM, id, b"")].concat(),
            Shape::Whole => [head(ok), half, frame(DATA, END_STREAM, id, b"lf")].concat(),
            Shape::WholeThenReset => {
                [head(ok), half, frame(DATA, END_STREAM, id, b"lf"), no_error].concat()
            }
            Shape::Half => [head(ok), half, no_error].concat(),
            Shape::HalfOfLength => [head(four), half, no_error].concat(),
            Shape::Nothing => [head(ok), no_error].concat(),
            Shape::Failed => [head(ok), half, frame(RESET, 0, id, &[0, 0, 0, 2])].concat(),
        };
        stream.write_all(&frames).await.unwrap();
    }

    /// From now on so many streams at a time.
    pub(super) async fn allow_streams(stream: &mut TlsStream<TcpStream>, most: u8) {
        stream.write_all(&frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, most])).await.unwrap();
    }

    fn frame(kind: u8, flags: u8, id: u8, payload: &[u8]) -> Vec<u8> {
        let head = [0, 0, payload.len() as u8, kind, flags, 0, 0, 0, id];
        [&head, payload].concat()
    }

    /// No streams beyond `last`, for `reason`.
    pub(super) async fn go_away(stream: &mut TlsStream<TcpStream>, last: u8, reason: u8) {
        let payload = [0, 0, 0, last, 0, 0, 0, reason];
        stream.write_all(&frame(GO_AWAY, 0, 0, &payload)).await.unwrap();
    }
}

#[tokio::test]
async fn a_request_that_a_closing_connection_does_not_come_to_is_sent_on_another_one() {
    let server = TlsServer::start(&["h2"]).await;
    let (client, url) = (server.client(), url_of(&server));
    let serving = async {
        let mut first = server.accept().await.unwrap();
        frames::greet(&mut first).await;
        let id = frames::next_request(&mut first).await;
        frames::answer(&mut first, id).await;
        frames::next_request(&mut first).await;
        frames::go_away(&mut first, id, 0).await;
        let mut second = server.accept().await.unwrap();
        frames::greet(&mut second).await;
        let id = frames::next_request(&mut second).await;
        frames::answer(&mut second, id).await;
        (first, second)
    };
    let sending = async {
        for _ in 0..2 {
            assert_eq!(send(&client, &url).await.unwrap().version(), Version::HTTP_2);
        }
    };
    let both = async { tokio::join!(sending, serving) };
    timeout(PATIENCE, both).await.unwrap();
}

#[tokio::test]
async fn a_connection_that_breaks_down_is_an_error_at_once() {
    let server = TlsServer::start(&["h2"]).await;
    let (client, url) = (server.client(), url_of(&server));
    let serving = async {
        let mut stream = server.accept().await.unwrap();
        frames::greet(&mut stream).await;
        frames::next_request(&mut stream).await;
        frames::go_away(&mut stream, 0, 2).await;
        stream
    };
    let both = async { tokio::join!(send(&client, &url), serving) };
    let (response, _) = timeout(PATIENCE, both).await.unwrap();
    let error = response.unwrap_err();
    assert!(may_be_seen(&error));
}

/// The body that a client gets of an answer in this shape, and whether its connection still serves.
async fn body_of(method: Method, shape: frames::Shape) -> Result<Bytes, BodyError> {
    let server = TlsServer::start(&["h2"]).await;
    let (client, url) = (server.client(), url_of(&server));
    let serving = async {
        let mut stream = server.accept().await.unwrap();
        frames::greet(&mut stream).await;
        let id = frames::next_request(&mut stream).await;
        frames::answer_in(&mut stream, id, shape).await;
        let id = frames::next_request(&mut stream).await;
        frames::answer(&mut stream, id).await;
        stream
    };
    let sending = async {
        let request = Request::builder().method(method).uri(&url).body(Full::default()).unwrap();
        let response = send_by_http2(&client, request).await.unwrap();
        let body = response.into_body().collect().await;
        assert_eq!(send(&client, &url).await.unwrap().status(), StatusCode::OK);
        body
    };
    let both = async { tokio::join!(sending, serving) };
    timeout(PATIENCE, both).await.unwrap().0.map(|body| body.to_bytes())
}

#[tokio::test]
async fn a_stream_that_is_reset_in_the_middle_of_a_body_is_an_error_whatever_the_reason() {
    use frames::Shape;
    for shape in [Shape::Half, Shape::HalfOfLength, Shape::Nothing, Shape::Failed] {
        let error = body_of(Method::POST, shape).await.unwrap_err();
        assert!(matches!(error, BodyError::Http2(_)), "{shape:?}: {error:?}");
    }
}

#[tokio::test]
async fn a_body_that_comes_to_its_end_is_none() {
    use frames::Shape;
    for (method, shape, text) in [
        (Method::POST, Shape::Whole, "half"),
        (Method::POST, Shape::WholeThenReset, "half"),
        (Method::POST, Shape::Empty, ""),
        (Method::POST, Shape::NoContent, ""),
        (Method::HEAD, Shape::Length, ""),
    ] {
        let body = body_of(method, shape).await;
        assert_eq!(body.unwrap(), text, "{shape:?}");
    }
}

#[tokio::test]
async fn an_answer_without_a_body_is_at_its_end_at_once() {
    let server = TlsServer::start(&["h2"]).await;
    let (client, url) = (server.client(), url_of(&server));
    let serving = async {
        let mut stream = server.accept().await.unwrap();
        frames::greet(&mut stream).await;
        let id = frames::next_request(&mut stream).await;
        frames::answer_in(&mut stream, id, frames::Shape::NoContent).await;
        stream
    };
    let both = async { tokio::join!(send(&client, &url), serving) };
    let (response, _) = timeout(PATIENCE, both).await.unwrap();
    let body = response.unwrap().into_body();
    assert!(body.is_end_stream() && body.size_hint().exact() == Some(0));
}

#[tokio::test]
async fn a_provider_that_answers_and_takes_no_more_of_a_request_does_not_keep_its_stream() {
    let server = TlsServer::start(&["h2"]).await;
    let (client, url) = (server.client(), url_of(&server));
    let serving = async {
        let mut stream = server.accept().await.unwrap();
        frames::greet(&mut stream).await;
        frames::allow_streams(&mut stream, 1).await;
        let id = frames::next_request(&mut stream).await;
        // No window is ever opened.
        frames::answer_in(&mut stream, id, frames::Shape::Whole).await;
        assert_eq!(frames::next_reset(&mut stream).await, id);
        let id = frames::next_request(&mut stream).await;
        frames::answer(&mut stream, id).await;
        stream
    };
    let sending = async {
        let request = Request::post(&url).body(Full::from(vec![b'x'; 1 << 20])).unwrap();
        let body = send_by_http2(&client, request).await.unwrap().into_body();
        assert_eq!(body.collect().await.unwrap().to_bytes(), "half");
        assert_eq!(send(&client, &url).await.unwrap().version(), Version::HTTP_2);
    };
    let both = async { tokio::join!(sending, serving) };
    timeout(PATIENCE, both).await.unwrap();
}

#[tokio::test]
async fn a_provider_may_take_back_what_it_allowed() {
    let server = TlsServer::start(&["h2"]).await;
    let (client, url) = (server.client(), url_of(&server));
    let serving = async {
        let mut first = server.accept().await.unwrap();
        frames::greet(&mut first).await;
        let id = frames::next_request(&mut first).await;
        frames::allow_streams(&mut first, 0).await;
        frames::answer(&mut first, id).await;
        let mut second = server.accept().await.unwrap();
        assert!(!is_http2(&second));
        answer_http1(&mut second).await;
        first
    };
    let sending = async {
        assert_eq!(send(&client, &url).await.unwrap().version(), Version::HTTP_2);
        assert_eq!(send(&client, &url).await.unwrap().version(), Version::HTTP_11);
    };
    let both = async { tokio::join!(sending, serving) };
    timeout(PATIENCE, both).await.unwrap();
}
