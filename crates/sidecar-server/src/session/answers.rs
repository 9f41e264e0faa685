//! Logging in and out.

use std::time::Duration;

use http::header::{CACHE_CONTROL, SET_COOKIE};
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::json;
use sidecar_core::secret::Secret;

use super::{cookie, csrf};
use crate::admin::Trail;
use crate::app::App;
use crate::auth::{Actor, peer_of};
use crate::handler::wrong_token;
use crate::respond::{self, Answer};
use crate::routes::Action;

/// What is sent to log in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LogIn {
    token: Secret,
}

/// A session for the admin token. One that the browser has already ends.
pub(crate) async fn log_in(app: &App, head: &Parts, body: Incoming) -> Answer {
    if let Some(objection) = csrf::foreign(head) {
        return respond::detail(StatusCode::FORBIDDEN, objection, None);
    }
    if !is_private(head) {
        let text = "log in over https: with a TLS proxy on the machine of this server that sets \
                    `X-Forwarded-Proto: https`, or from that machine itself";
        return respond::detail(StatusCode::FORBIDDEN, text, None);
    }
    let token = match read(body).await {
        Ok(LogIn { token }) => token,
        Err((status, text)) => return respond::detail(status, text, None),
    };
    if !app.gate.knows(token.expose()) {
        return wrong_token(app, head);
    }
    let now = app.clock.now();
    if let Some(old) = cookie::shown(&head.headers).and_then(|id| app.sessions.find(id, now)) {
        app.sessions.end(old);
    }
    let (id, session) = app.sessions.begin(now);
    tracing::info!(%session, "logged in");
    let answer = with_cookie(cookie::given(&id));
    Trail::start(app, head, Actor::Session(session), Action::Login, "").end(answer.status());
    answer
}

/// What it is that lets the caller in, and for how long.
pub(crate) fn show(app: &App, actor: Actor) -> Answer {
    let (kind, left) = match actor {
        Actor::Token => ("token", None),
        Actor::Session(session) => ("session", app.sessions.time_left(session, app.clock.now())),
    };
    let left = left.map(|left| left.as_secs());
    respond::json(StatusCode::OK, &json!({"kind": kind, "expires_in_seconds": left}))
}

/// Ends the session that was shown.
pub(crate) fn log_out(app: &App, actor: Actor) -> Answer {
    if let Actor::Session(session) = actor {
        app.sessions.end(session);
        tracing::info!(%session, "logged out");
    }
    with_cookie(cookie::taken())
}

fn with_cookie(cookie: HeaderValue) -> Answer {
    let mut answer = respond::empty(StatusCode::NO_CONTENT);
    let headers = answer.headers_mut();
    headers.insert(SET_COOKIE, cookie);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// Whether nobody on the way can have read what was sent: it came from this machine, by itself or
/// by a proxy that says that it speaks TLS.
fn is_private(head: &Parts) -> bool {
    let mut protocols = head.headers.get_all(FORWARDED_PROTO).iter();
    let is_plain = match (protocols.next(), protocols.next()) {
        (None, _) => false,
        (Some(protocol), None) => !protocol.as_bytes().eq_ignore_ascii_case(b"https"),
        _ => true,
    };
    !is_plain && peer_of(head).is_some_and(|peer| peer.is_loopback())
}

async fn read(body: Incoming) -> Result<LogIn, (StatusCode, &'static str)> {
    let collecting = Limited::new(body, MOST_BYTES).collect();
    let body = match tokio::time::timeout(PATIENCE, collecting).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return Err((StatusCode::PAYLOAD_TOO_LARGE, "the body is too large for a token"));
        }
        Ok(Err(_)) | Err(_) => {
            let text = "the body did not arrive whole in time";
            return Err((StatusCode::REQUEST_TIMEOUT, text));
        }
    };
    parse(&body).ok_or((StatusCode::BAD_REQUEST, r#"the body must be {"token": "..."}"#))
}

fn parse(body: &[u8]) -> Option<LogIn> {
    // A list would be taken for the fields in their order.
    let is_object = body.trim_ascii_start().starts_with(b"{");
    if is_object { serde_json::from_slice(body).ok() } else { None }
}

const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// A token has 512 characters at most.
const MOST_BYTES: usize = 4 << 10;
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use http::Request;

    use super::*;
    use crate::listen::Peer;

    fn is_private_from(peer: &str, protocols: &[&str]) -> bool {
        let peer: SocketAddr = peer.parse().unwrap();
        let request = Request::post("/").extension(Peer(peer));
        let request =
            protocols.iter().fold(request, |all, proto| all.header(FORWARDED_PROTO, *proto));
        is_private(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn the_token_is_taken_from_here_or_over_tls_only() {
        for peer in ["127.0.0.1:5", "127.8.8.8:5", "[::1]:5"] {
            for (protocols, expected) in [
                (&[] as &[&str], true),
                (&["https"], true),
                (&["HTTPS"], true),
                (&["http"], false),
                (&["https, http"], false),
                (&["https", "https"], false),
                (&[""], false),
            ] {
                assert_eq!(is_private_from(peer, protocols), expected, "{peer} {protocols:?}");
            }
        }
        for peer in ["192.168.1.2:5", "203.0.113.1:5", "[2001:db8::1]:5"] {
            assert!(!is_private_from(peer, &[]) && !is_private_from(peer, &["https"]), "{peer}");
        }
        assert!(!is_private(&Request::post("/").body(()).unwrap().into_parts().0));
    }

    #[test]
    fn nothing_but_a_token_is_taken() {
        assert_eq!(parse(br#" {"token": "abc"}"#).unwrap().token.expose(), "abc");
        for body in [
            "",
            "{}",
            r#"["abc"]"#,
            r#"{"token": 1}"#,
            r#"{"token": "a", "token": "a"}"#,
            r#"{"token": "a", "more": 1}"#,
            r#"{"token": "a"} {}"#,
        ] {
            assert!(parse(body.as_bytes()).is_none(), "{body}");
        }
    }
}
