//! `providers set`.

use serde_json::{Map, Value};

use super::patch::{MAPPINGS, Patch};
use super::{Session, path};
use crate::args::Set;
use crate::error::Error;
use crate::escape::escape;
use crate::output::field;

pub(super) async fn run(set: &Set, session: &mut Session<'_, '_>) -> Result<(), Error> {
    let provider = &set.target.provider;
    let mut patch = Patch::from_flags(&set.fields)?;
    for name in &set.unset {
        let field = if name == "rpm" { "rpm_limit" } else { name.as_str() };
        if patch.has(field) {
            return Err(Error::Usage(format!("{name} is given and unset at the same time")));
        }
        patch.set(field, Value::Null);
    }
    let (added, removed) = (&set.fields.models, &set.remove_model);
    if !(added.is_empty() && removed.is_empty()) {
        let models = match patch.take_models()? {
            Some(models) => models,
            None => current_models(provider, session).await?,
        };
        patch.set_models(models, removed, added)?;
    }
    if let Some(key) = set.key.read(provider, session.console)? {
        patch.key = Some(key);
    }
    if patch.is_empty() {
        return Err(Error::Usage("there is nothing to change: give at least one flag".to_owned()));
    }
    let changed = session.remote.put(&path(provider), patch.payload()).await?;
    session.print(&changed, |changed| {
        Ok(escape(&format!("changed {}", field(changed, "name"))).into_owned())
    })
}

/// The mappings as they are. What cannot be read is an error: the mappings are sent back as a
/// whole, and those left out would be lost.
async fn current_models(
    provider: &str,
    session: &Session<'_, '_>,
) -> Result<Map<String, Value>, Error> {
    let mut current = session.remote.get(&path(provider)).await?;
    match current.get_mut(MAPPINGS).map(Value::take) {
        Some(Value::Object(models)) => Ok(models),
        _ => Err(Error::Incomplete(MAPPINGS)),
    }
}
