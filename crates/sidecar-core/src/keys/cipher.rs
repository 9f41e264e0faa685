//! XChaCha20-Poly1305, and the associated data that binds a sealed value to its place.

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use super::KeyError;

/// Drawn at random for every sealing: 192 bits need no counter, which several processes and a
/// restart could repeat.
pub(super) type Nonce = [u8; NONCE_LEN];

/// A key of the cipher. It is wiped when dropped, and boxed so that a move leaves no copy behind.
pub(super) struct CipherKey(Box<Zeroizing<[u8; KEY_LEN]>>);

impl CipherKey {
    /// A key that `fill` writes in place.
    pub(super) fn fill(
        fill: impl FnOnce(&mut [u8; KEY_LEN]) -> Result<(), KeyError>,
    ) -> Result<Self, KeyError> {
        let mut key = Box::new(Zeroizing::new([0_u8; KEY_LEN]));
        fill(&mut key)?;
        Ok(Self(key))
    }

    /// A new random key.
    pub(super) fn random() -> Result<Self, KeyError> {
        Self::fill(|key| getrandom::fill(key).map_err(|_| KeyError::NoRandomness))
    }

    pub(super) fn bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }

    /// The nonce, and the ciphertext with its tag.
    pub(super) fn seal(&self, data: &[u8], plaintext: &[u8]) -> Result<(Nonce, Vec<u8>), KeyError> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|_| KeyError::NoRandomness)?;
        let payload = Payload { msg: plaintext, aad: data };
        match self.cipher().encrypt(&XNonce::from(nonce), payload) {
            Ok(sealed) => Ok((nonce, sealed)),
            Err(_) => Err(KeyError::TooLarge),
        }
    }

    /// The inverse of [`CipherKey::seal`]; `None` if anything was changed.
    pub(super) fn open(
        &self,
        nonce: &Nonce,
        data: &[u8],
        sealed: &[u8],
    ) -> Option<Zeroizing<Vec<u8>>> {
        let payload = Payload { msg: sealed, aad: data };
        self.cipher().decrypt(&XNonce::from(*nonce), payload).ok().map(Zeroizing::new)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(self.bytes().into())
    }
}

/// `parts`, each after its length, so that no two lists of parts give the same bytes.
pub(super) fn associated_data(parts: &[&[u8]]) -> Vec<u8> {
    let mut data = Vec::with_capacity(parts.iter().map(|part| 8 + part.len()).sum());
    for part in parts {
        data.extend_from_slice(&(part.len() as u64).to_be_bytes());
        data.extend_from_slice(part);
    }
    data
}

pub(super) const KEY_LEN: usize = 32;
pub(super) const NONCE_LEN: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn associated_data_has_the_length_before_each_part() {
        let data = associated_data(&[b"ab", b"", b"c"]);
        assert_eq!(data, b"\0\0\0\0\0\0\0\x02ab\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01c");
    }

    #[test]
    fn nothing_opens_with_other_associated_data() {
        let key = CipherKey::random().unwrap();
        let (nonce, sealed) = key.seal(b"here", b"text").unwrap();
        assert_eq!(key.open(&nonce, b"here", &sealed).unwrap().as_slice(), b"text");
        assert!(key.open(&nonce, b"there", &sealed).is_none());
    }
}
