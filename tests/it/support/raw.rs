//! A caller that no HTTP library keeps from doing wrong.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::within;

/// A caller that says only what it is told to, and leaves as it is told to: dropped, it closes the
/// connection (FIN), or resets it if there was something left to read.
pub(crate) struct RawCaller(TcpStream);

impl RawCaller {
    /// Connects and sends `bytes`.
    pub(crate) async fn sending(addr: SocketAddr, bytes: &str) -> Self {
        let mut caller = Self(TcpStream::connect(addr).await.unwrap());
        caller.send(bytes).await;
        caller
    }

    /// Sends `bytes` too.
    pub(crate) async fn send(&mut self, bytes: &str) {
        self.0.write_all(bytes.as_bytes()).await.unwrap();
    }

    /// Reads until `part` has come; all that has come with it.
    pub(crate) async fn read_until(&mut self, part: &str) -> String {
        let mut bytes = Vec::new();
        while !String::from_utf8_lossy(&bytes).contains(part) {
            let read = within("more of an answer", self.0.read_buf(&mut bytes)).await.unwrap();
            assert_ne!(read, 0, "the server closed after {}", String::from_utf8_lossy(&bytes));
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Resets the connection (RST).
    pub(crate) fn reset(self) {
        self.0.set_zero_linger().unwrap();
    }
}

/// A POST of `body` to `path`, as it is sent.
pub(crate) fn raw_post(path: &str, headers: &[(&str, &str)], body: &Value) -> String {
    let body = body.to_string();
    let mut post = format!("POST {path} HTTP/1.1\r\nhost: sidecar\r\n");
    for (name, value) in headers {
        post.push_str(&format!("{name}: {value}\r\n"));
    }
    post.push_str("content-type: application/json\r\n");
    post.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    post
}

/// Sends `bytes` and reads until the server closes the connection, which it must.
pub(crate) async fn raw(addr: SocketAddr, bytes: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    within("the server to close", read_to_close(&mut stream)).await
}

/// Sends `head` and then `length` bytes of body, whatever the server says meanwhile, and reads
/// until the server closes the connection.
pub(crate) async fn raw_upload(addr: SocketAddr, head: &str, length: usize) -> String {
    let stream = TcpStream::connect(addr).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let head = head.to_owned();
    let upload = tokio::spawn(async move {
        let piece = vec![b' '; 64 << 10];
        let mut sent = writer.write_all(head.as_bytes()).await;
        for _ in 0..length.div_ceil(piece.len()) {
            // A server that has heard enough may close; its answer is read all the same.
            if sent.is_err() {
                return;
            }
            sent = writer.write_all(&piece).await;
        }
    });
    let answer = within("the server to close", read_to_close(&mut reader)).await;
    upload.abort();
    answer
}

/// The status of a raw answer; 0 if it is none.
pub(crate) fn status_of(answer: &str) -> u16 {
    let status = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    status.and_then(|status| status.parse().ok()).unwrap_or(0)
}

async fn read_to_close(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut answer = Vec::new();
    // A reset is a way to close, too.
    while let Ok(1..) = stream.read_buf(&mut answer).await {}
    String::from_utf8_lossy(&answer).into_owned()
}
