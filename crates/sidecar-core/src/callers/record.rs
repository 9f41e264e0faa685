//! A caller as it is configured and stored.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::budget::Budget;
use super::{CallerKey, KeyDigest, Usd};
use crate::clock::Timestamp;
use crate::secret::Secret;

/// A caller: a name with keys and limits. A validated value: whatever made it has checked it. Its
/// JSON is for the store: it has the digests of the keys, but no key.
///
/// Fields may be added with a default; a change of meaning needs a new version of the record.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CallerRecord {
    /// A UUID that never changes.
    #[serde(skip)]
    pub id: String,
    /// Unique among the callers, and never changed: usage is booked under it.
    pub name: String,
    /// A free text for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// One, or two while one takes over from the other; the newest last.
    pub keys: Vec<KeyRecord>,
    /// Whether it may call.
    pub enabled: bool,
    /// Requests per minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpm: Option<NonZeroU32>,
    /// Requests at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<NonZeroU32>,
    /// The models it may use; all if there are none. A `*` at the end stands for any rest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// When it may no longer call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// What it may spend a day, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_daily: Option<Usd>,
    /// What it may spend a month, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_monthly: Option<Usd>,
    /// Its share of the wait queue, relative to others.
    pub weight: NonZeroU32,
    /// Requests per task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rounds: Option<NonZeroU32>,
    /// How it gets streams if it does not say.
    #[serde(default)]
    pub delivery: Delivery,
    /// When it was entered.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// What is kept of a key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct KeyRecord {
    /// Finds the caller.
    pub digest: KeyDigest,
    /// What may be shown: `sk-sc-ab****wxyz`.
    pub hint: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops to work, because another one has taken over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// How a caller gets a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Delivery {
    /// As it comes.
    #[default]
    Stream,
    /// Gathered, and released when it is whole.
    Complete,
}

/// How long the key before a new one works on if nobody says otherwise: a day.
pub const DEFAULT_OVERLAP: Duration = Duration::from_secs(86_400);

impl CallerRecord {
    /// The bytes to store: a version, then JSON.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        serde_json::to_writer(&mut bytes, self).expect("plain data has a JSON form");
        bytes
    }

    /// The inverse of [`CallerRecord::to_bytes`]; `None` if they cannot be read.
    pub(crate) fn from_bytes(id: impl Into<String>, bytes: &[u8]) -> Option<Self> {
        let record: Self = match bytes.split_first() {
            Some((&VERSION, json)) => serde_json::from_slice(json).ok()?,
            _ => return None,
        };
        Some(Self { id: id.into(), ..record })
    }

    /// The same with a new key. The key before it works on for `overlap`, but not longer than it
    /// would have. If there are two before it, the one that was used later is kept: the other may
    /// well be a key that never reached anybody. `last_used` says when.
    pub(crate) fn with_new_key(
        &self,
        overlap: Duration,
        now: Timestamp,
        last_used: impl Fn(&KeyDigest) -> Option<Timestamp>,
    ) -> (Self, Secret) {
        let (key, secret) = KeyRecord::generate(now);
        let live = self.keys.iter().filter(|key| key.is_live(now));
        let before = live.max_by_key(|key| (last_used(&key.digest), key.created_at));
        let ends = now + overlap;
        let before = before.map(|key| {
            let expires_at = Some(key.expires_at.map_or(ends, |at| at.min(ends)));
            KeyRecord { expires_at, ..key.clone() }
        });
        let keys = before.into_iter().filter(|key| key.is_live(now)).chain([key]).collect();
        (Self { keys, updated_at: now, ..self.clone() }, secret)
    }

    /// What may be shown of its newest key.
    pub fn key_hint(&self) -> &str {
        self.keys.last().map_or("", |key| key.hint.as_str())
    }

    /// Whether its time is over.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    /// Whether it may use `model`. A request that names none could use any, and is only for those
    /// who may.
    pub(super) fn allows(&self, model: Option<&str>) -> bool {
        let fits = |entry: &String| match (entry.strip_suffix('*'), model) {
            (Some(start), model) => model.map_or(start.is_empty(), |name| name.starts_with(start)),
            (None, model) => model == Some(entry.as_str()),
        };
        self.models.is_empty() || self.models.iter().any(fits)
    }

    pub(super) fn budget(&self) -> Budget {
        Budget { daily: self.budget_daily, monthly: self.budget_monthly }
    }
}

impl KeyRecord {
    /// A new key, and what to keep of it.
    pub(super) fn generate(now: Timestamp) -> (Self, Secret) {
        let (secret, digest) = CallerKey::generate();
        let hint = CallerKey::hint(&secret);
        (Self { digest, hint, created_at: now, expires_at: None }, secret)
    }

    /// Whether it works at `now`.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|at| at > now)
    }
}

const VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::callers::CallerPatch;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_millis(hours * 3_600_000)
    }

    fn record(json: serde_json::Value) -> (CallerRecord, Secret) {
        let patch: CallerPatch = serde_json::from_value(json).unwrap();
        patch.create("id", at(0)).unwrap()
    }

    fn hints(record: &CallerRecord) -> Vec<(&str, Option<Timestamp>)> {
        record.keys.iter().map(|key| (key.hint.as_str(), key.expires_at)).collect()
    }

    #[test]
    fn a_record_survives_the_store() {
        let (record, key) = record(serde_json::json!({
            "name": "agents", "label": "the night shift", "rpm": 60, "concurrency": 8,
            "models": ["small", "big-*"], "expires_at": "2030-01-01T00:00:00Z",
            "budget_daily_usd": 2.5, "budget_monthly_usd": "50", "weight": 3, "max_rounds": 40,
            "delivery": "complete", "enabled": false,
        }));
        let bytes = record.to_bytes();
        assert_eq!(bytes[0], 1);
        let read = CallerRecord::from_bytes("id", &bytes).unwrap();
        assert_eq!(read.to_bytes(), bytes);
        assert_eq!(format!("{read:?}"), format!("{record:?}"));
        assert!(!String::from_utf8_lossy(&bytes).contains(key.expose()));
    }

    #[test]
    fn what_is_not_of_this_version_is_not_read() {
        let (record, _) = record(serde_json::json!({"name": "agents"}));
        let mut bytes = record.to_bytes();
        bytes[0] = 2;
        for bytes in [&bytes[..], b"", b"\x01", b"\x01{}"] {
            assert!(CallerRecord::from_bytes("id", bytes).is_none());
        }
    }

    #[test]
    fn a_debug_print_shows_neither_key_nor_digest() {
        let (record, key) = record(serde_json::json!({"name": "agents"}));
        let shown = format!("{record:?}");
        let digest = serde_json::to_string(&record.keys[0].digest).unwrap();
        assert!(!shown.contains(&key.expose()[8..38]), "{shown}");
        assert!(!shown.contains(digest.trim_matches('"')), "{shown}");
        assert!(shown.contains(record.key_hint()), "{shown}");
    }

    #[test]
    fn a_list_of_models_is_all_there_is() {
        let allowed = |models: serde_json::Value, model: Option<&str>| {
            record(serde_json::json!({"name": "a", "models": models})).0.allows(model)
        };
        let json = |text: &str| serde_json::from_str(text).unwrap();
        for (models, model, is_allowed) in [
            ("[]", Some("any"), true),
            ("[]", None, true),
            (r#"["small"]"#, Some("small"), true),
            (r#"["small"]"#, Some("smaller"), false),
            (r#"["small"]"#, Some("Small"), false),
            (r#"["small"]"#, None, false),
            (r#"["big-*", "small"]"#, Some("big-1"), true),
            (r#"["big-*", "small"]"#, Some("big-"), true),
            (r#"["big-*", "small"]"#, Some("big"), false),
            (r#"["big-*"]"#, None, false),
            (r#"["*"]"#, Some("any"), true),
            (r#"["*"]"#, None, true),
        ] {
            assert_eq!(allowed(json(models), model), is_allowed, "{models} {model:?}");
        }
    }

    #[test]
    fn the_key_before_a_new_one_works_on_for_a_while() {
        let (first, _) = record(serde_json::json!({"name": "agents"}));
        let (second, _) = first.with_new_key(DEFAULT_OVERLAP, at(1), |_| None);
        assert_eq!(hints(&second), [(first.key_hint(), Some(at(25))), (second.key_hint(), None)]);
        assert!(second.keys[0].is_live(at(24)) && !second.keys[0].is_live(at(25)));
        let (third, _) = second.with_new_key(Duration::ZERO, at(2), |_| None);
        assert_eq!(hints(&third), [(third.key_hint(), None)]);
    }

    #[test]
    fn an_overlap_never_lengthens_the_life_of_a_key() {
        let (first, _) = record(serde_json::json!({"name": "agents"}));
        let (second, _) = first.with_new_key(Duration::from_secs(3_600), at(0), |_| None);
        let used = first.keys[0].digest;
        let last_used = |digest: &KeyDigest| (*digest == used).then_some(at(0));
        let (third, _) = second.with_new_key(DEFAULT_OVERLAP, at(0), last_used);
        assert_eq!(hints(&third)[0], (first.key_hint(), Some(at(1))));
    }

    #[test]
    fn of_two_old_keys_the_one_in_use_is_kept() {
        let (first, _) = record(serde_json::json!({"name": "agents"}));
        let (second, _) = first.with_new_key(DEFAULT_OVERLAP, at(1), |_| None);
        let [old, new] = [0, 1].map(|index| second.keys[index].digest);
        for (in_use, kept) in [(Some(old), old), (Some(new), new), (None, new)] {
            let last_used = |digest: &KeyDigest| (Some(*digest) == in_use).then_some(at(2));
            let (third, _) = second.with_new_key(DEFAULT_OVERLAP, at(3), last_used);
            assert_eq!((third.keys.len(), third.keys[0].digest), (2, kept));
        }
    }
}
