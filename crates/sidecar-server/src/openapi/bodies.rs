//! The schemas of what is put together where it is read or answered, not by a type of its own.

use serde_json::{Map, Value, json};
use sidecar_core::admin::PoolCounts;
use sidecar_core::provider::PoolName;
use sidecar_core::settings::SPECS;

use super::schemas::Schemas;

/// `{name: [item]}`, with all that there is.
pub(super) fn list(name: &str, item: &Value) -> Value {
    json!({
        "type": "object",
        "properties": {name: {"type": "array", "items": item}},
        "required": [name],
    })
}

/// The same with the cursor of the next page, where it was asked for in pages.
pub(super) fn page(name: &str, item: &Value) -> Value {
    let mut page = list(name, item);
    page["properties"]["next"] = json!({
        "type": ["string", "null"],
        "description": "What to ask for the next page with, as `after`; null if this is the last.",
    });
    page
}

/// The counts of every pool by its name.
pub(super) fn pools(schemas: &mut Schemas) -> Value {
    let counts = schemas.answer::<PoolCounts>();
    let names = PoolName::ALL.map(PoolName::as_str);
    let pools: Map<String, Value> =
        names.into_iter().map(|name| (name.to_owned(), counts.clone())).collect();
    json!({"type": "object", "properties": pools, "required": names})
}

/// `caller` with its key.
pub(super) fn with_key(caller: &Value) -> Value {
    json!({
        "allOf": [
            caller,
            {
                "type": "object",
                "properties": {
                    "key": {"type": "string", "description": "Shown here and never again."},
                },
                "required": ["key"],
            },
        ],
    })
}

/// What a log-in sends. A token has 512 characters at most.
pub(super) fn log_in() -> Value {
    json!({
        "type": "object",
        "properties": {"token": {"type": "string", "maxLength": 512, "writeOnly": true}},
        "required": ["token"],
        "additionalProperties": false,
    })
}

/// What it is that lets somebody in.
pub(super) fn session() -> Value {
    json!({
        "type": "object",
        "properties": {
            "kind": {"enum": ["token", "session"]},
            "expires_in_seconds": {
                "type": ["integer", "null"],
                "minimum": 0,
                "description": "When the session ends if nobody uses it; null of a token.",
            },
        },
        "required": ["kind", "expires_in_seconds"],
    })
}

/// Which model a test asks for.
pub(super) fn test() -> Value {
    json!({
        "type": "object",
        "properties": {
            "model": {
                "type": ["string", "null"],
                "description": "The first one that it maps if it is left out.",
            },
        },
        "additionalProperties": false,
    })
}

/// How long the key before a new one works on.
pub(super) fn roll() -> Value {
    json!({
        "type": "object",
        "properties": {
            "overlap_seconds": {
                "type": ["integer", "null"],
                "minimum": 0,
                "maximum": 2_592_000,
                "description": "How long the key before works on; a day if it is left out.",
            },
        },
        "additionalProperties": false,
    })
}

/// The keys of all settings.
pub(super) fn setting_keys() -> Value {
    let keys: Vec<_> = SPECS.iter().map(|spec| spec.key).collect();
    json!({"type": "string", "enum": keys})
}

/// The value that a setting is given. What it may be depends on the setting.
pub(super) fn setting() -> Value {
    let pool = json!({"enum": PoolName::ALL.map(PoolName::as_str)});
    json!({
        "type": "object",
        "properties": {
            "value": {
                "anyOf": [
                    {"type": "boolean"},
                    {"type": "number", "minimum": 0, "maximum": 256 << 20},
                    {
                        "type": "array",
                        "items": pool,
                        "minItems": 2,
                        "maxItems": 2,
                        "uniqueItems": true,
                    },
                ],
            },
        },
        "required": ["value"],
        "additionalProperties": false,
    })
}

/// Whether the process lives.
pub(super) fn health() -> Value {
    json!({
        "type": "object",
        "properties": {
            "status": {"const": "ok"},
            "version": {"type": "string"},
            "uptime_seconds": {"type": "integer", "minimum": 0},
        },
        "required": ["status", "version", "uptime_seconds"],
    })
}

/// Whether any provider could serve.
pub(super) fn ready() -> Value {
    json!({
        "type": "object",
        "properties": {
            "status": {"type": "string"},
            "healthy_providers": {"type": "integer", "minimum": 0},
            "store_healthy": {"type": "boolean"},
        },
        "required": ["status", "healthy_providers", "store_healthy"],
    })
}

/// A model in OpenAI's format.
pub(super) fn model() -> Value {
    let tokens = json!({"type": ["integer", "null"], "minimum": 0});
    json!({
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "object": {"const": "model"},
            "created": {"type": "integer"},
            "owned_by": {"type": "string"},
            "context_window": tokens,
            "max_tokens": tokens,
        },
        "required": ["id", "object", "created", "owned_by", "context_window", "max_tokens"],
    })
}

/// A list in OpenAI's format.
pub(super) fn models(model: &Value) -> Value {
    let mut list = list("data", model);
    list["properties"]["object"] = json!({"const": "list"});
    list["required"] = json!(["object", "data"]);
    list
}

/// An error in OpenAI's format.
pub(super) fn openai_error() -> Value {
    json!({
        "type": "object",
        "properties": {
            "error": {
                "type": "object",
                "properties": {
                    "message": {"type": "string"},
                    "type": {"type": "string"},
                    "param": {"type": ["string", "null"]},
                    "code": {"type": ["string", "null"]},
                },
                "required": ["message", "type", "param", "code"],
            },
        },
        "required": ["error"],
    })
}
