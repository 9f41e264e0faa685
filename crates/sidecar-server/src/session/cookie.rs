//! The session cookie.

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use sidecar_core::secret::Secret;

use super::sessions::LONGEST;

/// The session id that a browser sends, if it sends exactly one. Other cookies, of whatever else
/// runs on this host, mean nothing.
pub(crate) fn shown(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(COOKIE).iter();
    let pairs = cookies.flat_map(|cookies| cookies.as_bytes().split(|byte| *byte == b';'));
    let mut ids = pairs.filter_map(|pair| pair.trim_ascii().strip_prefix(NAME)?.strip_prefix(b"="));
    match (ids.next(), ids.next()) {
        (Some(id), None) => str::from_utf8(id).ok(),
        _ => None,
    }
}

/// Gives a browser the session `id`.
pub(super) fn given(id: &Secret) -> HeaderValue {
    let seconds = LONGEST.as_secs();
    let text = format!("__Host-sidecar={}; {ATTRIBUTES}; Max-Age={seconds}", id.expose());
    let mut value = HeaderValue::from_str(&text).expect("an id is visible ASCII");
    value.set_sensitive(true);
    value
}

/// Takes it back.
pub(super) fn taken() -> HeaderValue {
    let text = format!("__Host-sidecar=; {ATTRIBUTES}; Max-Age=0");
    HeaderValue::from_str(&text).expect("a fixed text of visible ASCII")
}

/// With this prefix a browser takes the cookie only with `Secure`, for `/` and for one host.
const NAME: &[u8] = b"__Host-sidecar";
const ATTRIBUTES: &str = "Path=/; Secure; HttpOnly; SameSite=Strict";

#[cfg(test)]
mod tests {
    use super::*;

    fn id(cookies: &[&'static str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for cookie in cookies {
            headers.append(COOKIE, HeaderValue::from_static(cookie));
        }
        shown(&headers).map(str::to_owned)
    }

    #[test]
    fn the_one_cookie_of_the_name_is_found_among_others() {
        assert_eq!(id(&["__Host-sidecar=abc"]).as_deref(), Some("abc"));
        assert_eq!(id(&["a=b; __Host-sidecar=abc;c=d"]).as_deref(), Some("abc"));
        assert_eq!(id(&["a=b", "__Host-sidecar=a=c"]).as_deref(), Some("a=c"));
        for none in [&[][..], &["a=b"], &["__host-sidecar=abc"], &["__Host-sidecarx=abc"]] {
            assert_eq!(id(none), None, "{none:?}");
        }
        let mut headers = HeaderMap::new();
        let others = HeaderValue::from_bytes(b"name=\xff\xfe; __Host-sidecar=abc").unwrap();
        headers.append(COOKIE, others);
        assert_eq!(shown(&headers), Some("abc"));
    }

    #[test]
    fn of_two_none_counts() {
        assert_eq!(id(&["__Host-sidecar=a; __Host-sidecar=a"]), None);
        assert_eq!(id(&["__Host-sidecar=a", "__Host-sidecar=b"]), None);
    }

    #[test]
    fn a_cookie_is_for_this_host_and_no_script_and_no_other_site() {
        let value = given(&Secret::new("abc"));
        assert!(value.is_sensitive());
        let expected =
            "__Host-sidecar=abc; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=43200";
        assert_eq!(value, expected);
        let expected = "__Host-sidecar=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0";
        assert_eq!(taken(), expected);
    }
}
