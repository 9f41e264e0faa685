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
pub(crate) use self::raw::{raw, raw_upload, status_of};
pub(crate) use self::server::Server;
pub(crate) use self::upstream::{Refusing, Script, Step, Upstream};
pub(crate) use self::wait::{eventually, within};

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

/// The body of a chat request for `model`.
pub(crate) fn chat(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "hi"}]})
}
