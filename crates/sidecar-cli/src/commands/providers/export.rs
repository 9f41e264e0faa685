//! `providers export`.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::{LIST, PROVIDERS, Session, list_of};
use crate::error::Error;
use crate::escape;
use crate::output::field;

pub(super) async fn run(out: Option<&Path>, session: &mut Session<'_, '_>) -> Result<(), Error> {
    let answer = session.remote.get(PROVIDERS).await?;
    let (exported, left_out) = split(list_of(&answer, LIST)?);
    let count = exported.len();
    let text = escape::json(&json!({"providers": exported}));
    match out {
        Some(path) => fs::write(path, text + "\n").map_err(|source| Error::File {
            verb: "write",
            path: path.to_owned(),
            source,
        })?,
        None => session.console.line(&text)?,
    }
    session.console.note(&format!("exported {count}; no key is among it"));
    for name in left_out {
        let name = escape::escape(&name);
        session.console.note(&format!("left out {name}: it comes from the server's environment"));
    }
    Ok(())
}

/// What can be imported elsewhere, and the names of the providers that cannot.
fn split(providers: &[Value]) -> (Vec<Value>, Vec<String>) {
    let (mut exported, mut left_out) = (Vec::new(), Vec::new());
    for provider in providers {
        if provider.get("source").is_some_and(|source| source == "env") {
            left_out.push(field(provider, "name"));
        } else {
            exported.push(portable(provider));
        }
    }
    (exported, left_out)
}

/// The fields that make a provider, less those that are at their defaults of nothing.
fn portable(provider: &Value) -> Value {
    let fields = PORTABLE.iter().filter_map(|name| {
        let value = provider.get(*name).filter(|value| !value.is_null())?;
        Some(((*name).to_owned(), value.clone()))
    });
    Value::Object(fields.collect::<Map<_, _>>())
}

/// A list of what is written, not of what is left out: a field that holds a secret in some later
/// version is not exported by oversight.
const PORTABLE: [&str; 17] = [
    "name",
    "label",
    "api_base_url",
    "api",
    "timeout_seconds",
    "first_token_timeout_seconds",
    "idle_timeout_seconds",
    "rpm_limit",
    "limit_shape",
    "burst",
    "account",
    "pool",
    "enabled",
    "drain",
    "http2",
    "model_mappings",
    "metadata",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_keys_nor_state_are_exported() {
        let provider = json!({
            "id": "1", "name": "nim", "api_key": "nvapi-****cdef", "label": null, "enabled": false,
            "status": "disabled", "source": "webui", "model_mappings": {"a": {}},
        });
        let (exported, left_out) = split(&[provider]);
        let expected = json!({"name": "nim", "enabled": false, "model_mappings": {"a": {}}});
        assert_eq!(exported, [expected]);
        assert!(left_out.is_empty());
    }

    #[test]
    fn a_provider_of_the_environment_stays_there() {
        let (exported, left_out) = split(&[json!({"name": "v1-env", "source": "env"})]);
        assert!(exported.is_empty());
        assert_eq!(left_out, ["v1-env"]);
    }
}
