//! A caller that no HTTP library keeps from doing wrong.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::within;

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
