//! [`Cut`]: why a stream did not come to its end, and how the caller is told.

use super::grammar::Grammar;
use crate::verdict::Class;

/// Why a stream did not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// The connection broke, or the body ended without the mark of a proper end.
    Broken,
    /// Nothing came for too long.
    Stalled,
    /// The provider sent an error.
    Failed,
}

impl Cut {
    pub(super) const fn class(self) -> Class {
        match self {
            Self::Broken => Class::Transport,
            Self::Stalled => Class::Timeout,
            Self::Failed => Class::Lying,
        }
    }

    /// The error event for a caller. `number` is that of the event, where events have one.
    pub(super) fn event(self, grammar: Grammar, number: u64) -> String {
        let (code, message) = (self.code(), self.message());
        match grammar {
            Grammar::Chat | Grammar::Other => format!(
                "data: {{\"error\":{{\"message\":\"{message}\",\"type\":\"server_error\",\
                 \"param\":null,\"code\":\"{code}\"}}}}\n\n"
            ),
            Grammar::Responses => format!(
                "event: error\ndata: {{\"type\":\"error\",\"code\":\"{code}\",\
                 \"message\":\"{message}\",\"param\":null,\"sequence_number\":{number}}}\n\n"
            ),
            Grammar::Anthropic => format!(
                "event: error\ndata: {{\"type\":\"error\",\"error\":{{\"type\":\"api_error\",\
                 \"message\":\"{message}\"}}}}\n\n"
            ),
            Grammar::Gemini => format!(
                "data: {{\"error\":{{\"code\":502,\"message\":\"{message}\",\
                 \"status\":\"UNAVAILABLE\"}}}}\n\n"
            ),
        }
    }

    const fn code(self) -> &'static str {
        match self {
            Self::Broken | Self::Failed => "stream_cut",
            Self::Stalled => "stream_stalled",
        }
    }

    /// Texts of ours that can stand in JSON as they are.
    const fn message(self) -> &'static str {
        match self {
            Self::Broken => "the answer was cut off before its end",
            Self::Stalled => "the provider fell silent before the end of its answer",
            Self::Failed => "the provider failed before the end of its answer",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn every_family_gets_an_error_of_its_own_shape() {
        for cut in [Cut::Broken, Cut::Stalled, Cut::Failed] {
            let (code, message) = (cut.code(), cut.message());
            let openai = json!({
                "error": {"message": message, "type": "server_error", "param": null, "code": code},
            });
            let responses = json!({
                "type": "error", "code": code, "message": message, "param": null,
                "sequence_number": 7,
            });
            let anthropic =
                json!({"type": "error", "error": {"type": "api_error", "message": message}});
            let gemini =
                json!({"error": {"code": 502, "message": message, "status": "UNAVAILABLE"}});
            for (grammar, name, data) in [
                (Grammar::Chat, "", &openai),
                (Grammar::Other, "", &openai),
                (Grammar::Responses, "event: error\n", &responses),
                (Grammar::Anthropic, "event: error\n", &anthropic),
                (Grammar::Gemini, "", &gemini),
            ] {
                let event = cut.event(grammar, 7);
                let rest = event.strip_prefix(name).unwrap().strip_prefix("data: ").unwrap();
                let text = rest.strip_suffix("\n\n").unwrap();
                assert!(!text.contains('\n'));
                assert_eq!(serde_json::from_str::<Value>(text).unwrap(), *data);
            }
        }
    }
}
