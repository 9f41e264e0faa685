//! Token counts in one meaning, whatever dialect they came in.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::provider::{Cost, Price};

/// What one attempt used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tokens {
    /// Everything that was read, cached or not.
    pub(super) prompt: u64,
    /// Everything that was written, reasoning included.
    pub(super) completion: u64,
    /// The part of the prompt that came from the provider's cache.
    pub(super) cached: u64,
    /// The part of the prompt that went into the provider's cache.
    pub(super) cache_write: u64,
    /// The part of `cache_write` that is kept for an hour, which Anthropic charges more for.
    pub(super) cache_write_long: u64,
    /// The part of the completion that was spent on reasoning.
    pub(super) reasoning: u64,
}

/// What a vendor's usage object says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) tokens: Tokens,
    /// The vendor's own cost, in pico-USD.
    pub(super) cost: Option<u128>,
}

/// The numbers of a usage object cannot be right.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Impossible;

/// A vendor's usage object: every dialect's fields, all optional.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Reported {
    prompt_tokens: Option<Count>,
    completion_tokens: Option<Count>,
    total_tokens: Option<Count>,
    #[serde(deserialize_with = "object")]
    prompt_tokens_details: Option<Details>,
    #[serde(deserialize_with = "object")]
    completion_tokens_details: Option<Details>,
    /// DeepSeek.
    prompt_cache_hit_tokens: Option<Count>,
    /// Together and Moonshot.
    cached_tokens: Option<Count>,
    /// Mistral.
    num_cached_tokens: Option<Count>,
    // Responses and Anthropic.
    input_tokens: Option<Count>,
    output_tokens: Option<Count>,
    #[serde(deserialize_with = "object")]
    input_tokens_details: Option<Details>,
    #[serde(deserialize_with = "object")]
    output_tokens_details: Option<Details>,
    cache_read_input_tokens: Option<Count>,
    cache_creation_input_tokens: Option<Count>,
    #[serde(deserialize_with = "object")]
    cache_creation: Option<CacheCreation>,
    // Gemini.
    #[serde(rename = "promptTokenCount")]
    prompt_token_count: Option<Count>,
    #[serde(rename = "toolUsePromptTokenCount")]
    tool_use_prompt_token_count: Option<Count>,
    #[serde(rename = "candidatesTokenCount")]
    candidates_token_count: Option<Count>,
    #[serde(rename = "thoughtsTokenCount")]
    thoughts_token_count: Option<Count>,
    #[serde(rename = "cachedContentTokenCount")]
    cached_content_token_count: Option<Count>,
    #[serde(rename = "totalTokenCount")]
    total_token_count: Option<Count>,
    /// OpenRouter: USD. Perplexity: an object with a total.
    cost: Option<Usd>,
    /// xAI.
    cost_in_usd_ticks: Option<Ticks>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Details {
    cached_tokens: Option<Count>,
    cache_write_tokens: Option<Count>,
    reasoning_tokens: Option<Count>,
}

/// Anthropic's split of what was written to the cache, by how long it is kept.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CacheCreation {
    ephemeral_5m_input_tokens: Option<Count>,
    ephemeral_1h_input_tokens: Option<Count>,
}

/// A number of tokens that can be right.
#[derive(Clone, Copy, Debug)]
struct Count(u64);

/// An amount in pico-USD that can be right. `None` if it is not said in a way that is known.
#[derive(Clone, Copy, Debug)]
struct Usd(Option<u128>);

/// xAI's unit of 1e-10 USD, in pico-USD.
#[derive(Clone, Copy, Debug)]
struct Ticks(u128);

/// Reads a usage object. `None` if it says nothing of tokens. `earlier` is what the same answer
/// said before: Anthropic tells the two sides in two events.
pub(super) fn read(json: &[u8], earlier: Option<Tokens>) -> Result<Option<Statement>, Impossible> {
    let reported: Reported = serde_json::from_slice(json).map_err(|_| Impossible)?;
    let Some(tokens) = reported.tokens(earlier) else { return Ok(None) };
    let ticks = reported.cost_in_usd_ticks.map(|ticks| ticks.0);
    let cost = reported.cost.and_then(|usd| usd.0).or(ticks);
    let parts_fit = tokens.cached.saturating_add(tokens.cache_write) <= tokens.prompt
        && tokens.cache_write_long <= tokens.cache_write
        && tokens.reasoning <= tokens.completion;
    if !parts_fit || tokens.prompt.max(tokens.completion) > MOST_TOKENS {
        return Err(Impossible);
    }
    Ok(Some(Statement { tokens, cost }))
}

/// How many tokens so many bytes of text are, roughly.
pub(crate) const fn estimate(bytes: u64) -> u64 {
    let tokens = bytes.div_ceil(BYTES_PER_TOKEN);
    if tokens < MOST_TOKENS { tokens } else { MOST_TOKENS }
}

impl Tokens {
    /// In pico-USD. Cached tokens are a part of the prompt and have a price of their own.
    pub(super) fn cost(&self, cost: &Cost) -> u128 {
        let charge = |tokens: u64, price: Price| u128::from(tokens) * u128::from(price.pico_usd());
        let short = self.cache_write.saturating_sub(self.cache_write_long);
        charge(self.fresh(), cost.input)
            + charge(self.cached, cost.cache_read.unwrap_or(cost.input))
            + charge(short, cost.cache_write.unwrap_or(cost.input))
            + u128::from(self.cache_write_long) * long_write_price(cost)
            + charge(self.completion, cost.output)
    }

    /// The part of the prompt that the cache has nothing to do with.
    fn fresh(&self) -> u64 {
        self.prompt.saturating_sub(self.cached).saturating_sub(self.cache_write)
    }
}

/// Anthropic charges twice the input price for what it keeps for an hour. Where writing is said to
/// be free, or has no price of its own, this is no different.
fn long_write_price(cost: &Cost) -> u128 {
    let input = u128::from(cost.input.pico_usd());
    match cost.cache_write.map(Price::pico_usd) {
        None => input,
        Some(0) => 0,
        Some(write) => u128::from(write).max(2 * input),
    }
}

impl Reported {
    fn tokens(&self, earlier: Option<Tokens>) -> Option<Tokens> {
        let is_said = |counts: &[Option<Count>]| counts.iter().any(Option::is_some);
        let tokens = if is_said(&[
            self.prompt_token_count,
            self.candidates_token_count,
            self.thoughts_token_count,
        ]) {
            self.gemini()
        } else if is_said(&[self.prompt_tokens, self.completion_tokens]) {
            // Before the other names: some gateways add those with zeros.
            self.openai()
        } else if is_said(&[self.input_tokens, self.output_tokens]) {
            self.by_input_and_output(earlier.unwrap_or_default())
        } else {
            self.openai()
        };
        // Some vendors repeat a usage of zeros until the last one.
        (tokens.prompt > 0 || tokens.completion > 0).then_some(tokens)
    }

    fn openai(&self) -> Tokens {
        let total = get(self.total_tokens);
        let completion = get(self.completion_tokens);
        // An embedding that names only the total wrote nothing.
        let prompt = self.prompt_tokens.map_or(total.saturating_sub(completion), |count| count.0);
        let details = self.prompt_tokens_details.as_ref();
        let cached = details
            .and_then(|details| details.cached_tokens)
            .or(self.prompt_cache_hit_tokens)
            .or(self.cached_tokens)
            .or(self.num_cached_tokens);
        let cache_write = details
            .and_then(|details| details.cache_write_tokens)
            .or(self.cache_creation_input_tokens);
        Tokens {
            prompt,
            completion: with_rest(completion, prompt, total),
            cached: get(cached),
            cache_write: get(cache_write),
            cache_write_long: 0,
            reasoning: reasoning(self.completion_tokens_details.as_ref()),
        }
    }

    fn by_input_and_output(&self, earlier: Tokens) -> Tokens {
        let mut tokens = earlier;
        let is_anthropic = self.cache_read_input_tokens.is_some()
            || self.cache_creation_input_tokens.is_some()
            || self.cache_creation.is_some();
        match &self.input_tokens_details {
            Some(details) if !is_anthropic => {
                tokens.prompt = get(self.input_tokens);
                tokens.cached = get(details.cached_tokens);
                tokens.cache_write = get(details.cache_write_tokens);
            }
            _ => self.anthropic_input(&mut tokens),
        }
        if self.output_tokens.is_some() {
            tokens.completion = get(self.output_tokens);
            tokens.reasoning = reasoning(self.output_tokens_details.as_ref());
        }
        tokens.completion = with_rest(tokens.completion, tokens.prompt, get(self.total_tokens));
        tokens
    }

    /// Anthropic's input leaves both cached parts out. What an event does not say stays as an
    /// earlier one said it.
    fn anthropic_input(&self, tokens: &mut Tokens) {
        let fresh = match self.input_tokens {
            // The last event of some vendors says zero where it means that it has been said.
            Some(Count(input)) if input > 0 || tokens.prompt == 0 => input,
            _ => tokens.fresh(),
        };
        if let Some(Count(cached)) = self.cache_read_input_tokens {
            tokens.cached = cached;
        }
        if let Some(split) = &self.cache_creation {
            let long = get(split.ephemeral_1h_input_tokens);
            tokens.cache_write_long = long;
            tokens.cache_write = get(split.ephemeral_5m_input_tokens).saturating_add(long);
        }
        if let Some(Count(written)) = self.cache_creation_input_tokens {
            tokens.cache_write = written;
        }
        if self.cache_creation.is_none() {
            tokens.cache_write_long = tokens.cache_write_long.min(tokens.cache_write);
        }
        tokens.prompt = fresh.saturating_add(tokens.cached).saturating_add(tokens.cache_write);
    }

    fn gemini(&self) -> Tokens {
        let thoughts = get(self.thoughts_token_count);
        let prompt =
            get(self.prompt_token_count).saturating_add(get(self.tool_use_prompt_token_count));
        let completion = get(self.candidates_token_count).saturating_add(thoughts);
        Tokens {
            prompt,
            completion: with_rest(completion, prompt, get(self.total_token_count)),
            cached: get(self.cached_content_token_count),
            cache_write: 0,
            cache_write_long: 0,
            reasoning: thoughts,
        }
    }
}

fn get(count: Option<Count>) -> u64 {
    count.map_or(0, |count| count.0)
}

fn reasoning(details: Option<&Details>) -> u64 {
    details.map_or(0, |details| get(details.reasoning_tokens))
}

/// xAI leaves reasoning out of the completion, but not out of the total.
fn with_rest(completion: u64, prompt: u64, total: u64) -> u64 {
    completion.max(total.saturating_sub(prompt))
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(deserializer)?;
        // The cast is exact: whole numbers up to 1e8.
        if number.fract() == 0.0 && (0.0..=MOST_TOKENS as f64).contains(&number) {
            return Ok(Self(number as u64));
        }
        Err(D::Error::custom("no number of tokens"))
    }
}

impl<'de> Deserialize<'de> for Ticks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let ticks = f64::deserialize(deserializer)?;
        if ticks.fract() == 0.0 && (0.0..=MOST_USD * 1e10).contains(&ticks) {
            return Ok(Self(ticks as u128 * PICO_PER_TICK));
        }
        Err(D::Error::custom("no cost of one request"))
    }
}

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UsdVisitor)
    }
}

struct UsdVisitor;

impl<'de> Visitor<'de> for UsdVisitor {
    type Value = Usd;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an amount of USD")
    }

    fn visit_f64<E: Error>(self, usd: f64) -> Result<Usd, E> {
        if !(0.0..=MOST_USD).contains(&usd) {
            return Err(E::custom("no cost of one request"));
        }
        // Exact to the pico-USD below 9007 USD.
        Ok(Usd(Some((usd * 1e12).round() as u128)))
    }

    fn visit_u64<E: Error>(self, usd: u64) -> Result<Usd, E> {
        self.visit_f64(usd as f64)
    }

    fn visit_i64<E: Error>(self, usd: i64) -> Result<Usd, E> {
        self.visit_f64(usd as f64)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Usd, E> {
        Ok(Usd(None))
    }

    fn visit_str<E>(self, _: &str) -> Result<Usd, E> {
        Ok(Usd(None))
    }

    fn visit_unit<E>(self) -> Result<Usd, E> {
        Ok(Usd(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Usd, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Usd(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Usd, A::Error> {
        #[derive(Deserialize)]
        struct Parts {
            total_cost: Option<f64>,
        }
        let parts = Parts::deserialize(MapAccessDeserializer::new(map))?;
        parts.total_cost.map_or(Ok(Usd(None)), |usd| self.visit_f64(usd))
    }
}

/// An object of the kind `T`; `None` of anything else that stands in its place.
fn object<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_any(ObjectVisitor(PhantomData))
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Option<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Some)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Option<T>, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Option<T>, E> {
        Ok(None)
    }
}

/// More than any model reads or writes in one request; a larger number is an error or a lie.
const MOST_TOKENS: u64 = 100_000_000;
/// More than any one request costs.
const MOST_USD: f64 = 1e6;
const PICO_PER_TICK: u128 = 100;
const BYTES_PER_TOKEN: u64 = 4;
