//! What is refused before anything looks at the path.
//!
//! Everything that different programs read differently is refused here: the router, the
//! credentials and the provider must all see the same request.

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, Method};

/// Says what is wrong with a request, if its target, host or framing is not plain.
pub(crate) fn refusal(head: &Parts) -> Option<&'static str> {
    if matches!(head.method, Method::CONNECT | Method::TRACE) {
        return Some("this method is not supported");
    }
    if head.uri.authority().is_some() || !head.uri.path().starts_with('/') {
        return Some("the request target must be a path");
    }
    if count(&head.headers, HOST) != 1 {
        return Some("exactly one Host header is needed");
    }
    let framings = count(&head.headers, TRANSFER_ENCODING);
    let chunked = |value: &http::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"chunked");
    if framings > 1 || head.headers.get(TRANSFER_ENCODING).is_some_and(|value| !chunked(value)) {
        return Some("the only transfer coding that is understood is chunked");
    }
    if framings > 0 && head.headers.contains_key(CONTENT_LENGTH) {
        return Some("Content-Length and Transfer-Encoding exclude one another");
    }
    None
}

fn count(headers: &HeaderMap, name: http::HeaderName) -> usize {
    headers.get_all(name).iter().count()
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn refused(request: http::request::Builder) -> bool {
        refusal(&request.body(()).unwrap().into_parts().0).is_some()
    }

    #[test]
    fn a_plain_request_passes() {
        assert!(!refused(Request::get("/v1/models?limit=1").header("host", "h")));
        let chunked = Request::post("/").header("host", "h").header("transfer-encoding", "Chunked");
        assert!(!refused(chunked));
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        assert!(refused(Request::get("/")));
        assert!(refused(Request::get("/").header("host", "a").header("host", "b")));
        assert!(refused(Request::get("http://h/").header("host", "h")));
        assert!(refused(Request::options("*").header("host", "h")));
        assert!(refused(Request::connect("h:1").header("host", "h")));
        let framed = || Request::post("/").header("host", "h");
        assert!(refused(framed().header("transfer-encoding", "gzip, chunked")));
        assert!(refused(
            framed().header("transfer-encoding", "chunked").header("content-length", "1")
        ));
    }
}
