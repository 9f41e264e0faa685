//! Who calls the proxy: one identity out of whatever credentials a request shows.

use std::borrow::Cow;
use std::sync::Arc;

use http::HeaderName;
use http::header::AUTHORIZATION;
use http::request::Parts;
use percent_encoding::percent_decode_str;
use sidecar_core::callers::{CallerKey, Callers, LiveCaller};
use sidecar_core::clock::Timestamp;

/// Who sent a request.
#[derive(Debug)]
pub(crate) enum Identity {
    /// Somebody with a caller key.
    Known(Arc<LiveCaller>),
    /// Somebody without one; whatever else was shown means nothing here.
    Anonymous,
    /// A caller key that is wrong, removed or expired.
    Wrong,
    /// Two different caller keys, of which different programs could believe different ones.
    Ambiguous,
}

/// Looks at every place where clients of the three protocols put their key.
pub(crate) fn identify(head: &Parts, callers: &Callers, now: Timestamp) -> Identity {
    // What is no key of ours means nothing here. What was meant as one never passes for no key.
    let mut meant = credentials(head).filter(|credential| CallerKey::is_meant(credential));
    match meant.next() {
        None => Identity::Anonymous,
        Some(key) if meant.any(|other| other != key) => Identity::Ambiguous,
        Some(key) => callers.authenticate(&key, now).map_or(Identity::Wrong, Identity::Known),
    }
}

/// Keeps the names of callers with keys for those who show the key: else anybody could spend their
/// budgets on the books.
pub(crate) fn guard_name(head: &mut Parts, callers: &Callers) {
    let name = head.headers.get(AGENT_ID).and_then(|value| value.to_str().ok());
    if name.is_some_and(|name| callers.is_name(name)) {
        head.headers.remove(AGENT_ID);
    }
}

fn credentials(head: &Parts) -> impl Iterator<Item = Cow<'_, str>> {
    let bearers = head.headers.get_all(AUTHORIZATION).iter().filter_map(|value| {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| Cow::Borrowed(token.trim()))
    });
    let named = [API_KEY, GOOG_API_KEY];
    let headers = named
        .into_iter()
        .flat_map(|name| head.headers.get_all(name))
        .filter_map(|value| value.to_str().ok().map(|token| Cow::Borrowed(token.trim())));
    let query = head.uri.query().unwrap_or_default().split('&').filter_map(|pair| {
        let key = pair.strip_prefix("key=")?;
        percent_decode_str(key).decode_utf8().ok()
    });
    bearers.chain(headers).chain(query)
}

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const GOOG_API_KEY: HeaderName = HeaderName::from_static("x-goog-api-key");
const AGENT_ID: HeaderName = HeaderName::from_static("x-agent-id");

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn identity(request: http::request::Builder) -> Identity {
        let (head, ()) = request.body(()).unwrap().into_parts();
        identify(&head, &Callers::default(), Timestamp::from_millis(0))
    }

    #[test]
    fn what_looks_like_a_caller_key_is_never_anonymous() {
        let bearer = Request::get("/").header("authorization", "Bearer sk-sc-nonsense");
        assert!(matches!(identity(bearer), Identity::Wrong));
        assert!(matches!(identity(Request::get("/?key=sk-sc-x")), Identity::Wrong));
        assert!(matches!(
            identity(Request::get("/").header("x-api-key", "sk-sc-x")),
            Identity::Wrong
        ));
    }

    #[test]
    fn other_credentials_mean_nothing_and_two_different_keys_are_refused() {
        let other = || Request::get("/").header("authorization", "Bearer any");
        assert!(matches!(identity(Request::get("/")), Identity::Anonymous));
        assert!(matches!(identity(other()), Identity::Anonymous));
        assert!(matches!(identity(other().header("x-api-key", "any")), Identity::Anonymous));
        assert!(matches!(identity(other().header("x-api-key", "else")), Identity::Anonymous));
        let keys = Request::get("/?key=sk-sc-1").header("x-api-key", "sk-sc-2");
        assert!(matches!(identity(keys), Identity::Ambiguous));
    }
}
