//! Where a request goes, and as what.

mod stream_options;

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderName, HeaderValue, Request, Uri};
use http_body_util::Full;

use super::url::{JoinError, join};
use super::{PreferHttp2, headers};
use crate::call::{Call, ModelPlace};
use crate::error::BoxError;
use crate::ingest::{Family, json_string, splice};
use crate::provider::{Api, StreamUsage};
use crate::secret::Secret;
use crate::url::BaseUrl;

/// One provider and one of its models, ready to send to: cheap to clone.
#[derive(Clone, Debug)]
pub struct Target {
    inner: Arc<Inner>,
    http2: bool,
}

#[derive(Debug)]
struct Inner {
    base_url: BaseUrl,
    host: HeaderValue,
    credential: (HeaderName, HeaderValue),
    native: Box<str>,
    native_json: Box<[u8]>,
    stream_usage: StreamUsage,
    /// The path that was asked for first, and its URL: most requests have the same.
    usual: OnceLock<(Box<str>, Uri)>,
}

impl Target {
    /// Requests to `base_url` with `key`, for the model the provider calls `native`; what a stream
    /// used is asked for as `stream_usage` has it. Fails if the key cannot stand in a header.
    pub fn new(
        base_url: BaseUrl,
        api: Api,
        key: &Secret,
        native: &str,
        stream_usage: StreamUsage,
    ) -> Result<Self, http::header::InvalidHeaderValue> {
        let credential = headers::credential(api, key)?;
        let host = HeaderValue::from_str(base_url.authority())?;
        let inner = Inner {
            base_url,
            host,
            credential,
            native: native.into(),
            native_json: json_string(native).into(),
            stream_usage,
            usual: OnceLock::new(),
        };
        Ok(Self { inner: Arc::new(inner), http2: false })
    }

    /// Whether its requests carry [`PreferHttp2`]; at first they do not.
    #[must_use]
    pub fn http2(self, preferred: bool) -> Self {
        Self { http2: preferred, ..self }
    }

    /// The provider's name for the model.
    pub(crate) fn native(&self) -> &str {
        &self.inner.native
    }

    /// The request for `call`.
    pub(super) fn request(&self, call: &Call) -> Result<Request<Full<Bytes>>, BoxError> {
        let (head, target) = (call.head(), &*self.inner);
        let mut path = &*head.path;
        let renamed;
        let model: Option<(Range<usize>, &[u8])> = match &head.model_place {
            ModelPlace::None => None,
            ModelPlace::Json(span) => Some((span.clone(), &*target.native_json)),
            ModelPlace::Multipart(span) => Some((span.clone(), target.native.as_bytes())),
            ModelPlace::Path(span) => {
                renamed = [&path[..span.start], &target.native, &path[span.end..]].concat();
                path = &renamed;
                None
            }
        };
        let stream_options = stream_options::edit(call, target.stream_usage);
        let body = match (model, stream_options) {
            (Some(model), Some(options)) => splice(call.body(), &mut [model, options]),
            (Some(edit), None) | (None, Some(edit)) => splice(call.body(), &mut [edit]),
            (None, None) => call.body().clone(),
        };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = head.method.clone();
        *request.uri_mut() = target.url(path, head.query.as_deref())?;
        if self.http2 {
            request.extensions_mut().insert(PreferHttp2);
        }
        *request.headers_mut() = headers::request_headers(&head.headers, &[]);
        let headers = request.headers_mut();
        headers.insert(HOST, target.host.clone());
        let (name, value) = target.credential.clone();
        headers.insert(name, value);
        if head.family == Family::Anthropic {
            headers
                .entry(HeaderName::from_static("anthropic-version"))
                .or_insert(HeaderValue::from_static("2023-06-01"));
        }
        Ok(request)
    }
}

impl Inner {
    fn url(&self, path: &str, query: Option<&str>) -> Result<Uri, JoinError> {
        let usual = self.usual.get().filter(|(usual, _)| query.is_none() && **usual == *path);
        if let Some((_, url)) = usual {
            return Ok(url.clone());
        }
        let url = join(&self.base_url, path, query)?;
        if query.is_none() {
            let _ = self.usual.set((path.into(), url.clone()));
        }
        Ok(url)
    }
}

#[cfg(test)]
mod tests {
    use tower::{Layer, ServiceExt, service_fn};

    use super::*;
    use crate::clock::Clock;
    use crate::error::Error;
    use crate::ingest::IngestLayer;
    use crate::settings::Settings;

    async fn as_it_is(call: Call) -> Result<Call, Error> {
        Ok(call)
    }

    #[tokio::test]
    async fn only_who_is_to_get_http2_is_marked() {
        let base_url = BaseUrl::parse("https://a.example/v1").unwrap();
        let (api, key) = (Api::default(), Secret::new("sk-0123456789"));
        let target = Target::new(base_url, api, &key, "native", StreamUsage::default()).unwrap();
        let request = Request::post("/v1/chat/completions")
            .header("content-type", "application/json")
            .body(Full::<Bytes>::from(r#"{"model": "m"}"#))
            .unwrap();
        let ingest = IngestLayer::new(Settings::default(), Clock::simulated());
        let call = ingest.layer(service_fn(as_it_is)).oneshot(request).await.unwrap();
        for (target, marked) in [(target.clone(), false), (target.http2(true), true)] {
            let request = target.request(&call).unwrap();
            assert_eq!(request.extensions().get::<PreferHttp2>().is_some(), marked);
        }
    }
}
