//! The provider: answers as it is asked to, at once.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::time::{Interval, interval};

use crate::Failure;
use crate::child::now_nanos;

/// Events at a steady pace, each with the time at which it was sent.
struct Paced {
    left: u32,
    pace: Interval,
}

/// A stream of events, one a frame.
struct Events {
    left: u32,
    has_paused: bool,
}

/// Answers until the process is ended.
pub(crate) async fn run(listener: TcpListener) -> Result<(), Failure> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let serving = http1::Builder::new();
        tokio::spawn(serving.serve_connection(TokioIo::new(stream), service_fn(answer)));
    }
}

async fn answer(
    request: Request<Incoming>,
) -> Result<Response<UnsyncBoxBody<Bytes, Infallible>>, Failure> {
    let body = request.into_body().collect().await?.to_bytes();
    let paced = |pace| Paced { left: EVENTS, pace: interval(pace) }.boxed_unsync();
    let (kind, body) = if body.starts_with(SLOW_PREFIX.as_bytes()) {
        ("text/event-stream", paced(SLOW_PACE))
    } else if body.starts_with(PACED_PREFIX) {
        ("text/event-stream", paced(PACE))
    } else if body.starts_with(STREAM_PREFIX) {
        let events = Events { left: EVENTS, has_paused: false };
        ("text/event-stream", events.boxed_unsync())
    } else {
        // As long as the question.
        ("application/json", Full::from(document(body.len())).boxed_unsync())
    };
    Ok(Response::builder().header("content-type", kind).body(body)?)
}

/// An answer of about `length` bytes.
fn document(length: usize) -> String {
    let text = "x".repeat(length.saturating_sub(250));
    format!(
        "{{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"m\",\
         \"choices\":[{{\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":\"{text}\"}},\
         \"finish_reason\":\"stop\"}}],\"usage\":{{\"prompt_tokens\":700,\
         \"completion_tokens\":70,\"total_tokens\":770}}}}"
    )
}

impl Body for Paced {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        ready!(self.pace.poll_tick(cx));
        self.left -= 1;
        let finish = if self.left == 0 { "\"stop\"" } else { "null" };
        let event = format!(
            "data: {{\"at\":{},\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"x\"}},\
             \"finish_reason\":{finish}}}]}}\n\n",
            now_nanos()
        );
        Poll::Ready(Some(Ok(Frame::data(event.into()))))
    }
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        // So that what has been given is sent, and every event is a packet of its own.
        self.has_paused = !self.has_paused;
        if self.has_paused {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let text = match self.left {
            0 => return Poll::Ready(None),
            1 => "data: [DONE]\n\n",
            2 => LAST,
            _ => EVENT,
        };
        self.left -= 1;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(text.as_bytes())))))
    }
}

/// How a question begins that wants a stream that hardly moves.
pub(crate) const SLOW_PREFIX: &str = "{\"stream\":true,\"user\":\"slow\"";
const SLOW_PACE: Duration = Duration::from_secs(1);

/// How a question begins that wants a stream at a steady pace.
pub(crate) const PACED_PREFIX: &[u8] = b"{\"stream\":true,\"user\":\"paced\"";
const PACE: Duration = Duration::from_millis(10);

/// How a question begins that wants a stream.
pub(crate) const STREAM_PREFIX: &[u8] = b"{\"stream\":true";
/// How many events a stream has, the end included.
pub(crate) const EVENTS: u32 = 100;

const EVENT: &str = "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\
    \"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" token\"},\
    \"finish_reason\":null}]}\n\n";
const LAST: &str = "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\
    \"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\
    \"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":700,\"completion_tokens\":98,\
    \"total_tokens\":798}}\n\n";
