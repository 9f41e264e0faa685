//! The load: callers that ask again as soon as they have an answer, and callers that ask at a
//! steady rate.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use sidecar_core::clock::Clock;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::child::{Child, now_nanos};
use crate::{Failure, provider};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// 2 KB there and back.
    Small,
    /// 64 KB there and back.
    Large,
    /// 2 KB there, and a hundred events back.
    Stream,
}

/// What a round has cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// Of the gateway, for one request.
    pub(crate) cpu: Duration,
    pub(crate) per_second: f64,
}

type Sender = SendRequest<Full<Bytes>>;

impl Shape {
    pub(crate) const ALL: [Self; 3] = [Self::Small, Self::Large, Self::Stream];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Small => "2 KB",
            Self::Large => "64 KB",
            Self::Stream => "stream of 100 events",
        }
    }

    /// How many times as long one takes, roughly.
    pub(crate) const fn weight(self) -> usize {
        match self {
            Self::Small => 1,
            Self::Large => 2,
            Self::Stream => 6,
        }
    }

    pub(crate) fn body(self) -> Bytes {
        match self {
            Self::Small => question("{", 2 << 10),
            Self::Large => question("{", 64 << 10),
            Self::Stream => question(STREAM, 2 << 10),
        }
    }
}

/// A question of `length` bytes, or nearly so, that begins with `prefix`.
pub(crate) fn question(prefix: &str, length: usize) -> Bytes {
    let text = "x".repeat(length - 120);
    let body = format!(
        "{prefix}\"model\":\"model\",\"messages\":[{{\"role\":\"user\",\
         \"content\":\"{text}\"}}]}}"
    );
    Bytes::from(body)
}

/// `requests` of `shape` over 64 connections, each as soon as the one before it is answered.
pub(crate) async fn closed(
    gateway: &Child,
    shape: Shape,
    requests: usize,
) -> Result<Cost, Failure> {
    let body = shape.body();
    let mut senders = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        let mut sender = connect(gateway.address()).await?;
        ask(&mut sender, gateway, &body).await?;
        senders.push(sender);
    }
    let each = requests.div_ceil(CONNECTIONS);
    let clock = Clock::system();
    let (cpu, started) = (gateway.cpu()?, clock.now());
    let mut asking = JoinSet::new();
    for mut sender in senders {
        let (address, key, body) = (gateway.address(), gateway.key().to_owned(), body.clone());
        asking.spawn(async move {
            for _ in 0..each {
                ask_with(&mut sender, address, &key, &body).await?;
            }
            Ok::<_, Failure>(())
        });
    }
    while let Some(asked) = asking.join_next().await {
        asked??;
    }
    let (took, asked) = (clock.now() - started, u32::try_from(each * CONNECTIONS)?);
    let cpu = gateway.cpu()?.saturating_sub(cpu) / asked;
    Ok(Cost { cpu, per_second: f64::from(asked) / took.as_secs_f64() })
}

/// `requests` small ones, a thousand a second, whatever becomes of those before them. How long
/// each took from when it was due.
pub(crate) async fn open(gateway: &Child, requests: u32) -> Result<Vec<Duration>, Failure> {
    let body = Shape::Small.body();
    let mut free = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut sender = connect(gateway.address()).await?;
        ask(&mut sender, gateway, &body).await?;
        free.push(sender);
    }
    let clock = Clock::system();
    let started = clock.now() + Duration::from_millis(10);
    let (mut asking, mut times) = (JoinSet::new(), Vec::new());
    for number in 0..requests {
        let due = started + INTERVAL * number;
        // A timer of the runtime is a millisecond late, which is what is to be measured.
        while clock.now() < due {
            tokio::task::yield_now().await;
        }
        while let Some(done) = asking.try_join_next() {
            let (sender, took): (Sender, Duration) = done??;
            free.push(sender);
            times.push(took);
        }
        let mut sender = match free.pop() {
            Some(sender) => sender,
            None => connect(gateway.address()).await?,
        };
        let (address, key, body) = (gateway.address(), gateway.key().to_owned(), body.clone());
        let clock = clock.clone();
        asking.spawn(async move {
            ask_with(&mut sender, address, &key, &body).await?;
            Ok::<_, Failure>((sender, clock.now() - due))
        });
    }
    while let Some(done) = asking.join_next().await {
        times.push(done??.1);
    }
    Ok(times)
}

/// So many streams at once, each of a hundred events, one every ten milliseconds. How long each
/// event was on its way.
pub(crate) async fn chunks(gateway: &Child, streams: usize) -> Result<Vec<Duration>, Failure> {
    let mut reading = JoinSet::new();
    for number in 0..streams {
        let mut sender = connect(gateway.address()).await?;
        let request = request(gateway.address(), gateway.key(), Bytes::from_static(PACED))?;
        // So that they do not all tick at once.
        tokio::time::sleep(Duration::from_micros(100 * (number as u64 % 100))).await;
        reading.spawn(async move {
            let mut body = sender.send_request(request).await?.into_body();
            let mut times = Vec::new();
            while let Some(frame) = body.frame().await {
                let data = frame?.into_data().unwrap_or_default();
                let now = now_nanos();
                let text = String::from_utf8_lossy(&data);
                times.extend(text.split("\"at\":").skip(1).filter_map(|rest| {
                    let sent: u64 = rest.split(',').next()?.parse().ok()?;
                    Some(Duration::from_nanos(now.saturating_sub(sent)))
                }));
            }
            Ok::<_, Failure>(times)
        });
    }
    let mut all = Vec::new();
    while let Some(times) = reading.join_next().await {
        all.extend(times??);
    }
    Ok(all)
}

pub(crate) async fn connect(address: SocketAddr) -> Result<Sender, Failure> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

pub(crate) async fn ask(sender: &mut Sender, gateway: &Child, body: &Bytes) -> Result<(), Failure> {
    ask_with(sender, gateway.address(), gateway.key(), body).await
}

async fn ask_with(
    sender: &mut Sender,
    address: SocketAddr,
    key: &str,
    body: &Bytes,
) -> Result<(), Failure> {
    sender.ready().await?;
    let answer = sender.send_request(request(address, key, body.clone())?).await?;
    if !answer.status().is_success() {
        let body = answer.into_body().collect().await?.to_bytes();
        return Err(String::from_utf8_lossy(&body).into());
    }
    let mut body = answer.into_body();
    while let Some(frame) = body.frame().await {
        frame?;
    }
    Ok(())
}

pub(crate) fn request(
    address: SocketAddr,
    key: &str,
    body: Bytes,
) -> Result<Request<Full<Bytes>>, Failure> {
    Ok(Request::post("/v1/chat/completions")
        .header("host", address.to_string())
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json")
        .header("user-agent", "bench/1")
        .header("accept", "application/json")
        .body(Full::new(body))?)
}

/// See [`provider::PACED_PREFIX`].
const PACED: &[u8] = b"{\"stream\":true,\"user\":\"paced\",\"model\":\"model\",\"messages\":[]}";
const CONNECTIONS: usize = 64;
const INTERVAL: Duration = Duration::from_millis(1);
/// See [`provider::STREAM_PREFIX`].
const STREAM: &str = "{\"stream\":true,";
const _: () = assert!(STREAM.len() == provider::STREAM_PREFIX.len() + 1);
