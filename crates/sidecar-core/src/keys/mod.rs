//! Encryption of what the store must keep secret: provider keys and the like.
//!
//! A [`KeyRing`] of master keys, kept apart from the data, wraps the data keys of the store; a
//! [`Vault`] holds the data keys and seals single values with them, by XChaCha20-Poly1305 with
//! random nonces. A sealed value opens only in its own [`Place`]: the store, the record and field,
//! and the origin that the value may be sent to. So a row can be neither moved nor pointed at
//! another host.
//!
//! A new master key rewrites only the few rows of [`VaultRecords`], see [`Vault::rewrap`].
//!
//! ```
//! use sidecar_core::clock::Timestamp;
//! use sidecar_core::keys::{Kek, KeyRing, Place, Vault};
//! use sidecar_core::secret::Secret;
//!
//! let store = uuid::Uuid::now_v7();
//! let ring = KeyRing::new(Kek::generate());
//! let (vault, records) = Vault::create(&ring, store, Timestamp::from_millis(0))?;
//!
//! let origin = "https://api.example.com";
//! let place = Place { table: "providers", record: "p-1", field: "api_key", origin };
//! let sealed = vault.seal(&place, &Secret::new("sk-0123456789abcdef"))?;
//!
//! // The next start.
//! let vault = Vault::unlock(&ring, store, &records)?;
//! assert_eq!(vault.open(&place, &sealed)?.expose(), "sk-0123456789abcdef");
//! assert!(vault.open(&Place { origin: "https://elsewhere.example", ..place }, &sealed).is_err());
//! # Ok::<(), sidecar_core::keys::KeyError>(())
//! ```

mod cipher;
mod error;
mod kek;
mod records;
mod ring;
mod vault;

#[cfg(test)]
mod tests;

pub use error::KeyError;
pub use kek::{Kek, Kid};
pub use records::{DekRecord, DekState, KeyCheck, VaultRecords};
pub use ring::KeyRing;
pub use vault::{Place, Vault};
