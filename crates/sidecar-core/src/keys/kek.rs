//! Master keys, also called key-encryption keys.

use std::fmt;
use std::str::FromStr;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use hkdf::Hkdf;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use super::KeyError;
use super::cipher::{CipherKey, KEY_LEN};
use crate::secret::Secret;

/// A master key: 32 bytes, kept outside the store, wiped when dropped. `Debug` shows its id only.
pub struct Kek {
    key: CipherKey,
    kid: Kid,
}

/// The id of a master key: the first eight bytes of HKDF-SHA256 of the key. It tells nothing about
/// the key, and may be shown and stored. Its text is 16 hexadecimal characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kid([u8; 8]);

impl Kek {
    /// Reads a key of exactly 64 hexadecimal characters, of either case; white space around them
    /// is ignored. Refuses keys that are easy to guess: repeated blocks such as `deadbeef...`,
    /// counters such as `000102...`, and the hashes of nothing that a script with an unset
    /// variable makes.
    pub fn parse(hex: &str) -> Result<Self, KeyError> {
        let hex = hex.trim().as_bytes();
        if hex.len() != 2 * KEY_LEN {
            return Err(KeyError::MalformedKey);
        }
        let key = CipherKey::fill(|key| {
            HEXLOWER_PERMISSIVE.decode_mut(hex, key).map_err(|_| KeyError::MalformedKey)?;
            Ok(())
        })?;
        if is_guessable(key.bytes()) {
            return Err(KeyError::GuessableKey);
        }
        Ok(Self::new(key))
    }

    /// A new random key.
    ///
    /// # Panics
    ///
    /// If the operating system has no random bytes to give, where nothing else could be done.
    pub fn generate() -> Self {
        Self::new(CipherKey::random().expect("the operating system gives random bytes"))
    }

    /// The key, as [`Kek::parse`] reads it. Every call is a place to review.
    pub fn to_hex(&self) -> Secret {
        Secret::new(HEXLOWER.encode(self.key.bytes()))
    }

    /// The id of the key.
    pub fn kid(&self) -> Kid {
        self.kid
    }

    pub(super) fn key(&self) -> &CipherKey {
        &self.key
    }

    fn new(key: CipherKey) -> Self {
        let mut kid = [0; 8];
        Hkdf::<Sha256>::new(None, key.bytes())
            .expand(b"sidecar/kid/v1", &mut kid)
            .expect("eight bytes are within the limit of HKDF");
        Self { key, kid: Kid(kid) }
    }
}

impl fmt::Debug for Kek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kek").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl Kid {
    pub(super) fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl fmt::Display for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kid({self})")
    }
}

impl FromStr for Kid {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bytes =
            HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map_err(|_| KeyError::MalformedKid)?;
        <[u8; 8]>::try_from(bytes).map(Self).map_err(|_| KeyError::MalformedKid)
    }
}

impl Serialize for Kid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Kid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Kid {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Kid".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": "^[0-9a-f]{16}$"})
    }
}

/// No random key is refused by chance: the weakest of these rules leaves 16 of the 32 bytes free,
/// so a random key meets it once in 2^128.
fn is_guessable(key: &[u8; KEY_LEN]) -> bool {
    let repeats = (1..=KEY_LEN / 2).any(|block| key[block..] == key[..KEY_LEN - block]);
    let step = key[1].wrapping_sub(key[0]);
    let counts = key.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) == step);
    let hash_of_nothing = ["", "\n"].iter().any(|text| Sha256::digest(text)[..] == key[..]);
    repeats || counts || hash_of_nothing
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "8ba0fe4965396c0e0f9d517e5b29dd27518b9017d10cfa8ba219e4cf26633863";

    #[test]
    fn a_key_is_read_in_either_case_and_written_in_lower_case() {
        let key = Kek::parse(&format!(" {}\r\n", HEX.to_uppercase())).unwrap();
        assert_eq!(key.to_hex().expose(), HEX);
    }

    #[test]
    fn the_id_of_a_key_never_changes() {
        // Made by another implementation of HKDF; the ids are in stores and backups.
        assert_eq!(Kek::parse(HEX).unwrap().kid().to_string(), "7f26e8c13359933e");
    }

    #[test]
    fn text_that_is_no_key_is_refused() {
        let other_digit = HEX.replace('8', "g");
        let umlauts = "\u{e4}".repeat(32);
        for text in ["", "8b", &HEX[1..], &HEX[2..], &format!("{HEX}00"), &other_digit, &umlauts] {
            assert_eq!(Kek::parse(text).unwrap_err(), KeyError::MalformedKey, "{text}");
        }
    }

    #[test]
    fn keys_that_are_easy_to_guess_are_refused() {
        let counter: String = (0..32).map(|byte| format!("{byte:02x}")).collect();
        let falling: String = (0..32).rev().map(|byte| format!("{byte:02x}")).collect();
        for text in [
            "0".repeat(64),
            "f".repeat(64),
            "deadbeef".repeat(8),
            "0123456789abcdef".repeat(4),
            "00112233445566778899aabbccddeeff".repeat(2),
            counter,
            falling,
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".into(),
            "01ba4719c80b6fe911b091a7c05124b64eeece964e09c058ef8f9805daca546b".into(),
        ] {
            assert_eq!(Kek::parse(&text).unwrap_err(), KeyError::GuessableKey, "{text}");
        }
    }

    #[test]
    fn generated_keys_differ_and_are_accepted() {
        let (one, two) = (Kek::generate(), Kek::generate());
        assert_ne!(one.kid(), two.kid());
        assert_eq!(Kek::parse(one.to_hex().expose()).unwrap().kid(), one.kid());
    }

    #[test]
    fn an_id_is_its_hexadecimal_text() {
        let kid = Kek::parse(HEX).unwrap().kid();
        let json = serde_json::to_string(&kid).unwrap();
        assert_eq!(json, "\"7f26e8c13359933e\"");
        assert_eq!(serde_json::from_str::<Kid>(&json).unwrap(), kid);
        for text in ["", "7f26", "7f26e8c13359933", "7f26e8c13359933e00", "not hexadecimal."] {
            assert_eq!(text.parse::<Kid>().unwrap_err(), KeyError::MalformedKid, "{text}");
        }
    }
}
