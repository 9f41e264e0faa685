//! [`View`]: what the caller sees of usage.

use serde_json::value::RawValue;

use super::chunk::Chunk;
use super::grammar::Grammar;
use crate::provider::StreamUsage;

/// What the caller sees of the usage in a stream of chunks.
#[derive(Debug)]
pub(super) enum View {
    /// What the provider says.
    AsItIs,
    /// No chunk that is there for usage alone: it was not the caller who asked for it.
    WithoutChunk,
    /// One such chunk, although the provider could not be asked for it.
    WithChunk(Box<UsageChunk>),
}

/// The chunk that says what a stream used, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct UsageChunk {
    /// As the other chunks have it: the values of [`NAMES`].
    fields: [Option<Box<str>>; NAMES.len()],
    /// The last usage object; empty if none has come.
    usage: String,
    /// The provider has sent such a chunk by itself.
    is_sent: bool,
}

impl View {
    /// What a caller sees of a model that says usage by `stream_usage`. `is_asked`: the caller
    /// asked for usage.
    pub(super) fn of(grammar: Grammar, stream_usage: StreamUsage, is_asked: bool) -> Self {
        match (stream_usage, is_asked) {
            _ if grammar != Grammar::Chat => Self::AsItIs,
            (StreamUsage::Inject, false) => Self::WithoutChunk,
            (StreamUsage::Forbid, true) => Self::WithChunk(Box::default()),
            _ => Self::AsItIs,
        }
    }

    /// Takes note of a chunk. Whether the caller sees it.
    pub(super) fn admits(&mut self, chunk: &Chunk<'_>) -> bool {
        match self {
            Self::AsItIs => true,
            Self::WithoutChunk => !chunk.is_usage_only(),
            Self::WithChunk(made) => {
                made.note(chunk);
                true
            }
        }
    }

    /// Writes the event that the caller is still to see before the stream ends.
    pub(super) fn write_last(&self, text: &mut Vec<u8>) {
        if let Self::WithChunk(chunk) = self
            && !chunk.is_sent
            && !chunk.usage.is_empty()
        {
            chunk.write(text);
        }
    }
}

impl UsageChunk {
    fn note(&mut self, chunk: &Chunk<'_>) {
        let said = [chunk.id, chunk.object, chunk.created, chunk.model];
        for (field, said) in self.fields.iter_mut().zip(said) {
            let said = said.map(RawValue::get).filter(|said| said.len() <= MOST_FIELD);
            // They are the same in nearly every chunk.
            if said.is_some() && field.as_deref() != said {
                *field = said.map(Into::into);
            }
        }
        if let Some(usage) = chunk.usage()
            && usage.len() <= MOST_USAGE
        {
            self.usage.clear();
            self.usage.push_str(usage);
        }
        self.is_sent |= chunk.is_usage_only();
    }

    fn write(&self, text: &mut Vec<u8>) {
        text.extend_from_slice(b"data: {");
        for (name, field) in NAMES.iter().zip(&self.fields) {
            if let Some(field) = field {
                for part in ["\"", name, "\":", field, ","] {
                    text.extend_from_slice(part.as_bytes());
                }
            }
        }
        for part in ["\"choices\":[],\"usage\":", &self.usage, "}\n\n"] {
            text.extend_from_slice(part.as_bytes());
        }
    }
}

const NAMES: [&str; 4] = ["id", "object", "created", "model"];
/// In bytes; what is longer is left out.
const MOST_FIELD: usize = 1 << 10;
const MOST_USAGE: usize = 8 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(data: &str) -> Chunk<'_> {
        Chunk::read(data.as_bytes()).unwrap()
    }

    fn last(view: &View) -> String {
        let mut text = Vec::new();
        view.write_last(&mut text);
        String::from_utf8(text).unwrap()
    }

    const USAGE_ONLY: &str = r#"{"id":"c","choices":[],"usage":{"total_tokens":3}}"#;

    #[test]
    fn only_what_was_injected_is_taken_out() {
        use StreamUsage::{Forbid, Inject, Native};
        for (grammar, stream_usage, is_asked, admits) in [
            (Grammar::Chat, Inject, false, false),
            (Grammar::Chat, Inject, true, true),
            (Grammar::Chat, Native, false, true),
            (Grammar::Chat, Forbid, false, true),
            (Grammar::Chat, Forbid, true, true),
            (Grammar::Other, Inject, false, true),
        ] {
            let mut view = View::of(grammar, stream_usage, is_asked);
            assert_eq!(view.admits(&chunk(USAGE_ONLY)), admits, "{stream_usage:?} {is_asked}");
            assert!(view.admits(&chunk(r#"{"choices":[],"prompt_filter_results":[]}"#)));
            assert!(view.admits(&chunk(r#"{"choices":[{"index":0}],"usage":{"a":1}}"#)));
            assert_eq!(last(&view), "");
        }
    }

    #[test]
    fn a_chunk_is_made_of_the_last_usage_and_what_the_others_say() {
        let mut view = View::of(Grammar::Chat, StreamUsage::Forbid, true);
        for data in [
            r#"{"id":"","object":"","created":0,"model":"","choices":[]}"#,
            r#"{"id":"c-1","object":"chat.completion.chunk","created":7,"model":"m\"","choices":[{}]}"#,
            r#"{"id":"c-1","choices":[{}],"usage":{"total_tokens":1}}"#,
            r#"{"id":"c-1","choices":[{}],"usage":{"total_tokens":{"a":2}}}"#,
            r#"{"id":"c-1","choices":[{}],"usage":null}"#,
        ] {
            assert!(view.admits(&chunk(data)));
        }
        let expected = "data: {\"id\":\"c-1\",\"object\":\"chat.completion.chunk\",\"created\":7,\
            \"model\":\"m\\\"\",\"choices\":[],\"usage\":{\"total_tokens\":{\"a\":2}}}\n\n";
        assert_eq!(last(&view), expected);
        // Now the provider has said it itself.
        assert!(view.admits(&chunk(USAGE_ONLY)));
        assert_eq!(last(&view), "");
    }

    #[test]
    fn without_usage_there_is_no_chunk() {
        let mut view = View::of(Grammar::Chat, StreamUsage::Forbid, true);
        view.admits(&chunk(r#"{"id":"c","choices":[{}],"usage":null}"#));
        assert_eq!(last(&view), "");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let long = "x".repeat(10_000);
        let mut view = View::of(Grammar::Chat, StreamUsage::Forbid, true);
        view.admits(&chunk(&format!(r#"{{"id":"c","model":"{long}","usage":{{"a":"{long}"}}}}"#)));
        assert_eq!(last(&view), "");
        view.admits(&chunk(r#"{"usage":{"a":1}}"#));
        assert_eq!(last(&view), "data: {\"id\":\"c\",\"choices\":[],\"usage\":{\"a\":1}}\n\n");
    }
}
