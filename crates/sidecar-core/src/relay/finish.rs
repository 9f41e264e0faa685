//! [`Finish`]: whether a stream has come to its proper end.

use std::borrow::Cow;

use memchr::memmem;
use serde::Deserialize;

use super::chunk::Chunk;
use super::grammar::Grammar;

/// Whether a stream has come to its proper end.
#[derive(Debug, Default)]
pub(super) struct Finish {
    /// The choices that have begun, and those that have ended, a bit each.
    begun: u64,
    ended: u64,
    /// The event that is the last one of its family has come.
    has_last: bool,
    /// The number of the last event.
    number: Option<u64>,
}

/// What a named event says of itself.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Typed<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Cow<'a, str>,
    sequence_number: Option<u64>,
}

impl Finish {
    /// Nothing is missing, unless a `[DONE]` is: the answer may be ended well.
    pub(super) const fn is_proper(&self) -> bool {
        self.has_last || (self.ended != 0 && self.begun & !self.ended == 0)
    }

    /// Nothing more can come.
    pub(super) const fn is_last(&self) -> bool {
        self.has_last
    }

    /// The number of the next event.
    pub(super) const fn next_number(&self) -> u64 {
        match self.number {
            Some(number) => number.saturating_add(1),
            None => 0,
        }
    }

    pub(super) fn read_chunk(&mut self, chunk: &Chunk<'_>) {
        let (begun, ended) = chunk.progress();
        self.begun |= begun;
        // Usage may still come with a choice that has ended, and without a reason.
        self.ended |= ended;
    }

    /// One event more, which may say its number.
    pub(super) fn count(&mut self, event: &Typed<'_>) {
        self.number = Some(event.sequence_number.unwrap_or(self.next_number()));
    }

    /// The answer said that it has come to its end, but not which choice of it.
    pub(super) fn end_one(&mut self) {
        self.ended |= 1;
    }

    pub(super) fn end_all(&mut self) {
        self.has_last = true;
    }
}

impl<'a> Typed<'a> {
    /// Reads the data of an event. One that says nothing of itself is of no type.
    pub(super) fn read(data: &'a [u8]) -> Self {
        // A derived struct would also take an array for one.
        let object = data.starts_with(b"{").then_some(data);
        object.and_then(|data| serde_json::from_slice(data).ok()).unwrap_or_default()
    }
}

/// Whether `text`, a part of a JSON document, says why the answer ended: a member with one of the
/// marks of `grammar` for a name and a text for a value. Inside of a text its quotes would be
/// escaped.
pub(super) fn says_finish(text: &[u8], grammar: Grammar) -> bool {
    let is_value = |at: usize| {
        let rest = text[at..].trim_ascii_start().strip_prefix(b":");
        matches!(rest.map(<[u8]>::trim_ascii_start), Some([b'"', first, ..]) if *first != b'"')
    };
    let says = |mark: &&[u8]| memmem::find_iter(text, *mark).any(|at| is_value(at + mark.len()));
    grammar.finish_marks().iter().any(says)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chat_is_finished_when_all_of_its_choices_are() {
        let mut finish = Finish::default();
        for (choices, is_proper) in [
            (r#"[{"index":0}]"#, false),
            (r#"[{"index":1}]"#, false),
            (r#"[{"index":0,"finish_reason":"stop"}]"#, false),
            (r#"[{"index":1,"finish_reason":"length"}]"#, true),
            // Usage that comes with a choice again.
            (r#"[{"index":0,"finish_reason":null}]"#, true),
            ("[]", true),
            (r#"[{"index":2}]"#, false),
        ] {
            let data = format!("{{\"choices\":{choices}}}");
            finish.read_chunk(&Chunk::read(data.as_bytes()).unwrap());
            assert_eq!(finish.is_proper(), is_proper, "{choices}");
        }
        assert!(!finish.is_last());
    }

    #[test]
    fn events_are_numbered_on() {
        let mut finish = Finish::default();
        assert_eq!(finish.next_number(), 0);
        for (data, next) in [
            ("{\"type\":\"a\",\"sequence_number\":4}", 5),
            ("{\"type\":\"a\"}", 6),
            ("nonsense", 7),
            ("{\"sequence_number\":18446744073709551615}", u64::MAX),
        ] {
            finish.count(&Typed::read(data.as_bytes()));
            assert_eq!(finish.next_number(), next, "{data}");
        }
    }

    #[test]
    fn a_reason_is_a_text_that_is_not_empty() {
        for (text, says) in [
            (r#""finish_reason":"stop""#, true),
            (r#"x,"finish_reason" : "length"}"#, true),
            (r#""finish_reason":null,"finish_reason":"stop""#, true),
            (r#""finish_reason":null"#, false),
            (r#""finish_reason":"""#, false),
            (r#""finish_reason":"#, false),
            (r#""finish_reason"#, false),
            (r#""native_finish_reason":"stop""#, false),
            (r#""content":"\"finish_reason\":\"stop\"""#, false),
            (r#""finishReason":"STOP""#, false),
        ] {
            assert_eq!(says_finish(text.as_bytes(), Grammar::Chat), says, "{text}");
        }
        assert!(says_finish(br#""finishReason": "STOP""#, Grammar::Gemini));
        assert!(says_finish(br#"{"promptFeedback":{"blockReason":"SAFETY"}}"#, Grammar::Gemini));
        assert!(!says_finish(br#""finish_reason":"stop""#, Grammar::Other));
    }
}
