//! The provider: answers with a document at once, or with a stream whose events come one by one,
//! as they are handed in.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::Failure;

/// A provider on a port of its own.
pub(crate) struct Provider {
    address: SocketAddr,
    answers: Arc<Answers>,
}

struct Answers {
    document: Bytes,
    /// The answer to the next request, if that is to be a stream.
    stream: Mutex<Option<Events>>,
}

/// The events of a stream, each a frame.
struct Events(UnboundedReceiver<Bytes>);

impl Provider {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answers = Arc::new(Answers { document: document(), stream: Mutex::default() });
        let for_connections = answers.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let answers = for_connections.clone();
                let service = service_fn(move |request| answer(request, answers.clone()));
                let serving = http1::Builder::new();
                tokio::spawn(serving.serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, answers }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers the next request with a stream of what is sent here. It ends when this is dropped.
    pub(crate) fn stream(&self) -> UnboundedSender<Bytes> {
        let (sender, receiver) = unbounded_channel();
        *self.answers.stream.lock().unwrap() = Some(Events(receiver));
        sender
    }
}

async fn answer(
    request: Request<Incoming>,
    answers: Arc<Answers>,
) -> Result<Response<Either<Full<Bytes>, Events>>, Failure> {
    request.into_body().collect().await?;
    let (kind, body) = match answers.stream.lock().unwrap().take() {
        Some(events) => ("text/event-stream", Either::Right(events)),
        None => ("application/json", Either::Left(Full::new(answers.document.clone()))),
    };
    Ok(Response::builder().header(CONTENT_TYPE, kind).body(body)?)
}

/// About 2 KB.
fn document() -> Bytes {
    let text = "x".repeat(1_800);
    let document = format!(
        "{{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"m\",\
         \"choices\":[{{\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":\"{text}\"}},\
         \"finish_reason\":\"stop\"}}],\"usage\":{{\"prompt_tokens\":700,\
         \"completion_tokens\":70,\"total_tokens\":770}}}}"
    );
    Bytes::from(document)
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|event| event.map(|event| Ok(Frame::data(event))))
    }
}
