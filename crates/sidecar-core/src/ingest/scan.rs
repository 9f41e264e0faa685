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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn model(body: &str) -> Result<Option<String>, ScanError> {
        let scan = scan(body.as_bytes())?.scan;
        if let Some(named) = &scan.model {
            let text: String = serde_json::from_str(&body[named.span.clone()]).unwrap();
            assert_eq!(text, named.name);
        }
        Ok(scan.model.map(|named| named.name.into_owned()))
    }

    fn found(name: &str) -> Result<Option<String>, ScanError> {
        Ok(Some(name.to_owned()))
    }

    #[test]
    fn the_model_is_found_wherever_it_stands() {
        assert_eq!(model(r#"{"model":"a/b-1"}"#), found("a/b-1"));
        assert_eq!(model(r#"{"messages":[{"model":"no"}],"model" : "m" , "n":1}"#), found("m"));
        assert_eq!(model(" \r\n\t{\"\u{e9}\":\"\u{e9}\",\"model\":\"\u{e9}\"}\n"), found("\u{e9}"));
        assert_eq!(model(r#"{"mod\u0065l":"\u006d\"\\"}"#), found("m\"\\"));
        assert_eq!(model(r#"{"Model":"x","prompt":"\"model\":\"y\""}"#), Ok(None));
        assert_eq!(model("{}"), Ok(None));
    }

    #[test]
    fn the_stream_flag_is_a_flag() {
        for (body, stream) in [
            (r#"{"stream":true}"#, Ok(true)),
            (r#"{"stream": false }"#, Ok(false)),
            (r#"{"stream":null}"#, Ok(false)),
            (r#"{"model":"m"}"#, Ok(false)),
            (r#"{"stream":"true"}"#, Err(ScanError::BadStream)),
            (r#"{"stream":1}"#, Err(ScanError::BadStream)),
            (r#"{"stream":{}}"#, Err(ScanError::BadStream)),
        ] {
            assert_eq!(scan(body.as_bytes()).map(|read| read.scan.stream), stream, "{body}");
        }
    }

    #[test]
    fn usage_is_asked_for_by_a_flag_that_is_true() {
        for (value, asked) in [
            (r#"{"include_usage":true}"#, true),
            (r#"{ "x" : [1] , "include\u005fusage" : true }"#, true),
            (r#"{"include_usage":false}"#, false),
            (r#"{"include_usage":null}"#, false),
            (r#"{"include_usage":"true"}"#, false),
            (r#"{"x":{"include_usage":true}}"#, false),
            ("{}", false),
            ("null", false),
            ("[true]", false),
            ("\"include_usage\"", false),
        ] {
            let body = format!(" {{\"model\":\"a\",\"stream_options\" : {value} , \"n\":1}}\n ");
            let options = scan(body.as_bytes()).unwrap().options;
            assert_eq!(options.usage_asked, asked, "{body}");
            assert_eq!(&body[options.stream_options.unwrap()], value);
            assert_eq!(&body[options.body_end.unwrap()..], "}\n ");
        }
        let options = scan(br#"{"metadata":{"stream_options":{"include_usage":true}}}"#).unwrap();
        let nothing = Options { body_end: Some(53), ..Options::default() };
        assert_eq!(options.options, nothing);
    }

    #[test]
    fn the_longest_answer_is_read_in_every_dialect() {
        for (members, tokens) in [
            (r#""max_tokens":8"#, Some(8)),
            (r#""max_completion_tokens": 4096 "#, Some(4_096)),
            (r#""max_output_tokens":1e3"#, Some(1_000)),
            (r#""max_tokens":16,"max_completion_tokens":32"#, Some(32)),
            (r#""generationConfig":{"temperature":0,"maxOutputTokens":64}"#, Some(64)),
            (r#""max_tokens":0"#, Some(0)),
            (r#""max_tokens":99999999999"#, Some(u32::MAX)),
            (r#""max_tokens":-1"#, None),
            (r#""max_tokens":null"#, None),
            (r#""max_tokens":"8""#, None),
            (r#""max_tokens":[8]"#, None),
            (r#""generationConfig":[64]"#, None),
            (r#""generationConfig":null"#, None),
            (r#""maxOutputTokens":64"#, None),
            (r#""metadata":{"max_tokens":8}"#, None),
        ] {
            let body = format!("{{\"model\":\"a\",{members}}}");
            let options = scan(body.as_bytes()).unwrap().options;
            assert_eq!(options.max_tokens, tokens, "{body}");
        }
    }

    #[test]
    fn what_is_not_one_json_object_is_refused() {
        for (body, error) in [
            ("", ScanError::NotJson),
            ("{", ScanError::NotJson),
            ("nonsense", ScanError::NotJson),
            (r#"["model",true]"#, ScanError::NotAnObject),
            ("\"model\"", ScanError::NotAnObject),
            ("1", ScanError::NotAnObject),
            ("null", ScanError::NotAnObject),
            (r#"{"model":"a"}{"model":"b"}"#, ScanError::NotJson),
            (r#"{"model":"a"} x"#, ScanError::NotJson),
            (r#"{"model":"a",}"#, ScanError::NotJson),
            (r#"{"model":"a""#, ScanError::NotJson),
            (r#"{'model':'a'}"#, ScanError::NotJson),
            (r#"{model:"a"}"#, ScanError::NotJson),
            (r#"{"model":"a","n":01}"#, ScanError::NotJson),
            (r#"{"model":"a","n":NaN}"#, ScanError::NotJson),
            ("{\"model\":\"a\",\"t\":\"\n\"}", ScanError::NotJson),
            ("{\"t\n\":1}", ScanError::NotJson),
            ("\u{feff}{\"model\":\"a\"}", ScanError::NotJson),
        ] {
            assert_eq!(scan(body.as_bytes()), Err(error), "{body}");
            assert_eq!(error.code(), "invalid_body");
        }
    }

    #[test]
    fn duplicates_are_refused_however_they_are_spelt() {
        for (body, name) in [
            (r#"{"model":"a","model":"a"}"#, "model"),
            (r#"{"model":"a","mod\u0065l":"b"}"#, "model"),
            (r#"{"\u006D\u006F\u0064\u0065\u006C":"a","model":"b"}"#, "model"),
            (r#"{"stream":true,"stream":false}"#, "stream"),
            (r#"{"stre\u0061m":true,"model":"a","stream":true}"#, "stream"),
            (r#"{"stream_options":{},"model":"a","stream_options":null}"#, "stream_options"),
            (r#"{"stream\u005foptions":{},"stream_options":{}}"#, "stream_options"),
            (
                r#"{"stream_options":{"include_usage":true,"include\u005fusage":false}}"#,
                "include_usage",
            ),
            (r#"{"max_tokens":1,"max_tok\u0065ns":9}"#, "max_tokens"),
            (
                r#"{"generationConfig":{"maxOutputTokens":1,"maxOutputTokens":9}}"#,
                "maxOutputTokens",
            ),
        ] {
            assert_eq!(scan(body.as_bytes()), Err(ScanError::Duplicate(name)), "{body}");
        }
        assert_eq!(model(r#"{"n":1,"n":2,"model":"a"}"#), found("a"));
    }

    #[test]
    fn a_model_is_a_short_text() {
        let long = format!(r#"{{"model":"{}"}}"#, "a".repeat(257));
        for body in [
            r#"{"model":""}"#,
            r#"{"model":null}"#,
            r#"{"model":1}"#,
            r#"{"model":["a"]}"#,
            r#"{"model":{"name":"a"}}"#,
            r#"{"model":"a\nb"}"#,
            r#"{"model":"a\u0000"}"#,
            r#"{"model":"\ud800"}"#,
            &long,
        ] {
            assert_eq!(model(body), Err(ScanError::BadModel), "{body}");
        }
        let longest = "a".repeat(256);
        assert_eq!(model(&format!(r#"{{"model":"{longest}"}}"#)), found(&longest));
        let escaped = "\\u0061".repeat(256);
        assert_eq!(model(&format!(r#"{{"model":"{escaped}"}}"#)), found(&longest));
    }

    #[test]
    fn utf8_is_checked_in_what_is_skipped_too() {
        let body = b"{\"model\":\"a\",\"messages\":[\"\xff\"]}";
        assert_eq!(scan(body), Err(ScanError::NotUtf8));
        assert_eq!(scan(b"{\"model\":\"a\",\"t\":\"\xed\xa0\x80\"}"), Err(ScanError::NotUtf8));
    }

    #[test]
    fn odd_but_legal_strings_pass() {
        let body = r#"{"t":"\u0000 \ud800 \udc00\ud83d","\ud800":1,"model":"a"}"#;
        assert_eq!(model(body), found("a"));
    }

    #[test]
    fn depth_is_bounded_and_costs_no_stack() {
        let nested = |depth: usize| {
            let (open, close) = ("[".repeat(depth), "]".repeat(depth));
            format!(r#"{{"model":"a","t":"[[{{\"[","x":{open}{close}}}"#)
        };
        assert_eq!(model(&nested(127)), found("a"));
        assert_eq!(model(&nested(128)), Err(ScanError::TooDeep));
        assert_eq!(model(&nested(200_000)), Err(ScanError::TooDeep));
        assert_eq!(ScanError::TooDeep.code(), "invalid_body");
        let objects = format!("{}1{}", "{\"a\":".repeat(200_000), "}".repeat(200_000));
        assert_eq!(scan(objects.as_bytes()), Err(ScanError::TooDeep));
        // Side by side is not deep.
        let flat = format!(r#"{{"x":[{}[]],"model":"a"}}"#, "[],".repeat(1_000));
        assert_eq!(model(&flat), found("a"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in any::<Vec<u8>>()) {
            let _ = scan(&bytes);
        }

        #[test]
        fn no_text_like_json_makes_it_panic(
            text in r#"\{("(model|stream|mod\\u0065l|x)":("a?"|true|[\[\]{}]{0,3}|"\\ud800"),?){0,4}\}?"#
        ) {
            let _ = scan(text.as_bytes());
        }

        #[test]
        fn it_accepts_only_what_serde_json_accepts(text in r#"[ -~\n]{0,24}"#) {
            if scan(text.as_bytes()).is_ok() {
                prop_assert!(serde_json::from_str::<IgnoredAny>(&text).is_ok());
            }
        }
    }
}
