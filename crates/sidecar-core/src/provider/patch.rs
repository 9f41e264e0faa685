//! A change to a provider as it comes in: every field optional, unknown ones refused.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::{ANY_MODEL, Api, LimitShape, Mapping, PoolName, Provider, Source};
use crate::clock::Timestamp;
use crate::fields::{has_control, in_range, nullable, text};
use crate::secret::Secret;
use crate::url::BaseUrl;

/// A new provider, or a change to one: only the fields given count. `null` takes `label`,
/// `account`, `rpm_limit` and `burst` back to their defaults.
///
/// ```
/// use sidecar_core::provider::ProviderPatch;
///
/// let patch: ProviderPatch = serde_json::from_str(
///     r#"{"name": "nim", "api_base_url": "https://integrate.api.nvidia.com/v1",
///         "api_key": "nvapi-0123456789", "model_mappings": {"llama": {"native_id": "meta/llama"}}}"#,
/// )?;
/// assert!(serde_json::from_str::<ProviderPatch>(r#"{"nmae": "nim"}"#).is_err());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ProviderPatch {
    /// 1 to 64 characters, unique.
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1, max = 64), regex(pattern = crate::fields::PLAIN))
    )]
    pub name: Option<String>,
    /// At most 200 characters.
    #[cfg_attr(
        feature = "schema",
        schemars(length(max = 200), regex(pattern = crate::fields::PLAIN))
    )]
    #[serde(deserialize_with = "nullable")]
    pub label: Option<Option<String>>,
    /// `http` or `https`, without user information, query or fragment.
    #[cfg_attr(feature = "schema", schemars(length(max = 2_048), regex(pattern = BASE_URL)))]
    pub api_base_url: Option<String>,
    /// In clear; a masked one is refused.
    #[cfg_attr(
        feature = "schema",
        schemars(
            length(min = 1, max = 4_096),
            regex(pattern = r"^[\t -~]+$"),
            extend("not" = {"pattern": r"\*{4}"})
        )
    )]
    pub api_key: Option<Secret>,
    /// The protocol it speaks.
    pub api: Option<Api>,
    /// 1 to 3600.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 3_600)))]
    pub timeout_seconds: Option<u32>,
    /// 1 to 3600.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 3_600)))]
    pub first_token_timeout_seconds: Option<u32>,
    /// 1 to 3600.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 3_600)))]
    pub idle_timeout_seconds: Option<u32>,
    /// 1 to 1 000 000.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 1_000_000)))]
    #[serde(deserialize_with = "nullable")]
    pub rpm_limit: Option<Option<u32>>,
    /// How the vendor counts.
    pub limit_shape: Option<LimitShape>,
    /// 1 to `rpm_limit`.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 1_000_000)))]
    #[serde(deserialize_with = "nullable")]
    pub burst: Option<Option<u32>>,
    /// At most 64 characters.
    #[cfg_attr(
        feature = "schema",
        schemars(length(max = 64), regex(pattern = crate::fields::PLAIN))
    )]
    #[serde(deserialize_with = "nullable")]
    pub account: Option<Option<String>>,
    /// `primary` or `fallback`.
    pub pool: Option<PoolName>,
    /// Whether to read an answer on that its caller leaves.
    pub drain: Option<bool>,
    /// Whether to speak HTTP/2 to it if it can, over `https`.
    pub http2: Option<bool>,
    /// Whether to use it.
    pub enabled: Option<bool>,
    /// Replaces all mappings.
    #[cfg_attr(
        feature = "schema",
        schemars(
            extend("maxProperties" = 1_000),
            extend("propertyNames" = {
                "minLength": 1, "maxLength": 256, "pattern": crate::fields::PLAIN,
            })
        )
    )]
    pub model_mappings: Option<BTreeMap<String, Mapping>>,
    /// Who enters it: `webui`, `import` or `cli`.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["webui", "import", "cli", null])))]
    pub source: Option<Source>,
    /// Replaces all metadata; at most 16 KiB.
    pub metadata: Option<serde_json::Map<String, serde_json::Value>>,
}

/// Why a provider was refused: the field, and what to do about it. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {detail}")]
pub struct FieldError {
    /// The field's name in the JSON.
    pub field: String,
    /// What is wrong, without the value.
    pub detail: String,
    /// Whether it clashes with what is there (409) rather than being wrong in itself (400).
    pub conflict: bool,
}

impl ProviderPatch {
    /// The same with `key`, for a key that should not pass through a text of JSON.
    #[must_use]
    pub fn with_key(self, key: Secret) -> Self {
        Self { api_key: Some(key), ..self }
    }

    /// A new provider of this patch, for a [`crate::pool::Pools`] without a store.
    ///
    /// ```
    /// use sidecar_core::clock::Clock;
    /// use sidecar_core::pool::Pools;
    /// use sidecar_core::provider::ProviderPatch;
    /// use sidecar_core::settings::Settings;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let patch: ProviderPatch = serde_json::from_str(
    ///     r#"{"name": "one", "api_base_url": "http://127.0.0.1:8000/v1", "api_key": "none",
    ///         "model_mappings": {"small": {}}}"#,
    /// )?;
    /// let clock = Clock::system();
    /// let one = patch.into_provider("id-1", clock.wall())?;
    /// let pools = Pools::new(Settings::default(), clock);
    /// pools.replace([one], Settings::default());
    /// assert_eq!(pools.models()[0].name, "small");
    /// # Ok(()) }
    /// ```
    pub fn into_provider(
        self,
        id: impl Into<String>,
        now: Timestamp,
    ) -> Result<Provider, FieldError> {
        self.create(id.into(), now, true)
    }

    /// A new provider of this patch. `private_allowed` is the setting `upstream_private`.
    pub(crate) fn create(
        self,
        id: String,
        now: Timestamp,
        private_allowed: bool,
    ) -> Result<Provider, FieldError> {
        let required = |field| FieldError::invalid(field, "is required");
        let base_url = self.api_base_url.as_deref().ok_or_else(|| required("api_base_url"))?;
        let blank = Provider {
            id,
            name: self.name.clone().ok_or_else(|| required("name"))?,
            label: None,
            base_url: parse_base_url(base_url, private_allowed)?,
            key: self.api_key.clone().ok_or_else(|| required("api_key"))?,
            api: Api::default(),
            timeout: Duration::from_secs(600),
            first_token_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(60),
            rpm_limit: None,
            limit_shape: LimitShape::default(),
            burst: None,
            account: None,
            pool: PoolName::default(),
            drain: false,
            http2: false,
            enabled: true,
            models: BTreeMap::new(),
            source: Source::default(),
            metadata: serde_json::Map::new(),
            created_at: now,
            updated_at: now,
        };
        self.apply(&blank, now, private_allowed)
    }

    /// `current` with this change made. A new origin without a new key is a conflict: a key only
    /// ever goes to the origin it was entered for.
    pub(crate) fn apply(
        self,
        current: &Provider,
        now: Timestamp,
        private_allowed: bool,
    ) -> Result<Provider, FieldError> {
        let mut next = current.clone();
        if let Some(name) = self.name {
            next.name = text("name", name, 64)?;
            if next.name.is_empty() {
                return Err(FieldError::invalid("name", "must not be empty"));
            }
        }
        if let Some(label) = self.label {
            next.label = label.map(|label| text("label", label, 200)).transpose()?;
        }
        if let Some(url) = self.api_base_url {
            next.base_url = parse_base_url(&url, private_allowed)?;
            if next.base_url.origin() != current.base_url.origin() && self.api_key.is_none() {
                return Err(FieldError::conflict(
                    "api_key",
                    "the key is bound to the origin it was entered for; give api_key again to \
                     use it at the new one",
                ));
            }
        }
        if let Some(key) = self.api_key {
            next.key = valid_key(key)?;
        }
        next.api = self.api.unwrap_or(next.api);
        let timeouts = [
            ("timeout_seconds", self.timeout_seconds, &mut next.timeout),
            (
                "first_token_timeout_seconds",
                self.first_token_timeout_seconds,
                &mut next.first_token_timeout,
            ),
            ("idle_timeout_seconds", self.idle_timeout_seconds, &mut next.idle_timeout),
        ];
        for (field, seconds, slot) in timeouts {
            if let Some(seconds) = seconds {
                *slot = Duration::from_secs(in_range(field, seconds, 3_600)?.get().into());
            }
        }
        if let Some(rpm) = self.rpm_limit {
            next.rpm_limit = rpm.map(|rpm| in_range("rpm_limit", rpm, 1_000_000)).transpose()?;
        }
        next.limit_shape = self.limit_shape.unwrap_or(next.limit_shape);
        if let Some(burst) = self.burst {
            next.burst = burst.map(|burst| in_range("burst", burst, 1_000_000)).transpose()?;
        }
        if let Some(account) = self.account {
            let account = account.filter(|account| !account.is_empty());
            next.account = account.map(|account| text("account", account, 64)).transpose()?;
        }
        next.pool = self.pool.unwrap_or(next.pool);
        next.drain = self.drain.unwrap_or(next.drain);
        next.http2 = self.http2.unwrap_or(next.http2);
        next.enabled = self.enabled.unwrap_or(next.enabled);
        if let Some(models) = self.model_mappings {
            next.models = valid_models(models)?;
        }
        if let Some(source) = self.source {
            if source == Source::Env {
                return Err(FieldError::invalid("source", "env is kept for SIDECAR_API_KEY"));
            }
            next.source = source;
        }
        if let Some(metadata) = self.metadata {
            let size = serde_json::to_vec(&metadata).map_or(usize::MAX, |json| json.len());
            if size > 16 << 10 {
                return Err(FieldError::invalid("metadata", "must be at most 16 KiB of JSON"));
            }
            next.metadata = metadata;
        }
        next.updated_at = now;
        Ok(next)
    }
}

impl FieldError {
    pub(crate) fn invalid(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { field: field.into(), detail: detail.into(), conflict: false }
    }

    pub(crate) fn conflict(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { conflict: true, ..Self::invalid(field, detail) }
    }
}

fn parse_base_url(url: &str, private_allowed: bool) -> Result<BaseUrl, FieldError> {
    let invalid =
        |error: &dyn std::fmt::Display| FieldError::invalid("api_base_url", error.to_string());
    let url = BaseUrl::parse(url).map_err(|error| invalid(&error))?;
    if !private_allowed && (url.scheme() != "https" || !url.host_class().is_public()) {
        return Err(FieldError::invalid(
            "api_base_url",
            "must be https at a public address while the setting upstream_private is off",
        ));
    }
    Ok(url)
}

fn valid_key(key: Secret) -> Result<Secret, FieldError> {
    let invalid = |detail: &str| Err(FieldError::invalid("api_key", detail));
    if Secret::is_masked(key.expose()) {
        return invalid("is masked; give the key in clear, or leave it out to keep the stored one");
    }
    if key.expose().is_empty() {
        return invalid("must not be empty; for a server without keys give any placeholder");
    }
    let is_plain = |byte: u8| byte == b'\t' || (b' '..=b'~').contains(&byte);
    if key.expose().len() > 4_096 || !key.expose().bytes().all(is_plain) {
        return invalid("must be at most 4096 visible ASCII characters, without line breaks");
    }
    Ok(key)
}

fn valid_models(
    mut models: BTreeMap<String, Mapping>,
) -> Result<BTreeMap<String, Mapping>, FieldError> {
    let invalid = |name: &str, detail: &str| {
        Err(FieldError::invalid(format!("model_mappings.{}", name.escape_debug()), detail))
    };
    if models.len() > 1_000 {
        return Err(FieldError::invalid("model_mappings", "must be at most 1000 models"));
    }
    for (name, mapping) in &mut models {
        let bad = |name: &str| name.is_empty() || name.len() > 256 || has_control(name);
        if bad(name) || mapping.native_id.as_deref().is_some_and(bad) {
            return invalid(name, "names must be 1 to 256 bytes without control characters");
        }
        if name == ANY_MODEL && mapping.native_id.as_deref().is_some_and(|id| id != ANY_MODEL) {
            return invalid(
                name,
                "serves every model by its own name; native_id must be * or left out",
            );
        }
        if let Err(detail) = mapping.normalise() {
            return invalid(name, detail);
        }
    }
    Ok(models)
}

/// The form of what [`BaseUrl::parse`] takes. Which addresses it refuses no pattern can say.
#[cfg(feature = "schema")]
const BASE_URL: &str = concat!(
    "^[Hh][Tt][Tt][Pp][Ss]?://",
    // A name whose last part is no number, or an address.
    r"(([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*",
    r"[0-9]*[A-Za-z_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.?",
    r"|(0|[1-9][0-9]{0,2})(\.(0|[1-9][0-9]{0,2})){3}|\[[0-9A-Fa-f:.]{2,45}\])",
    "(:[1-9][0-9]{0,4})?",
    "(/([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+)*/?$",
);

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn patch(json: serde_json::Value) -> ProviderPatch {
        serde_json::from_value(json).unwrap()
    }

    fn provider() -> Provider {
        patch(serde_json::json!({
            "name": "one", "api_base_url": "https://api.example.com/v1", "api_key": "sk-0123456789",
            "label": "first", "rpm_limit": 40,
        }))
        .create("id".into(), Timestamp::from_millis(0), true)
        .unwrap()
    }

    fn change(json: serde_json::Value) -> Result<Provider, FieldError> {
        patch(json).apply(&provider(), Timestamp::from_millis(1), false)
    }

    #[test]
    fn a_field_left_out_stays_and_null_clears_it() {
        let same = change(serde_json::json!({})).unwrap();
        assert_eq!((same.label.as_deref(), same.rpm_limit), (Some("first"), NonZeroU32::new(40)));
        let cleared = change(serde_json::json!({"label": null, "rpm_limit": null})).unwrap();
        assert_eq!((cleared.label, cleared.rpm_limit), (None, None));
    }

    #[test]
    fn a_new_origin_needs_the_key_again() {
        let error =
            change(serde_json::json!({"api_base_url": "https://evil.example"})).unwrap_err();
        assert!(error.conflict);
        assert_eq!(error.field, "api_key");
        change(serde_json::json!({"api_base_url": "https://api.example.com/v2"})).unwrap();
        change(serde_json::json!({"api_base_url": "https://new.example", "api_key": "sk-new"}))
            .unwrap();
    }

    #[test]
    fn bad_fields_are_named() {
        for (json, field) in [
            (serde_json::json!({"rpm_limit": 0}), "rpm_limit"),
            (serde_json::json!({"rpm_limit": 1_000_001}), "rpm_limit"),
            (serde_json::json!({"timeout_seconds": 0}), "timeout_seconds"),
            (serde_json::json!({"name": ""}), "name"),
            (serde_json::json!({"name": "a\nb"}), "name"),
            (serde_json::json!({"api_key": ""}), "api_key"),
            (serde_json::json!({"api_key": "sk-012****cdef"}), "api_key"),
            (serde_json::json!({"api_key": "a\nb"}), "api_key"),
            (serde_json::json!({"api_key": "k\u{e9}y"}), "api_key"),
            (serde_json::json!({"source": "env"}), "source"),
            (serde_json::json!({"api_base_url": "ftp://h"}), "api_base_url"),
            (
                serde_json::json!({"api_base_url": "http://127.0.0.1:1", "api_key": "k"}),
                "api_base_url",
            ),
            (serde_json::json!({"model_mappings": {"": {}}}), "model_mappings."),
            (serde_json::json!({"model_mappings": {"*": {"native_id": "x"}}}), "model_mappings.*"),
        ] {
            let error = change(json.clone()).unwrap_err();
            assert_eq!((error.field.as_str(), error.conflict), (field, false), "{json}");
        }
    }

    #[test]
    fn an_error_and_a_debug_print_show_no_key() {
        let patch = patch(serde_json::json!({"api_key": "sk-needle-needle"}));
        assert!(!format!("{patch:?} {:?}", provider()).contains("needle"));
        let error = change(serde_json::json!({"api_key": "needle\nneedle"})).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("needle"));
    }
}
