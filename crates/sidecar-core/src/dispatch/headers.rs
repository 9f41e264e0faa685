//! Which headers go to a provider, and which come back: allow-lists in both directions.

use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, InvalidHeaderValue,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use zeroize::Zeroizing;

use crate::provider::Api;
use crate::secret::Secret;

/// What a provider gets to see of a caller's headers: the allow-list, and `extra` unless it names
/// what must never be passed on. Of a header that is no list only the first value counts, so that
/// a provider cannot read another one than we did.
pub(super) fn request_headers(from: &HeaderMap, extra: &[HeaderName]) -> HeaderMap {
    let mut to = HeaderMap::with_capacity(USUAL);
    copy(from, &mut to, |name| {
        is_request_header(name) || (extra.contains(name) && !is_never_sent(name))
    });
    // The answer has to be read for its usage.
    to.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    to
}

/// The header in which `api` takes its key. Its value is never shown.
pub(super) fn credential(
    api: Api,
    key: &Secret,
) -> Result<(HeaderName, HeaderValue), InvalidHeaderValue> {
    let (name, mut value) = match api {
        Api::OpenaiCompletions | Api::OpenaiResponses => {
            let bearer = Zeroizing::new(["Bearer ", key.expose()].concat());
            (AUTHORIZATION, HeaderValue::from_str(&bearer)?)
        }
        Api::AnthropicMessages => (X_API_KEY, HeaderValue::from_str(key.expose())?),
        Api::GoogleGenerativeAi => (X_GOOG_API_KEY, HeaderValue::from_str(key.expose())?),
    };
    value.set_sensitive(true);
    Ok((name, value))
}

/// What a caller gets to see of a provider's headers. `is_error` says whether the status is one:
/// some providers send `retry-after` with a good answer, where clients misread it.
pub(crate) fn response_headers(from: &HeaderMap, is_error: bool) -> HeaderMap {
    let mut to = HeaderMap::with_capacity(USUAL);
    copy(from, &mut to, |name| is_response_header(name) || (is_error && name == "retry-after"));
    let id = from.get(REQUEST_ID).or_else(|| from.get(X_REQUEST_ID));
    if let Some(id) = id.filter(|id| is_text(id) && id.len() <= MAX_ID_LEN) {
        to.insert(UPSTREAM_REQUEST_ID, id.clone());
    }
    if to.get(CONTENT_TYPE).is_some_and(is_event_stream) {
        // Proxies hold an answer back, compress or store it unless they are told not to.
        to.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
        to.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    }
    to
}

/// Copies what is `allowed` and concerns more than this one connection.
fn copy(from: &HeaderMap, to: &mut HeaderMap, allowed: impl Fn(&HeaderName) -> bool) {
    let has_connection = from.contains_key(CONNECTION);
    // A map gives the values of one name one after the other.
    let mut last: Option<(&HeaderName, usize)> = None;
    for (name, value) in from {
        let before = last.filter(|(last, _)| *last == name).map_or(0, |(_, count)| count);
        last = Some((name, before + 1));
        if !allowed(name) || (has_connection && is_named_by_connection(from, name)) {
            continue;
        }
        let most = if is_list(name) { MAX_LIST } else { 1 };
        if before < most && is_text(value) {
            to.append(name.clone(), value.clone());
        }
    }
}

fn is_request_header(name: &HeaderName) -> bool {
    let text = name.as_str();
    matches!(
        text,
        "content-type"
            | "accept"
            | "accept-language"
            | "user-agent"
            | "idempotency-key"
            | "traceparent"
            | "tracestate"
            | "http-referer"
            | "x-title"
            | "anthropic-version"
            | "anthropic-beta"
    ) || text.starts_with("openai-")
        || text.starts_with("x-stainless-")
}

fn is_response_header(name: &HeaderName) -> bool {
    let text = name.as_str();
    matches!(text, "content-type" | "cache-control" | "content-disposition")
        || text.starts_with("x-ratelimit-")
        || text.starts_with("anthropic-ratelimit-")
        || text.starts_with("openai-")
}

/// Credentials, cookies, framing, hop-by-hop and forwarding headers, and our own: a setting that
/// allows more headers cannot allow these.
fn is_never_sent(name: &HeaderName) -> bool {
    let text = name.as_str();
    NEVER_NAMES.contains(&text) || NEVER_PREFIXES.iter().any(|prefix| text.starts_with(prefix))
}

/// Whether the values of several headers of this name are parts of one list.
fn is_list(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "accept"
            | "accept-language"
            | "anthropic-beta"
            | "cache-control"
            | "openai-beta"
            | "tracestate"
    )
}

/// Whether `Connection` names the header, which makes it hop-by-hop.
fn is_named_by_connection(headers: &HeaderMap, name: &HeaderName) -> bool {
    let name = name.as_str().as_bytes();
    headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|option| option.trim_ascii().eq_ignore_ascii_case(name))
}

fn is_event_stream(content_type: &HeaderValue) -> bool {
    const EVENT_STREAM: &[u8] = b"text/event-stream";
    content_type
        .as_bytes()
        .get(..EVENT_STREAM.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(EVENT_STREAM))
}

/// Whether the value is printable ASCII: other bytes are read differently by everybody.
fn is_text(value: &HeaderValue) -> bool {
    value.to_str().is_ok()
}

const NEVER_NAMES: &[&str] = &[
    "accept-encoding",
    "api-key",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "cookie",
    "cookie2",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-agent-id",
    "x-api-key",
    "x-goog-api-key",
    "x-real-ip",
];

const NEVER_PREFIXES: &[&str] = &["proxy-", "sec-", "x-forwarded-", "x-sidecar-"];

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const X_GOOG_API_KEY: HeaderName = HeaderName::from_static("x-goog-api-key");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
const UPSTREAM_REQUEST_ID: HeaderName = HeaderName::from_static("x-upstream-request-id");
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// How many headers fit before a map grows: more than an SDK or a provider usually sends.
const USUAL: usize = 24;
const MAX_LIST: usize = 16;
const MAX_ID_LEN: usize = 256;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            map.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        map
    }

    fn values<'a>(map: &'a HeaderMap, name: &str) -> Vec<&'a str> {
        map.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }

    const NEVER_TO_A_PROVIDER: &[&str] = &[
        "authorization",
        "proxy-authorization",
        "proxy-connection",
        "cookie",
        "x-api-key",
        "api-key",
        "x-goog-api-key",
        "host",
        "content-length",
        "transfer-encoding",
        "content-encoding",
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "upgrade",
        "expect",
        "via",
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-real-ip",
        "x-agent-id",
        "x-sidecar-provider",
        "x-sidecar-deadline-ms",
        "x-sidecar-task",
    ];

    #[test]
    fn no_forbidden_header_reaches_a_provider_whatever_the_setting_says() {
        for &name in NEVER_TO_A_PROVIDER {
            let from = headers(&[(name, "needle")]);
            let asked_for = HeaderName::from_bytes(name.as_bytes()).unwrap();
            for extra in [vec![], vec![asked_for]] {
                let sent = request_headers(&from, &extra);
                assert_eq!(sent.len(), 1, "{name}");
                assert_eq!(sent[ACCEPT_ENCODING], "identity");
            }
        }
    }

    #[test]
    fn an_unknown_header_is_sent_only_if_a_setting_names_it() {
        let from = headers(&[("x-custom", "a"), ("x-other", "b"), ("accept-encoding", "gzip")]);
        assert_eq!(request_headers(&from, &[]), headers(&[("accept-encoding", "identity")]));
        let extra = [HeaderName::from_static("x-custom"), ACCEPT_ENCODING];
        let sent = request_headers(&from, &extra);
        assert_eq!(sent, headers(&[("x-custom", "a"), ("accept-encoding", "identity")]));
    }

    #[test]
    fn every_allowed_header_reaches_a_provider() {
        let names = [
            "content-type",
            "accept",
            "accept-language",
            "user-agent",
            "idempotency-key",
            "traceparent",
            "tracestate",
            "http-referer",
            "x-title",
            "openai-organization",
            "openai-beta",
            "anthropic-version",
            "anthropic-beta",
            "x-stainless-retry-count",
        ];
        let from = headers(&names.map(|name| (name, "v")));
        let sent = request_headers(&from, &[]);
        assert!(names.iter().all(|name| sent[*name] == "v"));
        assert_eq!(sent.len(), names.len() + 1);
    }

    #[test]
    fn headers_that_connection_names_are_dropped() {
        let from = headers(&[
            ("connection", "close, X-Title"),
            ("connection", " user-agent ,"),
            ("x-title", "a"),
            ("user-agent", "b"),
            ("accept", "c"),
        ]);
        let expected = headers(&[("accept", "c"), ("accept-encoding", "identity")]);
        assert_eq!(request_headers(&from, &[]), expected);
        let from = headers(&[("connection", "openai-x"), ("openai-x", "a"), ("openai-y", "b")]);
        assert_eq!(response_headers(&from, false), headers(&[("openai-y", "b")]));
    }

    #[test]
    fn duplicates_are_kept_in_order_for_lists_only() {
        let from = headers(&[
            ("anthropic-beta", "one"),
            ("content-type", "application/json"),
            ("anthropic-beta", "two"),
            ("content-type", "text/plain"),
            ("user-agent", "a"),
            ("user-agent", "b"),
        ]);
        let sent = request_headers(&from, &[]);
        assert_eq!(values(&sent, "anthropic-beta"), ["one", "two"]);
        assert_eq!(values(&sent, "content-type"), ["application/json"]);
        assert_eq!(values(&sent, "user-agent"), ["a"]);
    }

    #[test]
    fn a_key_goes_into_its_familys_header_and_is_not_shown() {
        let key = Secret::new("sk-needle");
        for (api, name, text) in [
            (Api::OpenaiCompletions, "authorization", "Bearer sk-needle"),
            (Api::OpenaiResponses, "authorization", "Bearer sk-needle"),
            (Api::AnthropicMessages, "x-api-key", "sk-needle"),
            (Api::GoogleGenerativeAi, "x-goog-api-key", "sk-needle"),
        ] {
            let (found, value) = credential(api, &key).unwrap();
            assert_eq!((found.as_str(), value.to_str().unwrap()), (name, text));
            assert!(value.is_sensitive());
            assert!(!format!("{value:?}").contains("needle"));
            assert!(credential(api, &Secret::new("a\nb")).is_err());
        }
    }

    #[test]
    fn no_forbidden_header_comes_back() {
        for name in [
            "set-cookie",
            "server",
            "alt-svc",
            "location",
            "content-length",
            "content-encoding",
            "transfer-encoding",
            "connection",
            "keep-alive",
            "trailer",
            "upgrade",
            "www-authenticate",
            "proxy-authenticate",
            "strict-transport-security",
            "access-control-allow-origin",
            "via",
            "authorization",
            "x-api-key",
            "x-sidecar-provider",
            "x-should-retry",
            "cf-ray",
        ] {
            assert!(response_headers(&headers(&[(name, "v")]), true).is_empty(), "{name}");
        }
    }

    #[test]
    fn what_a_caller_can_use_comes_back() {
        let from = headers(&[
            ("content-type", "application/json"),
            ("cache-control", "no-store"),
            ("content-disposition", "attachment"),
            ("x-ratelimit-remaining-requests", "9"),
            ("anthropic-ratelimit-tokens-limit", "10"),
            ("openai-processing-ms", "11"),
        ]);
        assert_eq!(response_headers(&from, false), from);
    }

    #[test]
    fn retry_after_comes_back_with_errors_only() {
        let from = headers(&[("retry-after", "5")]);
        assert_eq!(response_headers(&from, true), from);
        assert!(response_headers(&from, false).is_empty());
    }

    #[test]
    fn the_providers_request_id_gets_a_name_of_its_own() {
        for name in ["request-id", "x-request-id"] {
            let from = headers(&[(name, "req_1")]);
            let expected = headers(&[("x-upstream-request-id", "req_1")]);
            assert_eq!(response_headers(&from, false), expected);
        }
        let long = "a".repeat(MAX_ID_LEN + 1);
        assert!(response_headers(&headers(&[("request-id", &*long)]), false).is_empty());
        assert!(response_headers(&headers(&[("request-id", "\u{e9}")]), false).is_empty());
    }

    #[test]
    fn a_stream_tells_proxies_not_to_hold_it() {
        for content_type in ["text/event-stream", "Text/Event-Stream; charset=utf-8"] {
            let from = headers(&[("content-type", content_type), ("cache-control", "public")]);
            let expected = headers(&[
                ("content-type", content_type),
                ("cache-control", "no-cache, no-transform"),
                ("x-accel-buffering", "no"),
            ]);
            assert_eq!(response_headers(&from, false), expected);
        }
    }

    proptest! {
        #[test]
        fn only_the_allow_list_passes(pairs in proptest::collection::vec(
            ("[a-z]{1,3}(-[a-z]{1,6}){0,2}|x-stainless-[a-z]|openai-[a-z]|cookie|te", "[ -~]{0,8}"),
            0..24,
        )) {
            let pairs: Vec<(&str, &str)> =
                pairs.iter().map(|(name, value)| (&**name, &**value)).collect();
            let from = headers(&pairs);
            for name in request_headers(&from, &[]).keys() {
                prop_assert!(is_request_header(name) || name == "accept-encoding");
                prop_assert!(!is_never_sent(name) || name == "accept-encoding");
            }
        }
    }
}
