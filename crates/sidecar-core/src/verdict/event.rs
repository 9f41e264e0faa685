//! [`judge_event`]: errors inside a 2xx.

use std::fmt;

use http::{HeaderMap, StatusCode};
use memchr::memmem;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::evidence::{Evidence, front};
use super::judge::judge_failure;
use super::{Class, Verdict};
use crate::clock::Timestamp;
use crate::provider::Api;

/// Looks for an error in the first SSE data payload, or in the front of the document, of a 2xx
/// answer. `None` if there is none, or if it cannot be told because the document is cut.
///
/// An `error` member of the outermost object counts, a text that mentions one does not. It is
/// judged like the same body under the status that its own code names; without one it is
/// [`Class::Lying`], and so is an HTML page. At most 64 KiB are read.
pub fn judge_event(data: &[u8], api: Api, now: Timestamp) -> Option<Verdict> {
    let data = front(data);
    if data.starts_with(b"<") {
        return Some(Verdict::of(Class::Lying));
    }
    // The common case ends here, before anything is parsed.
    memmem::find(data, b"\"error\"")?;
    let evidence = Evidence::of_value(find_error(data, api)?);
    let status = stated_status(&evidence);
    let assumed = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let verdict = judge_failure(assumed, &HeaderMap::new(), &evidence, api, now);
    Some(match verdict.class {
        Class::ServerError if status.is_none() => Verdict::of(Class::Lying),
        Class::CallerFault if !may_be_callers(assumed) => Verdict::of(Class::Lying),
        _ => verdict,
    })
}

/// The members of the outermost object that matter, if `error` is one that says something.
fn find_error(data: &[u8], api: Api) -> Option<Value> {
    let mut found = Found::default();
    let outermost = Outermost { found: &mut found, api };
    // A document that is cut after its error has one all the same.
    let _ = outermost.deserialize(&mut serde_json::Deserializer::from_slice(data));
    let Found { mut error, mut members } = found;
    let is_nothing = match &error {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_i64() == Some(0),
        _ => false,
    };
    if is_nothing {
        // The Responses API has an event that is an error itself.
        let is_error = members.get("type").and_then(Value::as_str) == Some("error");
        if api != Api::OpenaiResponses || !is_error {
            return None;
        }
        error = Value::Object(std::mem::take(&mut members));
    }
    members.insert("error".to_owned(), error);
    Some(Value::Object(members))
}

/// The status that an error names, by number or by name.
fn stated_status(evidence: &Evidence) -> Option<StatusCode> {
    let by_number = |code: &str| code.parse::<u16>().ok().filter(|code| (400..600).contains(code));
    let status = evidence.codes().find_map(by_number);
    let status = status.or_else(|| evidence.codes().find_map(status_named))?;
    StatusCode::from_u16(status).ok()
}

fn status_named(code: &str) -> Option<u16> {
    Some(match code {
        "invalid_request_error"
        | "invalid_argument"
        | "failed_precondition"
        | "context_length_exceeded"
        | "content_filter"
        | "content_policy_violation"
        | "invalid_prompt"
        | "tool_use_failed" => 400,
        "authentication_error" | "invalid_api_key" | "unauthenticated" => 401,
        "billing_error" | "insufficient_balance" | "payment_required" => 402,
        "permission_error" | "permission_denied" => 403,
        "not_found_error" | "not_found" | "model_not_found" => 404,
        "request_too_large" => 413,
        "rate_limit_error"
        | "rate_limit_exceeded"
        | "rate_limited"
        | "resource_exhausted"
        | "insufficient_quota"
        | "slow_down"
        | "too_many_requests"
        | "too many requests" => 429,
        "api_error" | "server_error" | "internal" | "internal_error" | "internal_server_error" => {
            500
        }
        "unavailable"
        | "service_unavailable"
        | "service unavailable"
        | "server_is_overloaded"
        | "engine_overloaded_error"
        | "capacity_exceeded" => 503,
        "timeout_error" | "deadline_exceeded" => 504,
        "overloaded_error" => 529,
        _ => return None,
    })
}

/// A path that a provider has just answered on cannot be wrong: only what is about the content
/// can be the caller's fault now.
fn may_be_callers(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 403 | 413 | 415 | 422 | 451)
}

#[derive(Default)]
struct Found {
    error: Value,
    members: Map<String, Value>,
}

/// Reads the outermost object, or that of an array's first element, member by member, so that
/// what was found remains if the rest is cut. Everything else is skipped unparsed.
struct Outermost<'a> {
    found: &'a mut Found,
    api: Api,
}

impl<'de> DeserializeSeed<'de> for Outermost<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Outermost<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        items.next_element_seed(self)?;
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { found, api } = self;
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "error" => map.next_value_seed(Keep(&mut found.error))?,
                "code" | "type" | "status" | "status_code" | "message" | "detail" => {
                    let mut value = Value::Null;
                    map.next_value_seed(Keep(&mut value))?;
                    found.members.insert(name, value);
                }
                // The Responses API wraps its answer in its first and last events.
                "response" if api == Api::OpenaiResponses => {
                    let mut inner = Found::default();
                    let outcome = map.next_value_seed(Outermost { found: &mut inner, api });
                    if found.error.is_null() {
                        found.error = inner.error;
                    }
                    outcome?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// Reads a value into its place, an object member by member.
struct Keep<'a>(&'a mut Value);

impl<'de> DeserializeSeed<'de> for Keep<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Keep<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        *self.0 = value.into();
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        *self.0 = value.into();
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        *self.0 = value.into();
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        *self.0 = value.into();
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        *self.0 = value.into();
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        *self.0 = Value::Array(list);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self(place) = self;
        // From here on it is more than nothing, even if the rest is cut.
        *place = Value::Object(Map::new());
        while let Some(name) = map.next_key::<String>()? {
            let value = map.next_value()?;
            if let Value::Object(members) = &mut *place {
                members.insert(name, value);
            }
        }
        Ok(())
    }
}
