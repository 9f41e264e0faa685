//! [`CallerMessage`]: a provider's words about the caller's own fault.

use serde_json::Value;

use super::evidence::{Evidence, MESSAGES, MOST_ITEMS, clip, front, unwrapped};
use super::redact::redact;
use super::rules;
use crate::secret::Secret;

/// What a provider says about the caller's own fault, cleaned so that it can be passed on: no
/// control characters, no keys, no addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallerMessage {
    /// What is wrong, for people; at most 4 KiB.
    pub message: String,
    /// The class of the error.
    pub error_type: Option<String>,
    /// The parameter at fault.
    pub param: Option<String>,
    /// The error, for programs; a number as text.
    pub code: Option<String>,
    /// Whether the prompt does not fit the model's window.
    pub is_context_too_long: bool,
}

impl CallerMessage {
    /// Takes out a key that the provider may have repeated, whatever it looks like.
    pub(crate) fn redact(&mut self, key: &Secret) {
        let key = key.expose();
        let others = [&mut self.error_type, &mut self.param, &mut self.code];
        for text in std::iter::once(&mut self.message).chain(others.into_iter().flatten()) {
            // A placeholder of one or two letters would take every word apart.
            if key.len() > 2 && text.contains(key) {
                *text = text.replace(key, "[key]");
            }
        }
    }
}

/// Reads the message of any vendor's error body, of which at most 64 KiB are looked at. `None` if
/// there is nothing to read, as in an HTML page.
pub fn caller_message(body: &[u8]) -> Option<CallerMessage> {
    let body = front(body);
    if body.starts_with(b"<") {
        return None;
    }
    match serde_json::from_slice(body) {
        Ok(document) => of_document(unwrapped(document)),
        Err(_) => of_text(body),
    }
}

fn of_document(root: Value) -> Option<CallerMessage> {
    let error = match root.get("error") {
        Some(error @ Value::Object(_)) => error,
        _ => &root,
    };
    let message = text_of(error)
        .or_else(|| text_of(root.get("error")?))
        .or_else(|| text_of(&root))
        .map(|text| clean(&text, MOST_MESSAGE))
        .filter(|text| !text.is_empty())?;
    let field = |name: &str| {
        let text = match error.get(name)? {
            Value::String(text) => clean(text, MOST_FIELD),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        (!text.is_empty()).then_some(text)
    };
    let (param, code) = (field("param"), field("code"));
    // Google's type is its `status`; elsewhere that is the HTTP status over again.
    let status = || field("status").filter(|_| error.get("status").is_some_and(Value::is_string));
    let error_type = field("type").or_else(status);
    let is_context_too_long = rules::is_context_too_long(&Evidence::of_value(root));
    Some(CallerMessage { message, error_type, param, code, is_context_too_long })
}

/// A plain text. What looks like a document that is cut is not one.
fn of_text(body: &[u8]) -> Option<CallerMessage> {
    let text = clip(std::str::from_utf8(body).ok()?, 2 * MOST_MESSAGE);
    let message = clean(text, MOST_MESSAGE);
    if text.starts_with(['{', '[', '"']) || !message.contains(char::is_alphanumeric) {
        return None;
    }
    let is_context_too_long = rules::is_context_too_long(&Evidence::of_body(body));
    Some(CallerMessage { message, is_context_too_long, ..CallerMessage::default() })
}

/// What `value` says, in one line: a string, the most telling member of an object, or the elements
/// of a list.
fn text_of(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => clip(text, 2 * MOST_MESSAGE).to_owned(),
        Value::Object(members) => MESSAGES.iter().find_map(|name| text_of(members.get(*name)?))?,
        Value::Array(list) => {
            let texts = list.iter().take(MOST_ITEMS).filter_map(|item| {
                let text = text_of(item)?;
                Some(match place_of(item) {
                    Some(place) => format!("{place}: {text}"),
                    None => text,
                })
            });
            texts.collect::<Vec<_>>().join("; ")
        }
        _ => return None,
    };
    (!text.trim().is_empty()).then_some(text)
}

/// Where in the request a validator found something.
fn place_of(item: &Value) -> Option<String> {
    let steps = item.get("loc")?.as_array()?.iter().take(MOST_ITEMS);
    let steps: Vec<String> = steps
        .filter_map(|step| match step {
            Value::String(name) => Some(name.clone()),
            Value::Number(index) => Some(index.to_string()),
            _ => None,
        })
        .collect();
    (!steps.is_empty()).then(|| steps.join("."))
}

/// `text` without control characters, keys and addresses, in at most `most` bytes.
fn clean(text: &str, most: usize) -> String {
    // Cut before the work, and once more after it: a mask may be longer than what it hides.
    let printable: String = clip(text, 2 * most)
        .chars()
        .map(|c| if c.is_whitespace() { ' ' } else { c })
        .filter(|c| !c.is_control() && !is_invisible(*c))
        .collect();
    clip(&redact(&printable), most).trim().to_owned()
}

/// Characters that reorder or hide others.
const fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
    )
}

/// In bytes.
const MOST_MESSAGE: usize = 4 << 10;
const MOST_FIELD: usize = 128;
