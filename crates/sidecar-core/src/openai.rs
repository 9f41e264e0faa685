//! The answers that are made here, in the shapes that clients know.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response};
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
    /// The class of the error.
    pub error_type: &'a str,
    /// The parameter at fault.
    pub param: Option<&'a str>,
    /// The error, for programs.
    pub code: &'a str,
}

/// An error answer of `family`'s shape.
pub fn error_body(
    status: http::StatusCode,
    parts: &ErrorParts<'_>,
    family: Family,
) -> Response<Bytes> {
    let ErrorParts { message, error_type, param, code } = parts;
    let body = match family {
        Family::Anthropic => json!({
            "type": "error",
            "error": {"type": error_type, "message": message},
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
pub fn json_response(status: http::StatusCode, body: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
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
