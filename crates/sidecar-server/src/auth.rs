//! Who may do what.

use http::HeaderMap;
use http::header::AUTHORIZATION;
use sidecar_core::secret::TokenDigest;

/// What a route asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// Nothing.
    None,
    /// A caller of the proxy.
    Caller,
    /// The admin token.
    Admin,
}

/// Decides by the credentials of a request alone.
#[derive(Clone, Debug)]
pub struct Gate {
    admin_token: TokenDigest,
    allow_anonymous: bool,
}

impl Gate {
    /// A gate that knows this admin token; `allow_anonymous` opens the proxy to everybody who
    /// reaches it.
    pub fn new(admin_token: TokenDigest, allow_anonymous: bool) -> Self {
        Self { admin_token, allow_anonymous }
    }

    /// Whether a request with `headers` shows the admin token.
    pub fn admits_admin(&self, headers: &HeaderMap) -> bool {
        bearer(headers).is_some_and(|token| self.admin_token.matches(token))
    }

    /// Whether the proxy may be used without a caller key.
    pub fn admits_anonymous(&self) -> bool {
        self.allow_anonymous
    }
}

/// The bearer token, if there is exactly one `Authorization` header and it holds one.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn admits(values: &[&'static str]) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_static(value));
        }
        Gate::new(TokenDigest::of("token"), false).admits_admin(&headers)
    }

    #[test]
    fn only_the_one_token_opens_the_admin_routes() {
        assert!(admits(&["Bearer token"]));
        assert!(admits(&["bearer token"]));
        for values in [&[][..], &["token"], &["Basic token"], &["Bearer"], &["Bearer tokens"]] {
            assert!(!admits(values), "{values:?}");
        }
        assert!(!admits(&["Bearer token", "Bearer token"]));
    }
}
