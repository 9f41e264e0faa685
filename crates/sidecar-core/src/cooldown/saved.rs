//! [`SavedRest`]: what of a cell outlives a restart.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::RestSource;
use crate::verdict::Class;

/// What of a cell outlives a restart: its level, and the rest that it came to by it.
///
/// As JSON it is `{"class": "rate_limited", "level": 2, "length_ms": 60000, "source":
/// "heuristic"}`. What is left of the rest is not part of it, because it is true only at the
/// moment of the export: keep the end of the rest beside it in wall time, and give
/// [`super::Cell::restore`] what is left of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SavedRest {
    /// Why it tripped last.
    #[serde(with = "class_kind")]
    pub class: Class,
    /// How often it has tripped without proven recovery.
    pub level: u8,
    /// How long the last rest was as a whole: no clock that jumps can make more of it.
    #[serde(rename = "length_ms", with = "milliseconds")]
    pub length: Duration,
    /// Who said that it takes so long.
    pub source: RestSource,
    /// What was left of it at the export; zero if it was over.
    #[serde(skip)]
    pub remaining: Duration,
}

/// A class as its [`Class::kind`].
mod class_kind {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::{CLASSES, Class};

    pub(super) fn serialize<S: Serializer>(
        class: &Class,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(class.kind())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Class, D::Error> {
        let kind = String::deserialize(deserializer)?;
        let class = CLASSES.into_iter().find(|class| class.kind() == kind);
        class.ok_or_else(|| D::Error::custom("unknown class of failure"))
    }
}

/// A duration in whole milliseconds, rounded up: what is restored is never too short.
mod milliseconds {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        duration: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let millis = duration.as_nanos().div_ceil(1_000_000);
        serializer.serialize_u64(u64::try_from(millis).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

/// Every class there is.
pub(super) const CLASSES: [Class; 15] = [
    Class::Accept,
    Class::CallerFault,
    Class::ContextTooLong,
    Class::RateLimited,
    Class::QuotaSpent,
    Class::Concurrency,
    Class::Billing,
    Class::Auth,
    Class::Overloaded,
    Class::ServerError,
    Class::Transport,
    Class::Unreachable,
    Class::Timeout,
    Class::Lying,
    Class::ModelGone,
];
