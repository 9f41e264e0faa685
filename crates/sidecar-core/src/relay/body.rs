//! [`RelayBody`].

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::events::{Ending, Events, SETTLING, Step, Then};
use super::watch::Watch;
use crate::error::BoxError;
use crate::verdict::Class;

pin_project! {
    /// An answer on its way to the caller. The provider's body is dropped as soon as nothing more
    /// of it can pass.
    #[derive(Debug)]
    pub struct RelayBody<B> {
        #[pin]
        inner: Option<B>,
        mode: Mode,
    }
}

/// How a body is passed on.
#[derive(Debug)]
pub(super) enum Mode {
    Untouched,
    Document(Watch),
    Events(Box<Stream>),
}

/// An event stream in progress.
#[derive(Debug)]
pub(super) struct Stream {
    events: Events,
    watch: Watch,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Flowing,
    /// Everything has been passed on, but the provider's body has not ended yet.
    Settling,
    /// The error event has been passed on.
    Failed(BoxError),
    Over,
}

type Polled = Poll<Option<Result<Frame<Bytes>, BoxError>>>;

impl<B> RelayBody<B> {
    pub(super) fn new(inner: B, mode: Mode) -> Self {
        Self { inner: Some(inner), mode }
    }
}

impl Mode {
    pub(super) fn events(events: Events, watch: Watch) -> Self {
        Self::Events(Box::new(Stream { events, watch, stage: Stage::Flowing }))
    }
}

impl<B> Body for RelayBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        let this = self.project();
        match this.mode {
            Mode::Untouched => poll_untouched(this.inner, cx),
            Mode::Document(watch) => poll_document(this.inner, watch, cx),
            Mode::Events(stream) => stream.poll_relayed(this.inner, cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.mode {
            Mode::Untouched | Mode::Document(_) => {
                self.inner.as_ref().is_none_or(Body::is_end_stream)
            }
            Mode::Events(stream) => matches!(stream.stage, Stage::Over),
        }
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_end_stream() {
            return SizeHint::with_exact(0);
        }
        match (&self.mode, &self.inner) {
            (Mode::Untouched | Mode::Document(_), Some(inner)) => inner.size_hint(),
            // What is left out and what is added is not known before.
            _ => SizeHint::default(),
        }
    }
}

impl Stream {
    fn poll_relayed<B>(&mut self, mut inner: Pin<&mut Option<B>>, cx: &mut Context<'_>) -> Polled
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        for _ in 0..MOST_AT_ONCE {
            match &self.stage {
                Stage::Flowing => {}
                Stage::Over => return Poll::Ready(None),
                Stage::Settling => {
                    // A provider that ends its body at once gets its connection used again.
                    if poll_inner(inner.as_mut(), cx).is_pending() {
                        ready!(self.watch.poll_silence(SETTLING, cx));
                    }
                    inner.set(None);
                    self.stage = Stage::Over;
                    return Poll::Ready(None);
                }
                Stage::Failed(_) => {
                    // A server that is told of the failure at once drops what it has not sent yet,
                    // and that would be the error event.
                    ready!(self.watch.poll_pause(LAST_WORDS, cx));
                    let stage = mem::replace(&mut self.stage, Stage::Over);
                    let Stage::Failed(error) = stage else { return Poll::Ready(None) };
                    return Poll::Ready(Some(Err(error)));
                }
            }
            let frame = ready!(self.poll_step(inner.as_mut(), cx));
            if !frame.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(frame))));
            }
        }
        // A flood of lines that do not pass must not keep others from their turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// The next bytes for the caller, which may be none.
    fn poll_step<B>(&mut self, mut inner: Pin<&mut Option<B>>, cx: &mut Context<'_>) -> Poll<Bytes>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let polled = poll_inner(inner.as_mut(), cx);
        let has_ended = matches!(polled, Poll::Ready(None | Some(Err(_))));
        let mut source = None;
        let Step { frame, then } = match polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.watch.moved();
                // Trailers say nothing to a caller.
                let Ok(data) = frame.into_data() else { return Poll::Ready(Bytes::new()) };
                self.events.feed(data)
            }
            Poll::Ready(Some(Err(error))) => {
                source = Some(error);
                self.events.end(Ending::Broken)
            }
            Poll::Ready(None) => self.events.end(Ending::Clean),
            Poll::Pending => {
                ready!(self.watch.poll_silence(self.events.patience(), cx));
                self.events.end(Ending::Silent)
            }
        };
        match then {
            Then::More => {}
            Then::Settle => {
                self.watch.whole();
                self.stage = if has_ended { Stage::Over } else { Stage::Settling };
            }
            Then::End => {
                self.watch.whole();
                self.stage = Stage::Over;
            }
            Then::Cut(cut) => {
                self.stage = Stage::Failed(self.watch.cut(cut.class(), source));
                // The pause before the failure starts now.
                self.watch.moved();
            }
        }
        // Not before it has been said how it ended: the books are closed when it is dropped.
        if has_ended || matches!(self.stage, Stage::Failed(_) | Stage::Over) {
            inner.set(None);
        }
        Poll::Ready(frame)
    }
}

fn poll_untouched<B>(mut inner: Pin<&mut Option<B>>, cx: &mut Context<'_>) -> Polled
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let frame = ready!(poll_inner(inner.as_mut(), cx));
    if !matches!(frame, Some(Ok(_))) {
        inner.set(None);
    }
    Poll::Ready(frame)
}

fn poll_document<B>(
    mut inner: Pin<&mut Option<B>>,
    watch: &mut Watch,
    cx: &mut Context<'_>,
) -> Polled
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let last = match poll_inner(inner.as_mut(), cx) {
        Poll::Ready(Some(Ok(frame))) => {
            watch.moved();
            return Poll::Ready(Some(Ok(frame)));
        }
        Poll::Ready(Some(Err(error))) => Some(Err(watch.cut(Class::Transport, Some(error)))),
        Poll::Ready(None) => None,
        Poll::Pending => {
            ready!(watch.poll_silence(Duration::MAX, cx));
            Some(Err(watch.cut(Class::Timeout, None)))
        }
    };
    inner.set(None);
    Poll::Ready(last)
}

/// The provider's next frame. After its end, or an error, its body must be dropped.
fn poll_inner<B>(inner: Pin<&mut Option<B>>, cx: &mut Context<'_>) -> Polled
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let Some(body) = inner.as_pin_mut() else { return Poll::Ready(None) };
    let frame = ready!(body.poll_frame(cx));
    Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
}

/// How many frames without anything for the caller are taken in at one poll.
const MOST_AT_ONCE: usize = 32;
/// How long a server has to send the error event before the body fails.
pub(crate) const LAST_WORDS: Duration = Duration::from_millis(100);
