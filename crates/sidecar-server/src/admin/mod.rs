//! The admin API. Who gets here has shown the admin token, or a session.

mod audit;
mod backup;
mod body;
mod callers;
mod etag;
mod explain;
mod keys;
mod page;
mod query;
mod refusal;
mod stats;

use http::request::Parts;
use http::{HeaderName, Method, StatusCode};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::Value;
use sidecar_core::admin::Admin;

pub(crate) use self::audit::{Trail, note_failed_login};

use self::body::read;
use self::page::Page;
use self::refusal::Refusal;
use crate::app::Local;
use crate::auth::Actor;
use crate::respond::{self, Answer};
use crate::routes::Action;
use crate::session;

/// Answers one admin request of `actor`; `id` is what stands for `{id}` in its route. What changes
/// something leaves a row in the audit log.
pub(crate) async fn answer(
    local: &Local,
    actor: Actor,
    head: &Parts,
    action: Action,
    id: Option<&str>,
    body: Incoming,
) -> Answer {
    let Some(id) = percent_decode(id.unwrap_or_default()) else {
        return respond::detail(StatusCode::BAD_REQUEST, "the path is not UTF-8", None);
    };
    let work = serve(local, actor, head, action, &id, body);
    if head.method == Method::GET {
        return work.await;
    }
    Trail::start(&local.app, head, actor, action, &id).follow(work).await
}

async fn serve(
    local: &Local,
    actor: Actor,
    head: &Parts,
    action: Action,
    id: &str,
    body: Incoming,
) -> Answer {
    let app = &*local.app;
    let (admin, query) = (app.sidecar.admin(), head.uri.query());
    let answer = match action {
        Action::ShowSession => return session::show(app, actor),
        Action::Logout => return session::log_out(app, actor),
        Action::OpenApi => return crate::openapi::show(),
        Action::Audit => audit::list(&admin, query).await,
        Action::MakeBackup => backup::make(&admin).await,
        Action::ListBackups => backup::list(&admin, query).await,
        Action::RotateKeys => keys::rotate(app, &admin).await,
        Action::AddProvider => add_provider(&admin, body).await,
        Action::ChangeProvider => change_provider(&admin, id, head, body).await,
        Action::TestProvider => test_provider(local, &admin, id, body).await,
        Action::ChangeSetting => change_setting(&admin, id, head, body).await,
        Action::AddCaller => callers::add(&admin, body).await,
        Action::ChangeCaller => callers::change(&admin, id, &head.headers, body).await,
        Action::RollCaller => callers::roll(&admin, id, body).await,
        Action::Explain => explain::explain(&admin, query),
        Action::StatsTotal => stats::total(&admin, query).await,
        Action::StatsHourly => stats::hourly(&admin, query).await,
        Action::StatsDaily => stats::daily(&admin, query).await,
        Action::StatsCooldown => stats::cooldown(&admin, query).await,
        action => without_body(&admin, action, id, head).await,
    };
    answer.unwrap_or_else(|refusal| refusal.answer())
}

type Answered = Result<Answer, Refusal>;

async fn without_body(admin: &Admin, action: Action, id: &str, head: &Parts) -> Answered {
    let (ok, headers, query) = (StatusCode::OK, &head.headers, head.uri.query());
    Ok(match action {
        Action::ListProviders => {
            Page::of(query)?.answer("backends", admin.providers(), |provider| &provider.name)
        }
        Action::ShowProvider => {
            let provider = admin.provider(id)?;
            etag::shown(headers, &provider, provider.etag)?
        }
        Action::RemoveProvider => {
            admin.remove_provider(id, &etag::precondition(headers)?).await?;
            tracing::info!(provider = id, "provider removed");
            respond::empty(StatusCode::NO_CONTENT)
        }
        Action::ResetProvider => respond::json(ok, &admin.reset_provider(id).await?),
        Action::ListCallers => callers::list(admin, query)?,
        Action::ShowCaller => callers::show(admin, id, headers)?,
        Action::RemoveCaller => callers::remove(admin, id, headers).await?,
        Action::Pools => pools(admin),
        Action::ListSettings => {
            Page::of(query)?.answer("settings", admin.settings().await, |setting| setting.key)
        }
        Action::ShowSetting => {
            let setting = admin.setting(id).await?;
            etag::shown(headers, &setting, setting.etag)?
        }
        Action::RemoveSetting => {
            let setting = admin.unset_setting(id, &etag::precondition(headers)?).await?;
            etag::tagged(ok, &setting, setting.etag)
        }
        _ => respond::detail(StatusCode::NOT_FOUND, "there is no such admin route", None),
    })
}

/// How many providers of each pool are how, and at which revision.
fn pools(admin: &Admin) -> Answer {
    let revision = admin.revision();
    let mut answer = respond::json(StatusCode::OK, &admin.pools());
    answer.headers_mut().insert(REVISION, revision.into());
    answer
}

async fn add_provider(admin: &Admin, body: Incoming) -> Answered {
    let provider = admin.add_provider(read(body).await?).await?;
    tracing::info!(provider = %provider.name, "provider added");
    audit::note_target(&provider.name);
    Ok(etag::tagged(StatusCode::CREATED, &provider, provider.etag))
}

async fn change_provider(admin: &Admin, id: &str, head: &Parts, body: Incoming) -> Answered {
    let patch = read(body).await?;
    let provider = admin.change_provider(id, patch, &etag::precondition(&head.headers)?).await?;
    tracing::info!(provider = %provider.name, "provider changed");
    Ok(etag::tagged(StatusCode::OK, &provider, provider.etag))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TestRequest {
    model: Option<String>,
}

async fn test_provider(local: &Local, admin: &Admin, id: &str, body: Incoming) -> Answered {
    let wanted: TestRequest = body::read_optional(body).await?;
    let client = local.client.clone();
    let tested = admin.test_provider(id, wanted.model.as_deref(), client).await;
    Ok(respond::json(StatusCode::OK, &tested?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SettingChange {
    value: Value,
}

async fn change_setting(admin: &Admin, key: &str, head: &Parts, body: Incoming) -> Answered {
    let change: SettingChange = read(body).await?;
    let precondition = etag::precondition(&head.headers)?;
    let setting = admin.set_setting(key, &change.value, &precondition).await?;
    tracing::info!(key = setting.key, "setting changed");
    Ok(etag::tagged(StatusCode::OK, &setting, setting.etag))
}

/// A path segment as text; `None` if it is not UTF-8.
pub(crate) fn percent_decode(segment: &str) -> Option<String> {
    percent_decode_str(segment).decode_utf8().ok().map(Into::into)
}

const REVISION: HeaderName = HeaderName::from_static("x-sidecar-rev");
