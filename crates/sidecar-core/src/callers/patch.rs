//! A change to a caller as it comes in: every field optional, unknown ones refused.

use std::num::NonZeroU32;

use serde::Deserialize;

use super::{CallerRecord, Delivery, KeyRecord, Usd};
use crate::clock::Timestamp;
use crate::fields::{has_control, in_range, nullable, text};
use crate::provider::FieldError;
use crate::secret::Secret;

/// A new caller, or a change to one: only the fields given count. `null` takes a limit away.
///
/// ```
/// use sidecar_core::callers::CallerPatch;
///
/// let patch: CallerPatch = serde_json::from_str(
///     r#"{"name": "agents", "rpm": 60, "models": ["small", "big-*"], "budget_daily_usd": 2.5}"#,
/// )?;
/// assert!(serde_json::from_str::<CallerPatch>(r#"{"nmae": "agents"}"#).is_err());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct CallerPatch {
    /// 1 to 64 characters, unique; not `anonymous` or `(other)`. It cannot be changed.
    #[cfg_attr(
        feature = "schema",
        schemars(
            length(min = 1, max = 64),
            regex(pattern = NAME),
            extend("not" = {"enum": RESERVED})
        )
    )]
    pub name: Option<String>,
    /// At most 200 characters.
    #[cfg_attr(
        feature = "schema",
        schemars(length(max = 200), regex(pattern = crate::fields::PLAIN))
    )]
    #[serde(deserialize_with = "nullable")]
    pub label: Option<Option<String>>,
    /// Whether it may call.
    pub enabled: Option<bool>,
    /// Requests per minute, 1 to 1 000 000.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 1_000_000)))]
    #[serde(deserialize_with = "nullable")]
    pub rpm: Option<Option<u32>>,
    /// Requests at a time, 1 to 65 536.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 65_536)))]
    #[serde(deserialize_with = "nullable")]
    pub concurrency: Option<Option<u32>>,
    /// Replaces the list: at most 1 000 models, a `*` only at the end. An empty one allows all.
    #[cfg_attr(
        feature = "schema",
        schemars(
            length(max = 1_000),
            inner(length(min = 1, max = 256), regex(pattern = MODEL))
        )
    )]
    pub models: Option<Vec<String>>,
    /// An RFC 3339 time to come.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    #[serde(deserialize_with = "nullable")]
    pub expires_at: Option<Option<String>>,
    /// More than 0, at most 1 000 000.
    #[cfg_attr(feature = "schema", schemars(schema_with = "budget_schema"))]
    #[serde(deserialize_with = "nullable")]
    pub budget_daily_usd: Option<Option<Usd>>,
    /// More than 0, at most 1 000 000.
    #[cfg_attr(feature = "schema", schemars(schema_with = "budget_schema"))]
    #[serde(deserialize_with = "nullable")]
    pub budget_monthly_usd: Option<Option<Usd>>,
    /// Its share of the wait queue, 1 to 100.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 100)))]
    pub weight: Option<u32>,
    /// Requests per task, 1 to 1 000 000.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 1_000_000)))]
    #[serde(deserialize_with = "nullable")]
    pub max_rounds: Option<Option<u32>>,
    /// `stream` or `complete`.
    pub delivery: Option<Delivery>,
}

impl CallerPatch {
    /// A new caller of this patch with its first key, which is kept nowhere.
    ///
    /// # Errors
    ///
    /// A field that is missing or wrong. Whether the name is taken is not known here.
    pub fn create(
        self,
        id: impl Into<String>,
        now: Timestamp,
    ) -> Result<(CallerRecord, Secret), FieldError> {
        let name = self.name.clone().ok_or_else(|| FieldError::invalid("name", "is required"))?;
        let name = text("name", name, 64)?;
        if name.is_empty() || name.trim() != name {
            let detail = "must not be empty, nor begin or end with white space";
            return Err(FieldError::invalid("name", detail));
        }
        if RESERVED.iter().any(|reserved| name.eq_ignore_ascii_case(reserved)) {
            let detail = "is kept for those who have no name of their own";
            return Err(FieldError::invalid("name", detail));
        }
        let (key, secret) = KeyRecord::generate(now);
        let blank = CallerRecord {
            id: id.into(),
            name,
            label: None,
            keys: vec![key],
            enabled: true,
            rpm: None,
            concurrency: None,
            models: Vec::new(),
            expires_at: None,
            budget_daily: None,
            budget_monthly: None,
            weight: NonZeroU32::MIN,
            max_rounds: None,
            delivery: Delivery::default(),
            created_at: now,
            updated_at: now,
        };
        Ok((self.apply(&blank, now)?, secret))
    }

    /// `current` with this change made.
    ///
    /// # Errors
    ///
    /// A field that is wrong, or another name.
    pub fn apply(self, current: &CallerRecord, now: Timestamp) -> Result<CallerRecord, FieldError> {
        let mut next = current.clone();
        if self.name.is_some_and(|name| name != current.name) {
            return Err(FieldError::conflict(
                "name",
                "cannot be changed: what the caller has used is booked under it; change the label",
            ));
        }
        if let Some(label) = self.label {
            next.label = label.map(|label| text("label", label, 200)).transpose()?;
        }
        next.enabled = self.enabled.unwrap_or(next.enabled);
        let limits = [
            ("rpm", self.rpm, 1_000_000, &mut next.rpm),
            ("concurrency", self.concurrency, 65_536, &mut next.concurrency),
            ("max_rounds", self.max_rounds, 1_000_000, &mut next.max_rounds),
        ];
        for (field, limit, max, slot) in limits {
            if let Some(limit) = limit {
                *slot = limit.map(|limit| in_range(field, limit, max)).transpose()?;
            }
        }
        if let Some(models) = self.models {
            next.models = valid_models(models)?;
        }
        if let Some(expires_at) = self.expires_at {
            let at = expires_at.map(|text| time("expires_at", &text)).transpose()?;
            if at != current.expires_at && at.is_some_and(|at| at <= now) {
                let detail = "must be a time to come; to stop the caller now, set enabled to false";
                return Err(FieldError::invalid("expires_at", detail));
            }
            next.expires_at = at;
        }
        let budgets = [
            ("budget_daily_usd", self.budget_daily_usd, &mut next.budget_daily),
            ("budget_monthly_usd", self.budget_monthly_usd, &mut next.budget_monthly),
        ];
        for (field, budget, slot) in budgets {
            if let Some(budget) = budget {
                *slot = budget.map(|budget| valid_budget(field, budget)).transpose()?;
            }
        }
        if let Some(weight) = self.weight {
            next.weight = in_range("weight", weight, 100)?;
        }
        next.delivery = self.delivery.unwrap_or(next.delivery);
        next.updated_at = now;
        Ok(next)
    }
}

fn valid_models(models: Vec<String>) -> Result<Vec<String>, FieldError> {
    let invalid = |detail: &str| Err(FieldError::invalid("models", detail));
    if models.len() > 1_000 {
        return invalid("must be at most 1000 models");
    }
    for model in &models {
        if model.is_empty() || model.len() > 256 || has_control(model) {
            return invalid("each must be 1 to 256 bytes, without control characters");
        }
        if model.find('*').is_some_and(|at| at + 1 < model.len()) {
            return invalid("a * stands for any rest of a name, and only at its end");
        }
    }
    Ok(models)
}

fn valid_budget(field: &'static str, budget: Usd) -> Result<Usd, FieldError> {
    if budget == Usd::default() || budget > MOST_BUDGET {
        let detail = "must be more than 0 and at most 1000000 USD; to spend nothing, set enabled \
                      to false";
        return Err(FieldError::invalid(field, detail));
    }
    Ok(budget)
}

/// The same in JSON Schema.
#[cfg(feature = "schema")]
fn budget_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "anyOf": [
            // What is less is rounded to nothing.
            {"type": "number", "exclusiveMinimum": 5e-13, "maximum": 1_000_000},
            {
                "type": "string",
                "pattern": r"^(0{0,8}1000000(\.0{1,12})?|0{0,9}[0-9]{1,6}(\.[0-9]{1,12})?)$",
                "not": {"pattern": "^[0.]*$"},
            },
            {"type": "null"},
        ],
    })
}

/// The text is not repeated in the error: it may be a key in the wrong place.
fn time(field: &'static str, text: &str) -> Result<Timestamp, FieldError> {
    let at = text.parse::<jiff::Timestamp>();
    at.map(|at| Timestamp::from_millis(at.as_millisecond()))
        .map_err(|_| FieldError::invalid(field, "must be a time such as 2030-01-31T00:00:00Z"))
}

/// A name without control characters, and without white space at its ends.
#[cfg(feature = "schema")]
const NAME: &str = concat!(
    r"^[^\s\u0000-\u001f\u007f-\u009f]",
    r"([^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f])?$",
);
/// An entry of a list of models.
#[cfg(feature = "schema")]
const MODEL: &str = r"^[^\u0000-\u001f\u007f-\u009f*]*\*?$";
/// What usage is booked under that belongs to no caller.
const RESERVED: [&str; 2] = ["anonymous", "(other)"];
/// A million USD.
const MOST_BUDGET: Usd = Usd::from_pico(1_000_000_000_000_000_000);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    // 2026-01-01T00:00:00Z
    const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);

    fn create(json: Value) -> Result<CallerRecord, FieldError> {
        let patch: CallerPatch = serde_json::from_value(json).unwrap();
        patch.create("id", NOW).map(|(record, _)| record)
    }

    fn change(json: Value) -> Result<CallerRecord, FieldError> {
        let current = create(json!({
            "name": "agents", "label": "first", "rpm": 60, "budget_daily_usd": "2.5",
            "models": ["small"], "expires_at": "2026-01-02T00:00:00Z",
        }));
        let patch: CallerPatch = serde_json::from_value(json).unwrap();
        patch.apply(&current.unwrap(), NOW + std::time::Duration::from_secs(1))
    }

    #[test]
    fn a_caller_of_a_name_alone_has_a_key_and_no_limits() {
        let record = create(json!({"name": "agents"})).unwrap();
        assert_eq!((record.id.as_str(), record.name.as_str()), ("id", "agents"));
        assert!(record.enabled && record.models.is_empty());
        assert_eq!((record.rpm, record.concurrency, record.max_rounds), (None, None, None));
        assert_eq!((record.budget_daily, record.budget_monthly), (None, None));
        assert_eq!((record.weight.get(), record.delivery), (1, Delivery::Stream));
        assert_eq!(record.keys.len(), 1);
    }

    #[test]
    fn a_field_left_out_stays_and_null_clears_it() {
        let same = change(json!({"name": "agents"})).unwrap();
        assert_eq!((same.label.as_deref(), same.rpm), (Some("first"), NonZeroU32::new(60)));
        assert_eq!(same.budget_daily, Some(Usd::from_pico(2_500_000_000_000)));
        let cleared = change(json!({
            "label": null, "rpm": null, "budget_daily_usd": null, "expires_at": null, "models": [],
        }));
        let cleared = cleared.unwrap();
        assert_eq!((cleared.label, cleared.rpm, cleared.budget_daily), (None, None, None));
        assert!(cleared.expires_at.is_none() && cleared.models.is_empty());
        assert_eq!(cleared.keys.len(), 1);
    }

    #[test]
    fn bad_fields_are_named() {
        for (json, field) in [
            (json!({"label": "a\nb"}), "label"),
            (json!({"rpm": 0}), "rpm"),
            (json!({"rpm": 1_000_001}), "rpm"),
            (json!({"concurrency": 0}), "concurrency"),
            (json!({"max_rounds": 0}), "max_rounds"),
            (json!({"weight": 0}), "weight"),
            (json!({"weight": 101}), "weight"),
            (json!({"budget_daily_usd": 0}), "budget_daily_usd"),
            (json!({"budget_monthly_usd": "1000000.000000000001"}), "budget_monthly_usd"),
            (json!({"models": [""]}), "models"),
            (json!({"models": ["a*b"]}), "models"),
            (json!({"models": ["a**"]}), "models"),
            (json!({"models": vec!["a"; 1_001]}), "models"),
            (json!({"expires_at": "tomorrow"}), "expires_at"),
            (json!({"expires_at": "2025-12-31T23:59:59Z"}), "expires_at"),
        ] {
            let error = change(json.clone()).unwrap_err();
            assert_eq!((error.field.as_str(), error.conflict), (field, false), "{json}");
        }
    }

    #[test]
    fn a_name_is_needed_once_and_never_changed() {
        for json in [
            json!({}),
            json!({"name": ""}),
            json!({"name": "x".repeat(65)}),
            json!({"name": "a\u{7}"}),
            json!({"name": " agents"}),
            json!({"name": "Anonymous"}),
            json!({"name": "(other)"}),
        ] {
            assert_eq!(create(json.clone()).unwrap_err().field, "name", "{json}");
        }
        let error = change(json!({"name": "others"})).unwrap_err();
        assert_eq!((error.field.as_str(), error.conflict), ("name", true));
    }

    #[test]
    fn an_end_that_has_passed_may_be_sent_back_as_it_is() {
        let current = create(json!({"name": "a", "expires_at": "2026-01-02T00:00:00Z"})).unwrap();
        let later = NOW + std::time::Duration::from_secs(10 * 86_400);
        let same: CallerPatch =
            serde_json::from_value(json!({"expires_at": "2026-01-02T00:00:00Z"})).unwrap();
        assert!(same.apply(&current, later).unwrap().is_expired(later));
    }

    #[test]
    fn what_cannot_be_written_is_refused() {
        for json in [
            json!({"id": "1"}),
            json!({"keys": []}),
            json!({"key_hint": "sk-sc-ab****wxyz"}),
            json!({"key": "sk-sc-needle"}),
            json!({"live": {}}),
            json!({"delivery": "later"}),
            json!({"rpm": "sk-needle"}),
            json!({"budget_daily_usd": "sk-needle"}),
        ] {
            assert!(serde_json::from_value::<CallerPatch>(json.clone()).is_err(), "{json}");
        }
    }

    proptest! {
        #[test]
        fn any_patch_makes_a_caller_that_survives_the_store_or_none(
            name in ".{0,70}",
            models in proptest::collection::vec(".{0,12}", 0..4),
            expires_at in "[0-9]{4}-0[1-9]-[0-2][0-9]T00:00:00(Z|[+-]0[0-9]:00)",
            rpm in any::<u32>(),
            budget in any::<f64>(),
        ) {
            let json = json!({
                "name": name, "models": models, "expires_at": expires_at, "rpm": rpm,
            });
            let mut patch: CallerPatch = serde_json::from_value(json).unwrap();
            patch.budget_daily_usd = serde_json::from_value(json!(budget)).ok();
            if let Ok((record, _)) = patch.create("id", NOW) {
                let bytes = record.to_bytes();
                let read = CallerRecord::from_bytes("id", &bytes);
                prop_assert_eq!(read.map(|read| read.to_bytes()), Some(bytes));
            }
        }
    }
}
