//! Entity tags, by which a change can be made only if nobody else has made one before it.

use std::fmt;

use data_encoding::HEXLOWER;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{Admin, AdminError, SettingSource};
use crate::callers::CallerRecord;
use crate::provider::{Provider, ProviderRecord};

/// Stands for how a provider, a caller or a setting is configured. How it fares is not part of it.
/// It shows as it stands in the header `ETag`, with its quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EntityTag([u8; LENGTH]);

/// What must hold for a change to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing but that it is there.
    #[default]
    Any,
    /// It has one of these tags.
    OneOf(Vec<EntityTag>),
}

impl EntityTag {
    /// The tag that reads `text` between its quotes; `None` if no tag of ours does.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = HEXLOWER.decode(text.as_bytes()).ok()?;
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", HEXLOWER.encode(&self.0))
    }
}

impl Precondition {
    /// Holds it against the tag that `what` has now. The lock of the stored state must be held
    /// from here to the change.
    pub(super) fn check(&self, what: &'static str, current: EntityTag) -> Result<(), AdminError> {
        match self {
            Self::OneOf(tags) if !tags.contains(&current) => Err(AdminError::Changed(what)),
            Self::Any | Self::OneOf(_) => Ok(()),
        }
    }
}

impl Admin {
    pub(super) fn provider_tag(&self, provider: &Provider) -> EntityTag {
        // Another key is another state, but nothing of either may come to light.
        let key = self.digest(&[b"key", provider.id.as_bytes(), provider.key.expose().as_bytes()]);
        let record = ProviderRecord::new(provider, HEXLOWER.encode(&key));
        self.tag(&[b"provider", provider.id.as_bytes(), &record.to_bytes()])
    }

    pub(super) fn caller_tag(&self, caller: &CallerRecord) -> EntityTag {
        self.tag(&[b"caller", caller.id.as_bytes(), &caller.to_bytes()])
    }

    pub(super) fn setting_tag(&self, key: &str, value: &Value, source: SettingSource) -> EntityTag {
        let source = match source {
            SettingSource::Env => "env",
            SettingSource::Stored => "stored",
            SettingSource::Default => "default",
        };
        self.tag(&[b"setting", key.as_bytes(), source.as_bytes(), value.to_string().as_bytes()])
    }

    fn tag(&self, parts: &[&[u8]]) -> EntityTag {
        let mut tag = [0; LENGTH];
        tag.copy_from_slice(&self.digest(parts)[..LENGTH]);
        EntityTag(tag)
    }

    /// A digest that only this store makes of `parts`.
    fn digest(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(self.state.vault.store().as_bytes());
        for part in parts {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        hasher.finalize().into()
    }
}

/// Bytes.
const LENGTH: usize = 8;

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::Sidecar;
    use crate::callers::CallerPatch;
    use crate::clock::Clock;
    use crate::provider::ProviderPatch;
    use crate::secret::Secret;

    async fn admin() -> Admin {
        Sidecar::builder().clock(Clock::simulated()).open().await.unwrap().admin()
    }

    fn patch(json: Value) -> ProviderPatch {
        serde_json::from_value(json).unwrap()
    }

    fn one() -> ProviderPatch {
        patch(json!({
            "name": "one", "api_base_url": "https://api.example.com/v1", "api_key": "sk-0123456789",
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_is_made_only_to_what_was_read() {
        let admin = admin().await;
        let read = admin.add_provider(one()).await.unwrap().etag;
        let as_read = Precondition::OneOf(vec![read]);
        let label = |label: &str| patch(json!({"label": label}));
        let changed = admin.change_provider("one", label("mine"), &as_read).await.unwrap();
        assert_ne!(changed.etag, read);

        let error = admin.change_provider("one", label("yours"), &as_read).await.unwrap_err();
        assert_eq!((error.status(), error.field()), (StatusCode::PRECONDITION_FAILED, None));
        assert!(error.detail().starts_with("the provider was changed meanwhile; "), "{error}");
        let error = admin.remove_provider("one", &as_read).await.unwrap_err();
        assert_eq!(error.status(), StatusCode::PRECONDITION_FAILED);
        let shown = admin.provider("one").unwrap();
        assert_eq!((shown.label.as_deref(), shown.etag), (Some("mine"), changed.etag));

        let either = Precondition::OneOf(vec![read, changed.etag]);
        admin.change_provider("one", label("yours"), &either).await.unwrap();
        admin.remove_provider("one", &Precondition::Any).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn callers_and_settings_have_tags_too() {
        let admin = admin().await;
        let agents: CallerPatch = serde_json::from_value(json!({"name": "agents"})).unwrap();
        let read = Precondition::OneOf(vec![admin.add_caller(agents).await.unwrap().0.etag]);
        admin.roll_caller_key("agents", std::time::Duration::ZERO).await.unwrap();
        let change = CallerPatch::default();
        let error = admin.change_caller("agents", change, &read).await.unwrap_err();
        assert!(matches!(error, AdminError::Changed("the caller")), "{error}");
        assert!(admin.remove_caller("agents", &read).await.is_err());

        let read = Precondition::OneOf(vec![admin.setting("rate_rpm").await.unwrap().etag]);
        let set = admin.set_setting("rate_rpm", &json!(40), &read).await.unwrap();
        let error = admin.set_setting("rate_rpm", &json!(7), &read).await.unwrap_err();
        assert!(matches!(error, AdminError::Changed("the setting")), "{error}");
        assert!(admin.unset_setting("rate_rpm", &read).await.is_err());
        let as_set = Precondition::OneOf(vec![set.etag]);
        let unset = admin.unset_setting("rate_rpm", &as_set).await.unwrap();
        assert_eq!(Precondition::OneOf(vec![unset.etag]), read);
    }

    #[tokio::test(start_paused = true)]
    async fn a_tag_is_of_the_configuration_with_its_key_and_of_nothing_else() {
        let admin = admin().await;
        let tag = admin.add_provider(one()).await.unwrap().etag;
        tokio::time::advance(std::time::Duration::from_secs(60)).await;
        admin.reset_provider("one").await.unwrap();
        assert_eq!(admin.provider("one").unwrap().etag, tag);

        let stored = admin.state.stored.lock().await;
        let mut provider = stored.providers.values().next().unwrap().clone();
        assert_eq!(admin.provider_tag(&provider), tag);
        provider.key = Secret::new("sk-9876543210");
        assert_ne!(admin.provider_tag(&provider), tag);
    }

    proptest! {
        #[test]
        fn a_tag_is_read_as_it_is_shown(bytes: [u8; LENGTH], text in "\\PC{0,20}") {
            let tag = EntityTag(bytes);
            let shown = tag.to_string();
            prop_assert_eq!(EntityTag::parse(shown.trim_matches('"')), Some(tag));
            if let Some(tag) = EntityTag::parse(&text) {
                prop_assert_eq!(tag.to_string(), format!("\"{text}\""));
            }
        }
    }
}
