//! The URL that a request goes to.

use http::Uri;

use crate::url::{BaseUrl, is_plain_path};

/// Why there is no URL to send to.
#[derive(Debug, thiserror::Error)]
pub(super) enum JoinError {
    /// The path or the query says more than a path or a query may: a provider's own name for the
    /// model can bring anything.
    #[error("the path or the query of the request cannot be sent to a provider as it is")]
    NotPlain,
    /// More than a URL may have.
    #[error("the request's URL is too long to be sent")]
    Uri(#[from] http::uri::InvalidUri),
}

/// `base` plus `path`, which begins with `/v1/` or `/v1beta/`. A base URL that has a path of its
/// own has it in place of that prefix. The query is kept.
pub(super) fn join(base: &BaseUrl, path: &str, query: Option<&str>) -> Result<Uri, JoinError> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
    if !is_plain_path(path) || query.is_some_and(|query| !query.bytes().all(is_plain)) {
        return Err(JoinError::NotPlain);
    }
    let rest = if base.path().is_empty() { path } else { without_version(path) };
    let (mark, query) = query.map_or(("", ""), |query| ("?", query));
    // The base ends its authority and a plain path begins with a slash, so that nothing in the
    // path can move the host.
    Ok(Uri::try_from([base.as_str(), rest, mark, query].concat())?)
}

fn without_version(path: &str) -> &str {
    ["/v1", "/v1beta"]
        .into_iter()
        .filter_map(|version| path.strip_prefix(version))
        .find(|rest| rest.starts_with('/'))
        .unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn joined(base: &str, path: &str, query: Option<&str>) -> Result<String, JoinError> {
        join(&BaseUrl::parse(base).unwrap(), path, query).map(|uri| uri.to_string())
    }

    #[test]
    fn a_path_of_the_base_stands_in_place_of_the_version() {
        for (base, path, url) in [
            ("https://a", "/v1/chat/completions", "https://a/v1/chat/completions"),
            ("https://a/", "/v1/chat/completions", "https://a/v1/chat/completions"),
            ("https://a/v1", "/v1/chat/completions", "https://a/v1/chat/completions"),
            ("https://a/v1/", "/v1/chat/completions", "https://a/v1/chat/completions"),
            ("https://a/api/v3", "/v1/chat/completions", "https://a/api/v3/chat/completions"),
            ("http://a:8000/v1", "/v1/v1/x", "http://a:8000/v1/v1/x"),
            ("https://g", "/v1beta/models/x:countTokens", "https://g/v1beta/models/x:countTokens"),
            (
                "https://g/v1beta",
                "/v1beta/models/x:generateContent",
                "https://g/v1beta/models/x:generateContent",
            ),
            (
                "https://g/v1beta",
                "/v1/models/x:generateContent",
                "https://g/v1beta/models/x:generateContent",
            ),
            ("https://a/x", "/v1beta2/y", "https://a/x/v1beta2/y"),
        ] {
            assert_eq!(joined(base, path, None).unwrap(), url);
        }
    }

    #[test]
    fn the_query_is_kept() {
        let url = joined("https://a/v1", "/v1/files", Some("limit=2&after=x%20y")).unwrap();
        assert_eq!(url, "https://a/v1/files?limit=2&after=x%20y");
    }

    #[test]
    fn what_would_change_the_url_is_refused() {
        for path in ["/v1/models/../x", "/v1/a b", "/v1/a?b", "/v1/a#b", "@evil", "//evil/x", ""] {
            assert!(joined("https://a/v1", path, None).is_err(), "{path}");
        }
        for query in ["a b", "a#b", "a\r\nb", "\u{e9}"] {
            assert!(joined("https://a/v1", "/v1/x", Some(query)).is_err(), "{query}");
        }
        assert!(joined("https://a/v1", &format!("/v1/{}", "a".repeat(70_000)), None).is_err());
    }

    proptest! {
        #[test]
        fn no_path_moves_the_host(
            path in prop_oneof![any::<String>(), "(/v1|/v1beta|/|@|:|\\\\|//)?[!-~]{0,24}"],
            query in proptest::option::of(prop_oneof![any::<String>(), "[!-~]{0,12}"]),
            base in prop_oneof![Just("https://host.example"), Just("http://host.example:81/a/b")],
        ) {
            let base = BaseUrl::parse(base).unwrap();
            if let Ok(uri) = join(&base, &path, query.as_deref()) {
                prop_assert_eq!(uri.scheme_str(), Some(base.scheme()));
                prop_assert_eq!(uri.authority().unwrap().as_str(), base.authority());
                prop_assert_eq!(uri.host(), Some("host.example"));
                prop_assert!(uri.path().starts_with(base.path()));
            }
        }
    }
}
