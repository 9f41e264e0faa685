//! A caller that keeps its connection, as the clients of agents do.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::HOST;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::asked::{Asked, Fate, Kind, LAST_OF_TEXT};
use crate::support::{Answer, body_of, request, within};

/// Where the server is, and in which of its runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Address {
    pub(super) run: u32,
    pub(super) addr: SocketAddr,
}

/// A caller, with one request at a time.
pub(super) struct Caller {
    address: watch::Receiver<Address>,
    connection: Option<SendRequest<Full<Bytes>>>,
    /// How many requests got no answer and were asked again in the next run.
    pub(super) unanswered: u32,
}

impl Caller {
    pub(super) fn new(address: watch::Receiver<Address>) -> Self {
        Self { address, connection: None, unanswered: 0 }
    }

    /// Asks, and hears the answer as far as its fate wants it. An answer that has begun must come
    /// to its end; one that has not is asked for again, because the server was about to end.
    pub(super) async fn ask(&mut self, asked: &Asked) {
        loop {
            let Address { run, addr } = *self.address.borrow_and_update();
            match within("an answer", self.try_ask(asked, addr)).await {
                Ok(response) => return self.hear(asked, response).await,
                Err(was_sent) => self.unanswered += u32::from(was_sent),
            }
            self.connection = None;
            let next_run =
                async { self.address.wait_for(|address| address.run > run).await.is_ok() };
            assert!(within("the next run", next_run).await);
        }
    }

    /// `Err` says whether anything was sent.
    async fn try_ask(
        &mut self,
        asked: &Asked,
        addr: SocketAddr,
    ) -> Result<Response<Incoming>, bool> {
        let is_open = match &mut self.connection {
            Some(connection) => connection.ready().await.is_ok(),
            None => false,
        };
        if !is_open {
            let stream = TcpStream::connect(addr).await.map_err(|_| false)?;
            stream.set_nodelay(true).map_err(|_| false)?;
            let (connection, driver) = handshake(TokioIo::new(stream)).await.map_err(|_| false)?;
            tokio::spawn(driver);
            self.connection = Some(connection);
        }
        let connection = self.connection.as_mut().ok_or(false)?;
        connection.send_request(request_of(asked, addr)).await.map_err(|_| true)
    }

    async fn hear(&mut self, asked: &Asked, response: Response<Incoming>) {
        let (head, mut body) = response.into_parts();
        if asked.fate == Fate::Left && head.status == 200 {
            within("the text", read_to_text(&mut body)).await;
            // It leaves with its connection, before the end.
            self.connection = None;
            return;
        }
        let (body, cut) = body_of(&mut body).await;
        if cut {
            self.connection = None;
        }
        check(asked, &Answer { status: head.status.as_u16(), headers: head.headers, body, cut });
    }
}

fn request_of(asked: &Asked, addr: SocketAddr) -> Request<Full<Bytes>> {
    request("POST", asked.path())
        .header(HOST, addr.to_string())
        .header("x-agent-id", asked.caller())
        .body(Full::new(Bytes::from(asked.body())))
        .unwrap()
}

async fn read_to_text(body: &mut Incoming) {
    let mut has_text = false;
    while !has_text {
        let frame = body.frame().await.expect("more of the answer").unwrap();
        let data = frame.into_data().unwrap_or_default();
        has_text = data.windows(LAST_OF_TEXT.len()).any(|window| window == LAST_OF_TEXT.as_bytes());
    }
}

/// Whether the answer is that of its fate.
fn check(asked: &Asked, answer: &Answer) {
    let (whole, attempts) = (answer.whole(), answer.header("x-sidecar-attempts"));
    if asked.fate == Fate::Fault {
        assert_eq!(answer.status, 400, "{asked:?}: {whole}");
        return;
    }
    assert_eq!(answer.status, 200, "{asked:?}: {whole}");
    match asked.fate {
        // Within the same attempt if the connection was a kept one.
        Fate::Closed => assert!(matches!(attempts, "1" | "2"), "{asked:?}: {whole}"),
        fate => {
            let expected = if fate.fails_over() { "2" } else { "1" };
            assert_eq!(attempts, expected, "{asked:?}: {whole}");
        }
    }
    assert_eq!(answer.cut, asked.fate.cuts(), "{asked:?}: {whole}");
    let mark = if asked.kind == Kind::Embedding { "embedding" } else { LAST_OF_TEXT };
    assert!(answer.text().contains(mark), "{asked:?}: {whole}");
}
