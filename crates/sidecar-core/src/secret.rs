//! Values that must never be shown: provider keys, master keys, tokens.
//!
//! ```
//! use sidecar_core::secret::Secret;
//!
//! let key = Secret::new("sk-0123456789abcdef");
//! assert_eq!(format!("{key:?}"), "Secret(****)");
//! assert_eq!(key.masked(), "sk-012****cdef");
//! ```

use std::fmt;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A text that is wiped when dropped, and that `Debug` does not show. It has no `Display` and no
/// `Serialize` on purpose.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

/// The SHA-256 digest of a token. Two digests compare in constant time, so a guess learns nothing
/// from how long a refusal takes. Meant for random tokens of 128 bits and more, which need no slow
/// hash.
#[derive(Clone)]
pub struct TokenDigest([u8; 32]);

impl Secret {
    /// Takes ownership of `value`.
    pub fn new(value: impl Into<String>) -> Self {
        Self(Zeroizing::new(value.into()))
    }

    /// The value itself. Every call is a place to review.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What may be shown: the first six and the last four characters, or the first two of a value
    /// of ten characters or fewer, with `****` for the rest.
    pub fn masked(&self) -> String {
        let count = self.0.chars().count();
        let (head, tail) = if count > 10 { (6, 4) } else { (2.min(count), 0) };
        let mut shown: String = self.0.chars().take(head).collect();
        shown.push_str(MASK);
        shown.extend(self.0.chars().skip(count - tail));
        shown
    }

    /// Whether `value` looks like the output of [`Secret::masked`], which must never be stored as
    /// a key.
    pub fn is_masked(value: &str) -> bool {
        value.contains(MASK)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(****)")
    }
}

impl<'de> serde::Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Secret {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "writeOnly": true})
    }
}

impl TokenDigest {
    /// The digest of `token`.
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Whether `token` is the one this digest was made from.
    pub fn matches(&self, token: &str) -> bool {
        self.0.ct_eq(&Self::of(token).0).into()
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest(****)")
    }
}

const MASK: &str = "****";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_secrets_show_two_characters_at_most() {
        assert_eq!(Secret::new("0123456789").masked(), "01****");
        assert_eq!(Secret::new("a").masked(), "a****");
        assert_eq!(Secret::new("").masked(), "****");
    }

    #[test]
    fn a_masked_value_is_recognised() {
        assert!(Secret::is_masked(&Secret::new("nvapi-abcdefghijkl").masked()));
        assert!(!Secret::is_masked("nvapi-abcdefghijkl"));
    }

    #[test]
    fn a_token_matches_only_its_own_digest() {
        let digest = TokenDigest::of("token");
        assert!(digest.matches("token"));
        assert!(!digest.matches("token "));
    }
}
