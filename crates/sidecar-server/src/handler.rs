//! From a request to its answer: find the route, check the credential, act.

use std::net::{IpAddr, Ipv4Addr};
use std::task::{Context, Waker};
use std::time::Duration;

use http::header::IF_NONE_MATCH;
use http::request::Parts;
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::Either;
use hyper::body::Incoming;
use serde_json::json;
use sidecar_core::admin::Status;
use sidecar_core::error::Error;
use sidecar_core::ingest::Family;
use tower::Service;

use crate::admin::Trail;
use crate::app::{App, Local, Proxy};
use crate::auth::{Actor, Credential, Stopped, peer_of};
use crate::caller::{Identity, guard_name, identify};
use crate::respond::{self, Answer};
use crate::routes::{Action, Found, find, is_of_operator};
use crate::{admin, dashboard, models, session, target};

/// Answers `request`.
pub(crate) async fn handle(local: &Local, request: Request<Incoming>) -> Answer {
    let app = &*local.app;
    let (mut head, body) = request.into_parts();
    let family = Family::of_path(head.uri.path()).unwrap_or(Family::OpenAi);
    if let Some(message) = target::refusal(&head) {
        let mut answer = respond::refused(StatusCode::BAD_REQUEST, message, family);
        // Two programs may disagree about where the next request begins.
        let close = http::HeaderValue::from_static("close");
        answer.headers_mut().insert(http::header::CONNECTION, close);
        return answer;
    }
    let uri = head.uri.clone();
    let path = uri.path();
    let found = find(&head.method, path);
    let (Found::Route(_, credential, ..)
    | Found::WrongMethod(credential, _)
    | Found::Nothing(credential)) = &found;
    if is_of_operator(path, *credential) && !app.gate.admits_host(&head.headers) {
        return respond::wrong_host();
    }
    let mut actor = None;
    match credential {
        Credential::None => {}
        Credential::Admin => match admit_admin(app, &head, &found) {
            Ok(admitted) => actor = Some(admitted),
            Err(refusal) => return *refusal,
        },
        Credential::Caller => {
            if let Err(refusal) = admit_caller(app, &mut head, family) {
                return *refusal;
            }
        }
    }
    let (action, id) = match found {
        Found::Route(_, _, action, id) => (action, id),
        Found::WrongMethod(_, methods) => return respond::wrong_method(&methods),
        Found::Nothing(Credential::Admin) => {
            let text = "there is no such admin route";
            return respond::detail(StatusCode::NOT_FOUND, text, None);
        }
        Found::Nothing(_) => return respond::failed(&Error::UnknownPath, family),
    };
    match action {
        Action::Health => health(app),
        Action::Ready => ready(app),
        Action::Models => models::list(app, head.extensions.get()),
        Action::Model => models::one(app, head.extensions.get(), id.unwrap_or_default()),
        Action::Proxy => pass_on(&local.proxy, Request::from_parts(head, body), family).await,
        // What is not for every request is in boxes of its own, because the largest of these would
        // make every request as large.
        Action::Login => Box::pin(session::log_in(app, &head, body)).await,
        Action::DashboardPage => dashboard::page(head.headers.get(IF_NONE_MATCH)),
        Action::DashboardAsset => asset(id.unwrap_or_default(), head.headers.get(IF_NONE_MATCH)),
        action => match actor {
            Some(actor) if action == Action::DashboardFeed => Box::pin(feed(app, actor)).await,
            Some(actor) => Box::pin(admin::answer(local, actor, &head, action, id, body)).await,
            // Every other route asks for the admin.
            None => respond::no_admin(),
        },
    }
}

/// Says by what an operator is let in; or the answer that refuses the request.
fn admit_admin(app: &App, head: &Parts, found: &Found<'_>) -> Result<Actor, Box<Answer>> {
    let stopped = match app.gate.admit(head, &app.sessions, app.clock.now()) {
        Ok(actor) => return Ok(actor),
        Err(stopped) => stopped,
    };
    Err(Box::new(match stopped {
        Stopped::Unknown => respond::no_admin(),
        Stopped::WrongToken => wrong_token(app, head),
        Stopped::NotOwn(session, objection) => {
            let answer = respond::detail(StatusCode::FORBIDDEN, objection, None);
            if let Found::Route(_, _, action, id) = found
                && head.method != Method::GET
            {
                let target = id.and_then(admin::percent_decode).unwrap_or_default();
                let actor = Actor::Session(session);
                Trail::start(app, head, actor, *action, &target).end(answer.status());
            }
            answer
        }
    }))
}

/// The answer to a wrong admin token, wherever it was shown.
pub(crate) fn wrong_token(app: &App, head: &Parts) -> Answer {
    let answer = match failed(app, head) {
        Ok(()) => {
            let peer = peer_of(head).map(tracing::field::display);
            tracing::warn!(peer, failures = app.guesses.failures(), "wrong admin token");
            respond::no_admin()
        }
        Err(wait) => respond::too_many_tokens(wait),
    };
    admin::note_failed_login(app, head, answer.status());
    answer
}

/// Counts a wrong token or key. `Err` says how long there may be no other.
fn failed(app: &App, head: &Parts) -> Result<(), Duration> {
    // Those whose address nobody knows are one.
    let peer = peer_of(head).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    app.guesses.failed(peer, app.clock.now())
}

/// Says who calls, in the extensions of the request; or the answer that refuses it.
fn admit_caller(app: &App, head: &mut Parts, family: Family) -> Result<(), Box<Answer>> {
    let callers = app.sidecar.callers();
    match identify(head, callers, app.clock.wall()) {
        Identity::Known(caller) => {
            head.extensions.insert(caller);
            Ok(())
        }
        Identity::Anonymous if !app.gate.admits_anonymous() => {
            Err(Box::new(respond::no_caller(family)))
        }
        // Whoever may call without a key could be any page that this machine's browser shows.
        Identity::Anonymous if !app.gate.admits_origin(&head.headers) => {
            let text = "a page of another site needs a caller key, or its host has to be one of \
                        SIDECAR_ALLOWED_HOSTS";
            Err(Box::new(respond::refused(StatusCode::FORBIDDEN, text, family)))
        }
        Identity::Anonymous => {
            guard_name(head, callers);
            Ok(())
        }
        Identity::Wrong => Err(Box::new(match failed(app, head) {
            Ok(()) => respond::no_caller(family),
            Err(wait) => respond::too_many_keys(wait, family),
        })),
        Identity::Ambiguous => {
            let text = "the request shows two different credentials; send one";
            Err(Box::new(respond::refused(StatusCode::BAD_REQUEST, text, family)))
        }
    }
}

/// The answer to a request that is passed on. Nothing of the request stays here while it is waited
/// for: every open connection keeps room for this.
fn pass_on(
    proxy: &Proxy,
    request: Request<Incoming>,
    family: Family,
) -> impl Future<Output = Answer> + use<> {
    let mut proxy = proxy.clone();
    // It is always ready, and has to be asked all the same.
    let mut context = Context::from_waker(Waker::noop());
    let ready = Service::<Request<Incoming>>::poll_ready(&mut proxy, &mut context);
    let sending = ready.is_ready().then(|| proxy.call(request));
    async move {
        let Some(sending) = sending else { return respond::failed(&Error::Overloaded, family) };
        match sending.await {
            Ok(response) => response.map(Either::Left),
            Err(error) => match error.downcast::<Error>() {
                Ok(error) => respond::failed(&error, family),
                Err(error) => respond::failed(&Error::Internal(error), family),
            },
        }
    }
}

fn asset(name: &str, known: Option<&HeaderValue>) -> Answer {
    let missing = || respond::detail(StatusCode::NOT_FOUND, "there is no such file", None);
    dashboard::asset(name, known).unwrap_or_else(missing)
}

/// What the dashboard shows, for as long as the operator is let in.
async fn feed(app: &App, actor: Actor) -> Answer {
    let (sessions, clock) = (app.sessions.clone(), app.clock.clone());
    let is_valid = move || match actor {
        Actor::Token => true,
        Actor::Session(session) => sessions.time_left(session, clock.now()).is_some(),
    };
    dashboard::watch(&app.hub, &actor.to_string(), is_valid).await
}

/// Whether the process lives.
fn health(app: &App) -> Answer {
    let uptime = (app.clock.now() - app.started).as_secs();
    let body = json!({
        "status": "ok",
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": uptime,
    });
    respond::json(StatusCode::OK, &body)
}

/// Whether any provider could serve.
fn ready(app: &App) -> Answer {
    let providers = app.sidecar.admin().providers();
    let healthy = providers.iter().filter(|p| p.status == Status::Healthy).count();
    let (status, word) = match healthy {
        0 => (StatusCode::SERVICE_UNAVAILABLE, "no provider could serve"),
        _ => (StatusCode::OK, "ready"),
    };
    let body = json!({
        "status": word,
        "healthy_providers": healthy,
        "store_healthy": app.sidecar.is_store_healthy(),
    });
    respond::json(status, &body)
}
