//! One row for each line of the table of vendors.

use super::*;

#[test]
fn nvidia() {
    check(
        OPENAI,
        &[
            (
                429,
                &[],
                r#"{"status":429,"title":"Too Many Requests"}"#,
                Class::RateLimited,
                None,
                Scope::Quota,
            ),
            (
                503,
                &[],
                r#"{"error":{"message":"ResourceExhausted: Worker local total request limit reached (16/16)","type":"Service Unavailable","code":503}}"#,
                Class::Overloaded,
                None,
                Scope::Endpoint,
            ),
            (
                429,
                &[],
                r#"{"error":{"message":"ResourceExhausted: Worker local total request limit reached (16/16)","code":429}}"#,
                Class::Overloaded,
                None,
                Scope::Endpoint,
            ),
            (
                404,
                &[],
                r#"{"status":404,"title":"Not Found","detail":"Function '1b2c': Not found for account 'a1'"}"#,
                Class::ModelGone,
                None,
                Scope::Quota,
            ),
            (410, &[], r#"{"status":410,"title":"Gone"}"#, Class::ModelGone, None, Scope::Quota),
            (401, &[], "", Class::Auth, None, Scope::Key),
            (
                403,
                &[],
                r#"{"status":403,"title":"Forbidden","detail":"Authorization failed"}"#,
                Class::Auth,
                None,
                Scope::Key,
            ),
            (
                400,
                &[],
                r#"{"status":400,"detail":"Unsupported parameter(s): stream_options"}"#,
                Class::CallerFault,
                None,
                Scope::None,
            ),
            (
                400,
                &[],
                r#"{"message":"\"auto\" tool choice requires --enable-auto-tool-choice"}"#,
                Class::CallerFault,
                None,
                Scope::None,
            ),
            (
                400,
                &[],
                r#"{"status":400,"detail":"Function id '1b2c': DEGRADED function cannot be invoked"}"#,
                Class::Overloaded,
                None,
                Scope::Endpoint,
            ),
        ],
    );
}

#[test]
fn siliconflow() {
    const fn limit(body: &'static str, class: Class, wait: Option<u64>) -> Row {
        (429, &[], body, class, wait, Scope::Quota)
    }
    check(
        OPENAI,
        &[
            limit(
                r#"{"message":"Request was rejected due to rate limiting. Details: TPM limit reached.","data":null}"#,
                Class::RateLimited,
                None,
            ),
            limit(
                r#"{"code":50602,"message":"Request was rejected due to rate limiting. Details: RPM limit reached.","data":null}"#,
                Class::RateLimited,
                None,
            ),
            limit(
                r#"{"code":50603,"message":"Request was rejected due to rate limiting. Details: RPD limit reached.","data":null}"#,
                Class::QuotaSpent,
                Some(4 * HOUR),
            ),
            limit(
                r#"{"message":"Request was rejected due to rate limiting. Details: TPD limit reached.","data":null}"#,
                Class::QuotaSpent,
                Some(4 * HOUR),
            ),
            limit(
                r#"{"message":"Request was rejected due to rate limiting. Details: IPM limit reached.","data":null}"#,
                Class::RateLimited,
                None,
            ),
            (
                403,
                &[],
                r#"{"code":30001,"message":"Sorry, your account balance is insufficient","data":null}"#,
                Class::Billing,
                None,
                Scope::Key,
            ),
            (
                403,
                &[],
                r#"{"code":30011,"message":"Sorry, your paid balance is insufficient","data":null}"#,
                Class::ModelGone,
                None,
                Scope::Quota,
            ),
            (401, &[], r#""Invalid token""#, Class::Auth, None, Scope::Key),
            (404, &[], r#""404 page not found""#, Class::CallerFault, None, Scope::None),
            (404, &[], "404 page not found", Class::CallerFault, None, Scope::None),
            (
                503,
                &[],
                r#"{"code":50505,"message":"Model service overloaded. Please try again later.","data":null}"#,
                Class::Overloaded,
                None,
                Scope::Endpoint,
            ),
            (504, &[], r#""Gateway Timeout""#, Class::ServerError, None, Scope::Endpoint),
            (
                400,
                &[],
                r#"{"code":20012,"message":"Model does not exist. Please check it carefully.","data":null}"#,
                Class::ModelGone,
                None,
                Scope::Quota,
            ),
            (
                400,
                &[],
                r#"{"code":20015,"message":"length of prompt_tokens (40000) must be less than max_seq_len (32768).","data":null}"#,
                Class::ContextTooLong,
                None,
                Scope::None,
            ),
        ],
    );
}

#[test]
fn deepseek() {
    check(
        OPENAI,
        &[
            (
                429,
                &[],
                r#"{"error":{"message":"Your current concurrency is 40, which exceeds your concurrency limit of 39 based on your remaining balance.","type":"rate_limit_error"}}"#,
                Class::Concurrency,
                None,
                Scope::Quota,
            ),
            (
                402,
                &[],
                r#"{"error":{"message":"Insufficient Balance","type":"unknown_error","param":null,"code":"invalid_request_error"}}"#,
                Class::Billing,
                None,
                Scope::Key,
            ),
            (
                401,
                &[],
                r#"{"error":{"message":"Authentication Fails","type":"authentication_error"}}"#,
                Class::Auth,
                None,
                Scope::Key,
            ),
            (
                400,
                &[],
                r#"{"error":{"message":"Model Not Exist","type":"invalid_request_error"}}"#,
                Class::ModelGone,
                None,
                Scope::Quota,
            ),
            (422, &[], r#"{"error":{"message":"bad"}}"#, Class::CallerFault, None, Scope::None),
            (400, &[], r#"{"error":{"message":"bad"}}"#, Class::CallerFault, None, Scope::None),
            (500, &[], "", Class::ServerError, None, Scope::Endpoint),
            (503, &[], "", Class::Overloaded, None, Scope::Endpoint),
        ],
    );
}

#[test]
fn openrouter() {
    check(
        OPENAI,
        &[
            (
                429,
                &[],
                r#"{"error":{"message":"Rate limit exceeded: free-models-per-min. ","code":429,"metadata":{"headers":{"X-RateLimit-Limit":"20","X-RateLimit-Remaining":"0","X-RateLimit-Reset":"1768478430000"}}}}"#,
                Class::RateLimited,
                Some(30_000),
                Scope::Quota,
            ),
            (
                429,
                &[],
                r#"{"error":{"message":"Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 free model requests per day","code":429,"metadata":{"headers":{"X-RateLimit-Reset":"1768482000000"}}}}"#,
                Class::QuotaSpent,
                Some(HOUR),
                Scope::Quota,
            ),
            (
                429,
                &[("X-RateLimit-Reset", "1768482000000"), ("Retry-After", "5")],
                r#"{"error":{"message":"Rate limit exceeded: free-models-per-day","code":429}}"#,
                Class::QuotaSpent,
                Some(HOUR),
                Scope::Quota,
            ),
            (
                429,
                &[],
                r#"{"error":{"message":"Rate limit exceeded: free-models-per-day","code":429}}"#,
                Class::QuotaSpent,
                Some(12 * HOUR),
                Scope::Quota,
            ),
            (
                429,
                &[],
                r#"{"error":{"message":"Provider returned error","code":429,"metadata":{"raw":"some/model:free is temporarily rate-limited upstream. Please retry shortly.","provider_name":"X"}}}"#,
                Class::Overloaded,
                None,
                Scope::Endpoint,
            ),
            (
                402,
                &[],
                r#"{"error":{"message":"Insufficient credits","code":402}}"#,
                Class::Billing,
                None,
                Scope::Key,
            ),
            (
                402,
                &[("retry-after", "7")],
                r#"{"error":{"message":"Budget in flight","code":402,"metadata":{"limit_source":"openrouter_in_flight_budget"}}}"#,
                Class::RateLimited,
                Some(7_000),
                Scope::Quota,
            ),
            (
                403,
                &[],
                r#"{"error":{"code":403,"message":"m requires moderation on P. Your input was flagged for \"x\"","metadata":{"reasons":["x"],"flagged_input":"y"}}}"#,
                Class::CallerFault,
                None,
                Scope::None,
            ),
            (
                403,
                &[],
                r#"{"error":{"message":"Key limit exceeded (total limit). Manage it using https://openrouter.ai/settings/keys","code":403}}"#,
                Class::Billing,
                None,
                Scope::Key,
            ),
            (
                403,
                &[],
                r#"{"error":{"message":"Key limit exceeded (daily limit). Manage it","code":403}}"#,
                Class::Billing,
                Some(12 * HOUR),
                Scope::Key,
            ),
            (
                403,
                &[],
                r#"{"error":{"message":"Key limit exceeded (weekly limit). Manage it","code":403}}"#,
                Class::Billing,
                Some((12 + 3 * 24) * HOUR),
                Scope::Key,
            ),
            (
                403,
                &[],
                r#"{"error":{"message":"Key limit exceeded (monthly limit). Manage it","code":403}}"#,
                Class::Billing,
                Some((12 + 16 * 24) * HOUR),
                Scope::Key,
            ),
            (
                404,
                &[],
                r#"{"error":{"message":"No endpoints found for some/model.","code":404}}"#,
                Class::ModelGone,
                None,
                Scope::Quota,
            ),
            (
                404,
                &[],
                r#"{"error":{"message":"No endpoints found that support tool use.","code":404}}"#,
                Class::CallerFault,
                None,
                Scope::None,
            ),
            (
                400,
                &[],
                r#"{"error":{"message":"some/model is not a valid model ID","code":400}}"#,
                Class::ModelGone,
                None,
                Scope::Quota,
            ),
            (
                400,
                &[],
                r#"{"error":{"message":"Provider returned error","code":400,"metadata":{"raw":"{\"error\":{\"message\":\"This model's maximum context length is 8192 tokens\"}}"}}}"#,
                Class::ContextTooLong,
                None,
                Scope::None,
            ),
            (408, &[], "", Class::ServerError, None, Scope::Endpoint),
            (502, &[], "", Class::ServerError, None, Scope::Endpoint),
            (503, &[], "", Class::Overloaded, None, Scope::Endpoint),
        ],
    );
}

#[test]
fn groq() {
    check(
        OPENAI,
        &[
            (
                429,
                &[],
                r#"{"error":{"message":"Rate limit reached for model `m` in organization `o` service tier `on_demand` on tokens per minute (TPM): Limit 6000, Used 5900, Requested 500. Please try again in 9m38.016s. Need more?","type":"tokens","code":"rate_limit_exceeded"}}"#,
                Class::RateLimited,
                Some(578_016),
                Scope::Quota,
            ),
            (
                429,
                &[("retry-after", "12")],
                r#"{"error":{"message":"on requests per minute (RPM): Limit 30, Used 30, Requested 1. Please try again in 2s.","type":"requests","code":"rate_limit_exceeded"}}"#,
                Class::RateLimited,
                Some(12_000),
                Scope::Quota,
            ),
            (
                429,
                &[],
                r#"{"error":{"message":"Rate limit reached on tokens per day (TPD): Limit 100000, Used 99900, Requested 500. Please try again in 5m45.6s.","type":"tokens","code":"rate_limit_exceeded"}}"#,
                Class::QuotaSpent,
                Some(345_600),
                Scope::Quota,
            ),
            (
                413,
                &[],
                r#"{"error":{"message":"Request too large for model `m` in organization `o` on tokens per minute (TPM): Limit 6000, Requested 9000, please reduce your message size and try again.","type":"tokens","code":"rate_limit_exceeded"}}"#,
                Class::ContextTooLong,
                None,
                Scope::None,
            ),
            (
                429,
                &[("retry-after", "2")],
                r#"{"error":{"message":"on tokens per minute (TPM): Limit 6000, Used 0, Requested 9000.","type":"tokens","code":"rate_limit_exceeded"}}"#,
                Class::ContextTooLong,
                None,
                Scope::None,
            ),
            (
                498,
                &[],
                r#"{"error":{"message":"capacity","code":"capacity_exceeded"}}"#,
                Class::Overloaded,
                None,
                Scope::Endpoint,
            ),
            (
                503,
                &[("retry-after", "3")],
                r#"{"error":{"message":"m is currently over capacity. Please try again and back off exponentially."}}"#,
                Class::Overloaded,
                Some(3_000),
                Scope::Endpoint,
            ),
            (
                400,
                &[],
                r#"{"error":{"message":"Failed to call a function.","type":"invalid_request_error","code":"tool_use_failed"}}"#,
                Class::CallerFault,
                None,
                Scope::None,
            ),
            (
                404,
                &[],
                r#"{"error":{"message":"The model `m` does not exist or you do not have access to it.","type":"invalid_request_error","code":"model_not_found"}}"#,
                Class::ModelGone,
                None,
                Scope::Quota,
            ),
        ],
    );
}

#[test]
fn mistral() {
    check(
        OPENAI,
        &[
            (
                429,
                &[],
                r#"{"object":"error","message":"Rate limit exceeded","type":"rate_limited","param":null,"code":"1300","raw_status_code":429}"#,
                Class::RateLimited,
                None,
                Scope::Quota,
            ),
            (
                429,
                &[("x-ratelimit-remaining-req-10-second", "0")],
                r#"{"message":"Requests rate limit exceeded"}"#,
                Class::RateLimited,
                Some(10_000),
                Scope::Quota,
            ),
            (
                429,
                &[("x-ratelimit-remaining-tokens-month", "0"), ("retry-after", "1")],
                r#"{"message":"Requests rate limit exceeded"}"#,
                Class::QuotaSpent,
                Some((12 + 16 * 24) * HOUR),
                Scope::Quota,
            ),
            (
                429,
                &[],
                r#"{"object":"error","message":"Service tier capacity exceeded for this model.","type":"service_tier_capacity_exceeded","code":"3505"}"#,
                Class::Overloaded,
                None,
                Scope::Endpoint,
            ),
            (503, &[], r#"{"code":"3505"}"#, Class::Overloaded, None, Scope::Endpoint),
            (
                422,
                &[],
                r#"{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","stream_options"],"msg":"Extra inputs are not permitted"}]},"type":"invalid_request_message_error"}"#,
                Class::CallerFault,
                None,
                Scope::None,
            ),
            (
                400,
                &[],
                r#"{"object":"error","message":"Invalid model: m","type":"invalid_model","code":"1500"}"#,
                Class::ModelGone,
                None,
                Scope::Quota,
            ),
        ],
    );
}

#[test]
fn anthropic() {
    const LOW: &str = r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API."}}"#;
    check(
        Api::AnthropicMessages,
        &[
            (
                429,
                &[("retry-after", "21")],
                r#"{"type":"error","error":{"type":"rate_limit_error","message":"This request would exceed your organization's rate limit of 50,000 input tokens per minute"}}"#,
                Class::RateLimited,
                Some(21_000),
                Scope::Quota,
            ),
            (
                429,
                &[],
                r#"{"type":"error","error":{"type":"rate_limit_error","message":"limit","details":{"error_code":"enforced_spend_limit_reached"}}}"#,
                Class::Billing,
                Some((12 + 16 * 24) * HOUR),
                Scope::Key,
            ),
            (
                529,
                &[],
                r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
                Class::Overloaded,
                None,
                Scope::Endpoint,
            ),
            (
                500,
                &[],
                r#"{"type":"error","error":{"type":"api_error","message":"Internal server error"}}"#,
                Class::ServerError,
                None,
                Scope::Endpoint,
            ),
            (504, &[], "", Class::ServerError, None, Scope::Endpoint),
            (400, &[], LOW, Class::Billing, None, Scope::Key),
            (
                402,
                &[],
                r#"{"type":"error","error":{"type":"billing_error","message":"x"}}"#,
                Class::Billing,
                None,
                Scope::Key,
            ),
            (
                401,
                &[],
                r#"{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}"#,
                Class::Auth,
                None,
                Scope::Key,
            ),
            (
                403,
                &[],
                r#"{"type":"error","error":{"type":"permission_error","message":"x"}}"#,
                Class::Auth,
                None,
                Scope::Key,
            ),
            (
                413,
                &[],
                r#"{"type":"error","error":{"type":"request_too_large","message":"Request exceeds the maximum size"}}"#,
                Class::CallerFault,
                None,
                Scope::None,
            ),
            (
                400,
                &[],
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"}}"#,
                Class::ContextTooLong,
                None,
                Scope::None,
            ),
            (
                404,
                &[],
                r#"{"type":"error","error":{"type":"not_found_error","message":"model: claude-x"}}"#,
                Class::ModelGone,
                None,
                Scope::Quota,
            ),
            (
                400,
                &[],
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"model: Input should be a valid string"}}"#,
                Class::CallerFault,
                None,
                Scope::None,
            ),
        ],
    );
}

#[test]
fn gemini() {
    const MINUTE: &str = r#"{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details. * Quota exceeded for metric: x, limit: 10 Please retry in 856.559356ms.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":"GenerateRequestsPerMinutePerProjectPerModel-FreeTier","quotaValue":"10"}]},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"22s"}]}}"#;
    const DAY: &str = r#"[{"error":{"code":429,"message":"You exceeded your current quota. limit: 250 Please retry in 8.5s.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":"GenerateRequestsPerMinutePerProject"},{"quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"8s"}]}}]"#;
    const KEY: &str = r#"[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}]}}]"#;
    let rows: [Row; 14] = [
        (429, &[], MINUTE, Class::RateLimited, Some(22_000), Scope::Quota),
        (429, &[], DAY, Class::QuotaSpent, Some(20 * HOUR), Scope::Quota),
        (429, &[("retry-after", "8")], DAY, Class::QuotaSpent, Some(20 * HOUR), Scope::Quota),
        (
            429,
            &[],
            r#"{"error":{"code":429,"message":"Quota exceeded. Please retry in 856.559356ms.","status":"RESOURCE_EXHAUSTED"}}"#,
            Class::RateLimited,
            Some(856),
            Scope::Quota,
        ),
        (
            429,
            &[],
            r#"{"error":{"code":429,"message":"* Quota exceeded for metric: a, limit: 0, model: m\n* Quota exceeded for metric: b, limit: 0, model: m","status":"RESOURCE_EXHAUSTED"}}"#,
            Class::ModelGone,
            None,
            Scope::Quota,
        ),
        (400, &[], KEY, Class::Auth, None, Scope::Key),
        (
            400,
            &[],
            r#"{"error":{"code":400,"message":"API key expired. Please renew the API key.","status":"INVALID_ARGUMENT"}}"#,
            Class::Auth,
            None,
            Scope::Key,
        ),
        (
            403,
            &[],
            r#"{"error":{"code":403,"message":"Method doesn't allow unregistered callers","status":"PERMISSION_DENIED"}}"#,
            Class::Auth,
            None,
            Scope::Key,
        ),
        (
            403,
            &[],
            r#"{"error":{"code":403,"message":"You do not have permission to access the File x or it may not exist.","status":"PERMISSION_DENIED"}}"#,
            Class::CallerFault,
            None,
            Scope::None,
        ),
        (
            503,
            &[],
            r#"{"error":{"code":503,"message":"The model is overloaded. Please try again later.","status":"UNAVAILABLE"}}"#,
            Class::Overloaded,
            None,
            Scope::Endpoint,
        ),
        (
            500,
            &[],
            r#"{"error":{"code":500,"message":"An internal error has occurred.","status":"INTERNAL"}}"#,
            Class::ServerError,
            None,
            Scope::Endpoint,
        ),
        (402, &[], "", Class::Billing, None, Scope::Key),
        (
            404,
            &[],
            r#"{"error":{"code":404,"message":"models/gemini-x is not found for API version v1beta","status":"NOT_FOUND"}}"#,
            Class::ModelGone,
            None,
            Scope::Quota,
        ),
        (
            400,
            &[],
            r#"{"error":{"code":400,"message":"The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}"#,
            Class::ContextTooLong,
            None,
            Scope::None,
        ),
    ];
    // Its OpenAI dialect has the same bodies.
    check(Api::GoogleGenerativeAi, &rows);
    check(OPENAI, &rows);
    let missing = r#"{"error":{"code":404,"message":"Requested entity was not found.","status":"NOT_FOUND"}}"#;
    let native: Row = (404, &[], missing, Class::ModelGone, None, Scope::Quota);
    check(Api::GoogleGenerativeAi, &[native]);
    check(OPENAI, &[(404, &[], missing, Class::CallerFault, None, Scope::None)]);
}

#[test]
fn openai() {
    const QUOTA: &str = r#"{"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#;
    const LIMIT: &str = r#"{"error":{"message":"Rate limit reached for gpt-x on requests per min (RPM): Limit 500, Used 500, Requested 1. Please try again in 120ms.","type":"requests","code":"rate_limit_exceeded"}}"#;
    check(
        OPENAI,
        &[
            (429, &[], QUOTA, Class::Billing, None, Scope::Key),
            (429, &[("retry-after", "5")], QUOTA, Class::Billing, None, Scope::Key),
            (429, &[], LIMIT, Class::RateLimited, Some(120), Scope::Quota),
            (429, &[("retry-after", "20")], LIMIT, Class::RateLimited, Some(20_000), Scope::Quota),
            (
                429,
                &[
                    ("x-ratelimit-remaining-requests", "0"),
                    ("x-ratelimit-reset-requests", "8.64s"),
                    ("x-ratelimit-remaining-tokens", "1000"),
                    ("x-ratelimit-reset-tokens", "6m0s"),
                ],
                LIMIT,
                Class::RateLimited,
                Some(8_640),
                Scope::Quota,
            ),
            (
                429,
                &[],
                r#"{"error":{"message":"Slow down","type":"requests","code":"slow_down"}}"#,
                Class::RateLimited,
                None,
                Scope::Quota,
            ),
            (
                429,
                &[],
                r#"{"error":{"message":"Request too large for gpt-x on tokens per min (TPM): Limit 30000, Requested 45000.","type":"tokens","code":"rate_limit_exceeded"}}"#,
                Class::ContextTooLong,
                None,
                Scope::None,
            ),
            (
                429,
                &[],
                r#"{"error":{"message":"Rate limit reached on requests per day (RPD): Limit 200, Used 200, Requested 1. Please try again in 7m12s.","type":"requests","code":"rate_limit_exceeded"}}"#,
                Class::QuotaSpent,
                Some(432_000),
                Scope::Quota,
            ),
            (
                503,
                &[],
                r#"{"error":{"message":"x","code":"server_is_overloaded"}}"#,
                Class::Overloaded,
                None,
                Scope::Endpoint,
            ),
            (
                401,
                &[],
                r#"{"error":{"message":"Incorrect API key provided: sk-x","code":"invalid_api_key"}}"#,
                Class::Auth,
                None,
                Scope::Key,
            ),
            (
                403,
                &[],
                r#"{"error":{"message":"Country, region, or territory not supported","code":"unsupported_country_region_territory"}}"#,
                Class::Auth,
                None,
                Scope::Key,
            ),
            (
                403,
                &[],
                r#"{"error":{"message":"Project `proj_1` does not have access to model `gpt-x`","code":"model_not_found"}}"#,
                Class::ModelGone,
                None,
                Scope::Quota,
            ),
            (
                400,
                &[],
                r#"{"error":{"message":"Billing hard limit has been reached","code":"billing_hard_limit_reached"}}"#,
                Class::Billing,
                None,
                Scope::Key,
            ),
            (
                400,
                &[],
                r#"{"error":{"message":"This model's maximum context length is 128000 tokens.","type":"invalid_request_error","code":"context_length_exceeded"}}"#,
                Class::ContextTooLong,
                None,
                Scope::None,
            ),
            (
                400,
                &[],
                r#"{"error":{"message":"Rejected by our safety system","code":"content_policy_violation"}}"#,
                Class::CallerFault,
                None,
                Scope::None,
            ),
        ],
    );
    for code in [
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
    ] {
        let body = format!(r#"{{"error":{{"message":"x","code":"{code}"}}}}"#);
        assert_eq!(judged(429, &[], &body, OPENAI).class, Class::Billing, "{code}");
    }
}

#[test]
fn any_vendor() {
    const PAGE: &str = "<!DOCTYPE html><html>insufficient balance, overloaded</html>";
    for status in [520, 521, 522, 523, 524, 525, 526, 527, 530] {
        let verdict = judged(status, &[], PAGE, OPENAI);
        assert_eq!(verdict.class, Class::Overloaded, "{status}");
    }
    for status in [408, 409, 425, 499, 500, 501, 502, 504, 599] {
        let verdict = judged(status, &[], PAGE, OPENAI);
        assert_eq!(verdict.class, Class::ServerError, "{status}");
    }
    for status in [400, 404, 405, 413, 415, 422, 431, 451] {
        let verdict = judged(status, &[], PAGE, OPENAI);
        assert_eq!(verdict.class, Class::CallerFault, "{status}");
    }
    for status in [301, 302, 304, 307, 308] {
        let verdict = judged(status, &[("location", "https://x")], "", OPENAI);
        assert_eq!(verdict.class, Class::Lying, "{status}");
    }
    for status in [200, 201, 202, 204] {
        assert_eq!(judged(status, &[], PAGE, OPENAI), Verdict::ACCEPT, "{status}");
    }
    assert_eq!(judged(429, &[], PAGE, OPENAI).class, Class::RateLimited);
    // An edge that shuts everybody out does not make the key a bad one.
    assert_eq!(judged(403, &[], PAGE, OPENAI).class, Class::ServerError);
    assert_eq!(judged(401, &[], PAGE, OPENAI).class, Class::Auth);
}

#[test]
fn what_a_caller_makes_a_provider_repeat_charges_nobody() {
    for message in [
        "Unknown parameter: 'your credit balance is too low'.",
        "Unknown parameter: 'insufficient balance'.",
        "Unknown parameter: 'API key not valid'.",
        "Unknown parameter: 'model does not exist'.",
        "Unknown parameter: 'x is not a valid model id'.",
        "The model `m` does not support the tool 'not found'.",
        "Function 'not found for account' is not a tool.",
        "Model overloaded: try again in 31 days.",
    ] {
        let body =
            format!(r#"{{"error":{{"message":"{message}","type":"invalid_request_error"}}}}"#);
        let verdict = judged(400, &[], &body, OPENAI);
        assert_eq!(verdict, Verdict::of(Class::CallerFault), "{message}");
    }
}
