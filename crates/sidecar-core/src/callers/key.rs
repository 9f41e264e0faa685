//! Caller keys: how they look, and what is kept of them.

use std::fmt;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::crc32::crc32;
use crate::secret::Secret;

/// The form of caller keys: `sk-sc-`, 30 random characters of base 62 (178 bits), and the CRC-32
/// of all that in six more. The prefix and the checksum let scanners find a key that leaked, and
/// tell a typing error from a key that was revoked.
///
/// ```
/// use sidecar_core::callers::{CallerKey, KeyDigest};
///
/// let (key, digest) = CallerKey::generate();
/// assert!(CallerKey::looks_valid(key.expose()));
/// assert_eq!(digest, KeyDigest::of(key.expose()));
/// assert!(!CallerKey::looks_valid("sk-sc-anything"));
/// ```
#[derive(Debug)]
pub enum CallerKey {}

/// The SHA-256 digest of a caller key: all that is kept of one. A key of 178 random bits needs no
/// slow hash, and a look-up by digest tells nothing by its time.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyDigest([u8; 32]);

impl CallerKey {
    /// A new random key, and what to keep of it.
    ///
    /// # Panics
    ///
    /// If the operating system has no random bytes to give, where nothing else could be done.
    pub fn generate() -> (Secret, KeyDigest) {
        // As long as the key will be, so that it is never moved and left behind in memory.
        let mut key = String::with_capacity(LENGTH);
        key.push_str(PREFIX);
        while key.len() < CHECKED {
            let mut bytes = Zeroizing::new([0_u8; 32]);
            getrandom::fill(bytes.as_mut_slice()).expect("the operating system gives random bytes");
            let missing = CHECKED - key.len();
            let fair = bytes.iter().filter(|byte| **byte < FAIR).take(missing);
            key.extend(fair.map(|byte| digit((*byte).into())));
        }
        let checksum = checksum(&key);
        key.extend(checksum);
        let digest = KeyDigest::of(&key);
        (Secret::new(key), digest)
    }

    /// Whether `text` has the form of a key, its checksum included. What has not need not be looked
    /// up.
    pub fn looks_valid(text: &str) -> bool {
        text.len() == LENGTH
            && text.bytes().skip(PREFIX.len()).all(|byte| byte.is_ascii_alphanumeric())
            && text.starts_with(PREFIX)
            && text.chars().skip(CHECKED).eq(checksum(&text[..CHECKED]))
    }

    /// Whether `text` is as long as every key is.
    pub(super) fn has_length(text: &str) -> bool {
        text.len() == LENGTH
    }

    /// Whether `text` is meant to be a caller key, good or bad. Such a one must be refused where
    /// it is not known, never taken for no key at all.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    /// What may be shown of `key`: enough to tell it from others. Two random characters of thirty
    /// and a part of the checksum leave more than 140 bits to guess.
    pub(super) fn hint(key: &Secret) -> String {
        let text = key.expose();
        let (head, tail) = (PREFIX.len() + 2, text.len().saturating_sub(4));
        let part = |range: Option<&str>| range.unwrap_or_default().to_owned();
        format!("{}****{}", part(text.get(..head)), part(text.get(tail..)))
    }
}

impl KeyDigest {
    /// The digest of `key`.
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyDigest(****)")
    }
}

/// For the store only.
impl Serialize for KeyDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&HEXLOWER.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for KeyDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = HEXLOWER.decode(text.as_bytes()).ok();
        let digest = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        digest.map(Self).ok_or_else(|| serde::de::Error::custom("not the digest of a key"))
    }
}

/// The CRC-32 of `text` in six digits, the highest first.
fn checksum(text: &str) -> [char; CHECKSUM] {
    let mut rest = crc32(text.as_bytes());
    let mut digits = ['0'; CHECKSUM];
    for place in digits.iter_mut().rev() {
        *place = digit(rest);
        rest /= BASE;
    }
    digits
}

/// The last digit of `number`.
fn digit(number: u32) -> char {
    char::from(DIGITS[(number % BASE) as usize])
}

const PREFIX: &str = "sk-sc-";
/// Prefix and random part: what the checksum is made of.
const CHECKED: usize = PREFIX.len() + 30;
const CHECKSUM: usize = 6;
const LENGTH: usize = CHECKED + CHECKSUM;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const BASE: u32 = 62;
/// Random bytes from here on would favour the first digits.
const FAIR: u8 = 248;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    #[test]
    fn a_new_key_has_the_form_that_scanners_look_for() {
        let (key, digest) = CallerKey::generate();
        assert_eq!(key.expose().len(), 42);
        assert!(key.expose().starts_with("sk-sc-"));
        assert!(key.expose()[6..].bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert!(CallerKey::looks_valid(key.expose()));
        assert_eq!(digest, KeyDigest::of(key.expose()));
    }

    #[test]
    fn no_two_keys_are_the_same() {
        let keys = (0..100).map(|_| CallerKey::generate().0.expose().to_owned());
        assert_eq!(keys.collect::<HashSet<_>>().len(), 100);
    }

    #[test]
    fn the_checksum_of_a_known_key_stays_the_same() {
        // A change here would refuse every key that was ever given out.
        let rest = "sk-sc-000000000000000000000000000000";
        let key: String = rest.chars().chain(checksum(rest)).collect();
        assert_eq!(key, "sk-sc-00000000000000000000000000000025uLrE");
        assert!(CallerKey::looks_valid(&key));
    }

    #[test]
    fn what_is_shown_of_a_key_is_its_beginning_and_its_end() {
        let key = Secret::new("sk-sc-ab0000000000000000000000000000wxyz");
        assert_eq!(CallerKey::hint(&key), "sk-sc-ab****wxyz");
        assert_eq!(CallerKey::hint(&Secret::new("")), "****");
    }

    #[test]
    fn a_digest_is_stored_as_text_and_never_printed() {
        let digest = KeyDigest::of("needle");
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!(json.len(), 66);
        assert_eq!(serde_json::from_str::<KeyDigest>(&json).unwrap(), digest);
        assert_eq!(format!("{digest:?}"), "KeyDigest(****)");
        for json in ["\"\"", "\"00\"", "\"zz\"", "1"] {
            assert!(serde_json::from_str::<KeyDigest>(json).is_err(), "{json}");
        }
    }

    proptest! {
        #[test]
        fn one_wrong_character_is_found(at in any::<Index>(), typed in "[0-9A-Za-z]") {
            let (key, _) = CallerKey::generate();
            let mut text = key.expose().to_owned();
            let at = at.index(text.len());
            text.replace_range(at..=at, &typed);
            prop_assert_eq!(CallerKey::looks_valid(&text), text == key.expose());
        }

        #[test]
        fn two_swapped_characters_are_found(at in 6..41_usize) {
            let (key, _) = CallerKey::generate();
            let mut bytes = key.expose().as_bytes().to_vec();
            bytes.swap(at, at + 1);
            let text = String::from_utf8(bytes).unwrap();
            prop_assert_eq!(CallerKey::looks_valid(&text), text == key.expose());
        }

        #[test]
        fn any_text_may_be_asked_for(text in any::<String>(), tail in "[0-9A-Za-z]{0,40}") {
            prop_assert!(!CallerKey::looks_valid(&text));
            CallerKey::looks_valid(&format!("sk-sc-{tail}"));
            CallerKey::looks_valid(&format!("sk-sc-{text}"));
        }
    }
}
