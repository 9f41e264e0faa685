//! [`judge`].

use http::{HeaderMap, StatusCode};

use super::evidence::Evidence;
use super::hint::{Hint, retry_after};
use super::rules;
use super::window::Window;
use super::{Class, Verdict};
use crate::clock::Timestamp;
use crate::provider::Api;

/// What an answer means. Of a failure, `body_prefix` is the front of its body, of which at most
/// 64 KiB are read; it may be empty. Of a 2xx it is not read, see [`super::judge_event`]. `now`
/// turns dates into waits.
///
/// It never panics, whatever the input.
pub fn judge(
    status: StatusCode,
    headers: &HeaderMap,
    body_prefix: &[u8],
    api: Api,
    now: Timestamp,
) -> Verdict {
    if status.is_success() {
        return Verdict { class: Class::Accept, hint: Hint::of_success(headers, now) };
    }
    judge_failure(status, headers, &Evidence::of_body(body_prefix), api, now)
}

/// What a failure means.
pub(super) fn judge_failure(
    status: StatusCode,
    headers: &HeaderMap,
    evidence: &Evidence,
    api: Api,
    now: Timestamp,
) -> Verdict {
    let class = match status.as_u16() {
        // A redirect is never followed: it would take the key elsewhere.
        ..400 => Class::Lying,
        401 if rules::speaks_of_money(evidence) => Class::Billing,
        401 => Class::Auth,
        // With a time to wait for it is no lack of money, but of budget for what is in flight.
        402 if retry_after(headers, evidence, now).is_some() => Class::RateLimited,
        402 if evidence.has_code(&["openrouter_in_flight_budget"]) => Class::RateLimited,
        402 => Class::Billing,
        403 => forbidden(evidence),
        404 => not_found(evidence, api),
        // The provider or a proxy before it was not up to it; the request itself may be fine.
        407 | 408 | 409 | 421 | 424 | 425 | 499 => Class::ServerError,
        410 => Class::ModelGone,
        429 => limited(headers, evidence, now),
        // 498 is Groq's, 520 to 530 are Cloudflare's, 529 is Anthropic's too.
        498 | 503 | 520..=527 | 529 | 530 => Class::Overloaded,
        400..500 => refused(evidence),
        _ if rules::is_overloaded(evidence) => Class::Overloaded,
        _ => Class::ServerError,
    };
    Verdict { class, hint: Hint::of_failure(class, headers, evidence, now) }
}

/// 400, 413, 422 and the like: the caller's fault, unless the body says otherwise.
fn refused(evidence: &Evidence) -> Class {
    if rules::is_bad_key(evidence) {
        Class::Auth
    } else if rules::is_billing(evidence) {
        Class::Billing
    } else if rules::is_degraded(evidence) {
        Class::Overloaded
    } else if rules::is_context_too_long(evidence) {
        Class::ContextTooLong
    } else if rules::is_model_gone(evidence) {
        Class::ModelGone
    } else {
        Class::CallerFault
    }
}

/// 403: the key's fault, unless the body says otherwise.
fn forbidden(evidence: &Evidence) -> Class {
    if rules::is_content_policy(evidence) || rules::is_callers_resource(evidence) {
        Class::CallerFault
    } else if evidence.has_code(&["30011"]) {
        // SiliconFlow: this model asks for a paid balance, others do not.
        Class::ModelGone
    } else if rules::speaks_of_money(evidence) {
        Class::Billing
    } else if rules::is_model_gone(evidence) {
        Class::ModelGone
    } else if evidence.is_page() {
        // An edge that lets nothing through says nothing about the key.
        Class::ServerError
    } else {
        Class::Auth
    }
}

/// 404: a wrong path is the caller's fault, a missing model is not.
fn not_found(evidence: &Evidence, api: Api) -> Class {
    // In Google's dialect the model is the path.
    let is_path = api == Api::GoogleGenerativeAi && evidence.has_code(&["not_found"]);
    if is_path || rules::is_model_gone(evidence) || rules::is_function_gone(evidence) {
        Class::ModelGone
    } else {
        Class::CallerFault
    }
}

/// 429: which limit it is.
fn limited(headers: &HeaderMap, evidence: &Evidence, now: Timestamp) -> Class {
    if rules::speaks_of_money(evidence) {
        Class::Billing
    } else if rules::is_overloaded(evidence) {
        Class::Overloaded
    } else if rules::is_never_allowed(evidence) {
        Class::ModelGone
    } else if rules::asks_for_too_much(evidence) {
        Class::ContextTooLong
    } else if Window::of(headers, evidence, now).is_some() {
        Class::QuotaSpent
    } else if rules::is_concurrency(evidence) {
        Class::Concurrency
    } else {
        Class::RateLimited
    }
}
