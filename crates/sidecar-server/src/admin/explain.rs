//! Why a request would go where it would go.

use http::StatusCode;
use sidecar_core::admin::Admin;
use sidecar_core::ingest::Family;

use super::Answered;
use super::query::Query;
use super::refusal::Refusal;
use crate::respond;

/// What would become of a request for a model, made now.
pub(super) fn explain(admin: &Admin, query: Option<&str>) -> Answered {
    let mut query = Query::parse(query)?;
    let (model, caller) = (query.require("model")?, query.take("caller"));
    let family = match query.take("api").as_deref() {
        None | Some("openai-completions") => Family::OpenAi,
        Some("openai-responses") => Family::Responses,
        Some("anthropic-messages") => Family::Anthropic,
        Some("google-generative-ai") => Family::Gemini,
        Some(_) => {
            let detail = "must be openai-completions, openai-responses, anthropic-messages or \
                          google-generative-ai";
            let refusal = Refusal::new(StatusCode::BAD_REQUEST, detail);
            return Err(Refusal { field: Some("api".to_owned()), ..refusal });
        }
    };
    query.finish()?;
    Ok(respond::json(StatusCode::OK, &admin.explain(&model, caller.as_deref(), family)))
}
