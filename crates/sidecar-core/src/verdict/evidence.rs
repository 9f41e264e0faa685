//! [`Evidence`]: what an error body says, in whichever shape its vendor gives it.

use serde_json::{Map, Value};

use super::duration;

/// The texts and codes of an error body. Everything compared is in lower case and bounded.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    /// The document, taken out of an array of one.
    root: Value,
    /// What is written for people.
    messages: Vec<String>,
    /// What is written for programs, the inner object's first.
    codes: Vec<String>,
    /// What an aggregator quotes of the provider behind it.
    quoted: String,
    is_page: bool,
}

impl Evidence {
    /// Reads at most [`MOST_BODY`] bytes of `body`: a JSON document, or a plain text.
    pub(super) fn of_body(body: &[u8]) -> Self {
        let body = front(body);
        if body.starts_with(b"<") {
            return Self { is_page: true, ..Self::default() };
        }
        serde_json::from_slice(body).map_or_else(
            // A plain text, or a document that is cut.
            |_| {
                let text = &body[..body.len().min(MOST_TEXT)];
                let mut evidence = Self::default();
                evidence.read(&Value::String(String::from_utf8_lossy(text).into_owned()));
                evidence
            },
            Self::of_value,
        )
    }

    /// Reads a parsed document.
    pub(super) fn of_value(document: Value) -> Self {
        let root = unwrapped(document);
        let mut evidence = Self::default();
        if let Some(error) = root.get("error") {
            evidence.read(error);
        }
        evidence.read(&root);
        Self { root, ..evidence }
    }

    /// Whether it is an HTML page, which tells nothing.
    pub(super) const fn is_page(&self) -> bool {
        self.is_page
    }

    pub(super) fn messages(&self) -> impl Iterator<Item = &str> {
        self.messages.iter().map(String::as_str)
    }

    pub(super) fn codes(&self) -> impl Iterator<Item = &str> {
        self.codes.iter().map(String::as_str)
    }

    pub(super) fn has_code(&self, codes: &[&str]) -> bool {
        self.codes().any(|code| codes.contains(&code))
    }

    /// Whether a message contains one of `phrases`.
    pub(super) fn says(&self, phrases: &[&str]) -> bool {
        self.messages().any(|message| contains(message, phrases))
    }

    /// Whether a message starts with one of `phrases`. For what a caller could otherwise make the
    /// provider repeat.
    pub(super) fn begins(&self, phrases: &[&str]) -> bool {
        self.messages().any(|message| phrases.iter().any(|phrase| message.starts_with(phrase)))
    }

    /// Whether a message that starts with `head` contains one of `phrases`.
    pub(super) fn begins_and_says(&self, head: &str, phrases: &[&str]) -> bool {
        self.messages().any(|message| message.starts_with(head) && contains(message, phrases))
    }

    /// Whether the provider itself or the one it quotes says one of `phrases`.
    pub(super) fn relays(&self, phrases: &[&str]) -> bool {
        contains(&self.quoted, phrases) || self.says(phrases)
    }

    /// Whether a message has one of `words` as a word of its own.
    pub(super) fn has_word(&self, words: &[&str]) -> bool {
        let is_alone = |message: &str, at: usize, word: &str| {
            let is_part = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
            let before = message[..at].chars().next_back();
            let after = message[at + word.len()..].chars().next();
            !(is_part(before) || is_part(after))
        };
        self.messages().any(|message| {
            words
                .iter()
                .any(|word| message.match_indices(word).any(|(at, _)| is_alone(message, at, word)))
        })
    }

    /// What follows `phrase`, wherever a message has it.
    pub(super) fn after<'a>(&'a self, phrase: &'a str) -> impl Iterator<Item = &'a str> {
        self.messages().flat_map(move |message| {
            message.match_indices(phrase).map(move |(at, _)| &message[at + phrase.len()..])
        })
    }

    /// The numbers that follow `phrase`.
    pub(super) fn numbers_after<'a>(&'a self, phrase: &'a str) -> impl Iterator<Item = u64> {
        self.after(phrase).filter_map(duration::leading_number)
    }

    /// Google's `details` of a kind.
    pub(super) fn details<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        let is_kind = move |detail: &&Value| {
            let name = detail.get("@type").and_then(Value::as_str);
            name.is_some_and(|name| name.ends_with(kind))
        };
        items(self.error().get("details")).filter(is_kind)
    }

    /// What `error.metadata` has under `name`.
    pub(super) fn metadata(&self, name: &str) -> Option<&Value> {
        self.error().get("metadata")?.get(name)
    }

    /// A header that OpenRouter repeats in its body.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        let headers = self.metadata("headers")?.as_object()?;
        let mut headers = headers.iter().take(MOST_ITEMS);
        headers.find(|(key, _)| key.eq_ignore_ascii_case(name)).and_then(|(_, value)| label(value))
    }

    fn error(&self) -> &Value {
        match self.root.get("error") {
            Some(error @ Value::Object(_)) => error,
            _ => &self.root,
        }
    }

    fn read(&mut self, value: &Value) {
        let mut heard = Vec::new();
        texts(value, DEPTH, &mut heard);
        self.messages.extend(heard.iter().map(|text| text.to_ascii_lowercase()));
        if let Value::Object(members) = value {
            self.read_codes(members);
        }
    }

    fn read_codes(&mut self, members: &Map<String, Value>) {
        self.codes.extend(CODES.iter().filter_map(|name| label(members.get(*name)?)));
        for (holder, name) in
            [("details", "error_code"), ("innererror", "code"), ("metadata", "limit_source")]
        {
            self.codes.extend(members.get(holder).and_then(|held| label(held.get(name)?)));
        }
        let reasons = items(members.get("details"));
        self.codes.extend(reasons.filter_map(|detail| label(detail.get("reason")?)));
        if let Some(raw) = members.get("metadata").and_then(|metadata| metadata.get("raw")) {
            let raw = raw.as_str().map_or_else(|| raw.to_string(), str::to_owned);
            self.quoted = clip(&raw, MOST_TEXT).to_ascii_lowercase();
        }
    }
}

/// At most [`MOST_BODY`] bytes, without a byte order mark and white space before them.
pub(super) fn front(body: &[u8]) -> &[u8] {
    let body = &body[..body.len().min(MOST_BODY)];
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii()
}

/// The first element of an array, which Gemini's compatibility layer wraps its errors in.
pub(super) fn unwrapped(document: Value) -> Value {
    match document {
        Value::Array(items) => items.into_iter().next().unwrap_or_default(),
        other => other,
    }
}

/// Collects what `value` says to people: a string, the message of an object, or of each element
/// of an array. Some vendors nest their message in an object or list.
fn texts(value: &Value, depth: u8, heard: &mut Vec<String>) {
    if heard.len() >= MOST_ITEMS {
        return;
    }
    match value {
        Value::String(text) if !text.trim().is_empty() => {
            heard.push(clip(text.trim(), MOST_TEXT).to_owned());
        }
        Value::Array(list) if depth > 0 => {
            for item in list.iter().take(MOST_ITEMS) {
                texts(item, depth - 1, heard);
            }
        }
        Value::Object(members) if depth > 0 => {
            for name in MESSAGES {
                if let Some(member) = members.get(name) {
                    texts(member, depth - 1, heard);
                }
            }
        }
        _ => {}
    }
}

/// The longest front of `text` of at most `most` bytes.
pub(super) fn clip(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn items(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten().take(MOST_ITEMS)
}

/// A short string or a number, in lower case.
fn label(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if text.len() <= MOST_LABEL => Some(text.to_ascii_lowercase()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn contains(text: &str, phrases: &[&str]) -> bool {
    phrases.iter().any(|phrase| text.contains(phrase))
}

/// The members that are written for people, the most telling first.
pub(super) const MESSAGES: [&str; 5] = ["message", "detail", "msg", "error_description", "title"];
/// The members that are written for programs, the most telling first.
const CODES: [&str; 6] = ["code", "error_code", "type", "status", "status_code", "raw_status_code"];
/// How deep a message may be nested.
const DEPTH: u8 = 4;
/// The most that is read of a body, in bytes.
const MOST_BODY: usize = 64 << 10;
/// The most that is read of one text, in bytes.
const MOST_TEXT: usize = 8 << 10;
/// The longest code, in bytes.
const MOST_LABEL: usize = 96;
/// The most elements that are looked at in any list.
pub(super) const MOST_ITEMS: usize = 16;
