//! One caller's request, read once and cheap to send again.

use std::borrow::Cow;
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::{HeaderMap, Method};
use uuid::fmt::Simple;

use crate::callers::{CallerPermit, Delivery, LiveCaller};
use crate::clock::{Instant, system_wall};
use crate::ingest::Family;
use crate::random;

/// A request on its way to a provider. A clone costs two reference counts, so that every attempt
/// can have its own.
#[derive(Clone, Debug)]
pub struct Call {
    head: Arc<Head>,
    body: Bytes,
}

/// Everything about a [`Call`] but its body.
#[derive(Debug)]
#[non_exhaustive]
pub struct Head {
    /// Names the request in logs and answers.
    pub id: Arc<str>,
    /// The caller's method.
    pub method: Method,
    /// The path, always with its `/v1` or `/v1beta` prefix.
    pub path: Cow<'static, str>,
    /// The query string without `?`.
    pub query: Option<String>,
    /// The caller's headers as they came; only an allow-list of them is ever sent on.
    pub headers: HeaderMap,
    /// The protocol family of the path.
    pub family: Family,
    /// The model the caller named; `None` for requests that have no body to name it in.
    pub model: Option<Arc<str>>,
    /// Where the model is named.
    pub model_place: ModelPlace,
    /// Whether the caller asked for a stream.
    pub stream: bool,
    /// Whether the caller asked for the usage of its stream: `stream_options.include_usage`.
    pub usage_asked: bool,
    /// Where in a JSON body the value of `stream_options` stands, if the body has one.
    pub stream_options: Option<Range<usize>>,
    /// Where in a JSON body its closing brace stands: the place for one more member.
    pub body_end: Option<usize>,
    /// The longest answer that the caller allows, in tokens, if it says so.
    pub max_tokens: Option<u32>,
    /// Who calls.
    pub caller: Caller,
    /// The provider the caller insists on, by name or id.
    pub pinned: Option<Arc<str>>,
    /// Whether the caller wants its answer as it comes, or whole.
    pub delivery: Delivery,
    /// The caller's share of the wait queue.
    pub weight: NonZeroU32,
    /// The caller whose key it was, if it showed one.
    pub live_caller: Option<Arc<LiveCaller>>,
    /// The caller's leave, once it is given.
    pub permit: OnceLock<Arc<CallerPermit>>,
    /// When the request was complete.
    pub received: Instant,
    /// How long to wait for a free slot.
    pub queue_until: Instant,
    /// When the caller stops listening, if it said so with `X-Sidecar-Deadline-Ms`.
    pub deadline: Option<Instant>,
}

/// Where a request names its model: what has to be replaced by the provider's own id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelPlace {
    /// Nowhere.
    None,
    /// In a JSON body: the bytes of the string with its quotes.
    Json(Range<usize>),
    /// In a multipart body: the bytes of the field's value.
    Multipart(Range<usize>),
    /// In the path.
    Path(Range<usize>),
}

/// Who calls: the name usage is booked under. Put it into a request's extensions to say who was
/// authenticated; without it the `X-Agent-Id` header counts, else `anonymous`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller(pub Arc<str>);

/// Names a request in logs and answers. Put it into a request's extensions if it has a name
/// already; without it one is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(pub Arc<str>);

impl Head {
    /// The head of a request that no caller sent, made at `now` under `name`.
    pub(crate) fn of_our_own(
        name: &str,
        method: Method,
        family: Family,
        path: String,
        now: Instant,
    ) -> Self {
        Self {
            id: name.into(),
            method,
            path: path.into(),
            query: None,
            headers: HeaderMap::new(),
            family,
            model: None,
            model_place: ModelPlace::None,
            stream: false,
            usage_asked: false,
            stream_options: None,
            body_end: None,
            max_tokens: None,
            caller: Caller(name.into()),
            pinned: None,
            delivery: Delivery::Stream,
            weight: NonZeroU32::MIN,
            live_caller: None,
            permit: OnceLock::new(),
            received: now,
            queue_until: now,
            deadline: None,
        }
    }
}

impl Call {
    /// A call of its parts. [`crate::ingest::IngestLayer`] makes them from HTTP requests.
    pub fn new(head: Head, body: Bytes) -> Self {
        Self { head: Arc::new(head), body }
    }

    /// Everything but the body.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The body as the caller sent it.
    pub fn body(&self) -> &Bytes {
        &self.body
    }
}

impl RequestId {
    /// A new id: `req_` and a UUID that rises with time.
    pub fn random() -> Self {
        let [high, low] = [random::next(), random::next()].map(u64::to_be_bytes);
        let mut spread = [0; 10];
        spread[..8].copy_from_slice(&high);
        spread[8..].copy_from_slice(&low[..2]);
        // A clock before the epoch only spoils the order.
        let millis = u64::try_from(system_wall().as_millis()).unwrap_or_default();
        let id = uuid::Builder::from_unix_timestamp_millis(millis, &spread).into_uuid();
        let mut text = [0; PREFIX.len() + Simple::LENGTH];
        text[..PREFIX.len()].copy_from_slice(PREFIX);
        id.simple().encode_lower(&mut text[PREFIX.len()..]);
        Self(String::from_utf8_lossy(&text).into())
    }
}

impl Caller {
    /// A caller without a name.
    pub fn anonymous() -> Self {
        Self("anonymous".into())
    }
}

const PREFIX: &[u8] = b"req_";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_and_are_uuids() {
        let (one, two) = (RequestId::random(), RequestId::random());
        assert_ne!(one, two);
        let uuid: uuid::Uuid = one.0.strip_prefix("req_").unwrap().parse().unwrap();
        assert_eq!((uuid.get_version_num(), one.0.len()), (7, 36));
    }
}
