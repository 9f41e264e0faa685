//! [`Link`]: one connection, which many requests share.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};

use super::super::error::SendError;
use super::super::prewarm::Prewarmed;
use super::super::watched::WatchedStream;
use super::body::Http2Body;
use super::driver::Driver;
use super::upload::Upload;
use crate::clock::Clock;

/// One connection. It ends by itself, some time after its last request.
#[derive(Debug)]
pub(super) struct Link(Mutex<State>);

#[derive(Debug)]
struct State {
    /// `None` once no request is to begin on it any more.
    sender: Option<SendRequest<Bytes>>,
    /// How many requests it carries.
    taken: usize,
}

/// The place of a request on a connection, free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    sender: SendRequest<Bytes>,
    link: Arc<Link>,
}

/// Whether a connection has a place.
#[derive(Debug)]
pub(super) enum Room {
    Place(Place),
    /// It carries as many requests as it may.
    Full,
    /// It takes no request any more.
    Closed,
}

impl Link {
    /// A place on a new connection over `stream`, which nothing has been sent on.
    pub(super) async fn over(
        stream: Prewarmed<WatchedStream>,
        clock: Clock,
    ) -> Result<Place, SendError> {
        let exchange = stream.exchange().clone();
        let mut builder = Builder::new();
        builder
            .enable_push(false)
            .max_header_list_size(MOST_HEADERS)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            // Events are small. Those that wait for readers who do not read must not be taken for
            // an attack before the windows are full.
            .data_frame_budget(2 * CONNECTION_WINDOW as usize)
            // Until the provider has said how many it takes.
            .initial_max_send_streams(1);
        let handshake = builder.handshake(stream).await;
        let (sender, connection) = handshake.map_err(|error| SendError::Connect(error.into()))?;
        let state = State { sender: Some(sender.clone()), taken: 1 };
        let link = Arc::new(Self(Mutex::new(state)));
        tokio::spawn(Driver::new(connection, exchange, Arc::downgrade(&link), clock).run());
        Ok(Place { sender, link })
    }

    /// A place, if there is one that can be used at once. So no request waits here for others to
    /// end, while its own time runs.
    pub(super) fn place(self: &Arc<Self>) -> Room {
        let mut state = self.lock();
        let Some(sender) = &mut state.sender else { return Room::Closed };
        let ready = sender.poll_ready(&mut Context::from_waker(Waker::noop()));
        if matches!(ready, Poll::Ready(Err(_))) {
            state.sender = None;
            return Room::Closed;
        }
        let (sender, most) = (sender.clone(), sender.current_max_send_streams());
        if state.taken >= most.min(MOST_STREAMS) {
            return Room::Full;
        }
        state.taken += 1;
        Room::Place(Place { sender, link: self.clone() })
    }

    /// Whether it carries any request.
    pub(super) fn is_used(&self) -> bool {
        self.lock().taken > 0
    }

    /// Whether it takes no request any more, as far as has been noticed.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().sender.is_none()
    }

    /// Takes no request any more; `false` if there is one.
    pub(super) fn retire(&self) -> bool {
        let mut state = self.lock();
        if state.taken == 0 {
            state.sender = None;
        }
        state.taken == 0
    }

    /// What is locked here is valid at every step.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    pub(super) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// Sends `request`, and waits for the head of its answer. Dropped, it takes the request back.
    pub(super) async fn ask(
        mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Http2Body>, h2::Error> {
        let (mut head, body) = request.into_parts();
        let data = body.collect().await.unwrap_or_else(|never| match never {}).to_bytes();
        for name in OF_A_CONNECTION {
            head.headers.remove(name);
        }
        if !data.is_empty() || !head.method.is_safe() {
            head.headers.insert(CONTENT_LENGTH, HeaderValue::from(data.len()));
        }
        let head = Request::from_parts(head, ());
        let (mut answer, stream) = self.sender.send_request(head, data.is_empty())?;
        let mut upload = Upload::new(stream, data);
        let answer = poll_fn(|cx| {
            if upload.as_mut().is_some_and(|upload| upload.poll_done(cx).is_ready()) {
                upload = None;
            }
            Pin::new(&mut answer).poll(cx)
        });
        let answer = answer.await?;
        Ok(Http2Body::of(answer, upload, self))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.link.lock().taken -= 1;
    }
}

/// What concerns a connection of HTTP/1.1 alone, and is malformed in HTTP/2.
const OF_A_CONNECTION: [&str; 6] =
    ["connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"];

/// The most requests that a connection carries at a time, whatever the provider would take.
pub(super) const MOST_STREAMS: usize = 64;
/// The most that is kept of an answer that nobody reads, in bytes.
pub(super) const STREAM_WINDOW: u32 = 256 << 10;
/// The same for a connection. No number of answers that nobody reads holds up another one.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * MOST_STREAMS as u32;
/// The most that the headers of an answer may have, in bytes as HTTP/2 counts them.
const MOST_HEADERS: u32 = 64 << 10;
