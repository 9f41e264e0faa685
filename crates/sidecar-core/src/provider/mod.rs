//! What a provider is: one API key at one base URL, and the models it serves.

mod mapping;
mod patch;
mod record;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::ingest::Family;
use crate::secret::Secret;
use crate::url::BaseUrl;

pub use self::mapping::{Cost, CostPerMtok, Mapping, Price, StreamUsage};
pub use self::patch::{FieldError, ProviderPatch};
pub(crate) use self::record::ProviderRecord;

/// One API key at one base URL. A validated value: whatever made it has checked it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Provider {
    /// A UUID that never changes; `v1-env` for the provider of `SIDECAR_API_KEY`.
    pub id: String,
    /// Unique among the providers; what people call it.
    pub name: String,
    /// A free text for people.
    pub label: Option<String>,
    /// Where it lives.
    pub base_url: BaseUrl,
    /// Its API key, bound to the origin of `base_url`.
    pub key: Secret,
    /// The protocol it speaks.
    pub api: Api,
    /// The longest wait for the head of an answer, or for a whole one that is not streamed.
    pub timeout: Duration,
    /// The longest wait for the first event of a stream.
    pub first_token_timeout: Duration,
    /// The longest silence inside a stream.
    pub idle_timeout: Duration,
    /// Requests per minute its vendor allows; `None` follows the setting `rate_rpm`.
    pub rpm_limit: Option<NonZeroU32>,
    /// How its vendor counts.
    pub limit_shape: LimitShape,
    /// How many requests may go out at once under [`LimitShape::Smooth`].
    pub burst: Option<NonZeroU32>,
    /// Providers of one account share limits and quota cooldowns.
    pub account: Option<String>,
    /// The tier it belongs to.
    pub pool: PoolName,
    /// Whether an answer that its caller leaves is read to its end, for an exact bill.
    pub drain: bool,
    /// Whether it is spoken to by HTTP/2 if it can be, over TLS.
    pub http2: bool,
    /// Whether the operator wants it used.
    pub enabled: bool,
    /// Canonical model name to mapping. The name `*` serves every model by its own name.
    pub models: BTreeMap<String, Mapping>,
    /// Who entered it.
    pub source: Source,
    /// Whatever the operator wants to keep beside it.
    pub metadata: serde_json::Map<String, serde_json::Value>,
    /// When it was entered.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// The wire protocol a provider speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Api {
    /// OpenAI chat completions, completions, embeddings, images, audio: what most vendors speak.
    #[default]
    OpenaiCompletions,
    /// The OpenAI Responses API, beside everything of [`Api::OpenaiCompletions`].
    OpenaiResponses,
    /// Anthropic Messages.
    AnthropicMessages,
    /// Gemini `generateContent`.
    GoogleGenerativeAi,
}

/// How a vendor counts requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum LimitShape {
    /// At most N in any 60 seconds, however close together.
    #[default]
    Window,
    /// Evenly spaced, with a stated burst.
    Smooth,
}

/// A tier of providers. The order of use is a setting: primary first by default.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum PoolName {
    /// Used first.
    #[default]
    Primary,
    /// Used when the primary pool cannot answer.
    Fallback,
}

/// Who entered a provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The dashboard or the admin API.
    #[default]
    Webui,
    /// The environment; not stored, not editable.
    Env,
    /// An import.
    Import,
    /// The command line.
    Cli,
}

/// The id of the provider that `SIDECAR_API_KEY` makes.
pub const ENV_PROVIDER_ID: &str = "v1-env";

/// The model name under which a provider serves every model by its own name.
pub const ANY_MODEL: &str = "*";

impl Provider {
    /// The name under which limits and quota cooldowns are shared: the account, else the id.
    pub fn account_key(&self) -> &str {
        self.account.as_deref().unwrap_or(&self.id)
    }

    /// How it serves `model`, by its name or by [`ANY_MODEL`].
    pub(crate) fn mapping(&self, model: &str) -> Option<&Mapping> {
        self.models.get(model).or_else(|| self.models.get(ANY_MODEL))
    }
}

impl Api {
    /// Whether a request of `family` may be sent to a provider of this API.
    pub const fn speaks(self, family: Family) -> bool {
        match family {
            Family::OpenAi => matches!(self, Self::OpenaiCompletions | Self::OpenaiResponses),
            Family::Responses => matches!(self, Self::OpenaiResponses),
            Family::Anthropic => matches!(self, Self::AnthropicMessages),
            Family::Gemini => matches!(self, Self::GoogleGenerativeAi),
        }
    }
}

impl PoolName {
    /// Every pool, in the default order of use.
    pub const ALL: [Self; 2] = [Self::Primary, Self::Fallback];

    /// Its name in JSON and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Fallback => "fallback",
        }
    }
}
