//! [`Chunk`]: what a chunk of a chat or a completion says that matters here.

use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// What a chunk of a chat or a completion says that matters here. Members are left unparsed, so
/// that one of an odd type does not hide the others.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Chunk<'a> {
    #[serde(borrow)]
    pub(super) id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) object: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) created: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) model: Option<&'a RawValue>,
    #[serde(borrow)]
    choices: Option<Choices<'a>>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    x_groq: Option<&'a RawValue>,
}

/// The choices of a chunk, of which there is one nearly always.
#[derive(Debug, Default)]
struct Choices<'a> {
    are_any: bool,
    /// The bits of those that are there.
    begun: u64,
    /// The bits of those that say why they ended.
    ended: u64,
    usage: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Choice<'a> {
    #[serde(borrow)]
    index: Option<&'a RawValue>,
    #[serde(borrow)]
    finish_reason: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Holder<'a> {
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

impl<'a> Chunk<'a> {
    /// Reads the data of an event; `None` if it is no chunk.
    pub(super) fn read(data: &'a [u8]) -> Option<Self> {
        // A derived struct would also take an array for one.
        if !data.starts_with(b"{") {
            return None;
        }
        serde_json::from_slice(data).ok()
    }

    /// The bits of the choices that are there, and of those that have come to their end.
    pub(super) fn progress(&self) -> (u64, u64) {
        self.choices.as_ref().map_or((0, 0), |choices| (choices.begun, choices.ended))
    }

    /// Whether it is there for its usage only: what `include_usage` asks for.
    pub(super) fn is_usage_only(&self) -> bool {
        self.usage.is_some() && self.choices.as_ref().is_some_and(|choices| !choices.are_any)
    }

    /// The usage object, wherever the vendor puts it.
    pub(super) fn usage(&self) -> Option<&'a str> {
        let in_choices = || self.choices.as_ref().and_then(|choices| choices.usage);
        let at_groq = || serde_json::from_str::<Holder<'a>>(self.x_groq?.get()).ok()?.usage;
        let usage = self.usage.or_else(in_choices).or_else(at_groq)?.get();
        (usage.starts_with('{') && usage.len() > "{}".len()).then_some(usage)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Choices<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ChoicesVisitor)
    }
}

struct ChoicesVisitor;

impl<'de> Visitor<'de> for ChoicesVisitor {
    type Value = Choices<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of choices")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Choices<'de>, A::Error> {
        let mut choices = Choices::default();
        while let Some(choice) = list.next_element::<Choice<'de>>()? {
            let index = choice.index.and_then(|index| index.get().parse::<u32>().ok());
            // All from the last bit on share it.
            let bit = 1_u64 << index.unwrap_or(0).min(u64::BITS - 1);
            choices.are_any = true;
            choices.begun |= bit;
            if choice.finish_reason.is_some_and(is_reason) {
                choices.ended |= bit;
            }
            choices.usage = choice.usage.or(choices.usage);
        }
        Ok(choices)
    }
}

/// Some vendors write an empty reason in place of none.
fn is_reason(raw: &RawValue) -> bool {
    raw.get().starts_with('"') && raw.get() != "\"\""
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(data: &str) -> Option<(u64, u64)> {
        Chunk::read(data.as_bytes()).map(|chunk| chunk.progress())
    }

    fn usage(data: &str) -> Option<&str> {
        Chunk::read(data.as_bytes()).unwrap().usage()
    }

    #[test]
    fn choices_begin_and_end() {
        for (choices, expected) in [
            ("[]", (0, 0)),
            ("null", (0, 0)),
            (r#"[{"index":0,"delta":{"content":"a"},"finish_reason":null}]"#, (1, 0)),
            (r#"[{"index":0,"delta":{},"finish_reason":"stop"}]"#, (1, 1)),
            (r#"[{"text":"a","finish_reason":""}]"#, (1, 0)),
            (r#"[{"index":2,"finish_reason":"length"},{"index":1}]"#, (6, 4)),
            (r#"[{"index":"0","finish_reason":7}]"#, (1, 0)),
            (r#"[{"index":4294967295,"finish_reason":"stop"}]"#, (1_u64 << 63, 1_u64 << 63)),
            // A text that mentions one is none, nor is a tool call's index a choice's.
            (
                r#"[{"delta":{"content":"\"finish_reason\":\"stop\"","tool_calls":[{"index":1}]}}]"#,
                (1, 0),
            ),
        ] {
            let data = format!(r#"{{"id":"c","choices":{choices},"usage":null}}"#);
            assert_eq!(progress(&data), Some(expected), "{data}");
        }
        assert_eq!(progress("{}"), Some((0, 0)));
    }

    #[test]
    fn what_is_no_chunk_is_none() {
        for data in ["", "[DONE]", "[]", "null", "{\"choices\":[", "{\"choices\":[1]}", "{x}"] {
            assert_eq!(progress(data), None, "{data}");
        }
    }

    #[test]
    fn usage_is_found_where_vendors_put_it() {
        assert_eq!(usage(r#"{"usage":{"a":1}}"#), Some(r#"{"a":1}"#));
        assert_eq!(usage(r#"{"choices":[{"usage":{"a":2}}],"usage":null}"#), Some(r#"{"a":2}"#));
        assert_eq!(usage(r#"{"x_groq":{"id":"r","usage":{"a":3}}}"#), Some(r#"{"a":3}"#));
        for none in [
            r#"{"usage":null}"#,
            r#"{"usage":{}}"#,
            r#"{"usage":7}"#,
            r#"{"x_groq":{"id":"r"}}"#,
            r#"{"x_groq":"r"}"#,
        ] {
            assert_eq!(usage(none), None, "{none}");
        }
    }

    #[test]
    fn a_chunk_for_usage_alone_has_no_choices() {
        for (data, is_usage_only) in [
            (r#"{"choices":[],"usage":{"total_tokens":1}}"#, true),
            (r#"{"choices":[],"usage":null,"prompt_filter_results":[{}]}"#, false),
            (r#"{"choices":[{"delta":{}}],"usage":{"total_tokens":1}}"#, false),
            (r#"{"usage":{"total_tokens":1}}"#, false),
        ] {
            let chunk = Chunk::read(data.as_bytes()).unwrap();
            assert_eq!(chunk.is_usage_only(), is_usage_only, "{data}");
        }
    }
}
