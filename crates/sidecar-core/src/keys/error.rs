//! What can go wrong with keys. No text here holds key material or what a sealed value says.

use super::Kid;

/// Why a key, a key file, the key records or a sealed value was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The text is no master key.
    #[error("a master key must be exactly 64 hexadecimal characters (32 bytes)")]
    MalformedKey,
    /// The master key is a sample value, a pattern or the hash of nothing.
    #[error("this master key is easy to guess; make a random one with `sidecar keys generate`")]
    GuessableKey,
    /// The text is no id of a master key.
    #[error("the id of a master key must be exactly 16 hexadecimal characters")]
    MalformedKid,
    /// A line of a key file was refused.
    #[error("line {line} of the key file: {problem}")]
    KeyFileLine {
        /// Counted from one.
        line: usize,
        /// What is wrong with it.
        problem: Box<KeyError>,
    },
    /// A line of a key file has another form.
    #[error("write `primary` or `decrypt`, a space and a master key")]
    UnknownLine,
    /// A key file has more than one primary key.
    #[error("there can be only one primary key; write `decrypt` for the older ones")]
    SecondPrimary,
    /// A key file has no primary key.
    #[error("the key file has no primary key; write `primary`, a space and a master key")]
    NoPrimary,
    /// The ring lacks master keys that the store needs.
    #[error("{}", wrong_key(.needed, .given))]
    WrongKey {
        /// The keys that the store needs and the ring lacks.
        needed: Vec<Kid>,
        /// The keys of the ring, the primary first.
        given: Vec<Kid>,
    },
    /// A check value does not open with its own master key.
    #[error(
        "the check value of master key {kid} does not open: \
         the key records were changed or belong to another store; restore a backup"
    )]
    CheckRefused {
        /// The master key.
        kid: Kid,
    },
    /// A data key does not open with its own master key.
    #[error(
        "data key {id} does not open with master key {kid}: \
         the key records were changed or belong to another store; restore a backup"
    )]
    DataKeyRefused {
        /// The data key.
        id: u32,
        /// The master key that wraps it.
        kid: Kid,
    },
    /// The key records contradict themselves or cannot be read.
    #[error("the key records of the store are damaged, {0}; restore a backup")]
    DamagedRecords(&'static str),
    /// The key records were written by a later version.
    #[error("the key records of the store have version {0}; use a later version of sidecar")]
    UnknownVersion(u8),
    /// A sealed value is too short, or of an unknown version.
    #[error("the sealed value is damaged; enter it again")]
    DamagedValue,
    /// A sealed value names a data key that the store does not have.
    #[error("the sealed value needs data key {0}, which the store lacks; enter it again")]
    UnknownDataKey(u32),
    /// A sealed value does not open at this place.
    #[error(
        "the sealed value does not open here: it was changed, \
         or belongs to another record, origin or store; enter it again"
    )]
    ValueRefused,
    /// The value is over the limit of the cipher, 256 GiB.
    #[error("the value is too large to be sealed")]
    TooLarge,
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    NoRandomness,
}

fn wrong_key(needed: &[Kid], given: &[Kid]) -> String {
    let list = |kids: &[Kid]| kids.iter().map(Kid::to_string).collect::<Vec<_>>().join(", ");
    let noun = if needed.len() == 1 { "key" } else { "keys" };
    format!("the store needs master {noun} {}, but was given {}", list(needed), list(given))
}
