//! What the words and codes of error bodies mean.
//!
//! Codes and types are the provider's own. A message may repeat what the caller sent, so where a
//! caller can choose the words (400, 404, 413, 422) a message must start with the vendor's own to
//! count against anybody but the caller.

use serde_json::Value;

use super::evidence::Evidence;

/// The key is wrong, expired or shut off, whatever the status (Google and xAI say it with 400).
pub(super) fn is_bad_key(evidence: &Evidence) -> bool {
    evidence.has_code(&["api_key_invalid", "invalid_api_key", "organization_restricted"])
        || evidence.begins(&[
            "api key not valid",
            "api key expired",
            "incorrect api key provided",
            "user location is not supported",
        ])
}

/// No money, by a code or by words that only a vendor starts with.
pub(super) fn is_billing(evidence: &Evidence) -> bool {
    evidence.has_code(&BILLING_CODES) || evidence.begins(&["your credit balance is too low"])
}

/// No money, where the status leaves no doubt that the caller's words are not at issue.
pub(super) fn speaks_of_money(evidence: &Evidence) -> bool {
    is_billing(evidence) || evidence.says(&BILLING_PHRASES)
}

/// The prompt does not fit. Costs nobody anything, so any message will do, quoted ones included.
pub(super) fn is_context_too_long(evidence: &Evidence) -> bool {
    evidence.has_code(&[
        "context_length_exceeded",
        "context_window_exceeded",
        "model_context_window_exceeded",
        "tokens_limit_reached",
        // SiliconFlow.
        "20015",
    ]) || evidence.relays(&CONTEXT_PHRASES)
        || asks_for_too_much(evidence)
}

/// A token limit that this request alone is over (Groq, OpenAI): no wait would help.
pub(super) fn asks_for_too_much(evidence: &Evidence) -> bool {
    if evidence.begins(&["request too large for"]) {
        return true;
    }
    let limit = evidence.numbers_after("limit ").next();
    let requested = evidence.numbers_after("requested ").next();
    limit.zip(requested).is_some_and(|(limit, requested)| requested > limit)
}

/// The model is not there, or not open to this account.
pub(super) fn is_model_gone(evidence: &Evidence) -> bool {
    evidence.has_code(&[
        "model_not_found",
        "model_not_available",
        "model_decommissioned",
        "model_permission_blocked_org",
        "model_permission_blocked_project",
        "invalid_model",
        "unknown_model",
        "deploymentnotfound",
        // SiliconFlow.
        "20012",
    ]) || evidence.begins(&[
        "model does not exist",
        "model not exist",
        "model not found",
        "the model does not exist",
        "invalid model: ",
        "invalid model name",
        "unknown model",
        "no such model",
    ]) || evidence.messages().any(names_absent_model)
        || evidence.begins_and_says("project `", &["does not have access to model"])
        // Anthropic.
        || (evidence.has_code(&["not_found_error"]) && evidence.begins(&["model: "]))
        || is_no_endpoint(evidence)
}

/// NVIDIA says of a model that it is a function. Only to be asked where no tool of the caller's
/// can be meant.
pub(super) fn is_function_gone(evidence: &Evidence) -> bool {
    evidence.begins_and_says("function '", &["not found for account"])
}

/// Google's free tier has none of this model: every limit it names is 0.
pub(super) fn is_never_allowed(evidence: &Evidence) -> bool {
    evidence.has_code(&["resource_exhausted"]) && evidence.numbers_after("limit: ").max() == Some(0)
}

/// The model's workers are full, for every key.
pub(super) fn is_overloaded(evidence: &Evidence) -> bool {
    evidence.has_code(&[
        "overloaded_error",
        "engine_overloaded_error",
        "server_is_overloaded",
        "capacity_exceeded",
        "service_tier_capacity_exceeded",
        // Mistral.
        "3505",
        // SiliconFlow.
        "50505",
        // Zhipu.
        "1305",
    ]) || evidence.relays(&[
        "overloaded",
        "capacity exceeded",
        "over capacity",
        "temporarily rate-limited upstream",
        // NVIDIA: a limit of the workers that serve everybody, not of this key.
        "worker local total request limit reached",
    ])
}

/// NVIDIA: the model is broken for now, said with a 400.
pub(super) fn is_degraded(evidence: &Evidence) -> bool {
    evidence.begins_and_says("function id '", &["degraded function cannot be invoked"])
}

/// Too many requests at a time.
pub(super) fn is_concurrency(evidence: &Evidence) -> bool {
    // Zhipu.
    evidence.has_code(&["concurrency_limit_exceeded", "1302"])
        || evidence.says(&["concurrency", "concurrent", "parallel requests"])
}

/// The provider will not answer what was asked.
pub(super) fn is_content_policy(evidence: &Evidence) -> bool {
    let reasons = evidence.metadata("reasons").and_then(Value::as_array);
    reasons.is_some_and(|reasons| !reasons.is_empty())
        || evidence.has_code(&[
            "content_filter",
            "content_policy_violation",
            "moderation_blocked",
            "data_inspection_failed",
        ])
        || evidence.says(&[
            "input was flagged",
            "requires moderation",
            "content policy",
            "guardrail",
            "safety system",
        ])
}

/// Google refuses the file or cache that the caller named, with the status of a bad key.
pub(super) fn is_callers_resource(evidence: &Evidence) -> bool {
    evidence.begins(&["you do not have permission to access the file", "cachedcontent not found"])
}

/// OpenRouter has nobody to send to, and not because of what the request needs.
fn is_no_endpoint(evidence: &Evidence) -> bool {
    let needs = evidence.says(&["that support", "that can handle"]);
    !needs && evidence.begins(&["no endpoints ", "no allowed providers"])
}

/// A sentence whose subject is one model: "The model `x` does not exist". What comes later may
/// repeat the caller's words.
fn names_absent_model(message: &str) -> bool {
    let subject = ["the model ", "model ", "models/"];
    let named = subject.iter().find_map(|subject| message.strip_prefix(subject)).unwrap_or(message);
    // The last of them is OpenRouter's, whose sentence starts with the name.
    named.split_once(' ').is_some_and(|(_, predicate)| {
        let is_named = named.len() < message.len();
        (is_named && ABSENT.iter().any(|absent| predicate.starts_with(absent)))
            || predicate == "is not a valid model id"
    })
}

const BILLING_CODES: [&str; 20] = [
    "insufficient_quota",
    "insufficient_balance",
    "insufficient_credits",
    "insufficient_user_quota",
    "credit_balance_exhausted",
    "credit_balance_too_low",
    "organization_spend_limit_exceeded",
    "project_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
    "enforced_spend_limit_reached",
    "exceeded_current_quota_error",
    "billing_hard_limit_reached",
    "billing_limit_exceeded",
    "billing_not_active",
    "billing_error",
    "payment_required",
    "creditserror",
    "account_overdue",
    // SiliconFlow.
    "30001",
    // Zhipu.
    "1113",
];

/// The last two are "balance insufficient" and "in arrears".
const BILLING_PHRASES: [&str; 9] = [
    "insufficient balance",
    "insufficient credit",
    "insufficient funds",
    "balance is insufficient",
    "balance insufficient",
    "credit balance is too low",
    "key limit exceeded",
    "\u{4f59}\u{989d}\u{4e0d}\u{8db3}",
    "\u{6b20}\u{8d39}",
];

const CONTEXT_PHRASES: [&str; 16] = [
    "maximum context length",
    "context_length_exceeded",
    "context length exceeded",
    "exceeds the context window",
    "exceed context limit",
    "exceeds the available context size",
    "model's context length",
    "prompt is too long",
    "input is too long",
    "too long to fit into the model",
    "maximum prompt length",
    "exceeds the maximum number of tokens",
    "exceeded model token limit",
    "less than max_seq_len",
    "reduce the length of the messages",
    "range of input length should be",
];

const ABSENT: [&str; 11] = [
    "does not exist",
    "not exist",
    "not found",
    "is not found",
    "was not found",
    "is not available",
    "is no longer available",
    "is no longer supported",
    "is deprecated",
    "has been deprecated",
    "has been decommissioned",
];
