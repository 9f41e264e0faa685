//! Reads the model's name, `stream`, `stream_options` and the longest answer from a JSON body, in
//! place.
//!
//! The whole body is checked (UTF-8, syntax, depth, duplicates), so that no provider's parser can
//! see another model than the one that was routed by; nothing of it is built.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use memchr::memchr2;
use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

/// What a body of any kind says that matters here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scan<'a> {
    pub(super) model: Option<NamedModel<'a>>,
    pub(super) stream: bool,
}

/// What a JSON body says that matters here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Document<'a> {
    pub(super) scan: Scan<'a>,
    pub(super) options: Options,
}

/// Whether the caller asked for the usage of its stream, what it takes to ask otherwise, and how
/// long an answer it allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) usage_asked: bool,
    /// Where the value of `stream_options` stands.
    pub(super) stream_options: Option<Range<usize>>,
    /// Where the closing brace of the document stands.
    pub(super) body_end: Option<usize>,
    /// The longest answer that the caller allows, in tokens.
    pub(super) max_tokens: Option<u32>,
}

/// The model that a body names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NamedModel<'a> {
    pub(super) name: Cow<'a, str>,
    /// Where it stands: in JSON the string with its quotes, in multipart the value.
    pub(super) span: Range<usize>,
}

/// What is wrong with a body, and what to do about it. Never repeats any of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// Not UTF-8.
    #[error("the request body is not UTF-8; encode the JSON as UTF-8")]
    NotUtf8,
    /// Not JSON, or more than one document.
    #[error("the request body is not valid JSON; send one JSON object and nothing after it")]
    NotJson,
    /// JSON, but not an object.
    #[error("the request body is not a JSON object; send an object with the field `model`")]
    NotAnObject,
    /// Nested too deeply.
    #[error("the request body is nested too deeply; nest at most 128 objects and arrays")]
    TooDeep,
    /// Not multipart as RFC 7578 has it.
    #[error(
        "the multipart body is not well formed; separate at most 256 parts by CRLF and the \
         boundary, end with the closing boundary, and give each part one content-disposition \
         with a name"
    )]
    NotMultipart,
    /// No boundary, or one that parsers read differently.
    #[error("the content-type has no usable boundary; give one of 1 to 70 plain characters")]
    Boundary,
    /// Neither JSON nor multipart where a model has to be named.
    #[error(
        "the content-type is not one that can name a model; send application/json or \
             multipart/form-data"
    )]
    ContentType,
    /// A field that counts here, twice.
    #[error("the request body has the field `{0}` more than once; send it once")]
    Duplicate(&'static str),
    /// No model where one is needed.
    #[error("the request body names no model; set the field `model`")]
    MissingModel,
    /// A model that is not a name.
    #[error(
        "the field `model` is not usable; send a string of 1 to 256 bytes without control \
         characters"
    )]
    BadModel,
    /// A `stream` that is neither true nor false.
    #[error("the field `stream` is not usable; send true or false")]
    BadStream,
}

impl<'a> From<Scan<'a>> for Document<'a> {
    /// A body that is no JSON, or none at all.
    fn from(scan: Scan<'a>) -> Self {
        Self { scan, options: Options::default() }
    }
}

impl ScanError {
    /// The `code` of the answer.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotUtf8
            | Self::NotJson
            | Self::NotAnObject
            | Self::TooDeep
            | Self::NotMultipart
            | Self::Boundary
            | Self::ContentType => "invalid_body",
            Self::Duplicate(_) => "invalid_body_duplicate_field",
            Self::MissingModel => "missing_model",
            Self::BadModel => "invalid_body_model",
            Self::BadStream => "invalid_body_stream",
        }
    }
}

/// Reads a JSON body.
pub(super) fn scan(body: &[u8]) -> Result<Document<'_>, ScanError> {
    let text = std::str::from_utf8(body).map_err(|_| ScanError::NotUtf8)?;
    let mut json = serde_json::Deserializer::from_str(text);
    let members = json.deserialize_map(MembersVisitor(NAMES)).map_err(refusal)?;
    json.end().map_err(|_| ScanError::NotJson)?;
    if is_too_deep(body) {
        return Err(ScanError::TooDeep);
    }
    if let Some(name) = members.twice {
        return Err(ScanError::Duplicate(name));
    }
    let [model, stream, stream_options, gemini, limits @ ..] = members.values;
    let stream = match stream {
        None | Some("null" | "false") => false,
        Some("true") => true,
        Some(_) => return Err(ScanError::BadStream),
    };
    let model = model.map(|raw| named_model(raw, body)).transpose()?;
    let usage_asked = member(stream_options, "include_usage")?;
    let gemini_limit = member(gemini, "maxOutputTokens")?;
    let options = Options {
        usage_asked: usage_asked == Some("true"),
        stream_options: stream_options.map(|raw| span(raw, body)),
        // Nothing but white space comes after it.
        body_end: body.trim_ascii_end().len().checked_sub(1),
        // Of several it is not known which one a provider goes by.
        max_tokens: limits.into_iter().chain([gemini_limit]).flatten().filter_map(tokens).max(),
    };
    Ok(Document { scan: Scan { model, stream }, options })
}

/// Whether `name` can be the name of a model: what a provider's mapping may be called.
pub(super) fn is_model_name(name: &str) -> bool {
    (1..=MAX_MODEL_LEN).contains(&name.len()) && !name.chars().any(char::is_control)
}

/// The raw values of the members of an object that count.
struct Members<'de, const N: usize> {
    values: [Option<&'de str>; N],
    /// One of them that is there more than once.
    twice: Option<&'static str>,
}

/// Looks for the members of these names. Takes a map and nothing else: a derived struct would also
/// take an array for one.
struct MembersVisitor<const N: usize>([&'static str; N]);

impl<'de, const N: usize> Visitor<'de> for MembersVisitor<N> {
    type Value = Members<'de, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Members { values: [None; N], twice: None };
        while let Some(key) = map.next_key::<&'de RawValue>()? {
            // Escapes are undone first: `mod\u0065l` is `model` to every parser.
            let key = unquoted(key.get());
            let Some(place) = self.0.iter().position(|name| key.as_deref() == Some(*name)) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let value = map.next_value::<&'de RawValue>()?.get();
            if members.values[place].replace(value).is_some() {
                members.twice = Some(self.0[place]);
            }
        }
        Ok(members)
    }
}

fn refusal(error: serde_json::Error) -> ScanError {
    match error.classify() {
        // Well-formed so far: the visitor did not get its map.
        Category::Data => ScanError::NotAnObject,
        _ => ScanError::NotJson,
    }
}

/// The text of a JSON string; `None` if it is none, or has no text (a lone surrogate).
fn unquoted(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str(raw).ok().map(Cow::Owned)
}

fn named_model<'a>(raw: &'a str, body: &[u8]) -> Result<NamedModel<'a>, ScanError> {
    // Six bytes are the longest escape of one.
    if raw.len() > 6 * MAX_MODEL_LEN + 2 {
        return Err(ScanError::BadModel);
    }
    let name = unquoted(raw).filter(|name| is_model_name(name)).ok_or(ScanError::BadModel)?;
    Ok(NamedModel { name, span: span(raw, body) })
}

/// The member `name` of `object`, if it has one. What is no object is the provider's to refuse.
fn member<'a>(object: Option<&'a str>, name: &'static str) -> Result<Option<&'a str>, ScanError> {
    let Some(object) = object else { return Ok(None) };
    let mut json = serde_json::Deserializer::from_str(object);
    let Ok(members) = json.deserialize_map(MembersVisitor([name])) else { return Ok(None) };
    match members.twice {
        Some(name) => Err(ScanError::Duplicate(name)),
        None => Ok(members.values[0]),
    }
}

/// A number of tokens, up to what fits. What is none is the provider's to refuse.
fn tokens(raw: &str) -> Option<u32> {
    let number: f64 = raw.parse().ok()?;
    (number >= 0.0).then_some(number as u32)
}

/// Where `raw`, which is a part of `body`, stands in it.
fn span(raw: &str, body: &[u8]) -> Range<usize> {
    let start = raw.as_ptr().addr() - body.as_ptr().addr();
    start..start + raw.len()
}

/// Whether more containers are nested than a parser that recurses can be trusted with. `json` is
/// known to be valid.
fn is_too_deep(json: &[u8]) -> bool {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(byte) = json.get(at) {
        at += 1;
        match byte {
            b'"' => at = string_end(json, at),
            b'[' | b'{' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// The end of the string whose text begins at `at`.
fn string_end(json: &[u8], mut at: usize) -> usize {
    while let Some(found) = memchr2(b'"', b'\\', json.get(at..).unwrap_or_default()) {
        at += found + 1;
        if json[at - 1] == b'"' {
            return at;
        }
        // What a backslash escapes ends nothing.
        at += 1;
    }
    json.len()
}

/// The members of a body that count.
const NAMES: [&str; 7] = [
    "model",
    "stream",
    "stream_options",
    "generationConfig",
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
];
pub(super) const MAX_MODEL_LEN: usize = 256;
const MAX_DEPTH: usize = 128;

#[cfg(test)]
mod tests;
