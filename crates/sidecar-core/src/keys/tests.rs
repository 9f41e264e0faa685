//! What the parts promise together.

use data_encoding::HEXLOWER;
use proptest::collection::vec;
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::*;
use crate::clock::Timestamp;
use crate::secret::Secret;

const OLD: &str = "8ba0fe4965396c0e0f9d517e5b29dd27518b9017d10cfa8ba219e4cf26633863";
const NEW: &str = "b9ecdf5e59d7cabd1c528e32f09a2a208d79ecd6971289116906d9bc1a9307a1";
const STORE: Uuid = Uuid::from_u128(0x0192_f0c1_d2e3_7a4b_8c5d_6e7f_8091_0203);
const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);
const TEXT: &str = "sk-0123456789abcdef";
const PLACE: Place<'_> = Place {
    table: "providers",
    record: "p-1",
    field: "api_key",
    origin: "https://api.example.com",
};

fn ring(hex: &str) -> KeyRing {
    KeyRing::new(Kek::parse(hex).unwrap())
}

fn kid(hex: &str) -> Kid {
    ring(hex).primary().kid()
}

fn rotated() -> KeyRing {
    ring(NEW).with_decrypt_only(Kek::parse(OLD).unwrap())
}

fn create() -> (Vault, VaultRecords) {
    Vault::create(&ring(OLD), STORE, NOW).unwrap()
}

fn place(parts: &[String]) -> Place<'_> {
    Place { table: &parts[0], record: &parts[1], field: &parts[2], origin: &parts[3] }
}

fn refused(ring: &KeyRing, records: &VaultRecords) -> KeyError {
    Vault::unlock(ring, STORE, records).unwrap_err()
}

proptest! {
    #[test]
    fn a_value_opens_in_its_own_place(text in any::<String>(), parts in vec(any::<String>(), 4)) {
        let (vault, _) = create();
        let sealed = vault.seal(&place(&parts), &Secret::new(text.clone())).unwrap();
        let opened = vault.open(&place(&parts), &sealed).unwrap();
        prop_assert_eq!(opened.expose(), text);
    }

    #[test]
    fn a_value_opens_in_no_other_place(
        text in any::<String>(),
        parts in vec(any::<String>(), 4),
        changed in 0..4_usize,
        other in any::<String>(),
    ) {
        prop_assume!(parts[changed] != other);
        let (vault, _) = create();
        let sealed = vault.seal(&place(&parts), &Secret::new(text)).unwrap();
        let mut parts = parts;
        parts[changed] = other;
        let error = vault.open(&place(&parts), &sealed).unwrap_err();
        prop_assert_eq!(error, KeyError::ValueRefused);
    }

    #[test]
    fn no_bytes_open_or_panic(head in 0..46_usize, tail in vec(any::<u8>(), 0..80)) {
        let (vault, _) = create();
        let mut sealed = vault.seal(&PLACE, &Secret::new(TEXT)).unwrap();
        sealed.truncate(head);
        sealed.extend(tail);
        prop_assert!(vault.open(&PLACE, &sealed).is_err());
    }
}

#[test]
fn two_seals_of_the_same_text_differ() {
    let (vault, _) = create();
    let seal = || vault.seal(&PLACE, &Secret::new(TEXT)).unwrap();
    assert_ne!(seal(), seal());
}

#[test]
fn a_change_of_any_bit_is_refused() {
    let (vault, _) = create();
    let sealed = vault.seal(&PLACE, &Secret::new(TEXT)).unwrap();
    assert_eq!(sealed.len(), 1 + 4 + 24 + TEXT.len() + 16);
    for bit in 0..sealed.len() * 8 {
        let mut changed = sealed.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(vault.open(&PLACE, &changed).is_err(), "bit {bit}");
    }
}

#[test]
fn a_value_of_another_length_is_refused() {
    let (vault, _) = create();
    let sealed = vault.seal(&PLACE, &Secret::new(TEXT)).unwrap();
    for length in 0..sealed.len() {
        assert!(vault.open(&PLACE, &sealed[..length]).is_err(), "{length}");
    }
    let mut longer = sealed;
    longer.push(0);
    assert_eq!(vault.open(&PLACE, &longer).unwrap_err(), KeyError::ValueRefused);
    longer.resize(1 << 22, 0xff);
    assert_eq!(vault.open(&PLACE, &longer).unwrap_err(), KeyError::ValueRefused);
    assert_eq!(vault.open(&PLACE, &[0xff; 4096]).unwrap_err(), KeyError::DamagedValue);
}

#[test]
fn text_does_not_slip_from_one_part_of_a_place_to_the_next() {
    let (vault, _) = create();
    for part in 0..3 {
        let split = |at: usize| {
            let mut parts = vec![String::from("x"); 4];
            parts[part] = "abcd"[..at].into();
            parts[part + 1] = "abcd"[at..].into();
            parts
        };
        for at in 0..=4 {
            let sealed = vault.seal(&place(&split(at)), &Secret::new(TEXT)).unwrap();
            for other in 0..=4 {
                let opened = vault.open(&place(&split(other)), &sealed);
                assert_eq!(opened.is_ok(), at == other, "part {part}, {at} and {other}");
            }
        }
    }
}

#[test]
fn a_wrong_master_key_is_refused_with_the_ids_of_both() {
    let (_, records) = create();
    let error = refused(&ring(NEW), &records);
    assert_eq!(error, KeyError::WrongKey { needed: vec![kid(OLD)], given: vec![kid(NEW)] });
    assert_eq!(
        error.to_string(),
        "the store needs master key 7f26e8c13359933e, but was given acf2bec3f35b1e29"
    );
}

#[test]
fn a_missing_master_key_is_named_even_if_only_one_record_needs_it() {
    let (_, mut records) = create();
    let (_, others) = Vault::create(&ring(NEW), STORE, NOW).unwrap();
    records.checks.extend(others.checks);
    let error = refused(&ring(OLD), &records);
    assert_eq!(error, KeyError::WrongKey { needed: vec![kid(NEW)], given: vec![kid(OLD)] });
    assert!(Vault::unlock(&rotated(), STORE, &records).is_ok());
}

#[test]
fn a_key_that_only_decrypts_opens_the_store() {
    let (vault, records) = create();
    let sealed = vault.seal(&PLACE, &Secret::new(TEXT)).unwrap();
    let vault = Vault::unlock(&rotated(), STORE, &records).unwrap();
    assert_eq!(vault.open(&PLACE, &sealed).unwrap().expose(), TEXT);
}

#[test]
fn after_a_rewrap_the_new_master_key_is_enough() {
    let (vault, records) = create();
    let sealed = vault.seal(&PLACE, &Secret::new(TEXT)).unwrap();
    let rewrapped = vault.rewrap(&rotated()).unwrap();
    assert_eq!(rewrapped.kids().into_iter().collect::<Vec<_>>(), [kid(NEW)]);
    assert_eq!(rewrapped.deks[0].created, records.deks[0].created);

    let vault = Vault::unlock(&ring(NEW), STORE, &rewrapped).unwrap();
    assert_eq!(vault.open(&PLACE, &sealed).unwrap().expose(), TEXT);
    let error = refused(&ring(OLD), &rewrapped);
    assert_eq!(error, KeyError::WrongKey { needed: vec![kid(NEW)], given: vec![kid(OLD)] });
}

#[test]
fn a_repeated_rewrap_changes_nothing() {
    let (vault, records) = create();
    assert_eq!(vault.rewrap(&ring(OLD)).unwrap(), records);
    let rewrapped = vault.rewrap(&rotated()).unwrap();
    let vault = Vault::unlock(&rotated(), STORE, &rewrapped).unwrap();
    assert_eq!(vault.rewrap(&rotated()).unwrap(), rewrapped);
}

#[test]
fn the_records_of_another_store_are_refused() {
    let (_, mut records) = Vault::create(&ring(OLD), Uuid::from_u128(1), NOW).unwrap();
    assert_eq!(refused(&ring(OLD), &records), KeyError::CheckRefused { kid: kid(OLD) });
    records.checks.clear();
    let expected = KeyError::DataKeyRefused { id: 1, kid: kid(OLD) };
    assert_eq!(refused(&ring(OLD), &records), expected);
}

#[test]
fn changed_records_are_refused() {
    let (_, records) = create();

    for length in 0..records.checks[0].sealed.len() {
        let mut cut = records.clone();
        cut.checks[0].sealed.truncate(length);
        assert_eq!(refused(&ring(OLD), &cut), KeyError::CheckRefused { kid: kid(OLD) });
    }

    let change_and_open = |change: fn(&mut DekRecord)| {
        let mut changed = records.clone();
        change(&mut changed.deks[0]);
        refused(&rotated(), &changed)
    };
    let refusal = |id, hex| KeyError::DataKeyRefused { id, kid: kid(hex) };
    assert_eq!(change_and_open(|dek| dek.wrapped[0] ^= 1), refusal(1, OLD));
    assert_eq!(change_and_open(|dek| dek.wrapped.clear()), refusal(1, OLD));
    assert_eq!(change_and_open(|dek| dek.nonce[0] ^= 1), refusal(1, OLD));
    assert_eq!(change_and_open(|dek| dek.id = 2), refusal(2, OLD));
    assert_eq!(change_and_open(|dek| dek.kid = kid(NEW)), refusal(1, NEW));
}

#[test]
fn records_need_one_primary_and_unique_ids() {
    let (_, records) = create();
    let mut twice = records.clone();
    twice.deks.extend(records.deks.clone());
    let mut retired = records.clone();
    retired.deks[0].state = DekState::Retired;
    let mut none = records;
    none.deks.clear();
    for records in [twice, retired, none] {
        let error = refused(&ring(OLD), &records);
        assert!(matches!(error, KeyError::DamagedRecords(_)), "{error}");
    }
}

/// Made by another implementation of the cipher, from the data key `SHA-256("sidecar test data
/// key")`.
const FIRST_RECORDS: &str = r#"{
    "deks": [{
        "id": 1,
        "state": "primary",
        "kid": "7f26e8c13359933e",
        "nonce": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX",
        "wrapped": "vvdPHRGXAQIdraXeZOikEa8IfvpCAAu1D+rsBQ2/E+GaC8+I5bdgdP13JVjxumz4",
        "created": "2026-01-01T00:00:00Z"
    }],
    "checks": [{
        "kid": "7f26e8c13359933e",
        "sealed": "ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7tIU27zIR86wgMzfNkiSVmqtzPe8BuKgw52V5oPo13OOxGg=="
    }]
}"#;
const FIRST_SEALED: &str = "0100000001c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedf\
    b11022d515033ce05e6c5bc6f03b0d73e461e54c150dd38936cd364a143b06646355f6";

fn first_vault() -> Vault {
    let bytes = [&[1][..], FIRST_RECORDS.as_bytes()].concat();
    let records = VaultRecords::from_bytes(&bytes).unwrap();
    Vault::unlock(&ring(OLD), STORE, &records).unwrap()
}

#[test]
fn a_store_of_the_first_format_opens() {
    let sealed = HEXLOWER.decode(FIRST_SEALED.as_bytes()).unwrap();
    assert_eq!(first_vault().open(&PLACE, &sealed).unwrap().expose(), TEXT);
}

#[test]
fn nothing_shows_a_key() {
    let vault = first_vault();
    let ring = rotated();
    let sealed = vault.seal(&PLACE, &Secret::new(TEXT)).unwrap();
    let moved = vault.open(&Place { origin: "", ..PLACE }, &sealed).unwrap_err();
    let wrong = Kek::parse(&OLD[1..]).unwrap_err();
    let records = vault.rewrap(&ring).unwrap();
    let shown = format!(
        "{ring:?} {vault:?} {PLACE:?} {records:?} {moved} {moved:?} {wrong} {wrong:?} {:?} {}",
        ring.primary().to_hex(),
        String::from_utf8_lossy(&records.to_bytes()),
    );

    let data_key = HEXLOWER.encode(&Sha256::digest("sidecar test data key"));
    for key in [OLD, NEW, &data_key] {
        let bytes = HEXLOWER.decode(key.as_bytes()).unwrap();
        let needles = [
            key[..8].to_owned(),
            key[48..].to_owned(),
            format!("{:?}", &bytes[..4]).trim_matches(['[', ']']).to_owned(),
            data_encoding::BASE64.encode(&bytes[..6]),
        ];
        for needle in needles {
            assert!(!shown.contains(&needle), "{needle} in {shown}");
        }
    }
    assert!(!shown.contains(TEXT));
    assert!(shown.contains("7f26e8c13359933e"), "the ids are there to be shown");
}
