//! A caller: hyper's client, one connection for each request.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use super::within;

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// Whether the body ended before its framing said so.
    pub(crate) cut: bool,
}

/// Why there was no answer.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in the answer {:?}", self.text()))
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The header called `name`, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Everything a caller sees: the head and the body.
    pub(crate) fn whole(&self) -> String {
        format!("{} {:?} {}", self.status, self.headers, self.text())
    }
}

/// A JSON request without a body yet.
pub(crate) fn request(method: &str, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(path).header(CONTENT_TYPE, "application/json")
}

/// `value` as a body.
pub(crate) fn json_body(value: &Value) -> Full<Bytes> {
    Full::new(Bytes::from(value.to_string()))
}

/// Sends `request`; the answer's body is still to come.
pub(crate) async fn open(
    addr: SocketAddr,
    mut request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, Failure> {
    let host = HeaderValue::from_str(&addr.to_string())?;
    request.headers_mut().entry(HOST).or_insert(host);
    let stream = TcpStream::connect(addr).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender.send_request(request).await?)
}

/// Sends `request` and reads the answer to its end.
pub(crate) async fn try_send(
    addr: SocketAddr,
    request: Request<Full<Bytes>>,
) -> Result<Answer, Failure> {
    let (head, mut incoming) = open(addr, request).await?.into_parts();
    let (body, cut) = body_of(&mut incoming).await;
    Ok(Answer { status: head.status.as_u16(), headers: head.headers, body, cut })
}

/// As [`try_send`], where an answer must come.
pub(crate) async fn send(addr: SocketAddr, request: Request<Full<Bytes>>) -> Answer {
    try_send(addr, request).await.unwrap()
}

/// What is left of a body, and whether it was cut.
pub(crate) async fn body_of(body: &mut Incoming) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    loop {
        match within("the rest of a body", body.frame()).await {
            None => return (bytes, false),
            Some(Err(_)) => return (bytes, true),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    bytes.extend_from_slice(&data);
                }
            }
        }
    }
}

/// What has come of a body once it is `length` bytes or more.
pub(crate) async fn next_bytes(body: &mut Incoming, length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < length {
        let frame = within("the next piece of a body", body.frame()).await;
        if let Ok(data) = frame.unwrap().unwrap().into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    bytes
}
