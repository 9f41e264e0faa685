//! A scripted provider on a real socket.
//!
//! It reads and writes HTTP by itself, since no server library resets, hangs or cuts on demand,
//! and so it also sees a request exactly as it was framed.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::dialects;

/// What a provider does with a request once it has read it.
#[derive(Clone)]
pub(crate) enum Script {
    /// Answers as it should, in the family of the path.
    Good,
    /// Always this answer.
    Answer { status: u16, headers: Vec<(&'static str, &'static str)>, body: String },
    /// This status, with the credential it was sent in every place an error answer has.
    Echo(u16),
    /// A 200 of server-sent events, step by step.
    Stream(Vec<Step>),
    /// Closes without an answer (FIN).
    Close,
    /// Resets the connection (RST).
    Reset,
    /// Says nothing until the other side has left.
    Hang,
}

/// One step of [`Script::Stream`]. A stream without [`Step::Cut`] ends as it should.
#[derive(Clone)]
pub(crate) enum Step {
    /// Sends this.
    Send(&'static str),
    /// Sends this so many times, as fast as it is taken.
    Repeat(&'static str, usize),
    /// Waits until the test says so.
    Wait(Arc<Notify>),
    /// Says nothing more until the other side has left.
    Hang,
    /// Closes without ending the body.
    Cut,
}

/// A request as a provider saw it.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// A provider. It answers well until it is told otherwise.
pub(crate) struct Upstream {
    addr: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// An address that refuses connections for as long as this lives: bound, but not listening.
pub(crate) struct Refusing(TcpSocket);

struct Shared {
    script: Mutex<Script>,
    seen: Mutex<Vec<Seen>>,
    /// How often the other side has left while it hung.
    left: watch::Sender<usize>,
    /// Bytes of [`Step::Repeat`].
    repeated: AtomicUsize,
}

impl Upstream {
    /// A provider on a port of its own.
    pub(crate) async fn start() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        // Its connections inherit it: little of what they have sent still waits on this side.
        socket.set_send_buffer_size(SEND_BUFFER).unwrap();
        socket.bind(LOOPBACK.parse().unwrap()).unwrap();
        let listener = socket.listen(BACKLOG).unwrap();
        let addr = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            script: Mutex::new(Script::Good),
            seen: Mutex::default(),
            left: watch::Sender::new(0),
            repeated: AtomicUsize::new(0),
        });
        let for_connections = shared.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A small buffer and a wait for each acknowledgement would make it slow.
                let _ = stream.set_nodelay(true);
                tokio::spawn(serve(stream, for_connections.clone()));
            }
        });
        Self { addr, shared, accepting }
    }

    /// A provider that follows `script`.
    pub(crate) async fn following(script: Script) -> Self {
        let upstream = Self::start().await;
        upstream.follow(script);
        upstream
    }

    /// Follows `script` from the next request on.
    pub(crate) fn follow(&self, script: Script) {
        *self.shared.script.lock().unwrap() = script;
    }

    /// `host:port`.
    pub(crate) fn authority(&self) -> String {
        self.addr.to_string()
    }

    /// What a provider of it is entered as.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/v1", self.addr)
    }

    /// How many requests it has read.
    pub(crate) fn count(&self) -> usize {
        self.shared.seen.lock().unwrap().len()
    }

    /// The last request it has read.
    pub(crate) fn last(&self) -> Seen {
        self.shared.seen.lock().unwrap().last().expect("a request has come").clone()
    }

    /// Waits until the other side has left so often, in all, while it hung.
    pub(crate) async fn left(&self, times: usize) {
        let mut left = self.shared.left.subscribe();
        // Never an error: the sender lives as long as this.
        left.wait_for(|left| *left >= times).await.map(drop).unwrap();
    }

    /// How many bytes of [`Step::Repeat`] it has sent.
    pub(crate) fn repeated(&self) -> usize {
        self.shared.repeated.load(Ordering::Relaxed)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Refusing {
    /// An address of its own.
    pub(crate) fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(LOOPBACK.parse().unwrap()).unwrap();
        Self(socket)
    }

    /// What a provider of it is entered as.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/v1", self.0.local_addr().unwrap())
    }
}

impl Script {
    /// This status with an OpenAI error that says `message`.
    pub(crate) fn status(status: u16, message: &str) -> Self {
        let body = dialects::error(message, "scripted", None, "scripted");
        Self::Answer { status, headers: vec![JSON], body: body.to_string() }
    }
}

impl Seen {
    /// The value of the header called `name`, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(found, _)| found == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    /// The body as JSON; `null` if it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// All of it.
    pub(crate) fn whole(&self) -> String {
        let body = String::from_utf8_lossy(&self.body);
        format!("{} {} {:?} {body}", self.method, self.target, self.headers)
    }
}

/// Serves one connection until one side has had enough of it.
async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut buffer = Vec::new();
    while let Some(seen) = read_request(&mut stream, &mut buffer).await {
        let script = shared.script.lock().unwrap().clone();
        shared.seen.lock().unwrap().push(seen.clone());
        if !play(script, &seen, &mut stream, &shared).await {
            return;
        }
    }
}

async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Seen> {
    let head_end = loop {
        match buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            Some(end) => break end,
            None => read_more(stream, buffer).await?,
        }
    };
    let head = String::from_utf8_lossy(&buffer[..head_end]).into_owned();
    let mut lines = head.split("\r\n");
    let mut start = lines.next()?.split(' ').map(str::to_owned);
    let (method, target) = (start.next()?, start.next()?);
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut seen = Seen { method, target, headers, body: Vec::new() };
    let body_start = head_end + 4;
    let end = body_start + seen.header("content-length").parse::<usize>().unwrap_or(0);
    while buffer.len() < end {
        read_more(stream, buffer).await?;
    }
    seen.body = buffer[body_start..end].to_vec();
    buffer.drain(..end);
    Some(seen)
}

async fn read_more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    matches!(stream.read_buf(buffer).await, Ok(1..)).then_some(())
}

/// Follows `script`; whether the connection may be used again.
async fn play(script: Script, seen: &Seen, stream: &mut TcpStream, shared: &Shared) -> bool {
    match script {
        Script::Good => write(stream, &dialects::good(seen)).await,
        Script::Answer { status, headers, body } => {
            write(stream, &dialects::answer(status, &headers, &body)).await
        }
        Script::Echo(status) => write(stream, &dialects::echo(status, seen)).await,
        Script::Stream(steps) => play_stream(steps, stream, shared).await,
        Script::Close => false,
        Script::Reset => {
            stream.set_zero_linger().unwrap();
            false
        }
        Script::Hang => hang(stream, shared).await,
    }
}

async fn play_stream(steps: Vec<Step>, stream: &mut TcpStream, shared: &Shared) -> bool {
    if !write(stream, dialects::STREAM_HEAD.as_bytes()).await {
        return false;
    }
    for step in steps {
        match step {
            Step::Send(text) => {
                if !write(stream, dialects::chunk(text).as_bytes()).await {
                    return false;
                }
            }
            Step::Repeat(text, times) => {
                let chunk = dialects::chunk(text);
                for _ in 0..times {
                    if !write(stream, chunk.as_bytes()).await {
                        return false;
                    }
                    shared.repeated.fetch_add(chunk.len(), Ordering::Relaxed);
                }
            }
            Step::Wait(until) => until.notified().await,
            Step::Hang => return hang(stream, shared).await,
            Step::Cut => return false,
        }
    }
    write(stream, dialects::LAST_CHUNK.as_bytes()).await
}

/// Waits until the other side has left; the connection is of no more use then.
async fn hang(stream: &mut TcpStream, shared: &Shared) -> bool {
    // Whoever sends something is still there.
    while let Ok(1..) = stream.read(&mut [0; 64]).await {}
    shared.left.send_modify(|left| *left += 1);
    false
}

async fn write(stream: &mut TcpStream, bytes: &[u8]) -> bool {
    stream.write_all(bytes).await.is_ok()
}

const LOOPBACK: &str = "127.0.0.1:0";
const BACKLOG: u32 = 1_024;
/// Bytes; Linux takes twice as many.
const SEND_BUFFER: u32 = 32 << 10;
const JSON: (&str, &str) = ("content-type", "application/json");
