//! How a provider serves one model: its native id, prices, window and quirks.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How a provider serves one model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    schemars(extend("not" = {
        "required": ["cost", "cost_per_mtok"],
        "properties": {"cost": {"type": "object"}, "cost_per_mtok": {"type": "object"}},
    }))
)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Mapping {
    /// The model's id at the provider; the canonical name if it is left out.
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1, max = 256), regex(pattern = crate::fields::PLAIN))
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub native_id: Option<String>,
    /// Whether the model reasons.
    pub reasoning: bool,
    /// What the model accepts as `reasoning_effort`, kept as it was entered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_effort: Option<serde_json::Value>,
    /// What it reads: `text`, `image`, `audio`, `video`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub input_modalities: Vec<String>,
    /// Prices in USD per token. `None` is unpriced, which is not the same as free.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// The same in USD per million tokens; input only, kept as `cost`.
    #[serde(skip_serializing)]
    pub cost_per_mtok: Option<CostPerMtok>,
    /// Tokens of prompt and answer together.
    #[cfg_attr(feature = "schema", schemars(range(max = u32::MAX)))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_window: Option<u32>,
    /// Tokens of the answer.
    #[cfg_attr(feature = "schema", schemars(range(max = u32::MAX)))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// Quirks in the form agents' configurations use, kept as they were entered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compat: Option<serde_json::Value>,
    /// How the model says what a stream used.
    pub stream_usage: StreamUsage,
}

/// How a model says what a stream used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum StreamUsage {
    /// By itself, or when the caller asks: nothing is added.
    #[default]
    Native,
    /// Only when asked: `stream_options.include_usage` is added, and the answer to it taken out.
    Inject,
    /// Never: it refuses `stream_options`.
    Forbid,
}

/// Prices in USD per token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Cost {
    /// A prompt token that is not cached.
    pub input: Price,
    /// A completion token.
    pub output: Price,
    /// A prompt token read from the provider's cache; the input price if it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<Price>,
    /// A prompt token written to the provider's cache; the input price if it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<Price>,
}

/// Prices in USD per million tokens, the unit of price lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct CostPerMtok {
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 1_000_000)))]
    input: f64,
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 1_000_000)))]
    output: f64,
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 1_000_000)))]
    cache_read: Option<f64>,
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 1_000_000)))]
    cache_write: Option<f64>,
}

/// A price of one token in pico-USD (1e-12 USD), so that sums are exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Price(u64);

impl Mapping {
    /// Moves `cost_per_mtok` into `cost`. `Err` says what is wrong with it.
    pub(super) fn normalise(&mut self) -> Result<(), &'static str> {
        let Some(per_mtok) = self.cost_per_mtok.take() else { return Ok(()) };
        if self.cost.is_some() {
            return Err("give either cost or cost_per_mtok, not both");
        }
        let price = |usd: f64| {
            let usd = Some(usd).filter(|usd| (0.0..=1e6).contains(usd));
            usd.and_then(|usd| Price::from_usd(usd / 1e6)).ok_or(PRICE_RANGE)
        };
        self.cost = Some(Cost {
            input: price(per_mtok.input)?,
            output: price(per_mtok.output)?,
            cache_read: per_mtok.cache_read.map(price).transpose()?,
            cache_write: per_mtok.cache_write.map(price).transpose()?,
        });
        Ok(())
    }
}

impl Price {
    /// In pico-USD per token.
    pub const fn pico_usd(self) -> u64 {
        self.0
    }

    /// From USD per token; `None` unless it is from 0 to 1 USD.
    pub fn from_usd(usd: f64) -> Option<Self> {
        // The cast is exact: 0 ..= 1e12 is far below 2^53.
        (0.0..=1.0).contains(&usd).then(|| Self((usd * 1e12).round() as u64))
    }
}

impl Serialize for Price {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0 as f64 / 1e12)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Price {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Price".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "number", "minimum": 0, "maximum": 1})
    }
}

impl<'de> Deserialize<'de> for Price {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_usd(f64::deserialize(deserializer)?).ok_or_else(|| D::Error::custom(PRICE_RANGE))
    }
}

const PRICE_RANGE: &str = "a price is from 0 to 1 USD per token; for USD per million tokens use \
                           cost_per_mtok";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_per_million_tokens_is_the_same_price_per_token() {
        let mut by_mtok: Mapping =
            serde_json::from_str(r#"{"cost_per_mtok":{"input":0.15,"output":0.6,"cacheRead":0}}"#)
                .unwrap();
        by_mtok.normalise().unwrap();
        let by_token: Mapping =
            serde_json::from_str(r#"{"cost":{"input":0.00000015,"output":6e-7,"cacheRead":0}}"#)
                .unwrap();
        assert_eq!(by_mtok, by_token);
        assert_eq!(by_token.cost.unwrap().input.pico_usd(), 150_000);
    }

    #[test]
    fn a_price_survives_its_own_json() {
        let cost = Cost { input: Price(150_000), output: Price(1), ..Cost::default() };
        let json = serde_json::to_string(&cost).unwrap();
        assert_eq!(serde_json::from_str::<Cost>(&json).unwrap(), cost);
    }

    #[test]
    fn a_price_per_million_given_as_a_price_per_token_is_refused() {
        assert!(serde_json::from_str::<Cost>(r#"{"input":2.5}"#).is_err());
        assert!(serde_json::from_str::<Cost>(r#"{"input":-1e-9}"#).is_err());
    }
}
