//! `providers add`.

use serde_json::Value;

use super::patch::Patch;
use super::{PROVIDERS, Session};
use crate::args::Add;
use crate::error::Error;
use crate::escape::escape;
use crate::output::field;

pub(super) async fn run(add: &Add, session: &mut Session<'_, '_>) -> Result<(), Error> {
    let mut patch = Patch::from_flags(&add.fields)?;
    if let Some(name) = &add.provider {
        patch.set("name", name.as_str());
    }
    if add.disabled {
        patch.set("enabled", false);
    }
    if !add.fields.models.is_empty() {
        let models = patch.take_models()?.unwrap_or_default();
        patch.set_models(models, &[], &add.fields.models)?;
    }
    patch.set("source", "cli");
    // Before anybody types a key for nothing.
    let name = patch.text("name").ok_or_else(|| missing("NAME", "name"))?.to_owned();
    if !patch.has("api_base_url") {
        return Err(missing("--base-url", "api_base_url"));
    }
    if let Some(key) = add.key.read(&name, session.console)? {
        patch.key = Some(key);
    } else if patch.key.is_none() {
        patch.key = Some(session.console.key(&name)?);
    }
    let added = session.remote.post(PROVIDERS, Some(patch.payload())).await?;
    session.print(&added, |added| Ok(summary(added)))?;
    if !patch.has_models() {
        session.console.note(
            "it serves no model yet: add one with `providers set NAME --model CANONICAL=NATIVE`, \
             or all by their own names with `--model '*'`",
        );
    }
    Ok(())
}

fn missing(flag: &str, field: &str) -> Error {
    Error::Usage(format!("give {flag}, or --json-file with the field {field}"))
}

fn summary(added: &Value) -> String {
    let [name, pool, key, id] = ["name", "pool", "api_key", "id"].map(|name| field(added, name));
    escape(&format!("added {name} to the {pool} pool, key {key}, id {id}")).into_owned()
}
