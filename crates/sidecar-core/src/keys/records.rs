//! What the store keeps of the keys: data keys, wrapped, and check values of the master keys.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::cipher::Nonce;
use super::{KeyError, Kid};
use crate::clock::Timestamp;

/// All key records of a store. They hold nothing that is readable without a master key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultRecords {
    /// The data keys.
    pub deks: Vec<DekRecord>,
    /// The check values.
    pub checks: Vec<KeyCheck>,
}

/// A data key, wrapped by a master key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DekRecord {
    /// Unique in the store, and written into every sealed value.
    pub id: u32,
    /// What the key is used for.
    pub state: DekState,
    /// The master key that wraps it.
    pub kid: Kid,
    /// The nonce of the wrapping.
    #[serde(with = "base64")]
    pub nonce: Nonce,
    /// The wrapped key with its tag.
    #[serde(with = "base64")]
    pub wrapped: Vec<u8>,
    /// When the data key was made; a new wrapping keeps it.
    pub created: Timestamp,
}

/// What a data key is used for. All open what they sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DekState {
    /// Seals new values; a store has exactly one.
    Primary,
    /// Next in line to be the primary.
    Active,
    /// Replaced, and kept for as long as backups may need it.
    Retired,
}

/// A constant sealed by a master key, so that a wrong key is known before anything else is
/// touched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyCheck {
    /// The master key.
    pub kid: Kid,
    /// The nonce, and the constant with its tag.
    #[serde(with = "base64")]
    pub sealed: Vec<u8>,
}

impl VaultRecords {
    /// The bytes to store: a version, then JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        serde_json::to_writer(&mut bytes, self).expect("plain data has a JSON form");
        bytes
    }

    /// The inverse of [`VaultRecords::to_bytes`]. Refuses a version that is not known.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        match bytes.split_first() {
            Some((&VERSION, json)) => serde_json::from_slice(json)
                .map_err(|_| KeyError::DamagedRecords("they cannot be read")),
            Some((&version, _)) => Err(KeyError::UnknownVersion(version)),
            None => Err(KeyError::DamagedRecords("they are empty")),
        }
    }

    /// The master keys that these records need; so does every backup that holds them.
    pub fn kids(&self) -> BTreeSet<Kid> {
        let deks = self.deks.iter().map(|dek| dek.kid);
        deks.chain(self.checks.iter().map(|check| check.kid)).collect()
    }
}

mod base64 {
    use data_encoding::BASE64;
    use serde::de::{Deserialize as _, Deserializer, Error as _};
    use serde::ser::Serializer;

    pub(super) fn serialize<T: AsRef<[u8]>, S: Serializer>(
        bytes: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(bytes.as_ref()))
    }

    pub(super) fn deserialize<'de, T: TryFrom<Vec<u8>>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = BASE64.decode(text.as_bytes()).map_err(D::Error::custom)?;
        T::try_from(bytes).map_err(|_| D::Error::custom("wrong length"))
    }
}

const VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn kid() -> impl Strategy<Value = Kid> {
        any::<u64>().prop_map(|kid| format!("{kid:016x}").parse::<Kid>().unwrap())
    }

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        vec(any::<u8>(), 0..80)
    }

    fn dek() -> impl Strategy<Value = DekRecord> {
        let states = [DekState::Primary, DekState::Active, DekState::Retired];
        let state = proptest::sample::select(states.to_vec());
        let created = (0..4_102_444_800_000_i64).prop_map(Timestamp::from_millis);
        (any::<u32>(), state, kid(), any::<[u8; 24]>(), bytes(), created).prop_map(
            |(id, state, kid, nonce, wrapped, created)| DekRecord {
                id,
                state,
                kid,
                nonce,
                wrapped,
                created,
            },
        )
    }

    fn check() -> impl Strategy<Value = KeyCheck> {
        (kid(), bytes()).prop_map(|(kid, sealed)| KeyCheck { kid, sealed })
    }

    proptest! {
        #[test]
        fn records_are_read_as_they_were_written(
            deks in vec(dek(), 0..4),
            checks in vec(check(), 0..4),
        ) {
            let records = VaultRecords { deks, checks };
            prop_assert_eq!(VaultRecords::from_bytes(&records.to_bytes()), Ok(records));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..80)) {
            let _ = VaultRecords::from_bytes(&bytes);
        }
    }

    #[test]
    fn an_unknown_version_is_refused() {
        let mut bytes = VaultRecords { deks: Vec::new(), checks: Vec::new() }.to_bytes();
        assert_eq!(bytes[0], 1);
        for version in [0, 2, b'{', 255] {
            bytes[0] = version;
            assert_eq!(VaultRecords::from_bytes(&bytes), Err(KeyError::UnknownVersion(version)));
        }
    }

    #[test]
    fn damaged_records_are_refused() {
        let bytes = VaultRecords { deks: Vec::new(), checks: Vec::new() }.to_bytes();
        for length in 0..bytes.len() {
            let error = VaultRecords::from_bytes(&bytes[..length]).unwrap_err();
            assert!(matches!(error, KeyError::DamagedRecords(_)), "{error}");
        }
    }
}
