//! One cheap real call to a provider, on request.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body::Body;
use http_body_util::Full;
use serde::Serialize;
use serde_json::{Value, json};
use tower::{Service, ServiceExt};

use super::view::millis;
use super::{Admin, AdminError};
use crate::call::{Call, Head};
use crate::endpoint::Endpoint;
use crate::error::BoxError;
use crate::ingest::Family;
use crate::provider::{ANY_MODEL, Api, FieldError};
use crate::verdict::{Class, Outcome};

/// What a test call showed.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct TestReport {
    /// Whether it was answered well.
    pub ok: bool,
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// The time to its first event, in milliseconds.
    pub latency_ms: u64,
    /// What it means, see [`Class::kind`].
    pub verdict: &'static str,
    /// The model it asked for; `None` if only the models were listed, which proves that the
    /// provider can be reached but not that a model works.
    pub model: Option<String>,
}

impl Admin {
    /// Sends a provider one request for a single token, or for a list of its models if it has no
    /// mapping to ask for by name. It takes a slot of its limit and is booked like any other, but
    /// a resting provider is asked all the same.
    ///
    /// # Errors
    ///
    /// An unknown provider, or a `model` that it does not map.
    pub async fn test_provider<C, B>(
        &self,
        id_or_name: &str,
        model: Option<&str>,
        client: C,
    ) -> Result<TestReport, AdminError>
    where
        C: Service<Request<Full<Bytes>>, Response = Response<B>>,
        C::Error: Into<BoxError>,
        C::Future: Send + 'static,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let pools = &self.state.pools;
        let live = pools.provider(id_or_name).ok_or(AdminError::NotFound)?;
        let models = &live.config.models;
        let model = match model {
            Some(name) if models.contains_key(name) || models.contains_key(ANY_MODEL) => Some(name),
            Some(_) => {
                return Err(FieldError::invalid("model", "is not mapped by this provider").into());
            }
            None => models.keys().map(String::as_str).find(|name| *name != ANY_MODEL),
        };
        let Some(endpoint) = pools.endpoint_of(&live, model) else {
            return Err(AdminError::NotFound);
        };
        let call = self.test_call(&endpoint, model);
        let clock = pools.clock();
        let started = clock.now();
        let result = endpoint.test_stack(client, clock).oneshot(call).await;
        let verdict = match Outcome::of(&result) {
            Outcome::Attempted(verdict) => verdict,
            Outcome::Rejected(_) => {
                let detail = "its rate limit is used up; try again in a minute";
                return Err(FieldError::conflict("rpm_limit", detail).into());
            }
        };
        Ok(TestReport {
            ok: verdict.class == Class::Accept,
            status: result.as_ref().ok().map(|response| response.status().as_u16()),
            latency_ms: millis(clock.now() - started),
            verdict: verdict.class.kind(),
            model: model.map(str::to_owned),
        })
    }

    fn test_call(&self, endpoint: &Endpoint, model: Option<&str>) -> Call {
        let clock = self.state.pools.clock();
        let api = endpoint.provider.config.api;
        let (family, path, body) = match model {
            None => {
                let (family, path) = crate::probe::listing(api);
                (family, path.to_owned(), None)
            }
            Some(_) => one_token(api, endpoint.target.native()),
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let body = body.map_or_else(Bytes::new, |body| body.to_string().into());
        let method = if body.is_empty() { Method::GET } else { Method::POST };
        // The native id stands in the body already.
        let head = Head {
            headers,
            model: model.map(Into::into),
            ..Head::of_our_own("test", method, family, path, clock.now())
        };
        Call::new(head, body)
    }
}

fn one_token(api: Api, native: &str) -> (Family, String, Option<Value>) {
    let messages = json!([{"role": "user", "content": "hi"}]);
    match api {
        Api::OpenaiCompletions | Api::OpenaiResponses => (
            Family::OpenAi,
            "/v1/chat/completions".to_owned(),
            Some(json!({"model": native, "messages": messages, "max_tokens": 1})),
        ),
        Api::AnthropicMessages => (
            Family::Anthropic,
            "/v1/messages".to_owned(),
            Some(json!({"model": native, "messages": messages, "max_tokens": 1})),
        ),
        Api::GoogleGenerativeAi => (
            Family::Gemini,
            format!("/v1beta/models/{native}:generateContent"),
            Some(json!({
                "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
                "generationConfig": {"maxOutputTokens": 1},
            })),
        ),
    }
}
