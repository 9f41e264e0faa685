//! What is changed in a body so that a model that says what a stream used only when it is asked is
//! asked, and one that refuses to be asked is not.

use std::ops::Range;

use memchr::memrchr;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::call::Call;
use crate::ingest::Family;
use crate::provider::StreamUsage;

/// The edit of `call`'s body that `stream_usage` takes, if it takes one. `stream_options` that are
/// no object are left for the provider to refuse.
pub(super) fn edit(
    call: &Call,
    stream_usage: StreamUsage,
) -> Option<(Range<usize>, &'static [u8])> {
    let (head, body) = (call.head(), call.body());
    let has_usage_chunk = head.family == Family::OpenAi
        && matches!(&*head.path, "/v1/chat/completions" | "/v1/completions");
    if !head.stream || !has_usage_chunk {
        return None;
    }
    match (stream_usage, &head.stream_options) {
        (StreamUsage::Inject, _) if head.usage_asked => None,
        (StreamUsage::Inject, None) => Some(with_member(body, head.body_end?)),
        (StreamUsage::Inject, Some(value)) => with_flag(body, value.clone()),
        (StreamUsage::Forbid, Some(value)) => Some((member(body, value.clone())?, NOTHING)),
        (StreamUsage::Native, _) | (StreamUsage::Forbid, None) => None,
    }
}

/// Puts `stream_options` in front of the closing brace at `end`.
fn with_member(body: &[u8], end: usize) -> (Range<usize>, &'static [u8]) {
    let is_empty = body[..end].trim_ascii_end().ends_with(b"{");
    (end..end, &MEMBER[usize::from(is_empty)..])
}

/// Sets the flag in the `stream_options` at `value`.
fn with_flag(body: &[u8], value: Range<usize>) -> Option<(Range<usize>, &'static [u8])> {
    let text = body.get(value.clone())?;
    if text == b"null" {
        return Some((value, OBJECT));
    }
    // A derived struct would also take an array for one.
    let inside = text.strip_prefix(b"{")?;
    let options: Options<'_> = serde_json::from_slice(text).ok()?;
    match options.include_usage.map(RawValue::get) {
        Some(flag @ ("false" | "null")) => {
            let start = value.start + (flag.as_ptr().addr() - text.as_ptr().addr());
            Some((start..start + flag.len(), TRUE))
        }
        Some(_) => None,
        None => {
            let at = value.start + 1;
            let is_empty = inside.trim_ascii_start().starts_with(b"}");
            Some((at..at, &FLAG[..FLAG.len() - usize::from(is_empty)]))
        }
    }
}

/// The member whose value stands at `value`, with the comma that sets it apart.
fn member(body: &[u8], value: Range<usize>) -> Option<Range<usize>> {
    let front = body.get(..value.start)?.trim_ascii_end().strip_suffix(b":")?;
    // However the name is escaped, it has no quote inside.
    let name = memrchr(b'"', front.trim_ascii_end().strip_suffix(b"\"")?)?;
    let front = body[..name].trim_ascii_end();
    if front.ends_with(b",") {
        return Some(front.len() - 1..value.end);
    }
    let behind = &body[value.end..];
    let rest = behind.trim_ascii_start();
    let comma = if rest.starts_with(b",") { behind.len() - rest.len() + 1 } else { 0 };
    Some(name..value.end + comma)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Options<'a> {
    #[serde(borrow, deserialize_with = "as_it_is")]
    include_usage: Option<&'a RawValue>,
}

/// Keeps a `null` apart from nothing.
fn as_it_is<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

const MEMBER: &[u8] = b",\"stream_options\":{\"include_usage\":true}";
const OBJECT: &[u8] = b"{\"include_usage\":true}";
const FLAG: &[u8] = b"\"include_usage\":true,";
const TRUE: &[u8] = b"true";
const NOTHING: &[u8] = b"";

#[cfg(test)]
mod tests;
