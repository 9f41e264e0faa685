//! Calls as callers make them.

use std::future::ready;

use bytes::Bytes;
use http::Request;
use http::header::CONTENT_TYPE;
use http_body_util::Full;
use serde_json::json;
use sidecar_core::call::Call;
use sidecar_core::clock::Clock;
use sidecar_core::error::Error;
use sidecar_core::ingest::IngestLayer;
use sidecar_core::settings::Settings;
use tower::{Layer, ServiceExt, service_fn};

/// The model that every body names.
pub(crate) const MODEL: &str = "small";
pub(crate) const CHAT: &str = "/v1/chat/completions";
pub(crate) const JSON: &str = "application/json";

/// A chat of about `size` bytes, in messages of about 200. It names its model last, so that all of
/// it has to be read.
pub(crate) fn chat(size: usize) -> Bytes {
    let text = "She said: \"It depends.\"\nThen she went on reading. ".repeat(3);
    let message = json!({"role": "user", "content": text});
    let count = (size / message.to_string().len()).max(1);
    json!({"messages": vec![message; count], "model": MODEL}).to_string().into()
}

pub(crate) fn post(path: &str, content_type: &str, body: Bytes) -> Request<Full<Bytes>> {
    let request = Request::post(path).header(CONTENT_TYPE, content_type);
    request.body(Full::new(body)).expect("a request")
}

/// `request` as the layers get it.
pub(crate) async fn call(request: Request<Full<Bytes>>, clock: &Clock) -> Call {
    let give_back = service_fn(|call: Call| ready(Ok::<_, Error>(call)));
    let ingest = IngestLayer::new(Settings::default(), clock.clone()).layer(give_back);
    ingest.oneshot(request).await.expect("a request that can be read")
}
