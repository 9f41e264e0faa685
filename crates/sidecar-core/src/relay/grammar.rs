//! [`Grammar`]: how a family writes its streams.

use crate::call::Head;
use crate::ingest::Family;
use crate::provider::Api;

/// How a family writes its streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grammar {
    /// OpenAI chat completions and completions: chunks without names, `finish_reason`, `[DONE]`.
    Chat,
    /// Whatever else of OpenAI's is streamed (images, audio). How it ends is not known.
    Other,
    /// OpenAI Responses: named and numbered events, the last of which is known by its type.
    Responses,
    /// Anthropic Messages: named events, the last of which is `message_stop`.
    Anthropic,
    /// Gemini: chunks without names, `finishReason`.
    Gemini,
}

impl Grammar {
    /// The grammar of the answer to a request.
    pub(super) fn of(head: &Head) -> Self {
        match head.family {
            Family::OpenAi => match &*head.path {
                "/v1/chat/completions" | "/v1/completions" => Self::Chat,
                _ => Self::Other,
            },
            Family::Responses => Self::Responses,
            Family::Anthropic => Self::Anthropic,
            Family::Gemini => Self::Gemini,
        }
    }

    /// Whose errors are to be expected.
    pub(super) const fn api(self) -> Api {
        match self {
            Self::Chat | Self::Other => Api::OpenaiCompletions,
            Self::Responses => Api::OpenaiResponses,
            Self::Anthropic => Api::AnthropicMessages,
            Self::Gemini => Api::GoogleGenerativeAi,
        }
    }

    /// Whether clients take nothing but data and comments.
    pub(super) const fn is_strict(self) -> bool {
        matches!(self, Self::Chat)
    }

    /// Whether `[DONE]` ends a stream.
    pub(super) const fn has_done(self) -> bool {
        matches!(self, Self::Chat | Self::Other)
    }

    /// Whether events say their type.
    pub(super) const fn has_types(self) -> bool {
        matches!(self, Self::Responses | Self::Anthropic)
    }

    /// The types of the events that are the last one of a stream.
    pub(super) const fn last_kinds(self) -> &'static [&'static [u8]] {
        match self {
            Self::Responses => &[b"response.completed", b"response.incomplete", b"response.failed"],
            Self::Anthropic => &[b"message_stop"],
            Self::Chat | Self::Other | Self::Gemini => &[],
        }
    }

    /// Whether an event of this type is the last one of its stream.
    pub(super) fn is_last(self, kind: &[u8]) -> bool {
        self.last_kinds().contains(&kind)
    }

    /// The members that say that an answer has come to its end, in quotes.
    pub(super) const fn finish_marks(self) -> &'static [&'static [u8]] {
        match self {
            Self::Chat => &[b"\"finish_reason\""],
            // A prompt that is blocked gets no candidate that could finish.
            Self::Gemini => &[b"\"finishReason\"", b"\"blockReason\""],
            Self::Other | Self::Responses | Self::Anthropic => &[],
        }
    }
}
