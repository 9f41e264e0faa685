//! What the tests stand on.

mod client;
mod dialects;
mod home;
mod process;
mod raw;
mod server;
mod upstream;
mod wait;

use serde_json::{Value, json};

pub(crate) use self::client::{Answer, body_of, json_body, next_bytes, request, try_send};
pub(crate) use self::home::{ADMIN_TOKEN, Home, program};
pub(crate) use self::process::{Exit, Process};
pub(crate) use self::raw::{RawCaller, raw, raw_post, raw_upload, status_of};
pub(crate) use self::server::Server;
pub(crate) use self::upstream::{Refusing, Script, Step, Upstream};
pub(crate) use self::wait::{alone, eventually, within};

/// A new provider of the model `llama`, which it calls `meta/llama-3`.
pub(crate) fn provider(name: &str, base_url: &str) -> Value {
    json!({
        "name": name,
        "api_base_url": base_url,
        "api_key": key_of(name),
        "model_mappings": {"llama": {"native_id": "meta/llama-3"}},
    })
}

/// The key that [`provider`] gives to the provider called `name`.
pub(crate) fn key_of(name: &str) -> String {
    format!("sk-{name}-0123456789abcdef")
}

/// `base` with the fields of `extra` put in or replaced.
pub(crate) fn with(mut base: Value, extra: Value) -> Value {
    if let (Value::Object(base), Value::Object(extra)) = (&mut base, extra) {
        base.extend(extra);
    }
    base
}

/// What the server says would become of a request for `llama`.
pub(crate) async fn explain(server: &Server) -> Value {
    let answer = server.admin("GET", "/explain?model=llama", Value::Null).await;
    assert_eq!(answer.status, 200, "{}", answer.whole());
    answer.json()
}

/// All candidates in what [`explain`] gives, of all pools.
pub(crate) fn candidates(explanation: &Value) -> impl Iterator<Item = &Value> {
    let pools = explanation["pools"].as_array().unwrap();
    pools.iter().flat_map(|pool| pool["candidates"].as_array().unwrap())
}

/// Waits until all providers can be sent something. A new limit lets nothing pass for a moment,
/// until it is known to the store.
pub(crate) async fn all_ready(server: &Server) {
    eventually("all providers to be ready", async || {
        let explanation = explain(server).await;
        let ready = candidates(&explanation).all(|candidate| candidate["ready"] == true);
        ready.then_some(())
    })
    .await;
}

/// The body of a chat request for `model`.
pub(crate) fn chat(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "hi"}]})
}
