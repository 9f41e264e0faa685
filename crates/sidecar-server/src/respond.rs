//! The answers that are made here.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Either, Full};
use serde::Serialize;
use serde_json::json;
use sidecar_core::error::{BoxError, Error};
use sidecar_core::ingest::Family;
use sidecar_core::openai::{ErrorParts, error_body, error_response};
use sidecar_core::pool::ResponseBody;

use crate::in_flight::InFlightBody;

/// The body of every answer: a provider's, or one of our own.
pub type EdgeBody = Either<InFlightBody<ResponseBody>, UnsyncBoxBody<Bytes, BoxError>>;
pub(crate) type Answer = Response<EdgeBody>;

/// A body that is no provider's.
pub(crate) fn own(body: impl Body<Data = Bytes, Error = Infallible> + Send + 'static) -> EdgeBody {
    Either::Right(body.map_err(|never| match never {}).boxed_unsync())
}

/// An answer whose body is here already.
pub(crate) fn whole(response: Response<Bytes>) -> Answer {
    response.map(|body| own(Full::new(body)))
}

/// A JSON answer that nobody may keep.
pub(crate) fn json<T: Serialize>(status: StatusCode, value: &T) -> Answer {
    let Ok(body) = serde_json::to_vec(value) else {
        return detail(StatusCode::INTERNAL_SERVER_ERROR, "the answer has no JSON form", None);
    };
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(NOSNIFF, HeaderValue::from_static("nosniff"));
    whole(response)
}

/// Nothing but a status.
pub(crate) fn empty(status: StatusCode) -> Answer {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    whole(response)
}

/// An error of the admin API.
pub(crate) fn detail(status: StatusCode, detail: &str, field: Option<&str>) -> Answer {
    json(status, &json!({"detail": detail, "field": field}))
}

/// No credential, or a wrong one, at an admin route.
pub(crate) fn no_admin() -> Answer {
    let text = "send the admin token as `Authorization: Bearer TOKEN`; a new installation keeps it \
                in secrets/admin.token";
    let mut answer = detail(StatusCode::UNAUTHORIZED, text, None);
    answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    answer
}

/// A wrong admin token after too many others.
pub(crate) fn too_many_tokens(wait: Duration) -> Answer {
    let text = "too many wrong tokens; the right one works at once, another guess has to wait";
    with_wait(detail(StatusCode::TOO_MANY_REQUESTS, text, None), wait)
}

/// An operator's route, asked for under a foreign name.
pub(crate) fn wrong_host() -> Answer {
    let text = "this server does not answer under the name in `Host`; SIDECAR_ALLOWED_HOSTS adds \
                names to localhost and the address it listens on";
    detail(StatusCode::MISDIRECTED_REQUEST, text, None)
}

/// No credential at a proxied route that needs one.
pub(crate) fn no_caller(family: Family) -> Answer {
    let parts = ErrorParts {
        message: "a caller key is needed: send it as `Authorization: Bearer KEY`".to_owned(),
        error_type: "authentication_error",
        param: None,
        code: "invalid_api_key",
    };
    whole(error_body(StatusCode::UNAUTHORIZED, &parts, family))
}

/// A wrong caller key after too many others.
pub(crate) fn too_many_keys(wait: Duration, family: Family) -> Answer {
    let parts = ErrorParts {
        message: "too many wrong caller keys; the right one works at once".to_owned(),
        error_type: "rate_limit_error",
        param: None,
        code: "too_many_invalid_api_keys",
    };
    let mut answer = whole(error_body(StatusCode::TOO_MANY_REQUESTS, &parts, family));
    // The same key is wrong the next time, too.
    answer.headers_mut().insert(SHOULD_RETRY, HeaderValue::from_static("false"));
    with_wait(answer, wait)
}

/// A request that is refused before it is looked at.
pub(crate) fn refused(status: StatusCode, message: &str, family: Family) -> Answer {
    let parts = ErrorParts {
        message: message.to_owned(),
        error_type: "invalid_request_error",
        param: None,
        code: "invalid_request",
    };
    whole(error_body(status, &parts, family))
}

/// A known path with another method.
pub(crate) fn wrong_method(methods: &[&'static str]) -> Answer {
    let text = "this path does not take this method";
    let mut answer = detail(StatusCode::METHOD_NOT_ALLOWED, text, None);
    if let Ok(methods) = HeaderValue::from_str(&methods.join(", ")) {
        answer.headers_mut().insert(ALLOW, methods);
    }
    answer
}

/// What became of a proxied request.
pub(crate) fn failed(error: &Error, family: Family) -> Answer {
    if let Error::Internal(source) = error {
        tracing::error!(error = %source, "internal error");
    }
    whole(error_response(error, family))
}

fn with_wait(mut answer: Answer, wait: Duration) -> Answer {
    // Never shorter than it is.
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    answer.headers_mut().insert(RETRY_AFTER, seconds.into());
    answer
}

const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
const NOSNIFF: HeaderName = http::header::X_CONTENT_TYPE_OPTIONS;
