//! From a request to its answer: find the route, check the credential, act.

use http::request::Parts;
use http::{Request, StatusCode};
use hyper::body::Incoming;
use serde_json::json;
use sidecar_core::admin::Status;
use sidecar_core::error::Error;
use sidecar_core::ingest::Family;
use tower::ServiceExt as _;

use crate::app::App;
use crate::auth::Credential;
use crate::caller::{Identity, guard_name, identify};
use crate::respond::{self, Answer};
use crate::routes::{Action, Found, find};
use crate::{admin, models, target};

/// Answers `request`.
pub(crate) async fn handle(app: &App, request: Request<Incoming>) -> Answer {
    let (mut head, body) = request.into_parts();
    let family = Family::of_path(head.uri.path()).unwrap_or(Family::OpenAi);
    if let Some(message) = target::refusal(&head) {
        let mut answer = respond::refused(StatusCode::BAD_REQUEST, message, family);
        // Two programs may disagree about where the next request begins.
        let close = http::HeaderValue::from_static("close");
        answer.headers_mut().insert(http::header::CONNECTION, close);
        return answer;
    }
    let path = head.uri.path().to_owned();
    let found = find(&head.method, &path);
    let (Found::Route(_, credential, ..)
    | Found::WrongMethod(credential, _)
    | Found::Nothing(credential)) = &found;
    match credential {
        Credential::None => {}
        Credential::Admin if !app.gate.admits_admin(&head.headers) => return respond::no_admin(),
        Credential::Admin => {}
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
        Action::Proxy => proxy(app, Request::from_parts(head, body), family).await,
        action => admin::answer(app, action, id, head.uri.query(), body).await,
    }
}

/// Says who calls, in the extensions of the request; or the answer that refuses it.
fn admit_caller(app: &App, head: &mut Parts, family: Family) -> Result<(), Box<Answer>> {
    let callers = app.sidecar.callers();
    match identify(head, callers, app.clock.wall()) {
        Identity::Known(caller) => {
            head.extensions.insert(caller);
            Ok(())
        }
        Identity::Anonymous if app.gate.admits_anonymous() => {
            guard_name(head, callers);
            Ok(())
        }
        Identity::Anonymous | Identity::Wrong => Err(Box::new(respond::no_caller(family))),
        Identity::Ambiguous => {
            let text = "the request shows two different credentials; send one";
            Err(Box::new(respond::refused(StatusCode::BAD_REQUEST, text, family)))
        }
    }
}

async fn proxy(app: &App, request: Request<Incoming>, family: Family) -> Answer {
    match app.proxy.clone().oneshot(request).await {
        Ok(response) => response,
        Err(error) => match error.downcast::<Error>() {
            Ok(error) => respond::failed(&error, family),
            Err(error) => respond::failed(&Error::Internal(error), family),
        },
    }
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
