//! Makes a [`Call`] of an HTTP request: route, body, model, and what the headers ask for.

use std::num::{NonZeroU32, NonZeroUsize};
use std::pin::pin;
use std::sync::{Arc, LazyLock, OnceLock};
use std::thread::available_parallelism;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout_at;

use super::multipart;
use super::path::{Family, Route};
use super::scan::{Document, Options, Scan, ScanError, scan};
use crate::call::{Call, Caller, Head, ModelPlace, RequestId};
use crate::callers::{Delivery, LiveCaller};
use crate::clock::{Clock, Instant};
use crate::error::Error;
use crate::joined::Joined;
use crate::settings::Settings;

/// Reads `request` under `settings`. Everything that can be refused by its head is refused before
/// the body is read.
pub(super) async fn read<B>(
    request: Request<B>,
    settings: &Settings,
    clock: &Clock,
) -> Result<Call, Error>
where
    B: Body<Data = Bytes>,
{
    let arrived = clock.now();
    let (mut parts, body) = request.into_parts();
    let route = Route::of(parts.uri.path()).ok_or(Error::UnknownPath)?;
    if matches!(parts.method, Method::CONNECT | Method::TRACE) {
        return Err(Error::UnknownPath);
    }
    let query = forwarded_query(&parts.uri, route.family)?;
    refuse_encoded(&parts.headers)?;
    let pinned = pinned(&parts.headers)?;
    let delivery = delivery(&parts.headers)?;
    // A caller's patience does not start anew when its upload is done.
    let deadline = patience(&parts.headers)?.map(|patience| arrived + patience);

    let body = collect(body, &parts.headers, settings.max_body_bytes, clock, arrived).await?;
    let received = clock.now();
    let content_type = parts.headers.get(CONTENT_TYPE);
    let named = if body.len() > MOST_AT_ONCE {
        Named::by_large_body(content_type.cloned(), route.needs_model, body.clone()).await?
    } else {
        Named::by_body(content_type, route.needs_model, &body)?
    };
    let named = named.with_path(&route, &parts.method, body.is_empty())?;
    let queue_until = received + settings.queue_timeout;
    hide_credentials(&mut parts.headers);
    let live_caller = parts.extensions.get::<Arc<LiveCaller>>().cloned();
    let caller = match &live_caller {
        Some(live) => live.caller(),
        None => parts.extensions.get().cloned().unwrap_or_else(|| agent(&parts.headers)),
    };
    let record = live_caller.as_ref().map(|live| live.record());
    let weight = record.map_or(NonZeroU32::MIN, |record| record.weight);
    let delivery = delivery.or(record.map(|record| record.delivery)).unwrap_or_default();
    let head = Head {
        id: parts.extensions.get().cloned().unwrap_or_else(RequestId::random).0,
        caller,
        weight,
        live_caller,
        permit: OnceLock::new(),
        method: parts.method,
        family: route.family,
        path: route.owned_path(),
        query,
        headers: parts.headers,
        model: named.model,
        model_place: named.place,
        stream: named.stream,
        usage_asked: named.options.usage_asked,
        stream_options: named.options.stream_options,
        body_end: named.options.body_end,
        max_tokens: named.options.max_tokens,
        pinned,
        delivery,
        received,
        queue_until: deadline.map_or(queue_until, |deadline| queue_until.min(deadline)),
        deadline,
    };
    Ok(Call::new(head, body))
}

/// What body and path say.
#[derive(Debug)]
struct Named {
    model: Option<Arc<str>>,
    place: ModelPlace,
    stream: bool,
    options: Options,
}

/// How a body is read.
enum Kind<'h> {
    Json,
    Multipart(&'h str),
    Opaque,
}

impl Named {
    /// What a body says by itself.
    fn by_body(
        content_type: Option<&HeaderValue>,
        needs_model: bool,
        body: &[u8],
    ) -> Result<Self, ScanError> {
        let kind = Kind::of(content_type, body)?;
        let Document { scan, options }: Document<'_> = match kind {
            _ if body.is_empty() => Scan::default().into(),
            Kind::Json => scan(body)?,
            Kind::Multipart(boundary) => multipart::scan(body, boundary)?.into(),
            Kind::Opaque if needs_model => return Err(ScanError::ContentType),
            Kind::Opaque => Scan::default().into(),
        };
        let stream = scan.stream;
        let Some(model) = scan.model else {
            return Ok(Self { model: None, place: ModelPlace::None, stream, options });
        };
        let place = match kind {
            Kind::Multipart(_) => ModelPlace::Multipart(model.span),
            Kind::Json | Kind::Opaque => ModelPlace::Json(model.span),
        };
        Ok(Self { model: Some(Arc::from(&*model.name)), place, stream, options })
    }

    /// The same, where it holds up nobody: all the requests of a thread wait while one of them
    /// computes. It goes on to its end if the caller leaves, and has its turn until then.
    async fn by_large_body(
        content_type: Option<HeaderValue>,
        needs_model: bool,
        body: Bytes,
    ) -> Result<Self, Error> {
        let turn = SCANS.acquire().await.map_err(|closed| Error::Internal(closed.into()))?;
        let scanning = spawn_blocking(move || {
            let _turn = turn;
            Self::by_body(content_type.as_ref(), needs_model, &body)
        });
        Ok(scanning.await.map_err(|stopped| Error::Internal(stopped.into()))??)
    }

    /// Together with what the path says, which goes before a model that the body names.
    fn with_path(
        self,
        route: &Route<'_>,
        method: &Method,
        is_empty: bool,
    ) -> Result<Self, ScanError> {
        let stream = self.stream || route.stream;
        if let Some(span) = route.model.clone() {
            let model = Some(Arc::from(&route.path[span.clone()]));
            return Ok(Self { model, place: ModelPlace::Path(span), stream, ..self });
        }
        let is_bodiless =
            is_empty && matches!(*method, Method::GET | Method::HEAD | Method::DELETE);
        if self.model.is_none() && route.needs_model && !is_bodiless {
            return Err(ScanError::MissingModel);
        }
        Ok(Self { stream, ..self })
    }
}

impl<'h> Kind<'h> {
    fn of(content_type: Option<&'h HeaderValue>, body: &[u8]) -> Result<Self, ScanError> {
        let Some(value) = content_type else {
            let looks_like_json = body.trim_ascii_start().starts_with(b"{");
            return Ok(if looks_like_json { Self::Json } else { Self::Opaque });
        };
        let Ok(text) = value.to_str() else { return Ok(Self::Opaque) };
        let essence = text.split(';').next().unwrap_or_default().trim();
        let subtype = essence.rsplit(['/', '+']).next().unwrap_or_default();
        Ok(if essence.eq_ignore_ascii_case("multipart/form-data") {
            Self::Multipart(multipart::boundary(text).ok_or(ScanError::Boundary)?)
        } else if subtype.eq_ignore_ascii_case("json") {
            Self::Json
        } else {
            Self::Opaque
        })
    }
}

/// The body in one piece, at most `limit` bytes of it. A body that comes in one frame, as small
/// ones do, is not copied.
async fn collect<B>(
    body: B,
    headers: &HeaderMap,
    limit: u32,
    clock: &Clock,
    started: Instant,
) -> Result<Bytes, Error>
where
    B: Body<Data = Bytes>,
{
    let declared = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let expected: u64 = body.size_hint().lower().max(declared.unwrap_or(0));
    if expected > u64::from(limit) {
        return Err(Error::BodyTooLarge { limit });
    }
    // A length that is only declared earns no more memory than this.
    let expected = usize::try_from(expected).unwrap_or(usize::MAX).min(MOST_RESERVED);
    let mut body = pin!(body);
    let (mut whole, mut now) = (Joined::default(), started);
    while !body.is_end_stream() {
        let total = whole.len();
        let earned = Duration::from_secs(total as u64 / SLOWEST);
        let until = (now + SILENCE).min(started + SILENCE + earned);
        if until <= now {
            return Err(Error::BodyUnreadable);
        }
        let data = match timeout_at(clock.to_tokio(until), body.frame()).await {
            Ok(None) => break,
            // Trailers count for nothing here.
            Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
            Ok(Some(Err(_))) | Err(_) => return Err(Error::BodyUnreadable),
        };
        if data.len() > limit as usize - total {
            return Err(Error::BodyTooLarge { limit });
        }
        whole.push(data, expected);
        now = clock.now();
    }
    Ok(whole.into_bytes())
}

/// The query, less what only a caller's credential for us can be.
fn forwarded_query(uri: &Uri, family: Family) -> Result<Option<String>, Error> {
    let Some(query) = uri.query().filter(|query| !query.is_empty()) else { return Ok(None) };
    if !query.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Error::InvalidRequest("the query string has raw bytes; percent-encode them"));
    }
    if family != Family::Gemini {
        return Ok(Some(query.to_owned()));
    }
    // Gemini clients may send their key as a parameter.
    let is_kept = |parameter: &&str| {
        let name = parameter.split('=').next().unwrap_or_default();
        !matches!(name, "key" | "access_token")
    };
    let kept: Vec<&str> = query.split('&').filter(is_kept).collect();
    Ok((!kept.is_empty()).then(|| kept.join("&")))
}

fn refuse_encoded(headers: &HeaderMap) -> Result<(), Error> {
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    if codings.all(|coding| coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity")) {
        return Ok(());
    }
    Err(Error::InvalidRequest("compressed bodies are not read; leave content-encoding out"))
}

fn pinned(headers: &HeaderMap) -> Result<Option<Arc<str>>, Error> {
    let Some(value) = headers.get(PROVIDER) else { return Ok(None) };
    // Names may be any text, so this is not the ASCII that `to_str` wants.
    match std::str::from_utf8(value.as_bytes()).map(str::trim) {
        Ok("") => Ok(None),
        Ok(name) => Ok(Some(name.into())),
        Err(_) => Err(Error::InvalidRequest("x-sidecar-provider must be UTF-8")),
    }
}

fn delivery(headers: &HeaderMap) -> Result<Option<Delivery>, Error> {
    let mut values = headers.get_all(DELIVERY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let is = |word: &[u8]| value.as_bytes().eq_ignore_ascii_case(word);
    match values.next() {
        None if is(b"stream") => Ok(Some(Delivery::Stream)),
        None if is(b"complete") => Ok(Some(Delivery::Complete)),
        _ => Err(Error::InvalidRequest("x-sidecar-delivery takes `stream` or `complete`")),
    }
}

fn patience(headers: &HeaderMap) -> Result<Option<Duration>, Error> {
    let mut values = headers.get_all(DEADLINE).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let millis = value
        .to_str()
        .ok()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|digits| digits.parse::<u64>().ok())
        .filter(|millis| (1..=MAX_PATIENCE_MS).contains(millis) && values.next().is_none());
    match millis {
        Some(millis) => Ok(Some(Duration::from_millis(millis))),
        None => Err(Error::InvalidRequest(
            "x-sidecar-deadline-ms takes one whole number of milliseconds from 1 to 86400000",
        )),
    }
}

/// Who calls, by its own word.
fn agent(headers: &HeaderMap) -> Caller {
    headers
        .get(AGENT_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|name| (1..=MAX_AGENT_LEN).contains(&name.len()))
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_graphic()))
        .map_or_else(Caller::anonymous, |name| Caller(name.into()))
}

/// Keeps the caller's credentials out of a debug print of the head.
fn hide_credentials(headers: &mut HeaderMap) {
    for (name, value) in headers {
        if CREDENTIALS.contains(&name.as_str()) {
            value.set_sensitive(true);
        }
    }
}

/// How many large bodies are read at a time. More of them would not be done sooner, and would take
/// the processors from the threads that serve the rest.
fn most_scans() -> usize {
    available_parallelism().map_or(1, NonZeroUsize::get)
}

/// A large body is read when it has one of these.
static SCANS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(most_scans()));

const PROVIDER: HeaderName = HeaderName::from_static("x-sidecar-provider");
const DELIVERY: HeaderName = HeaderName::from_static("x-sidecar-delivery");
const DEADLINE: HeaderName = HeaderName::from_static("x-sidecar-deadline-ms");
const AGENT_ID: HeaderName = HeaderName::from_static("x-agent-id");
const CREDENTIALS: &[&str] =
    &["api-key", "authorization", "cookie", "proxy-authorization", "x-api-key", "x-goog-api-key"];
/// The longest wait for the next piece of a body.
const SILENCE: Duration = Duration::from_secs(30);
/// The least speed of a body over all, in bytes per second.
const SLOWEST: u64 = 1 << 10;
const MOST_RESERVED: usize = 1 << 20;
/// The longest body, in bytes, that is read where it came in. JSON of many small values takes
/// three milliseconds for as much.
const MOST_AT_ONCE: usize = 512 << 10;
const MAX_AGENT_LEN: usize = 64;
/// A day.
const MAX_PATIENCE_MS: u64 = 86_400_000;

#[cfg(test)]
#[path = "tests/read.rs"]
mod tests;
