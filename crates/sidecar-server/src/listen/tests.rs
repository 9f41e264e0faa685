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

mod clients;
mod shutdown;

const GET: &str = "GET / HTTP/1.1\r\nhost: sidecar\r\n\r\n";
const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(60);

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
