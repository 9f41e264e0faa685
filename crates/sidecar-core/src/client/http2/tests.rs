//! HTTP/2 and the lack of it, over real sockets.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::server::SendResponse;
use http::header::HOST;
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Barrier, Notify};
use tokio::task::JoinSet;
use tokio::time::{pause, timeout};
use tokio_rustls::server::TlsStream;
use tower::Service;

use super::super::tls_server::TlsServer;
use super::super::{ClientBody, HttpsClient, SendError};
use crate::clock::Clock;
use crate::dispatch::{PreferHttp2, was_refused};

/// Reached only if something hangs.
const PATIENCE: Duration = Duration::from_secs(10);
/// The streams that a connection of the server takes at a time.
const STREAMS: u32 = 2;

/// What the server does with a request.
#[derive(Clone)]
enum Reply {
    /// Sends the body back.
    Echo,
    /// The same, once so many others are to be answered, too.
    EchoWith(Arc<Barrier>),
    /// Resets the stream.
    Reset(Reason),
    /// Closes the connection without a word.
    Cut,
    /// Says nothing more on the connection, and hears nothing either.
    Freeze,
}

/// A server of HTTP/2 that replies by a script.
struct Server {
    url: String,
    client: HttpsClient,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    requests: AtomicUsize,
}

impl Server {
    /// `script` gets the number of the request, from 0.
    async fn start(script: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Self {
        let tls = TlsServer::start(&["h2", "http/1.1"]).await;
        let url = url_of(&tls);
        let server = Self { url, client: tls.client(), seen: Arc::default() };
        let (script, seen) = (Arc::new(script), server.seen.clone());
        tokio::spawn(async move {
            loop {
                if let Ok(stream) = tls.accept().await {
                    seen.connections.fetch_add(1, Ordering::SeqCst);
                    tokio::spawn(serve(stream, script.clone(), seen.clone()));
                }
            }
        });
        server
    }

    async fn send(&self) -> Result<Response<ClientBody>, SendError> {
        timeout(PATIENCE, send(&self.client, &self.url)).await.unwrap()
    }

    async fn echo(&self) {
        let response = self.send().await.unwrap();
        assert_eq!(response.version(), Version::HTTP_2);
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "{}");
    }

    /// How many connections it has taken and how many requests it has read.
    fn seen(&self) -> (usize, usize) {
        let Seen { connections, requests } = &*self.seen;
        (connections.load(Ordering::SeqCst), requests.load(Ordering::SeqCst))
    }
}

async fn serve(
    stream: TlsStream<TcpStream>,
    script: Arc<impl Fn(usize) -> Reply>,
    seen: Arc<Seen>,
) {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(STREAMS);
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
            Reply::Reset(reason) => respond.send_reset(reason),
            Reply::Cut => return,
            Reply::Freeze => pending().await,
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

fn was_connected(error: &SendError) -> bool {
    matches!(error, SendError::Http2(error) if error.connect_info().is_some())
}

async fn send(client: &HttpsClient, url: &str) -> Result<Response<ClientBody>, SendError> {
    let mut request = request(url);
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
}

#[tokio::test]
async fn who_does_not_speak_it_gets_http1() {
    let server = TlsServer::start(&["http/1.1"]).await;
    let (client, url) = (server.client(), url_of(&server));
    let serving = async {
        let mut stream = server.accept().await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        answer_http1(&mut stream).await
    };
    let both = async { tokio::join!(send(&client, &url), serving) };
    let (response, seen) = timeout(PATIENCE, both).await.unwrap();
    assert_eq!(response.unwrap().version(), Version::HTTP_11);
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
        assert!(!was_refused(&error) && !error.is_connect() && was_connected(&error));
        assert_eq!(server.seen(), (1, 1));
    }
}

#[tokio::test]
async fn a_connection_that_is_cut_after_an_answer_is_not_taken_for_a_stale_one() {
    let server = Server::start(|nth| if nth == 0 { Reply::Echo } else { Reply::Cut }).await;
    server.echo().await;
    let error = server.send().await.unwrap_err();
    assert!(!was_refused(&error) && was_connected(&error));
    assert_eq!(server.seen(), (1, 2));
}

#[tokio::test]
async fn requests_beyond_the_streams_of_a_connection_wait() {
    let others = Arc::new(Barrier::new(STREAMS as usize));
    let script = move |nth| if nth == 0 { Reply::Echo } else { Reply::EchoWith(others.clone()) };
    let server = Arc::new(Server::start(script).await);
    server.echo().await;
    let mut tasks = JoinSet::new();
    for _ in 0..10 {
        let server = server.clone();
        tasks.spawn(async move { server.echo().await });
    }
    tasks.join_all().await;
    assert_eq!(server.seen(), (1, 11));
}

#[tokio::test]
async fn nor_are_those_refused_that_come_before_the_connection_is_made() {
    let server = Arc::new(Server::start(|_| Reply::Echo).await);
    let mut tasks = JoinSet::new();
    for _ in 0..10 {
        let server = server.clone();
        tasks.spawn(async move { server.echo().await });
    }
    tasks.join_all().await;
    assert_eq!(server.seen().1, 10);
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
    assert!(!was_refused(&error) && was_connected(&error));
    let waited = clock.now() - started;
    assert!(waited > super::PING_AFTER && waited < Duration::from_secs(30), "{waited:?}");
}

/// The frames of a connection, by hand: no library closes one under the requests of others.
mod frames {
    use super::*;

    const HEADERS: u8 = 1;
    const PREFACE: usize = 24;

    /// Says its settings, and hears the other side out.
    pub(super) async fn greet(stream: &mut TlsStream<TcpStream>) {
        stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
        stream.read_exact(&mut [0; PREFACE]).await.unwrap();
    }

    /// Reads until a request begins, and gives the number of its stream.
    pub(super) async fn next_request(stream: &mut TlsStream<TcpStream>) -> u8 {
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await.unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            stream.read_exact(&mut vec![0; length as usize]).await.unwrap();
            if head[3] == HEADERS {
                return head[8];
            }
        }
    }

    /// A 200 without a body.
    pub(super) async fn answer(stream: &mut TlsStream<TcpStream>, id: u8) {
        stream.write_all(&[0, 0, 1, HEADERS, 0b101, 0, 0, 0, id, 0x88]).await.unwrap();
    }

    /// No streams beyond `last`, for `reason`.
    pub(super) async fn go_away(stream: &mut TlsStream<TcpStream>, last: u8, reason: u8) {
        let frame = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, last, 0, 0, 0, reason];
        stream.write_all(&frame).await.unwrap();
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
    assert!(!was_refused(&error) && was_connected(&error));
}
