//! `providers import`.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use super::patch::Patch;
use super::{LIST, PROVIDERS, Session, list_of, path};
use crate::error::Error;
use crate::escape::escape_short;
use crate::files::read_json;

pub(super) async fn run(file: &Path, session: &mut Session<'_, '_>) -> Result<(), Error> {
    let entries = entries(read_json(file)?)?;
    let mut known = names(&session.remote.get(PROVIDERS).await?)?;
    let mut results = Vec::with_capacity(entries.len());
    let mut refused = 0;
    let mut stopped = Ok(());
    for (index, entry) in entries.into_iter().enumerate() {
        let name = entry.get("name").and_then(Value::as_str).map(str::to_owned);
        let shown = name.clone().unwrap_or_else(|| format!("number {}", index + 1));
        let harmless = escape_short(&shown, 80);
        let exists = name.as_ref().is_some_and(|name| known.contains(name));
        match send(entry, exists, session).await {
            Ok(()) => {
                let verb = if exists { "updated" } else { "created" };
                known.extend(name);
                results.push(json!({"name": shown, "result": verb}));
                session.progress(&format!("{verb} {harmless}"))?;
            }
            Err(error) if error.is_refusal() => {
                refused += 1;
                let reason = error.message();
                results.push(json!({"name": shown, "result": "refused", "reason": reason}));
                let reason = escape_short(&reason, 500);
                session.progress(&format!("refused {harmless}: {reason}"))?;
            }
            // The others would meet the same.
            Err(error) => {
                stopped = Err(error);
                break;
            }
        }
    }
    let count = results.len();
    session.print(&json!({"providers": results}), |_| {
        Ok(format!("{} of {count} imported", count - refused))
    })?;
    stopped?;
    if refused == 0 { Ok(()) } else { Err(Error::Reported) }
}

async fn send(entry: Value, exists: bool, session: &mut Session<'_, '_>) -> Result<(), Error> {
    let mut patch = Patch::from_json(entry)?;
    patch.set("source", "import");
    let name = match patch.text("name") {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ => return Err(Error::Input("name: is required".to_owned())),
    };
    if exists {
        session.remote.put(&path(&name), patch.payload()).await?;
        return Ok(());
    }
    if patch.key.is_none() {
        if !session.console.is_terminal() {
            let detail = "api_key: is not in the file, and there is no terminal to ask at";
            return Err(Error::Input(detail.to_owned()));
        }
        patch.key = Some(session.console.key(&name)?);
    }
    session.remote.post(PROVIDERS, Some(patch.payload())).await?;
    Ok(())
}

/// The providers in a file: in a list, alone, or in an object as an export or the API has it.
fn entries(mut file: Value) -> Result<Vec<Value>, Error> {
    for name in ["providers", LIST] {
        if let Some(list) = file.get_mut(name) {
            file = list.take();
            break;
        }
    }
    match file {
        Value::Array(entries) => Ok(entries),
        Value::Object(_) => Ok(vec![file]),
        _ => {
            let detail = "the file holds neither a provider nor a list of them";
            Err(Error::Input(detail.to_owned()))
        }
    }
}

fn names(answer: &Value) -> Result<BTreeSet<String>, Error> {
    let names = list_of(answer, LIST)?.iter().filter_map(|provider| provider.get("name")?.as_str());
    Ok(names.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_may_hold_one_provider_or_many() {
        let one = json!({"name": "nim"});
        for file in
            [one.clone(), json!([one]), json!({"providers": [one]}), json!({"backends": [one]})]
        {
            assert_eq!(entries(file).unwrap(), std::slice::from_ref(&one));
        }
        assert!(entries(json!([])).unwrap().is_empty());
        assert!(entries(json!("nim")).is_err());
    }
}
