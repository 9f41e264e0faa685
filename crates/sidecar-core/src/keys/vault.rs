//! The data keys of a store, and what is sealed with them.
//!
//! A sealed value is `version | data key id | nonce | ciphertext and tag`, of 1, 4, 24 and 16 or
//! more bytes. The id is a hint to find the key by; it is authenticated with everything else.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use uuid::Uuid;
use zeroize::Zeroize as _;

use super::cipher::{CipherKey, KEY_LEN, NONCE_LEN, Nonce, associated_data};
use super::{DekRecord, DekState, Kek, KeyCheck, KeyError, KeyRing, VaultRecords};
use crate::clock::Timestamp;
use crate::secret::Secret;

/// Seals and opens the secret fields of one store. Cheap to clone; clones share the keys, which
/// are wiped with the last of them.
#[derive(Clone)]
pub struct Vault(Arc<Inner>);

/// Where a sealed value belongs. It opens nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The table of the store.
    pub table: &'a str,
    /// The id of the record.
    pub record: &'a str,
    /// The field of the record.
    pub field: &'a str,
    /// The origin of the URL that the value is sent to, or nothing for a value that is not sent.
    /// Without it, whoever can edit a URL could have the value sent to a host of their own.
    pub origin: &'a str,
}

struct Inner {
    store: Uuid,
    deks: Vec<DataKey>,
    /// The place of the primary in `deks`.
    primary: usize,
    checks: Vec<KeyCheck>,
}

struct DataKey {
    record: DekRecord,
    key: CipherKey,
}

impl Vault {
    /// Makes the first data key of an empty store, wrapped by the primary key of `ring`. The
    /// records must be stored before anything is sealed.
    pub fn create(
        ring: &KeyRing,
        store: Uuid,
        now: Timestamp,
    ) -> Result<(Self, VaultRecords), KeyError> {
        let kek = ring.primary();
        let id = 1;
        let (nonce, wrapped) = wrap(kek, store, id, &CipherKey::random()?)?;
        let kid = kek.kid();
        let dek = DekRecord { id, state: DekState::Primary, kid, nonce, wrapped, created: now };
        let records = VaultRecords { deks: vec![dek], checks: vec![seal_check(kek, store)?] };
        // From the records, so that a store which could not be opened again is never made.
        Ok((Self::unlock(ring, store, &records)?, records))
    }

    /// Unwraps the data keys of a store.
    ///
    /// Fails with [`KeyError::WrongKey`] before anything else if `ring` lacks a master key that
    /// the records need, and if the records were changed or belong to another store.
    pub fn unlock(ring: &KeyRing, store: Uuid, records: &VaultRecords) -> Result<Self, KeyError> {
        let needed: Vec<_> =
            records.kids().into_iter().filter(|kid| ring.get(*kid).is_none()).collect();
        if !needed.is_empty() {
            return Err(KeyError::WrongKey { needed, given: ring.kids().collect() });
        }
        for check in &records.checks {
            open_check(ring, store, check).ok_or(KeyError::CheckRefused { kid: check.kid })?;
        }
        let mut deks = Vec::with_capacity(records.deks.len());
        for record in &records.deks {
            let key = unwrap(ring, store, record)
                .ok_or(KeyError::DataKeyRefused { id: record.id, kid: record.kid })?;
            deks.push(DataKey { record: record.clone(), key });
        }
        let primary = primary_of(&records.deks)?;
        Ok(Self(Arc::new(Inner { store, deks, primary, checks: records.checks.clone() })))
    }

    /// The store that it belongs to.
    pub(crate) fn store(&self) -> Uuid {
        self.0.store
    }

    /// Seals `plaintext` for `place` with the primary data key. No two results are the same.
    pub fn seal(&self, place: &Place<'_>, plaintext: &Secret) -> Result<Vec<u8>, KeyError> {
        let DataKey { record, key } = &self.0.deks[self.0.primary];
        let data = self.field_data(place, record.id);
        let (nonce, sealed) = key.seal(&data, plaintext.expose().as_bytes())?;
        Ok([&[VERSION][..], &record.id.to_be_bytes()[..], &nonce[..], &sealed[..]].concat())
    }

    /// Opens what [`Vault::seal`] made for the same `place`.
    pub fn open(&self, place: &Place<'_>, sealed: &[u8]) -> Result<Secret, KeyError> {
        let (id, nonce, sealed) = split(sealed).ok_or(KeyError::DamagedValue)?;
        let dek = self.0.deks.iter().find(|dek| dek.record.id == id);
        let key = &dek.ok_or(KeyError::UnknownDataKey(id))?.key;
        let mut plaintext =
            key.open(nonce, &self.field_data(place, id), sealed).ok_or(KeyError::ValueRefused)?;
        // The text takes over the buffer, so that there is no second copy to wipe.
        match String::from_utf8(std::mem::take(&mut *plaintext)) {
            Ok(text) => Ok(Secret::new(text)),
            Err(error) => {
                error.into_bytes().zeroize();
                Err(KeyError::DamagedValue)
            }
        }
    }

    /// The records with all data keys wrapped by the primary key of `ring`, to be stored in one
    /// transaction. After that the store needs no other master key; its sealed values stay as
    /// they are. Data keys that the primary wraps already are left alone, so a repetition changes
    /// nothing.
    pub fn rewrap(&self, ring: &KeyRing) -> Result<VaultRecords, KeyError> {
        let Inner { store, deks, checks, .. } = &*self.0;
        let kek = ring.primary();
        let kid = kek.kid();
        let mut records = Vec::with_capacity(deks.len());
        for DataKey { record, key } in deks {
            let mut record = record.clone();
            if record.kid != kid {
                (record.nonce, record.wrapped) = wrap(kek, *store, record.id, key)?;
                record.kid = kid;
            }
            records.push(record);
        }
        let check = match checks.iter().find(|check| check.kid == kid) {
            Some(check) => check.clone(),
            None => seal_check(kek, *store)?,
        };
        Ok(VaultRecords { deks: records, checks: vec![check] })
    }

    fn field_data(&self, place: &Place<'_>, id: u32) -> Vec<u8> {
        associated_data(&[
            b"sidecar/field/v1",
            self.0.store.as_bytes(),
            place.table.as_bytes(),
            place.record.as_bytes(),
            place.field.as_bytes(),
            &id.to_be_bytes(),
            place.origin.as_bytes(),
        ])
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<u32> = self.0.deks.iter().map(|dek| dek.record.id).collect();
        f.debug_struct("Vault")
            .field("store", &self.0.store)
            .field("data_keys", &ids)
            .finish_non_exhaustive()
    }
}

fn wrap(kek: &Kek, store: Uuid, id: u32, key: &CipherKey) -> Result<(Nonce, Vec<u8>), KeyError> {
    kek.key().seal(&dek_data(kek, store, id), key.bytes())
}

fn unwrap(ring: &KeyRing, store: Uuid, record: &DekRecord) -> Option<CipherKey> {
    let kek = ring.get(record.kid)?;
    let data = dek_data(kek, store, record.id);
    let opened = kek.key().open(&record.nonce, &data, &record.wrapped)?;
    let bytes = <&[u8; KEY_LEN]>::try_from(opened.as_slice()).ok()?;
    CipherKey::fill(|key| {
        *key = *bytes;
        Ok(())
    })
    .ok()
}

fn dek_data(kek: &Kek, store: Uuid, id: u32) -> Vec<u8> {
    associated_data(&[b"sidecar/dek/v1", store.as_bytes(), &id.to_be_bytes(), kek.kid().as_bytes()])
}

fn seal_check(kek: &Kek, store: Uuid) -> Result<KeyCheck, KeyError> {
    let (nonce, sealed) = kek.key().seal(&check_data(kek, store), CHECKED)?;
    Ok(KeyCheck { kid: kek.kid(), sealed: [&nonce[..], &sealed[..]].concat() })
}

fn open_check(ring: &KeyRing, store: Uuid, check: &KeyCheck) -> Option<()> {
    let kek = ring.get(check.kid)?;
    let (nonce, sealed) = check.sealed.split_first_chunk::<NONCE_LEN>()?;
    let opened = kek.key().open(nonce, &check_data(kek, store), sealed)?;
    (opened[..] == *CHECKED).then_some(())
}

fn check_data(kek: &Kek, store: Uuid) -> Vec<u8> {
    associated_data(&[b"sidecar/check/v1", store.as_bytes(), kek.kid().as_bytes()])
}

/// The place of the primary among `deks`, whose ids must be unique.
fn primary_of(deks: &[DekRecord]) -> Result<usize, KeyError> {
    let ids: BTreeSet<u32> = deks.iter().map(|dek| dek.id).collect();
    if ids.len() != deks.len() {
        return Err(KeyError::DamagedRecords("two data keys have the same id"));
    }
    let mut primaries = (0..).zip(deks).filter(|(_, dek)| dek.state == DekState::Primary);
    match (primaries.next(), primaries.next()) {
        (Some((index, _)), None) => Ok(index),
        _ => Err(KeyError::DamagedRecords("they do not have exactly one primary data key")),
    }
}

/// The data key's id, the nonce, and the ciphertext with its tag.
fn split(sealed: &[u8]) -> Option<(u32, &Nonce, &[u8])> {
    let (&version, rest) = sealed.split_first()?;
    let (&id, rest) = rest.split_first_chunk::<4>()?;
    let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
    (version == VERSION).then_some((u32::from_be_bytes(id), nonce, sealed))
}

/// The version of a sealed value.
const VERSION: u8 = 1;

/// What a check value holds.
const CHECKED: &[u8] = b"sidecar master key";

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place<'_> = Place { table: "t", record: "r", field: "f", origin: "o" };

    fn inner() -> Inner {
        let ring = KeyRing::new(Kek::generate());
        let store = Uuid::from_u128(1);
        let (vault, _) = Vault::create(&ring, store, Timestamp::from_millis(0)).unwrap();
        Arc::into_inner(vault.0).unwrap()
    }

    #[test]
    fn a_value_does_not_open_in_another_store_even_with_the_same_data_key() {
        let vault = Vault(Arc::new(inner()));
        let sealed = vault.seal(&PLACE, &Secret::new("text")).unwrap();
        let inner = Arc::into_inner(vault.0).unwrap();
        let moved = Vault(Arc::new(Inner { store: Uuid::from_u128(2), ..inner }));
        assert_eq!(moved.open(&PLACE, &sealed).unwrap_err(), KeyError::ValueRefused);
    }

    #[test]
    fn the_id_of_the_data_key_is_authenticated() {
        let mut inner = inner();
        let first = &inner.deks[0];
        let key = CipherKey::fill(|key| {
            *key = *first.key.bytes();
            Ok(())
        });
        let record = DekRecord { id: 2, state: DekState::Retired, ..first.record.clone() };
        inner.deks.push(DataKey { record, key: key.unwrap() });
        let vault = Vault(Arc::new(inner));

        let mut sealed = vault.seal(&PLACE, &Secret::new("text")).unwrap();
        assert_eq!(sealed[1..5], [0, 0, 0, 1]);
        sealed[4] = 2;
        assert_eq!(vault.open(&PLACE, &sealed).unwrap_err(), KeyError::ValueRefused);
        sealed[4] = 3;
        assert_eq!(vault.open(&PLACE, &sealed).unwrap_err(), KeyError::UnknownDataKey(3));
    }

    #[test]
    fn a_retired_data_key_opens_what_it_sealed_and_seals_no_more() {
        let mut inner = inner();
        let old = Vault(Arc::new(self::inner()));
        let sealed = old.seal(&PLACE, &Secret::new("text")).unwrap();
        let mut retired = Arc::into_inner(old.0).unwrap().deks.remove(0);
        retired.record.state = DekState::Retired;
        inner.deks[0].record.id = 2;
        inner.deks.push(retired);
        let vault = Vault(Arc::new(inner));

        assert_eq!(vault.open(&PLACE, &sealed).unwrap().expose(), "text");
        assert_eq!(vault.seal(&PLACE, &Secret::new("text")).unwrap()[1..5], [0, 0, 0, 2]);
    }
}
