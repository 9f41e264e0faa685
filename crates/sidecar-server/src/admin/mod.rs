//! The admin API. Who gets here has shown the admin token, or a session.

mod audit;
mod body;
mod callers;
mod explain;
mod query;
mod refusal;
mod stats;

use http::request::Parts;
use http::{Method, StatusCode};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::{Value, json};
use sidecar_core::admin::Admin;

pub(crate) use self::audit::{Trail, note_failed_login};

use self::body::read;
use self::refusal::Refusal;
use crate::app::App;
use crate::auth::Actor;
use crate::respond::{self, Answer};
use crate::routes::Action;
use crate::session;

/// Answers one admin request of `actor`; `id` is what stands for `{id}` in its route. What changes
/// something leaves a row in the audit log.
pub(crate) async fn answer(
    app: &App,
    actor: Actor,
    head: &Parts,
    action: Action,
    id: Option<&str>,
    body: Incoming,
) -> Answer {
    let Some(id) = percent_decode(id.unwrap_or_default()) else {
        return respond::detail(StatusCode::BAD_REQUEST, "the path is not UTF-8", None);
    };
    let work = serve(app, actor, head, action, &id, body);
    if head.method == Method::GET {
        return work.await;
    }
    Trail::start(app, head, actor, action, &id).follow(work).await
}

async fn serve(
    app: &App,
    actor: Actor,
    head: &Parts,
    action: Action,
    id: &str,
    body: Incoming,
) -> Answer {
    let (admin, query) = (app.sidecar.admin(), head.uri.query());
    let answer = match action {
        Action::ShowSession => return session::show(app, actor),
        Action::Logout => return session::log_out(app, actor),
        Action::Audit => audit::list(&admin, query).await,
        Action::AddProvider => add_provider(&admin, body).await,
        Action::ChangeProvider => change_provider(&admin, id, body).await,
        Action::TestProvider => test_provider(app, &admin, id, body).await,
        Action::ChangeSetting => change_setting(&admin, id, body).await,
        Action::AddCaller => callers::add(&admin, body).await,
        Action::ChangeCaller => callers::change(&admin, id, body).await,
        Action::RollCaller => callers::roll(&admin, id, body).await,
        Action::Explain => explain::explain(&admin, query),
        Action::StatsTotal => stats::total(&admin, query).await,
        Action::StatsHourly => stats::hourly(&admin, query).await,
        Action::StatsDaily => stats::daily(&admin, query).await,
        Action::StatsCooldown => stats::cooldown(&admin, query).await,
        action => without_body(&admin, action, id).await,
    };
    answer.unwrap_or_else(|refusal| refusal.answer())
}

type Answered = Result<Answer, Refusal>;

async fn without_body(admin: &Admin, action: Action, id: &str) -> Answered {
    let ok = StatusCode::OK;
    Ok(match action {
        Action::ListProviders => respond::json(ok, &json!({"backends": admin.providers()})),
        Action::ShowProvider => respond::json(ok, &admin.provider(id)?),
        Action::RemoveProvider => {
            admin.remove_provider(id).await?;
            tracing::info!(provider = id, "provider removed");
            respond::empty(StatusCode::NO_CONTENT)
        }
        Action::ResetProvider => respond::json(ok, &admin.reset_provider(id).await?),
        Action::ListCallers => callers::list(admin),
        Action::RemoveCaller => callers::remove(admin, id).await?,
        Action::Pools => respond::json(ok, &admin.pools()),
        Action::ListSettings => respond::json(ok, &json!({"settings": admin.settings().await})),
        Action::ShowSetting => respond::json(ok, &admin.setting(id).await?),
        Action::RemoveSetting => respond::json(ok, &admin.unset_setting(id).await?),
        _ => respond::detail(StatusCode::NOT_FOUND, "there is no such admin route", None),
    })
}

async fn add_provider(admin: &Admin, body: Incoming) -> Answered {
    let provider = admin.add_provider(read(body).await?).await?;
    tracing::info!(provider = %provider.name, "provider added");
    audit::note_target(&provider.name);
    Ok(respond::json(StatusCode::CREATED, &provider))
}

async fn change_provider(admin: &Admin, id: &str, body: Incoming) -> Answered {
    let provider = admin.change_provider(id, read(body).await?).await?;
    tracing::info!(provider = %provider.name, "provider changed");
    Ok(respond::json(StatusCode::OK, &provider))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TestRequest {
    model: Option<String>,
}

async fn test_provider(app: &App, admin: &Admin, id: &str, body: Incoming) -> Answered {
    let wanted: TestRequest = body::read_optional(body).await?;
    let client = app.client.clone();
    let tested = admin.test_provider(id, wanted.model.as_deref(), client).await;
    Ok(respond::json(StatusCode::OK, &tested?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SettingChange {
    value: Value,
}

async fn change_setting(admin: &Admin, key: &str, body: Incoming) -> Answered {
    let change: SettingChange = read(body).await?;
    let setting = admin.set_setting(key, &change.value).await?;
    tracing::info!(key = setting.key, "setting changed");
    Ok(respond::json(StatusCode::OK, &setting))
}

/// A path segment as text; `None` if it is not UTF-8.
pub(crate) fn percent_decode(segment: &str) -> Option<String> {
    percent_decode_str(segment).decode_utf8().ok().map(Into::into)
}
