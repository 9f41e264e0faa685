//! Telling what the dashboard sends from what the page of somebody else makes a browser send.

use http::header::{HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method};

/// Who made a browser send a request, as it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sender {
    /// A page of our own.
    Own,
    /// The person, by typing or by a bookmark.
    Person,
    /// A page of somebody else, or nothing that is understood.
    Others,
    /// It says nothing: no browser of today.
    Unsaid,
}

/// Why a request with a session cookie does not count, if it does not.
pub(crate) fn objection(head: &Parts) -> Option<&'static str> {
    if let Some(objection) = foreign(head) {
        return Some(objection);
    }
    if matches!(head.method, Method::GET | Method::HEAD) {
        return None;
    }
    if !head.headers.contains_key(CSRF) {
        return Some("with a session, send the header `X-Sidecar-CSRF: 1` to change something");
    }
    // A page of somebody else cannot send that header without being asked first, and here nobody
    // says yes. This is for the browser that does not ask.
    match sender(&head.headers) {
        Sender::Own => None,
        Sender::Unsaid if is_own_origin(&head.headers) == Some(true) => None,
        _ => Some(FOREIGN),
    }
}

/// Why a request counts as one of another page, if it does, whatever it changes.
pub(super) fn foreign(head: &Parts) -> Option<&'static str> {
    let is_foreign = match sender(&head.headers) {
        Sender::Own | Sender::Person => false,
        Sender::Others => true,
        Sender::Unsaid => is_own_origin(&head.headers) == Some(false),
    };
    is_foreign.then_some(FOREIGN)
}

fn sender(headers: &HeaderMap) -> Sender {
    let mut sites = headers.get_all(FETCH_SITE).iter();
    match (sites.next().map(|site| site.as_bytes()), sites.next()) {
        (None, _) => Sender::Unsaid,
        (Some(b"same-origin"), None) => Sender::Own,
        (Some(b"none"), None) => Sender::Person,
        _ => Sender::Others,
    }
}

/// Whether the origin of a request is the host it goes to; `None` if it has no origin.
fn is_own_origin(headers: &HeaderMap) -> Option<bool> {
    let mut origins = headers.get_all(ORIGIN).iter();
    let (origin, more) = (origins.next()?, origins.next());
    let host = headers.get(HOST).map(|host| host.as_bytes()).unwrap_or_default();
    let origin = origin.as_bytes();
    let origin = origin.strip_prefix(b"https://").or_else(|| origin.strip_prefix(b"http://"));
    let is_own = origin.is_some_and(|origin| origin.eq_ignore_ascii_case(host));
    Some(is_own && more.is_none() && !host.is_empty())
}

const FOREIGN: &str = "the session counts only for requests of the dashboard itself";
const CSRF: HeaderName = HeaderName::from_static("x-sidecar-csrf");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const HOST_HERE: &str = "127.0.0.1:9190";

    fn head(method: &str, headers: &[(&str, &str)]) -> Parts {
        let request = Request::builder().method(method).uri("/").header(HOST, HOST_HERE);
        let request = headers.iter().fold(request, |all, (name, value)| all.header(*name, *value));
        request.body(()).unwrap().into_parts().0
    }

    fn is_fine(method: &str, headers: &[(&str, &str)]) -> bool {
        objection(&head(method, headers)).is_none()
    }

    const CSRF: (&str, &str) = ("x-sidecar-csrf", "1");
    const OWN: (&str, &str) = ("sec-fetch-site", "same-origin");
    const TYPED: (&str, &str) = ("sec-fetch-site", "none");
    const NEAR: (&str, &str) = ("sec-fetch-site", "same-site");
    const FAR: (&str, &str) = ("sec-fetch-site", "cross-site");
    const OWN_ORIGIN: (&str, &str) = ("origin", "http://127.0.0.1:9190");
    const OTHER_ORIGIN: (&str, &str) = ("origin", "http://127.0.0.1:8000");

    #[test]
    fn reading_is_for_everybody_but_other_pages() {
        for headers in [&[][..], &[OWN], &[TYPED], &[OWN_ORIGIN], &[OWN, OTHER_ORIGIN]] {
            assert!(is_fine("GET", headers) && is_fine("HEAD", headers), "{headers:?}");
        }
        for headers in
            [&[NEAR][..], &[FAR], &[OWN, FAR], &[OTHER_ORIGIN], &[("sec-fetch-site", "")]]
        {
            assert!(!is_fine("GET", headers), "{headers:?}");
        }
    }

    #[test]
    fn changing_takes_the_header_and_a_page_of_our_own() {
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            for headers in [&[CSRF, OWN][..], &[CSRF, OWN_ORIGIN], &[CSRF, OWN, OWN_ORIGIN]] {
                assert!(is_fine(method, headers), "{method} {headers:?}");
            }
            for headers in [
                &[][..],
                &[OWN],
                &[OWN_ORIGIN],
                &[CSRF],
                &[CSRF, TYPED],
                &[CSRF, NEAR],
                &[CSRF, FAR],
                &[CSRF, FAR, OWN_ORIGIN],
                &[CSRF, OWN, OWN],
                &[CSRF, OTHER_ORIGIN],
                &[CSRF, OWN_ORIGIN, OWN_ORIGIN],
                &[CSRF, ("origin", "null")],
                &[CSRF, ("origin", "http://127.0.0.1:9190.evil.example")],
                &[CSRF, ("origin", "http://evil.example/127.0.0.1:9190")],
                &[CSRF, ("origin", "127.0.0.1:9190")],
                &[CSRF, ("origin", "")],
            ] {
                assert!(!is_fine(method, headers), "{method} {headers:?}");
            }
        }
    }

    #[test]
    fn logging_in_is_refused_to_other_pages_only() {
        let is_foreign = |headers| foreign(&head("POST", headers)).is_some();
        for headers in [&[][..], &[OWN], &[OWN_ORIGIN], &[TYPED]] {
            assert!(!is_foreign(headers), "{headers:?}");
        }
        for headers in [&[NEAR][..], &[FAR], &[OTHER_ORIGIN], &[("origin", "null")]] {
            assert!(is_foreign(headers), "{headers:?}");
        }
    }
}
