//! [`Cut`]: why a stream did not come to its end, and how the caller is told.

use serde_json::{Value, json};

use super::grammar::Grammar;
use crate::call::Head;
use crate::error::Error;
use crate::openai::error_response;
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
        let document = match grammar {
            Grammar::Chat | Grammar::Other => format!(
                "{{\"error\":{{\"message\":\"{message}\",\"type\":\"server_error\",\
                 \"param\":null,\"code\":\"{code}\"}}}}"
            ),
            // The API says it in the event itself, its clients look for a member.
            Grammar::Responses => format!(
                "{{\"type\":\"error\",\"code\":\"{code}\",\"message\":\"{message}\",\
                 \"param\":null,\"sequence_number\":{number},\"error\":{{\"type\":\"server_error\",\
                 \"code\":\"{code}\",\"message\":\"{message}\",\"param\":null}}}}"
            ),
            Grammar::Anthropic => format!(
                "{{\"type\":\"error\",\"error\":{{\"type\":\"api_error\",\
                 \"message\":\"{message}\"}}}}"
            ),
            Grammar::Gemini => format!(
                "{{\"error\":{{\"code\":502,\"message\":\"{message}\",\
                 \"status\":\"UNAVAILABLE\"}}}}"
            ),
        };
        event(grammar, &document)
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

/// The event that tells a caller of `error` inside a stream, of which it has seen nothing yet but
/// its head: the words of [`error_response`].
pub(crate) fn error_event(error: &Error, head: &Head) -> String {
    let grammar = Grammar::of(head);
    let answer = error_response(error, head.family).into_body();
    let document: Value = serde_json::from_slice(&answer).unwrap_or_default();
    let document = match grammar {
        // An answer holds its error, an event is one, too.
        Grammar::Responses => {
            let error = &document["error"];
            json!({
                "type": "error", "code": error["code"], "message": error["message"],
                "param": error["param"], "sequence_number": 0, "error": error,
            })
        }
        Grammar::Chat | Grammar::Other | Grammar::Anthropic | Grammar::Gemini => document,
    };
    event(grammar, &document.to_string())
}

/// The same for an answer that the provider has failed to give.
pub(crate) fn failure_event(head: &Head) -> String {
    Cut::Failed.event(Grammar::of(head), 0)
}

/// The error event that holds `document`, which has no line breaks.
fn event(grammar: Grammar, document: &str) -> String {
    let name = match grammar {
        Grammar::Responses | Grammar::Anthropic => "event: error\n",
        Grammar::Chat | Grammar::Other | Grammar::Gemini => "",
    };
    format!("{name}data: {document}\n\n")
}

#[cfg(test)]
mod tests {
    use http::{Method, StatusCode};

    use super::*;
    use crate::clock::Instant;
    use crate::ingest::Family;
    use crate::verdict::CallerMessage;

    /// The name and the data of the event that tells a caller of `error`.
    fn told(error: &Error, family: Family) -> (String, Value) {
        let path = "/v1/chat/completions".to_owned();
        let head = Head::of_our_own("req_1", Method::POST, family, path, Instant::from_nanos(0));
        let event = error_event(error, &head);
        let (name, data) = event.split_once("data: ").unwrap();
        let data = data.strip_suffix("\n\n").unwrap();
        assert!(!data.contains('\n'), "{data}");
        (name.to_owned(), serde_json::from_str(data).unwrap())
    }

    #[test]
    fn an_error_is_told_in_the_words_of_an_answer() {
        let error = Error::UpstreamTimeout;
        let message = "the provider did not answer in time";
        let code = "upstream_timeout";
        for (family, name, data) in [
            (
                Family::OpenAi,
                "",
                json!({
                    "error": {
                        "message": message, "type": "server_error", "param": null, "code": code,
                    },
                }),
            ),
            (
                Family::Responses,
                "event: error\n",
                json!({
                    "type": "error", "code": code, "message": message, "param": null,
                    "sequence_number": 0,
                    "error": {
                        "message": message, "type": "server_error", "param": null, "code": code,
                    },
                }),
            ),
            (
                Family::Anthropic,
                "event: error\n",
                json!({"type": "error", "error": {"type": "timeout_error", "message": message}}),
            ),
            (
                Family::Gemini,
                "",
                json!({"error": {"code": 504, "message": message, "status": code}}),
            ),
        ] {
            assert_eq!(told(&error, family), (name.to_owned(), data), "{family:?}");
        }
    }

    #[test]
    fn whatever_a_message_holds_an_event_stays_one() {
        let text = "a \"b\"\n\ndata: [DONE]\n\n\\ \u{1}";
        let message = CallerMessage { message: text.to_owned(), ..CallerMessage::default() };
        let error =
            Error::CallerFault { status: StatusCode::BAD_REQUEST, message: Box::new(message) };
        for family in [Family::OpenAi, Family::Anthropic, Family::Gemini] {
            assert_eq!(told(&error, family).1["error"]["message"], text, "{family:?}");
        }
        assert_eq!(told(&error, Family::Responses).1["message"], text);
    }

    #[test]
    fn every_family_gets_an_error_of_its_own_shape() {
        for cut in [Cut::Broken, Cut::Stalled, Cut::Failed] {
            let (code, message) = (cut.code(), cut.message());
            let openai = json!({
                "error": {"message": message, "type": "server_error", "param": null, "code": code},
            });
            let responses = json!({
                "type": "error", "code": code, "message": message, "param": null,
                "sequence_number": 7, "error": openai["error"],
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
