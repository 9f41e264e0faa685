use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::thread;

use http::StatusCode;
use http_body::Frame;
use http_body_util::{Empty, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tower::service_fn;

use super::*;

const GET: &str = "GET / HTTP/1.1\r\nhost: sidecar\r\n\r\n";
const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(60);

// ----- requests -----

#[tokio::test]
async fn a_request_knows_its_peer() {
    let service = service_fn(|request: Request<Incoming>| async move {
        let Peer(peer) = request.extensions().get::<Peer>().copied().unwrap();
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(peer.to_string())))
    });
    let server = start(Limits::default(), service);
    let mut client = server.connect().await;
    let own = client.local_addr().unwrap().to_string();
    send(&mut client, GET).await;
    read_until(&mut client, &own).await;
}

#[tokio::test]
async fn too_many_headers_are_refused() {
    let server = start(Limits::default(), echo());
    for (headers, answer) in [(64, "HTTP/1.1 200 "), (65, "HTTP/1.1 431 ")] {
        let mut client = server.connect().await;
        let head = format!("GET / HTTP/1.1\r\n{}\r\n", "x-one: more\r\n".repeat(headers));
        send(&mut client, &head).await;
        read_until(&mut client, answer).await;
    }
}

#[tokio::test]
async fn too_long_a_head_is_refused() {
    let server = start(Limits::default(), echo());
    let mut client = server.connect().await;
    let long = "x".repeat(Limits::default().max_header_size);
    send(&mut client, &format!("GET / HTTP/1.1\r\nx-long: {long}\r\n\r\n")).await;
    assert!(read_to_end(&mut client).await.starts_with("HTTP/1.1 431 "));
}

#[tokio::test]
async fn an_answer_is_read_even_if_the_body_was_not() {
    let service = service_fn(|_: Request<Incoming>| async {
        let mut response = Response::new(Full::<Bytes>::from("no"));
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        Ok::<_, Infallible>(response)
    });
    let server = start(Limits { linger: LONG, ..Limits::default() }, service);
    let mut client = server.connect().await;
    let body = "x".repeat(8 * 1024 * 1024);
    let head = format!("POST / HTTP/1.1\r\ncontent-length: {}\r\n\r\n", body.len());
    send(&mut client, &head).await;
    send(&mut client, &body).await;
    assert!(read_to_end(&mut client).await.starts_with("HTTP/1.1 401 "));
}

// ----- slow clients -----

#[tokio::test]
async fn a_silent_client_is_cut() {
    let server = start(Limits { header_timeout: SHORT, ..Limits::default() }, echo());
    let mut client = server.connect().await;
    assert_eq!(read_to_end(&mut client).await, "");
}

#[tokio::test]
async fn a_dripping_head_is_cut() {
    let server = start(Limits { header_timeout: SHORT, ..Limits::default() }, echo());
    let mut client = server.connect().await;
    send(&mut client, "GET / HTTP/1.1\r\nx-long: ").await;
    let (mut reader, mut writer) = client.into_split();
    let drip = async {
        let mut ticks = tokio::time::interval(SHORT / 10);
        // Fails soon after the connection has been cut.
        while writer.write_all(b"x").await.is_ok() {
            ticks.tick().await;
        }
    };
    let mut text = Vec::new();
    // The end may be a reset, as the last drops went unread.
    let ((), _) = within(async { tokio::join!(drip, reader.read_to_end(&mut text)) }).await;
    assert!(text.is_empty(), "{}", String::from_utf8_lossy(&text));
}

#[tokio::test]
async fn an_idle_connection_has_its_own_limit() {
    let limits = Limits { header_timeout: LONG, idle_timeout: SHORT, ..Limits::default() };
    let server = start(limits, echo());
    let mut client = server.connect().await;
    send(&mut client, GET).await;
    read_until(&mut client, "\r\n\r\n/").await;
    assert_eq!(read_to_end(&mut client).await, "");
}

#[tokio::test]
async fn an_idle_connection_outlives_the_header_timeout_but_a_head_on_it_does_not() {
    let limits = Limits { header_timeout: SHORT, idle_timeout: LONG, ..Limits::default() };
    let server = start(limits, echo());
    let mut client = server.connect().await;
    send(&mut client, GET).await;
    read_until(&mut client, "\r\n\r\n/").await;

    // When a client that came later has been cut, the header timeout is over for this one too.
    let mut silent = server.connect().await;
    assert_eq!(read_to_end(&mut silent).await, "");
    send(&mut client, GET).await;
    read_until(&mut client, "\r\n\r\n/").await;

    send(&mut client, "GET / HTTP/1.1\r\n").await;
    assert_eq!(read_to_end(&mut client).await, "");
}

#[tokio::test]
async fn an_idle_connection_is_cut_though_the_header_timeout_came_first() {
    let limits = Limits { header_timeout: SHORT, idle_timeout: SHORT * 3, ..Limits::default() };
    let server = start(limits, echo());
    let mut client = server.connect().await;
    send(&mut client, GET).await;
    read_until(&mut client, "\r\n\r\n/").await;
    assert_eq!(read_to_end(&mut client).await, "");
}

#[tokio::test]
async fn a_client_that_stops_reading_is_cut() {
    let (events, mut seen) = unbounded_channel();
    let limits = Limits { write_stall: SHORT, ..Limits::default() };
    let server = start(limits, answer_once(Endless { _guard: Guard(events) }));
    let mut client = server.connect().await;
    send(&mut client, GET).await;
    assert_eq!(next(&mut seen).await, Event::Dropped);

    // It is told so, in place of an end that would look like the body's own.
    let mut text = Vec::new();
    let error = within(client.read_to_end(&mut text)).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    // What its own kernel had buffered, and a part of what the server's had.
    assert!(text.len() < 1024 * 1024, "{}", text.len());
}

// ----- clients that leave -----

#[tokio::test]
async fn a_request_is_dropped_when_its_client_closes() {
    a_request_is_dropped("", drop).await;
}

#[tokio::test]
async fn a_request_is_dropped_when_its_client_resets() {
    a_request_is_dropped("", reset).await;
}

#[cfg(any(target_os = "linux", target_os = "android"))]
#[tokio::test]
async fn a_request_with_a_byte_too_many_is_dropped_when_its_client_leaves() {
    a_request_is_dropped("G", drop).await;
    a_request_is_dropped("G", reset).await;
}

#[cfg(any(target_os = "linux", target_os = "android"))]
#[tokio::test]
async fn a_request_with_another_behind_it_is_dropped_when_its_client_leaves() {
    a_request_is_dropped(GET, drop).await;
    a_request_is_dropped(GET, reset).await;
}

#[cfg(any(target_os = "linux", target_os = "android"))]
#[tokio::test]
async fn a_request_is_dropped_when_its_client_sends_a_late_byte_and_leaves() {
    let (events, mut seen) = unbounded_channel();
    let server = start(Limits::default(), hang(events));
    let mut client = server.connect().await;
    send(&mut client, GET).await;
    assert_eq!(next(&mut seen).await, Event::Started);
    send(&mut client, "G").await;
    drop(client);
    assert_eq!(next(&mut seen).await, Event::Dropped);
}

#[tokio::test]
async fn a_request_is_dropped_when_its_client_closes_the_sending_half() {
    let (events, mut seen) = unbounded_channel();
    let server = start(Limits::default(), hang(events));
    let mut client = server.connect().await;
    send(&mut client, GET).await;
    assert_eq!(next(&mut seen).await, Event::Started);
    client.shutdown().await.unwrap();
    assert_eq!(next(&mut seen).await, Event::Dropped);
    assert_eq!(read_to_end(&mut client).await, "");
}

#[cfg(any(target_os = "linux", target_os = "android"))]
#[tokio::test]
async fn a_quiet_stream_is_dropped_when_its_client_leaves() {
    for leave in [drop as fn(TcpStream), reset] {
        let (events, mut seen) = unbounded_channel();
        let (frames, body) = script(Some(Guard(events)));
        let server = start(Limits::default(), answer_once(body));
        let mut client = server.connect().await;
        send(&mut client, &GET.repeat(2)).await;
        frames.send("first".into()).unwrap();
        read_until(&mut client, "first").await;
        leave(client);
        assert_eq!(next(&mut seen).await, Event::Dropped);
    }
}

/// `tail` is what the client sends beside its request, `leave` is how it leaves.
async fn a_request_is_dropped(tail: &str, leave: fn(TcpStream)) {
    let (events, mut seen) = unbounded_channel();
    let server = start(Limits::default(), hang(events));
    let mut client = server.connect().await;
    send(&mut client, &format!("{GET}{tail}")).await;
    assert_eq!(next(&mut seen).await, Event::Started);
    leave(client);
    assert_eq!(next(&mut seen).await, Event::Dropped);
}

fn reset(client: TcpStream) {
    client.set_zero_linger().unwrap();
}

// ----- many clients -----

#[tokio::test]
async fn a_connection_over_the_cap_waits_until_another_closes() {
    let (paths, mut seen) = unbounded_channel();
    let service = service_fn(move |request: Request<Incoming>| {
        let path = request.uri().path().to_owned();
        paths.send(path.clone()).unwrap();
        async move { Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(path))) }
    });
    let server = start(Limits { connections: 1, ..Limits::default() }, service);

    let mut first = server.connect().await;
    send(&mut first, &get("/first")).await;
    read_until(&mut first, "\r\n\r\n/first").await;
    let mut second = server.connect().await;
    send(&mut second, &get("/second")).await;
    send(&mut first, &get("/again")).await;
    read_until(&mut first, "\r\n\r\n/again").await;
    assert_eq!(next(&mut seen).await, "/first");
    assert_eq!(next(&mut seen).await, "/again");
    assert!(seen.try_recv().is_err());

    drop(first);
    read_until(&mut second, "\r\n\r\n/second").await;
}

// ----- shutdown -----

#[tokio::test]
async fn shutdown_lets_an_answer_finish_and_refuses_new_connections() {
    let (frames, body) = script(None);
    let mut server = start(Limits::default(), answer_once(body));
    let mut silent = server.connect().await;
    let mut client = server.connect().await;
    send(&mut client, GET).await;
    frames.send("first".into()).unwrap();
    read_until(&mut client, "first\r\n").await;

    server.stop();
    assert_eq!(read_to_end(&mut silent).await, "");
    within(async { while TcpStream::connect(server.addr).await.is_ok() {} }).await;

    frames.send("last".into()).unwrap();
    drop(frames);
    assert_eq!(read_to_end(&mut client).await, "4\r\nlast\r\n0\r\n\r\n");
    assert_eq!(server.drained().await, Drained { cut: 0 });
}

#[tokio::test]
async fn shutdown_closes_an_idle_connection() {
    let mut server = start(Limits { drain: LONG, ..Limits::default() }, echo());
    let mut client = server.connect().await;
    send(&mut client, GET).await;
    read_until(&mut client, "\r\n\r\n/").await;
    server.stop();
    assert_eq!(read_to_end(&mut client).await, "");
    assert_eq!(server.drained().await, Drained { cut: 0 });
}

#[tokio::test]
async fn shutdown_cuts_what_does_not_finish_in_time() {
    let (events, mut seen) = unbounded_channel();
    let mut server = start(Limits { drain: SHORT, ..Limits::default() }, hang(events));
    let mut client = server.connect().await;
    send(&mut client, GET).await;
    assert_eq!(next(&mut seen).await, Event::Started);
    server.stop();
    assert_eq!(server.drained().await, Drained { cut: 1 });
    // Without waiting for it: the handler is dropped before the server is done.
    assert_eq!(seen.try_recv(), Ok(Event::Dropped));
    assert_eq!(read_to_end(&mut client).await, "");
}

// ----- several runtimes -----

#[tokio::test]
async fn a_connection_goes_where_there_are_the_fewest() {
    let workers = Workers::of(2).unwrap();
    let limits = Limits { connections: 4, ..Limits::default() };
    let server = start_on(workers.handles(), limits, thread_name());
    let mut clients = Vec::new();
    for thread in ["sidecar-0", "sidecar-1", "sidecar-0", "sidecar-1"] {
        clients.push(server.connect_to(thread).await);
    }
    // It stays there with all its requests.
    send(&mut clients[1], GET).await;
    read_until(&mut clients[1], "\r\n\r\nsidecar-1").await;
    // Each of these waits until the one before has left, so that its place is counted by then.
    for left in [1, 3, 3] {
        clients.remove(left);
        clients.push(server.connect_to("sidecar-1").await);
    }
    clients.remove(0);
    server.connect_to("sidecar-0").await;
}

#[tokio::test]
async fn shutdown_lets_answers_finish_on_every_runtime() {
    let workers = Workers::of(2).unwrap();
    let (scripts, bodies): (Vec<_>, Vec<_>) = [script(None), script(None)].into_iter().unzip();
    let mut server = start_on(workers.handles(), Limits::default(), answer_in_turn(bodies));
    let mut clients = Vec::new();
    for frames in &scripts {
        let mut client = server.connect().await;
        send(&mut client, GET).await;
        frames.send("first".into()).unwrap();
        read_until(&mut client, "first\r\n").await;
        clients.push(client);
    }
    server.stop();
    within(async { while TcpStream::connect(server.addr).await.is_ok() {} }).await;
    for (frames, mut client) in scripts.into_iter().zip(clients) {
        frames.send("last".into()).unwrap();
        drop(frames);
        assert_eq!(read_to_end(&mut client).await, "4\r\nlast\r\n0\r\n\r\n");
    }
    assert_eq!(server.drained().await, Drained { cut: 0 });
}

#[tokio::test]
async fn shutdown_cuts_what_does_not_finish_on_any_runtime() {
    let workers = Workers::of(2).unwrap();
    let (events, mut seen) = unbounded_channel();
    let limits = Limits { drain: SHORT, ..Limits::default() };
    let mut server = start_on(workers.handles(), limits, hang(events));
    let mut clients = [server.connect().await, server.connect().await];
    for client in &mut clients {
        send(client, GET).await;
        assert_eq!(next(&mut seen).await, Event::Started);
    }
    server.stop();
    assert_eq!(server.drained().await, Drained { cut: 2 });
    // Without waiting for them: the handlers are dropped before the server is done.
    assert_eq!([seen.try_recv(), seen.try_recv()], [Ok(Event::Dropped), Ok(Event::Dropped)]);
    for client in &mut clients {
        assert_eq!(read_to_end(client).await, "");
    }
}

#[tokio::test]
#[should_panic(expected = "no place to serve at")]
async fn there_has_to_be_a_place() {
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let none = std::iter::once((Handle::current(), echo())).skip(1);
    serve_on(listener, none, Limits::default(), pending()).await;
}

// ----- the server under test -----

struct Server {
    addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Drained>,
}

fn start<S, B>(limits: Limits, service: S) -> Server
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    start_on(&[Handle::current()], limits, service)
}

/// The same on several runtimes.
fn start_on<S, B>(runtimes: &[Handle], limits: Limits, service: S) -> Server
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let addr = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let shutdown = async move {
        let _ = stopped.await;
    };
    let places: Vec<_> =
        runtimes.iter().map(|runtime| (runtime.clone(), service.clone())).collect();
    let task = tokio::spawn(serve_on(listener, places, limits, shutdown));
    Server { addr, stop: Some(stop), task }
}

impl Server {
    async fn connect(&self) -> TcpStream {
        within(TcpStream::connect(self.addr)).await.unwrap()
    }

    /// Connects, and expects to be served by `thread`, which names itself.
    async fn connect_to(&self, thread: &str) -> TcpStream {
        let mut client = self.connect().await;
        send(&mut client, GET).await;
        read_until(&mut client, &format!("\r\n\r\n{thread}")).await;
        client
    }

    fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    async fn drained(self) -> Drained {
        within(self.task).await.unwrap()
    }
}

/// What the server did with a request.
#[derive(Debug, PartialEq)]
enum Event {
    Started,
    Dropped,
}

/// Tells when it is dropped.
struct Guard(UnboundedSender<Event>);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.send(Event::Dropped);
    }
}

/// Answers with the path.
fn echo()
-> impl Service<Request<Incoming>, Response = Response<Full<Bytes>>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ 'static {
    service_fn(|request: Request<Incoming>| async move {
        let path = request.uri().path().to_owned();
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(path)))
    })
}

/// Answers with the name of the thread that it runs on.
fn thread_name()
-> impl Service<Request<Incoming>, Response = Response<Full<Bytes>>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ 'static {
    service_fn(|_: Request<Incoming>| async {
        let name = thread::current().name().unwrap_or_default().to_owned();
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(name)))
    })
}

/// Never answers.
fn hang(
    events: UnboundedSender<Event>,
) -> impl Service<Request<Incoming>, Response = Response<Empty<Bytes>>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ 'static {
    service_fn(move |_: Request<Incoming>| {
        let guard = Guard(events.clone());
        async move {
            guard.0.send(Event::Started).unwrap();
            pending::<()>().await;
            drop(guard);
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    })
}

/// Answers the first request with `body` and fails any other.
fn answer_once<B: Send + 'static>(
    body: B,
) -> impl Service<Request<Incoming>, Response = Response<B>, Error = io::Error, Future: Send>
+ Clone
+ Send
+ 'static {
    answer_in_turn(vec![body])
}

/// Answers each request with the next of `bodies` and fails those for which there is none.
fn answer_in_turn<B: Send + 'static>(
    bodies: Vec<B>,
) -> impl Service<Request<Incoming>, Response = Response<B>, Error = io::Error, Future: Send>
+ Clone
+ Send
+ 'static {
    let bodies = Arc::new(Mutex::new(bodies.into_iter()));
    service_fn(move |_: Request<Incoming>| {
        let body = bodies.lock().unwrap().next();
        async move { body.map(Response::new).ok_or_else(|| io::Error::other("answered already")) }
    })
}

/// A body of the frames that are sent to it.
struct Script {
    frames: UnboundedReceiver<Bytes>,
    _guard: Option<Guard>,
}

fn script(guard: Option<Guard>) -> (UnboundedSender<Bytes>, Script) {
    let (sender, frames) = unbounded_channel();
    (sender, Script { frames, _guard: guard })
}

impl Body for Script {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.frames.poll_recv(cx).map(|frame| frame.map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// A body without end, as fast as it is read.
struct Endless {
    _guard: Guard,
}

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 16 * 1024])))))
    }
}

// ----- the client -----

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: sidecar\r\n\r\n")
}

async fn send(client: &mut TcpStream, text: &str) {
    within(client.write_all(text.as_bytes())).await.unwrap();
}

/// Reads until `part` has come, and takes what came with it.
async fn read_until(client: &mut TcpStream, part: &str) {
    let mut text = Vec::new();
    while !String::from_utf8_lossy(&text).contains(part) {
        let read = within(client.read_buf(&mut text)).await.unwrap();
        assert_ne!(read, 0, "{}", String::from_utf8_lossy(&text));
    }
}

async fn read_to_end(client: &mut TcpStream) -> String {
    let mut text = String::new();
    within(client.read_to_string(&mut text)).await.unwrap();
    text
}

async fn next<T>(events: &mut UnboundedReceiver<T>) -> T {
    within(events.recv()).await.expect("the server is running")
}

/// Far longer than anything here takes, for a machine that is busy.
async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), what).await.expect("it takes no time")
}
