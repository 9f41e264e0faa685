//! Reads an answer up to its first meaningful event.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::response::Parts;
use http::{HeaderValue, Response, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::Patience;
use super::body::{FirstByteBody, Frames};
use crate::clock::Clock;
use crate::error::{AttemptError, BoxError};
use crate::joined::Joined;
use crate::provider::Api;
use crate::sse::is_event_stream;
use crate::verdict::{Class, Verdict, judge, judge_event};

/// What has been read of a body so far.
#[derive(Default)]
struct Held {
    frames: Frames,
    /// The same bytes in one piece, as far as they are looked at.
    text: Joined,
    /// How much of `text` holds no event: whole lines that are comments, blank or of no interest.
    skipped: usize,
    ended: bool,
}

/// What stands at the front of a 2xx body.
enum Front {
    /// Nothing that could be judged yet.
    Nothing,
    /// A judgement can be made.
    Verdict(Verdict),
    /// The caller's own fault, and what the provider says of it.
    Fault(Verdict, Bytes),
}

/// Waits for the head and for what makes the answer worth passing on. A non-2xx answer keeps at
/// most [`MOST_HELD`] bytes of its body; every answer carries its verdict.
pub(super) async fn hold<F, B, E>(
    future: F,
    api: Api,
    patience: Patience,
    clock: Clock,
) -> Result<Response<FirstByteBody<B>>, BoxError>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let response = timeout(patience.head, future)
        .await
        .map_err(|elapsed| failed(Verdict::timeout(), Some(elapsed.into())))?
        .map_err(Into::into)?;
    let (mut head, mut body) = response.into_parts();
    let mut held = Held::default();
    if !head.status.is_success() {
        // Best effort: an error answer whose body is slow or cut is judged by what has come.
        let _ = timeout(ERROR_BODY_PATIENCE, held.fill(&mut body)).await;
        let verdict = judge(head.status, &head.headers, &held.text, api, clock.wall());
        head.extensions.insert(verdict);
        return Ok(Response::from_parts(head, FirstByteBody::new(held.frames, None)));
    }
    let is_stream = is_event_stream(&head.headers);
    // A document comes as a whole, so its first byte may take as long as all of it.
    let patience = if is_stream { patience.first_event } else { patience.head };
    let front = timeout(patience, held.front(&mut body, &head, api, &clock))
        .await
        .map_err(|elapsed| failed(Verdict::timeout(), Some(elapsed.into())))??;
    match front {
        Front::Verdict(verdict) if verdict.class != Class::Accept => Err(failed(verdict, None)),
        Front::Fault(verdict, words) => {
            // As if the provider had said it in the status, which is where callers look for it.
            head.status = StatusCode::BAD_REQUEST;
            head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            head.extensions.insert(verdict);
            Ok(Response::from_parts(head, FirstByteBody::new(Frames::from(words), None)))
        }
        Front::Verdict(_) | Front::Nothing => {
            // A good answer may still say that it was the last one for now.
            let verdict = judge(head.status, &head.headers, &[], api, clock.wall());
            head.extensions.insert(Verdict { class: Class::Accept, ..verdict });
            let rest = (!held.ended).then_some(body);
            Ok(Response::from_parts(head, FirstByteBody::new(held.frames, rest)))
        }
    }
}

impl Held {
    /// Reads on until there is something to judge.
    async fn front<B>(
        &mut self,
        body: &mut B,
        head: &Parts,
        api: Api,
        clock: &Clock,
    ) -> Result<Front, BoxError>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        let is_stream = is_event_stream(&head.headers);
        loop {
            self.read(body, usize::MAX).await?;
            let front = if is_stream {
                self.stream_front(api, clock)
            } else {
                self.document_front(api, clock)
            };
            match front {
                Front::Nothing if self.ended && !is_stream && may_be_empty(head) => {
                    return Ok(Front::Verdict(Verdict::ACCEPT));
                }
                Front::Nothing if self.ended || self.text.len() >= MOST_HELD => {
                    return Ok(Front::Verdict(Verdict::of(Class::Lying)));
                }
                Front::Nothing => {}
                front => return Ok(front),
            }
        }
    }

    /// The first `data:` line that is complete.
    fn stream_front(&mut self, api: Api, clock: &Clock) -> Front {
        if self.text.starts_with(b"<") {
            return Front::Verdict(Verdict::of(Class::Lying));
        }
        while let Some(length) = memchr::memchr(b'\n', &self.text[self.skipped..]) {
            let line = self.skipped..self.skipped + length;
            self.skipped = line.end + 1;
            let Some(data) = self.text[line].strip_prefix(b"data:") else { continue };
            match data.trim_ascii() {
                b"" => {}
                b"[DONE]" => return Front::Verdict(Verdict::of(Class::Lying)),
                data => {
                    let verdict = judge_event(data, api, clock.wall());
                    return Front::of(verdict.unwrap_or(Verdict::ACCEPT), data);
                }
            }
        }
        Front::Nothing
    }

    /// Anything but white space, which some vendors send while the model is not ready. A JSON
    /// document is read on to its end, or as far as anything is held, because an error may stand
    /// anywhere in it.
    fn document_front(&self, api: Api, clock: &Clock) -> Front {
        let document = self.text.trim_ascii_start();
        match document.first() {
            None => Front::Nothing,
            Some(b'{' | b'[') if !self.ended && self.text.len() < MOST_HELD => Front::Nothing,
            // Audio and images are what they are.
            Some(b'{' | b'[' | b'<') => {
                let verdict = judge_event(document, api, clock.wall());
                Front::of(verdict.unwrap_or(Verdict::ACCEPT), document)
            }
            Some(_) => Front::Verdict(Verdict::ACCEPT),
        }
    }

    /// Takes the next frame in, of which at most `room` bytes are kept.
    async fn read<B>(&mut self, body: &mut B, room: usize) -> Result<(), BoxError>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        let Some(frame) = body.frame().await else {
            self.ended = true;
            return Ok(());
        };
        let frame = frame.map_err(|error| failed(Verdict::transport(), Some(error.into())))?;
        if let Ok(mut data) = frame.into_data() {
            data.truncate(room);
            let kept = MOST_HELD.saturating_sub(self.text.len()).min(data.len());
            self.text.push(data.slice(..kept), 0);
            self.frames.push(data);
        }
        // Asking again after the end is not allowed.
        self.ended = body.is_end_stream();
        Ok(())
    }

    /// Reads an error body, as much of it as is ever looked at.
    async fn fill<B>(&mut self, body: &mut B)
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        while self.text.len() < MOST_HELD && !self.ended {
            if self.read(body, MOST_HELD - self.text.len()).await.is_err() {
                return;
            }
        }
    }
}

impl Front {
    fn of(verdict: Verdict, words: &[u8]) -> Self {
        match verdict.class {
            Class::CallerFault | Class::ContextTooLong => {
                Self::Fault(verdict, Bytes::copy_from_slice(words))
            }
            _ => Self::Verdict(verdict),
        }
    }
}

/// Whether nothing at all can be a good answer: by its status, or because only the head was asked
/// for.
fn may_be_empty(head: &Parts) -> bool {
    matches!(head.status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT)
        || head.headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0")
}

fn failed(verdict: Verdict, source: Option<BoxError>) -> BoxError {
    AttemptError::new(verdict, true, source).into()
}

/// The most that is held back of one answer, in bytes.
const MOST_HELD: usize = 64 << 10;
const ERROR_BODY_PATIENCE: Duration = Duration::from_secs(5);
