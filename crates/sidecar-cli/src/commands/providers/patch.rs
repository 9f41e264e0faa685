//! A new provider, or a change to one, as the API takes it; the key is kept apart from the rest.

use serde::Serialize;
use serde_json::{Map, Value};
use sidecar_core::secret::Secret;
use zeroize::Zeroizing;

use crate::args::{Fields, ModelPair};
use crate::error::Error;
use crate::files::read_json;
use crate::remote::Payload;

/// A new provider, or a change to one. `Debug` does not show the key.
#[derive(Debug, Default)]
pub(super) struct Patch {
    fields: Map<String, Value>,
    /// The key in clear, if there is one.
    pub(super) key: Option<Secret>,
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(flatten)]
    fields: &'a Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_key: Option<&'a str>,
}

impl Patch {
    /// A provider as the API writes it or takes it: without what cannot be written, and without a
    /// key that is masked.
    pub(super) fn from_json(value: Value) -> Result<Self, Error> {
        let Value::Object(mut fields) = value else {
            return Err(Error::Input("a provider must be a JSON object".to_owned()));
        };
        let key = match fields.remove("api_key") {
            Some(Value::String(key)) => Some(Secret::new(key)),
            Some(Value::Null) | None => None,
            Some(_) => return Err(Error::Input("api_key: must be a text".to_owned())),
        };
        fields.retain(|field, _| !READ_ONLY.contains(&field.as_str()));
        Ok(Self { fields, key: key.filter(|key| !Secret::is_masked(key.expose())) })
    }

    /// What the flags say but for `--model`: the JSON file first, the other flags over it.
    pub(super) fn from_flags(flags: &Fields) -> Result<Self, Error> {
        let mut patch = match &flags.json_file {
            Some(path) => Self::from_json(read_json(path)?)?,
            None => Self::default(),
        };
        if let Some(path) = &flags.mapping_file {
            patch.set(MAPPINGS, read_json(path)?);
        }
        for (field, text) in [
            ("name", &flags.name),
            ("label", &flags.label),
            ("api_base_url", &flags.base_url),
            ("api", &flags.api),
            ("pool", &flags.pool),
            ("account", &flags.account),
            ("limit_shape", &flags.limit_shape),
        ] {
            if let Some(text) = text {
                patch.set(field, text.as_str());
            }
        }
        for (field, number) in [
            ("rpm_limit", flags.rpm),
            ("burst", flags.burst),
            ("timeout_seconds", flags.timeout),
            ("first_token_timeout_seconds", flags.first_token_timeout),
            ("idle_timeout_seconds", flags.idle_timeout),
        ] {
            if let Some(number) = number {
                patch.set(field, number);
            }
        }
        for (field, flag) in [("drain", flags.drain), ("http2", flags.http2)] {
            if let Some(flag) = flag {
                patch.set(field, flag);
            }
        }
        Ok(patch)
    }

    /// Sets one field.
    pub(super) fn set(&mut self, field: &str, value: impl Into<Value>) {
        self.fields.insert(field.to_owned(), value.into());
    }

    /// Whether the field is set.
    pub(super) fn has(&self, field: &str) -> bool {
        self.fields.contains_key(field)
    }

    /// A field that is set to a text.
    pub(super) fn text(&self, field: &str) -> Option<&str> {
        self.fields.get(field).and_then(Value::as_str)
    }

    /// Whether it changes nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.key.is_none()
    }

    /// Whether it says that there are models.
    pub(super) fn has_models(&self) -> bool {
        self.fields
            .get(MAPPINGS)
            .and_then(Value::as_object)
            .is_some_and(|models| !models.is_empty())
    }

    /// Takes the mappings out, if they are set.
    pub(super) fn take_models(&mut self) -> Result<Option<Map<String, Value>>, Error> {
        match self.fields.remove(MAPPINGS) {
            Some(Value::Object(models)) => Ok(Some(models)),
            Some(Value::Null) | None => Ok(None),
            Some(_) => {
                let detail = "model_mappings: must be a JSON object of model names to mappings";
                Err(Error::Input(detail.to_owned()))
            }
        }
    }

    /// Sets the mappings: `models` without those named in `removed`, then with `added`.
    pub(super) fn set_models(
        &mut self,
        mut models: Map<String, Value>,
        removed: &[String],
        added: &[ModelPair],
    ) -> Result<(), Error> {
        for name in removed {
            if models.remove(name).is_none() {
                return Err(Error::Input(format!("the provider does not serve the model {name}")));
            }
        }
        for ModelPair { canonical, native } in added {
            let mut mapping = Map::new();
            if let Some(native) = native {
                mapping.insert("native_id".to_owned(), Value::from(native.as_str()));
            }
            models.insert(canonical.clone(), Value::Object(mapping));
        }
        self.set(MAPPINGS, models);
        Ok(())
    }

    /// The JSON to send.
    pub(super) fn payload(&self) -> Payload {
        let api_key = self.key.as_ref().map(Secret::expose);
        let body = Body { fields: &self.fields, api_key };
        let json = serde_json::to_vec(&body).expect("JSON values and texts are JSON again");
        Zeroizing::new(json)
    }
}

/// The models of a provider: canonical name to mapping.
pub(super) const MAPPINGS: &str = "model_mappings";

/// What the API writes of a provider and does not take, and who entered it, which is for the
/// command to say.
const READ_ONLY: [&str; 9] = [
    "id",
    "status",
    "source",
    "cooldown_until",
    "consecutive_429_count",
    "health",
    "rate_limiter",
    "created_at",
    "updated_at",
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sent(patch: &Patch) -> Value {
        serde_json::from_slice(&patch.payload()).unwrap()
    }

    fn pair(canonical: &str, native: Option<&str>) -> ModelPair {
        ModelPair { canonical: canonical.into(), native: native.map(Into::into) }
    }

    #[test]
    fn what_the_api_wrote_can_be_sent_back() {
        let patch = Patch::from_json(json!({
            "id": "1", "name": "nim", "api_key": "nvapi-****cdef", "status": "healthy",
            "source": "webui", "rpm_limit": null, "health": {"state": "healthy"},
        }));
        assert_eq!(sent(&patch.unwrap()), json!({"name": "nim", "rpm_limit": null}));
    }

    #[test]
    fn a_key_in_clear_is_sent_and_never_shown() {
        let patch = Patch::from_json(json!({"name": "nim", "api_key": "needle"})).unwrap();
        assert_eq!(sent(&patch), json!({"name": "nim", "api_key": "needle"}));
        assert!(!format!("{patch:?}").contains("needle"));
        let error = Patch::from_json(json!({"api_key": ["needle"]})).unwrap_err();
        assert!(!error.message().contains("needle"));
    }

    #[test]
    fn only_the_flags_that_were_given_are_sent() {
        let flags = Fields {
            rpm: Some(35),
            pool: Some("fallback".to_owned()),
            drain: Some(false),
            http2: Some(true),
            ..Fields::default()
        };
        let patch = Patch::from_flags(&flags).unwrap();
        let expected = json!({"rpm_limit": 35, "pool": "fallback", "drain": false, "http2": true});
        assert_eq!(sent(&patch), expected);
        assert!(Patch::from_flags(&Fields::default()).unwrap().is_empty());
    }

    #[test]
    fn flags_win_over_the_files() {
        let folder = tempfile::tempdir().unwrap();
        let [provider, mappings] =
            ["provider.json", "mappings.json"].map(|n| folder.path().join(n));
        let json = json!({"name": "nim", "rpm_limit": 10, "model_mappings": {"old": {}}});
        std::fs::write(&provider, json.to_string()).unwrap();
        std::fs::write(&mappings, json!({"new": {"max_tokens": 8}}).to_string()).unwrap();
        let flags = Fields {
            json_file: Some(provider),
            mapping_file: Some(mappings),
            rpm: Some(35),
            ..Fields::default()
        };
        let expected =
            json!({"name": "nim", "rpm_limit": 35, "model_mappings": {"new": {"max_tokens": 8}}});
        assert_eq!(sent(&Patch::from_flags(&flags).unwrap()), expected);
    }

    #[test]
    fn models_are_removed_replaced_and_added() {
        let mut patch = Patch::default();
        let current = json!({"a": {"native_id": "x/a"}, "b": {"max_tokens": 8}, "c": {}});
        let Value::Object(current) = current else { panic!("an object") };
        let added = [pair("b", Some("x/b")), pair("d", None)];
        patch.set_models(current.clone(), &["a".to_owned()], &added).unwrap();
        let expected = json!({"b": {"native_id": "x/b"}, "c": {}, "d": {}});
        assert_eq!(sent(&patch), json!({ "model_mappings": expected }));
        assert!(patch.set_models(current, &["z".to_owned()], &[]).is_err());
    }

    #[test]
    fn mappings_that_are_no_object_are_refused() {
        let mut patch = Patch::from_json(json!({"model_mappings": ["a"]})).unwrap();
        assert!(!patch.has_models());
        assert!(matches!(patch.take_models(), Err(Error::Input(_))));
    }
}
