//! `config`: the settings of the server.

use serde_json::{Value, json};

use super::{Session, list};
use crate::args::ConfigCommand;
use crate::error::Error;
use crate::escape::escape;
use crate::output::{field, table};
use crate::remote::{payload, segment};

pub(super) async fn run(
    command: &ConfigCommand,
    session: &mut Session<'_, '_>,
) -> Result<(), Error> {
    match command {
        ConfigCommand::List => {
            let settings = session.remote.get("/config").await?;
            session.print(&settings, |settings| Ok(overview(list(settings, "settings")?)))
        }
        ConfigCommand::Get { key } => {
            let setting = session.remote.get(&path(key)).await?;
            session.print(&setting, |setting| Ok(escape(&field(setting, "value")).into_owned()))
        }
        ConfigCommand::Set { key, value } => {
            let body = payload(&json!({"value": typed(value)}));
            let setting = session.remote.put(&path(key), body).await?;
            session.print(&setting, |setting| Ok(assignment(key, setting)))
        }
        ConfigCommand::Unset { key } => {
            let mut setting = session.remote.delete(&path(key)).await?;
            if setting.is_null() {
                setting = session.remote.get(&path(key)).await?;
            }
            session.print(&setting, |setting| Ok(assignment(key, setting)))
        }
    }
}

fn path(key: &str) -> String {
    format!("/config/{}", segment(key))
}

/// A number or a truth value as such, anything else as a text.
fn typed(text: &str) -> Value {
    serde_json::from_str(text.trim()).unwrap_or_else(|_| text.into())
}

fn overview(settings: &[Value]) -> String {
    let rows = settings.iter().map(|setting| {
        ["key", "value", "default", "source", "help"].map(|name| field(setting, name))
    });
    table(["KEY", "VALUE", "DEFAULT", "SOURCE", "MEANING"], rows)
}

fn assignment(key: &str, setting: &Value) -> String {
    let text = format!("{key} = {} ({})", field(setting, "value"), field(setting, "source"));
    escape(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_the_type_it_looks_like() {
        assert_eq!(typed("35"), json!(35));
        assert_eq!(typed("-1"), json!(-1));
        assert_eq!(typed("false"), json!(false));
        assert_eq!(typed("\"35\""), json!("35"));
        assert_eq!(typed("primary,fallback"), json!("primary,fallback"));
        assert_eq!(typed(""), json!(""));
    }

    #[test]
    fn a_setting_is_shown_with_where_it_comes_from() {
        let setting = json!({"key": "rate_rpm", "value": 35, "default": 40, "source": "stored",
                             "help": "requests per minute"});
        assert_eq!(assignment("rate_rpm", &setting), "rate_rpm = 35 (stored)");
        assert_eq!(
            overview(&[setting]),
            "KEY       VALUE  DEFAULT  SOURCE  MEANING\n\
             rate_rpm  35     40       stored  requests per minute"
        );
    }
}
