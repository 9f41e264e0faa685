//! [`Caller`].

use std::net::SocketAddr;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Asks the same again and again, over one connection.
pub(crate) struct Caller {
    sender: SendRequest<Full<Bytes>>,
    address: SocketAddr,
    key: String,
    question: Bytes,
    stream_question: Bytes,
}

impl Caller {
    /// A caller of what listens on `address`, to which it shows `key`.
    pub(crate) async fn connect(address: SocketAddr, key: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let (question, stream_question) = (question(""), question("\"stream\":true,"));
        Self { sender, address, key: key.to_owned(), question, stream_question }
    }

    /// Asks for a document and reads it.
    pub(crate) async fn ask(&mut self) {
        let mut body = self.send(self.question.clone()).await;
        while let Some(frame) = body.frame().await {
            frame.unwrap();
        }
    }

    /// Asks for a stream, of which nothing is read yet.
    pub(crate) async fn open(&mut self) -> Incoming {
        self.send(self.stream_question.clone()).await
    }

    async fn send(&mut self, question: Bytes) -> Incoming {
        self.sender.ready().await.unwrap();
        let request = Request::post("/v1/chat/completions")
            .header("host", self.address.to_string())
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", "application/json")
            .header("user-agent", "test/1")
            .header("accept", "application/json")
            .body(Full::new(question))
            .unwrap();
        let answer = self.sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), 200, "{:?}", answer.headers());
        answer.into_body()
    }
}

/// About 2 KB.
fn question(prefix: &str) -> Bytes {
    let text = "x".repeat(1_900);
    let body = format!(
        "{{{prefix}\"model\":\"model\",\"messages\":[{{\"role\":\"user\",\"content\":\"{text}\"}}]}}"
    );
    Bytes::from(body)
}
