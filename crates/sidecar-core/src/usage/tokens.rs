//! Token counts in one meaning, whatever dialect they came in.

use serde::Deserialize;

use crate::provider::{Cost, Price};

/// What one attempt used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tokens {
    /// Everything that was read, cached or not.
    pub(super) prompt: u64,
    /// Everything that was written, reasoning included.
    pub(super) completion: u64,
    pub(super) cached: u64,
    pub(super) cache_write: u64,
    pub(super) reasoning: u64,
}

/// A vendor's usage object: every dialect's fields, all optional.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Reported {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    total_tokens: Option<u64>,
    prompt_tokens_details: Option<Details>,
    completion_tokens_details: Option<Details>,
    prompt_cache_hit_tokens: Option<u64>,
    // Responses and Anthropic.
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    input_tokens_details: Option<Details>,
    output_tokens_details: Option<Details>,
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    // Gemini.
    #[serde(rename = "promptTokenCount")]
    prompt_token_count: Option<u64>,
    #[serde(rename = "candidatesTokenCount")]
    candidates_token_count: Option<u64>,
    #[serde(rename = "thoughtsTokenCount")]
    thoughts_token_count: Option<u64>,
    #[serde(rename = "cachedContentTokenCount")]
    cached_content_token_count: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Details {
    cached_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
    reasoning_tokens: Option<u64>,
}

impl Tokens {
    /// In pico-USD. Cached tokens are a part of the prompt and have a price of their own.
    pub(super) fn cost(&self, cost: &Cost) -> u128 {
        let charge = |tokens: u64, price: Price| u128::from(tokens) * u128::from(price.pico_usd());
        let fresh = self.prompt.saturating_sub(self.cached).saturating_sub(self.cache_write);
        charge(fresh, cost.input)
            + charge(self.cached, cost.cache_read.unwrap_or(cost.input))
            + charge(self.cache_write, cost.cache_write.unwrap_or(cost.input))
            + charge(self.completion, cost.output)
    }
}

impl Reported {
    /// In our meaning; `None` if the object says nothing, or something impossible. `earlier` is
    /// what the same answer said before: Anthropic tells the two sides in two events.
    pub(super) fn tokens(&self, earlier: Option<Tokens>) -> Option<Tokens> {
        let tokens = if self.prompt_token_count.is_some() {
            self.gemini()
        } else if self.input_tokens.is_some() || self.output_tokens.is_some() {
            self.by_input_and_output(earlier.unwrap_or_default())
        } else {
            self.openai()?
        };
        let largest = tokens.prompt.max(tokens.completion);
        let parts_fit = tokens.cached.saturating_add(tokens.cache_write) <= tokens.prompt
            && tokens.reasoning <= tokens.completion;
        (largest <= MOST_TOKENS && parts_fit).then_some(tokens)
    }

    fn openai(&self) -> Option<Tokens> {
        if self.prompt_tokens.is_none() && self.completion_tokens.is_none() {
            return None;
        }
        let prompt = self.prompt_tokens.unwrap_or(0);
        let said = self.completion_tokens.unwrap_or(0);
        // xAI leaves reasoning out of the completion but not out of the total.
        let rest = self.total_tokens.map_or(0, |total| total.saturating_sub(prompt));
        let prompt_details = self.prompt_tokens_details.as_ref();
        let completion_details = self.completion_tokens_details.as_ref();
        Some(Tokens {
            prompt,
            completion: said.max(rest),
            cached: prompt_details
                .and_then(|details| details.cached_tokens)
                .or(self.prompt_cache_hit_tokens)
                .unwrap_or(0),
            cache_write: prompt_details.and_then(|details| details.cache_write_tokens).unwrap_or(0),
            reasoning: completion_details.and_then(|details| details.reasoning_tokens).unwrap_or(0),
        })
    }

    fn by_input_and_output(&self, earlier: Tokens) -> Tokens {
        let anthropic = self.cache_read_input_tokens.or(self.cache_creation_input_tokens).is_some();
        let (mut tokens, details) = (earlier, self.input_tokens_details.as_ref());
        if let Some(input) = self.input_tokens {
            if anthropic {
                // Anthropic's input leaves the cached part out.
                tokens.cached = self.cache_read_input_tokens.unwrap_or(0);
                tokens.cache_write = self.cache_creation_input_tokens.unwrap_or(0);
                tokens.prompt =
                    input.saturating_add(tokens.cached).saturating_add(tokens.cache_write);
            } else {
                tokens.cached = details.and_then(|details| details.cached_tokens).unwrap_or(0);
                tokens.prompt = input;
            }
        }
        if let Some(output) = self.output_tokens {
            tokens.completion = output;
            let details = self.output_tokens_details.as_ref();
            tokens.reasoning = details.and_then(|details| details.reasoning_tokens).unwrap_or(0);
        }
        tokens
    }

    fn gemini(&self) -> Tokens {
        let thoughts = self.thoughts_token_count.unwrap_or(0);
        Tokens {
            prompt: self.prompt_token_count.unwrap_or(0),
            completion: self.candidates_token_count.unwrap_or(0).saturating_add(thoughts),
            cached: self.cached_content_token_count.unwrap_or(0),
            cache_write: 0,
            reasoning: thoughts,
        }
    }
}

/// More than any model reads or writes in one request; a larger number is an error or a lie.
const MOST_TOKENS: u64 = 100_000_000;
