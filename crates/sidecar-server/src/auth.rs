//! Who may do what.

use std::fmt;
use std::net::IpAddr;

use http::HeaderMap;
use http::header::{AUTHORIZATION, ORIGIN};
use http::request::Parts;
use sidecar_core::clock::Instant;
use sidecar_core::secret::TokenDigest;

use crate::hosts::Hosts;
use crate::listen::Peer;
use crate::session::{self, Session, Sessions};

/// What a route asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// Nothing.
    None,
    /// A caller of the proxy.
    Caller,
    /// The admin token, or a session that was opened with it.
    Admin,
}

/// By what an operator was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Actor {
    /// The admin token itself.
    Token,
    /// A session of a browser.
    Session(Session),
}

/// Why an operator was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// Nothing was shown, or a session that has ended: no guess at anything.
    Unknown,
    /// A token was shown, and it is wrong.
    WrongToken,
    /// The session is right, but it was not the dashboard that sent this; with the reason.
    NotOwn(Session, &'static str),
}

/// Decides by the credentials of a request alone.
#[derive(Clone, Debug)]
pub struct Gate {
    admin_token: TokenDigest,
    allow_anonymous: bool,
    hosts: Hosts,
}

/// What a request shows for a bearer token.
enum Bearer<'a> {
    None,
    One(&'a str),
    /// More than one `Authorization`, of which different programs could believe different ones.
    Unclear,
}

impl Gate {
    /// A gate that knows this admin token; `allow_anonymous` opens the proxy to everybody who
    /// reaches it. The operator's side answers under the names and addresses of loopback.
    pub fn new(admin_token: TokenDigest, allow_anonymous: bool) -> Self {
        Self { admin_token, allow_anonymous, hosts: Hosts::default() }
    }

    /// Lets the operator's side answer under `hosts`.
    #[must_use]
    pub fn hosts(mut self, hosts: Hosts) -> Self {
        self.hosts = hosts;
        self
    }

    /// Whether the proxy may be used without a caller key.
    pub fn admits_anonymous(&self) -> bool {
        self.allow_anonymous
    }

    /// Whether the operator's side may be asked for by the `Host` of a request.
    pub(crate) fn admits_host(&self, headers: &HeaderMap) -> bool {
        self.hosts.admits_request(headers)
    }

    /// Whether the page that sent a request, if a page did, is of an admitted host. Other programs
    /// have no `Origin`, or one that no page of the web can have.
    pub(crate) fn admits_origin(&self, headers: &HeaderMap) -> bool {
        headers.get_all(ORIGIN).iter().all(|origin| {
            let origin = origin.to_str().unwrap_or("null");
            match origin.split_once("://") {
                Some(("http" | "https", host)) => self.hosts.admits(host),
                // Such as a page in a frame that must not know where it is.
                None => false,
                Some(_) => true,
            }
        })
    }

    /// Whether `token` is the admin token. Takes the same time for every wrong one.
    pub(crate) fn knows(&self, token: &str) -> bool {
        self.admin_token.matches(token)
    }

    /// Lets an operator in by the bearer token, or if there is none by a session.
    pub(crate) fn admit(
        &self,
        head: &Parts,
        sessions: &Sessions,
        now: Instant,
    ) -> Result<Actor, Stopped> {
        match bearer(&head.headers) {
            Bearer::One(token) if self.knows(token) => return Ok(Actor::Token),
            Bearer::One(_) => return Err(Stopped::WrongToken),
            Bearer::Unclear => return Err(Stopped::Unknown),
            Bearer::None => {}
        }
        let id = session::shown(&head.headers);
        let session = id.and_then(|id| sessions.find(id, now)).ok_or(Stopped::Unknown)?;
        if let Some(objection) = session::objection(head) {
            return Err(Stopped::NotOwn(session, objection));
        }
        sessions.touch(session, now);
        Ok(Actor::Session(session))
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token => f.write_str("token"),
            Self::Session(session) => fmt::Display::fmt(session, f),
        }
    }
}

/// The address that a request came from, if it is known.
pub(crate) fn peer_of(head: &Parts) -> Option<IpAddr> {
    head.extensions.get::<Peer>().map(|Peer(address)| address.ip())
}

fn bearer(headers: &HeaderMap) -> Bearer<'_> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Bearer::None };
    if values.next().is_some() {
        return Bearer::Unclear;
    }
    match value.to_str().ok().and_then(|value| value.split_once(' ')) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Bearer::One(token.trim()),
        // Another scheme is for somebody else, such as a proxy on the way.
        _ => Bearer::None,
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const START: Instant = Instant::from_nanos(0);
    const OWN: (&str, &str) = ("sec-fetch-site", "same-origin");

    fn gate() -> Gate {
        Gate::new(TokenDigest::of("token"), false)
    }

    fn admit(
        method: &str,
        headers: &[(&str, &str)],
        sessions: &Sessions,
    ) -> Result<Actor, Stopped> {
        let request = Request::builder().method(method).uri("/").header("host", "h");
        let request = headers.iter().fold(request, |all, (name, value)| all.header(*name, *value));
        gate().admit(&request.body(()).unwrap().into_parts().0, sessions, START)
    }

    #[test]
    fn only_the_one_token_opens_the_admin_routes() {
        let shown = |values: &[&str]| {
            let headers: Vec<_> = values.iter().map(|value| ("authorization", *value)).collect();
            admit("PUT", &headers, &Sessions::default())
        };
        assert_eq!(shown(&["Bearer token"]), Ok(Actor::Token));
        assert_eq!(shown(&["bearer token"]), Ok(Actor::Token));
        for values in [&[][..], &["token"], &["Basic token"], &["Bearer"]] {
            assert_eq!(shown(values), Err(Stopped::Unknown), "{values:?}");
        }
        assert_eq!(shown(&["Bearer tokens"]), Err(Stopped::WrongToken));
        assert_eq!(shown(&["Bearer token", "Bearer token"]), Err(Stopped::Unknown));
    }

    #[test]
    fn a_session_opens_them_too_but_a_token_that_is_shown_decides() {
        let sessions = Sessions::default();
        let (id, session) = sessions.begin(START);
        let cookie = format!("__Host-sidecar={}", id.expose());
        let cookie = ("cookie", cookie.as_str());
        let actor = Ok(Actor::Session(session));
        assert_eq!(admit("GET", &[cookie], &sessions), actor);
        assert_eq!(admit("GET", &[cookie, ("authorization", "Basic x")], &sessions), actor);
        let right = [cookie, ("authorization", "Bearer token")];
        assert_eq!(admit("PUT", &right, &sessions), Ok(Actor::Token));
        let wrong = [cookie, ("authorization", "Bearer x")];
        assert_eq!(admit("GET", &wrong, &sessions), Err(Stopped::WrongToken));
        let two = [cookie, ("authorization", "Bearer token"), ("authorization", "Bearer x")];
        assert_eq!(admit("GET", &two, &sessions), Err(Stopped::Unknown));
        assert_eq!(admit("GET", &[cookie, cookie], &sessions), Err(Stopped::Unknown));
        sessions.end(session);
        assert_eq!(admit("GET", &[cookie], &sessions), Err(Stopped::Unknown));
    }

    #[test]
    fn a_page_of_another_site_is_told_from_other_programs() {
        let admits = |origin: &'static str| {
            let headers = [(ORIGIN, http::HeaderValue::from_static(origin))];
            gate().admits_origin(&HeaderMap::from_iter(headers))
        };
        assert!(gate().admits_origin(&HeaderMap::new()));
        for origin in ["http://localhost:3000", "http://127.0.0.1", "app://obsidian.md"] {
            assert!(admits(origin), "{origin}");
        }
        for origin in ["https://evil.example", "http://evil.example:9190", "null", ""] {
            assert!(!admits(origin), "{origin}");
        }
    }

    #[test]
    fn a_session_changes_things_for_the_dashboard_only() {
        let sessions = Sessions::default();
        let (id, session) = sessions.begin(START);
        let cookie = format!("__Host-sidecar={}", id.expose());
        let cookie = ("cookie", cookie.as_str());
        let own = [cookie, OWN, ("x-sidecar-csrf", "1")];
        assert_eq!(admit("PUT", &own, &sessions), Ok(Actor::Session(session)));
        let stopped = |headers: &[_]| match admit("PUT", headers, &sessions) {
            Err(Stopped::NotOwn(whose, _)) => whose == session,
            _ => false,
        };
        assert!(stopped(&[cookie]) && stopped(&[cookie, OWN]));
        // With the token nobody's browser has been made to do anything.
        let token = [("authorization", "Bearer token"), ("sec-fetch-site", "cross-site")];
        assert_eq!(admit("PUT", &token, &sessions), Ok(Actor::Token));
    }
}
