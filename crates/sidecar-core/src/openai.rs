//! The answers that are made here, in the shapes that clients know.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

use crate::error::Error;
use crate::ingest::Family;

/// The answer to a request that failed with `error`. The message is a fixed text of ours, free of
/// a provider's wording, but where the provider's own answer to the caller's fault is passed on.
///
/// "Nothing left" is a 503 with a long `Retry-After` and `x-should-retry: false`: measured with
/// real agents, this makes them turn to their own fallback after one request.
pub fn error_response(error: &Error, family: Family) -> Response<Bytes> {
    let mut response = error_body(error.status(), &parts(error), family);
    let headers = response.headers_mut();
    if let Some(wait) = error.retry_after() {
        headers.insert(RETRY_AFTER, wait.as_secs().into());
    }
    if matches!(error, Error::CallerLimit(refusal) if !refusal.is_temporary()) {
        headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
    }
    if let Error::Exhausted { next_available, .. } = error {
        headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        headers.insert(REASON, HeaderValue::from_static("AllPoolsExhausted"));
        if let Some(wait) = next_available {
            let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            headers.insert(NEXT_AVAILABLE, millis.into());
        }
    }
    response
}

/// The parts of an error answer.
#[derive(Debug, Default)]
pub struct ErrorParts<'a> {
    /// What happened, for people.
    pub message: String,
    /// The class of the error, in OpenAI's words.
    pub error_type: &'a str,
    /// The parameter at fault.
    pub param: Option<&'a str>,
    /// The error, for programs.
    pub code: &'a str,
}

/// An error answer of `family`'s shape.
pub fn error_body(status: StatusCode, parts: &ErrorParts<'_>, family: Family) -> Response<Bytes> {
    let ErrorParts { message, error_type, param, code } = parts;
    let body = match family {
        Family::Anthropic => json!({
            "type": "error",
            "error": {"type": anthropic_type(status, error_type), "message": message},
        }),
        Family::Gemini => json!({
            "error": {"code": status.as_u16(), "message": message, "status": code},
        }),
        Family::OpenAi | Family::Responses => json!({
            "error": {"message": message, "type": error_type, "param": param, "code": code},
        }),
    };
    json_response(status, &body)
}

/// A JSON answer.
pub fn json_response(status: StatusCode, body: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// Anthropic has more types than OpenAI where they are made of the status; the others are the same,
/// and those of a provider are passed on.
fn anthropic_type(status: StatusCode, error_type: &str) -> &str {
    match (error_type, status) {
        ("invalid_request_error", StatusCode::NOT_FOUND) => "not_found_error",
        ("invalid_request_error", StatusCode::PAYLOAD_TOO_LARGE) => "request_too_large",
        ("server_error", StatusCode::SERVICE_UNAVAILABLE) => "overloaded_error",
        ("server_error", StatusCode::GATEWAY_TIMEOUT) => "timeout_error",
        ("server_error", _) => "api_error",
        _ => error_type,
    }
}

fn parts(error: &Error) -> ErrorParts<'_> {
    let fixed = ErrorParts {
        message: error.to_string(),
        error_type: error.error_type(),
        param: None,
        code: error.code(),
    };
    match error {
        // The text that V2's clients match on.
        Error::Exhausted { .. } => {
            ErrorParts { message: "All provider pools exhausted".into(), ..fixed }
        }
        Error::CallerFault { message, .. } => ErrorParts {
            message: message.message.clone(),
            error_type: message.error_type.as_deref().unwrap_or(fixed.error_type),
            param: message.param.as_deref(),
            code: message.code.as_deref().unwrap_or(fixed.code),
        },
        Error::UnknownModel(_) => ErrorParts { param: Some("model"), ..fixed },
        _ => fixed,
    }
}

const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
const REASON: HeaderName = HeaderName::from_static("x-sidecar-reason");
const NEXT_AVAILABLE: HeaderName = HeaderName::from_static("x-sidecar-next-available-ms");

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::callers::CallerRefusal;
    use crate::verdict::CallerMessage;

    fn said(error: &Error, family: Family) -> Value {
        let body = error_response(error, family).into_body();
        serde_json::from_slice(&body).unwrap()
    }

    fn refusal(status: StatusCode, error_type: Option<&str>) -> Error {
        let error_type = error_type.map(str::to_owned);
        let message = CallerMessage { error_type, ..CallerMessage::default() };
        Error::CallerFault { status, message: Box::new(message) }
    }

    #[test]
    fn anthropics_clients_are_told_its_types() {
        let wait = Duration::from_secs(120);
        let exhausted = Error::Exhausted { next_available: None, attempts: 1, retry_after: wait };
        let rate = CallerRefusal::Rate { retry_after: wait };
        for (error, anthropic, openai) in [
            (Error::InvalidRequest("no"), "invalid_request_error", "invalid_request_error"),
            (Error::BodyUnreadable, "invalid_request_error", "invalid_request_error"),
            (Error::BodyTooLarge { limit: 1 }, "request_too_large", "invalid_request_error"),
            (Error::UnknownPath, "not_found_error", "invalid_request_error"),
            (Error::UnknownModel("m".into()), "not_found_error", "invalid_request_error"),
            (exhausted, "overloaded_error", "server_error"),
            (Error::QueueTimeout, "overloaded_error", "server_error"),
            (Error::QueueFull, "overloaded_error", "server_error"),
            (Error::Overloaded, "overloaded_error", "server_error"),
            (Error::UpstreamTimeout, "timeout_error", "server_error"),
            (Error::Internal("x".into()), "api_error", "server_error"),
            (Error::CallerLimit(rate), "rate_limit_error", "rate_limit_error"),
            (
                Error::CallerLimit(CallerRefusal::Expired),
                "authentication_error",
                "authentication_error",
            ),
            (Error::CallerLimit(CallerRefusal::Disabled), "permission_error", "permission_error"),
            (Error::CallerLimit(CallerRefusal::Model), "not_found_error", "invalid_request_error"),
            (refusal(StatusCode::NOT_FOUND, None), "not_found_error", "invalid_request_error"),
            (refusal(StatusCode::NOT_FOUND, Some("its_own")), "its_own", "its_own"),
        ] {
            let body = said(&error, Family::Anthropic);
            assert_eq!(body["type"], "error", "{error:?}");
            assert_eq!(body["error"]["type"], anthropic, "{error:?}");
            for family in [Family::OpenAi, Family::Responses] {
                assert_eq!(said(&error, family)["error"]["type"], openai, "{error:?}");
            }
        }
    }
}
