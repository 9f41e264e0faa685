//! Reads usage from an answer that streams by, within a bounded memory.

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use memchr::{memchr, memmem};
use serde::Deserialize;

use super::tokens::{Reported, Tokens};
use crate::sse::is_event_stream;

/// Reads usage from the bytes of one answer, in whatever pieces they come. The last usage wins;
/// providers that repeat it count upwards.
#[derive(Debug)]
pub(super) enum Scanner {
    /// Server-sent events: one line is kept.
    Events { line: Vec<u8>, overlong: bool, tokens: Option<Tokens> },
    /// A JSON document: its tail is kept, where usage stands.
    Document { tail: Vec<u8> },
    /// Neither: nothing to read.
    Opaque,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event {
    usage: Option<Reported>,
    x_groq: Option<Holder>,
    response: Option<Holder>,
    message: Option<Holder>,
    #[serde(rename = "usageMetadata")]
    usage_metadata: Option<Reported>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Holder {
    usage: Option<Reported>,
}

impl Scanner {
    /// A scanner for an answer with these headers.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        if is_event_stream(headers) {
            return Self::Events { line: Vec::new(), overlong: false, tokens: None };
        }
        match headers.get(CONTENT_TYPE).map(|value| value.as_bytes().to_ascii_lowercase()) {
            Some(value) if !value.starts_with(b"application/json") => Self::Opaque,
            // Some servers name no type at all for their JSON.
            _ => Self::Document { tail: Vec::new() },
        }
    }

    /// Takes the next piece.
    pub(super) fn feed(&mut self, mut piece: &[u8]) {
        match self {
            Self::Events { line, overlong, tokens } => {
                while let Some(end) = memchr(b'\n', piece) {
                    let (rest_of_line, rest) = piece.split_at(end);
                    piece = &rest[1..];
                    if *overlong {
                        *overlong = false;
                    } else if line.is_empty() {
                        read_line(rest_of_line, tokens);
                    } else {
                        line.extend_from_slice(rest_of_line);
                        read_line(line, tokens);
                    }
                    line.clear();
                }
                if line.len() + piece.len() > MOST_KEPT {
                    *overlong = true;
                    line.clear();
                } else if !*overlong {
                    line.extend_from_slice(piece);
                }
            }
            Self::Document { tail } => {
                let piece = &piece[piece.len().saturating_sub(MOST_KEPT)..];
                if tail.len() + piece.len() > 2 * MOST_KEPT {
                    tail.drain(..tail.len() - MOST_KEPT);
                }
                tail.extend_from_slice(piece);
            }
            Self::Opaque => {}
        }
    }

    /// What the answer said, once all of it has come.
    pub(super) fn finish(self) -> Option<Tokens> {
        match self {
            Self::Events { line, tokens, .. } => {
                let mut tokens = tokens;
                read_line(&line, &mut tokens);
                tokens
            }
            Self::Document { tail } => read_document(&tail),
            Self::Opaque => None,
        }
    }

    /// Whether an answer of this kind has usage at all.
    pub(super) const fn is_opaque(&self) -> bool {
        matches!(self, Self::Opaque)
    }
}

fn read_line(line: &[u8], tokens: &mut Option<Tokens>) {
    let Some(data) = line.strip_prefix(b"data:") else { return };
    if memmem::find(data, b"\"usage").is_none() {
        return;
    }
    let Ok(event) = serde_json::from_slice::<Event>(data) else { return };
    let Event { usage, x_groq, response, message, usage_metadata } = event;
    let held = |holder: Option<Holder>| holder.and_then(|holder| holder.usage);
    let said = [usage, held(x_groq), held(response), held(message), usage_metadata];
    let last = said.into_iter().flatten().find_map(|usage| usage.tokens(*tokens));
    *tokens = last.or(*tokens);
}

/// Finds the last usage object of a document whose head may be gone. A text that mentions one has
/// its quotes escaped, so it cannot be mistaken for one.
fn read_document(tail: &[u8]) -> Option<Tokens> {
    [b"\"usage\"".as_slice(), b"\"usageMetadata\""].into_iter().find_map(|name| {
        let after = &tail[memmem::rfind(tail, name)? + name.len()..];
        let after = after.trim_ascii_start().strip_prefix(b":")?;
        let reported = serde_json::Deserializer::from_slice(after).into_iter::<Reported>().next();
        reported?.ok()?.tokens(None)
    })
}

/// The longest line, and the longest tail of a document, in bytes.
const MOST_KEPT: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scanner(content_type: &'static str) -> Scanner {
        let content_type = (CONTENT_TYPE, http::HeaderValue::from_static(content_type));
        Scanner::of(&HeaderMap::from_iter([content_type]))
    }

    fn scan(content_type: &'static str, pieces: &[&[u8]]) -> Option<Tokens> {
        let mut scanner = scanner(content_type);
        for piece in pieces {
            scanner.feed(piece);
        }
        scanner.finish()
    }

    const STREAM: &str = "data: {\"choices\":[],\"usage\":null}\n\n\
        : keep-alive\n\n\
        data: {\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1}}\r\n\r\n\
        data: {\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":9,\"total_tokens\":12,\
        \"prompt_tokens_details\":{\"cached_tokens\":2}}}\n\ndata: [DONE]\n\n";

    #[test]
    fn the_last_usage_of_a_stream_wins() {
        let tokens = scan("text/event-stream; charset=utf-8", &[STREAM.as_bytes()]).unwrap();
        assert_eq!((tokens.prompt, tokens.completion, tokens.cached), (3, 9, 2));
    }

    #[test]
    fn anthropic_tells_its_two_sides_in_two_events() {
        let stream = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":\
            {\"input_tokens\":10,\"cache_read_input_tokens\":5,\"cache_creation_input_tokens\":2,\
            \"output_tokens\":1}}}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\
            \"usage\":{\"output_tokens\":42}}\n\n";
        let tokens = scan("text/event-stream", &[stream.as_bytes()]).unwrap();
        let expected =
            Tokens { prompt: 17, completion: 42, cached: 5, cache_write: 2, reasoning: 0 };
        assert_eq!(tokens, expected);
    }

    #[test]
    fn other_dialects_are_read() {
        for (json, prompt, completion) in [
            (
                r#"{"usage":{"input_tokens":4,"output_tokens":6,"input_tokens_details":{"cached_tokens":1}}}"#,
                4,
                6,
            ),
            (
                r#"{"usageMetadata":{"promptTokenCount":8,"candidatesTokenCount":3,"thoughtsTokenCount":2}}"#,
                8,
                5,
            ),
            (
                r#"{"usage":{"prompt_tokens":12,"completion_tokens":2,"total_tokens":354,"completion_tokens_details":{"reasoning_tokens":340}}}"#,
                12,
                342,
            ),
            (r#"{"usage":{"prompt_tokens":7,"total_tokens":7}}"#, 7, 0),
        ] {
            let tokens = scan("application/json", &[json.as_bytes()]).unwrap();
            assert_eq!((tokens.prompt, tokens.completion), (prompt, completion), "{json}");
        }
    }

    #[test]
    fn a_text_that_mentions_usage_is_not_taken_for_one() {
        let json = r#"{"choices":[{"text":"\"usage\":{\"prompt_tokens\":9}"}]}"#;
        assert_eq!(scan("application/json", &[json.as_bytes()]), None);
    }

    #[test]
    fn impossible_numbers_are_refused() {
        for json in [
            r#"{"usage":{"prompt_tokens":-1}}"#,
            r#"{"usage":{"prompt_tokens":1e30,"completion_tokens":1}}"#,
            r#"{"usage":{"prompt_tokens":900000000,"completion_tokens":1}}"#,
            r#"{"usage":{"prompt_tokens":1,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":5}}}"#,
        ] {
            assert_eq!(scan("application/json", &[json.as_bytes()]), None, "{json}");
        }
    }

    #[test]
    fn an_endless_line_costs_a_bounded_memory() {
        let mut scanner = scanner("text/event-stream");
        for _ in 0..100 {
            scanner.feed(&[b'x'; 10_000]);
        }
        scanner.feed(b"\ndata: {\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n");
        assert_eq!(scanner.finish().unwrap().completion, 2);
    }

    proptest! {
        #[test]
        fn any_split_of_a_stream_reads_the_same(cuts in proptest::collection::vec(0..STREAM.len(), 0..8)) {
            let mut cuts = cuts;
            cuts.extend([0, STREAM.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> =
                cuts.windows(2).map(|cut| &STREAM.as_bytes()[cut[0]..cut[1]]).collect();
            prop_assert_eq!(
                scan("text/event-stream", &pieces),
                scan("text/event-stream", &[STREAM.as_bytes()])
            );
        }

        #[test]
        fn no_bytes_make_it_panic(pieces in proptest::collection::vec(any::<Vec<u8>>(), 0..8)) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            scan("text/event-stream", &pieces);
            scan("application/json", &pieces);
        }
    }
}
