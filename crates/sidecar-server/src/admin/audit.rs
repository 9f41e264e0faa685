//! What admin requests leave in the audit log, and how it is read.

use std::collections::BTreeMap;
use std::future::Future;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::StatusCode;
use http::request::Parts;
use serde::Serialize;
use serde::de::IgnoredAny;
use sidecar_core::admin::{Admin, AuditEvent, AuditRow};
use sidecar_core::call::RequestId;

use super::Answered;
use super::query::Query;
use crate::app::App;
use crate::auth::{Actor, peer_of};
use crate::respond::{self, Answer};
use crate::routes::Action;

/// The audit row of one admin request that changes something. It is written when it is dropped, so
/// that whoever leaves before the answer leaves a row, too.
#[derive(Debug)]
pub(crate) struct Trail {
    admin: Admin,
    event: AuditEvent,
    notes: Arc<Mutex<Notes>>,
}

/// What comes to light while the request is served.
#[derive(Debug, Default)]
struct Notes {
    fields: Vec<String>,
    target: Option<String>,
}

tokio::task_local! {
    /// Of the request that is being served.
    static NOTES: Arc<Mutex<Notes>>;
}

impl Trail {
    /// `target` is what stands in the path; nothing if it is empty.
    pub(crate) fn start(
        app: &App,
        head: &Parts,
        actor: Actor,
        action: Action,
        target: &str,
    ) -> Self {
        let event = AuditEvent {
            actor: actor.to_string(),
            action: action.name(),
            target: (!target.is_empty()).then(|| target.to_owned()),
            outcome: LEFT,
            ..event_of(head)
        };
        Self { admin: app.sidecar.admin(), event, notes: Arc::default() }
    }

    /// Serves the request by `work`.
    pub(crate) async fn follow(mut self, work: impl Future<Output = Answer>) -> Answer {
        let answer = NOTES.scope(self.notes.clone(), work).await;
        self.event.outcome = answer.status().as_u16();
        answer
    }

    /// The request was answered with `status`.
    pub(crate) fn end(mut self, status: StatusCode) {
        self.event.outcome = status.as_u16();
    }
}

impl Drop for Trail {
    fn drop(&mut self) {
        let notes = mem::take(&mut *lock(&self.notes));
        let mut event = mem::take(&mut self.event);
        event.fields = notes.fields;
        event.target = notes.target.or(event.target);
        self.admin.audit(event);
    }
}

/// Puts a wrong token on record, wherever it was shown.
pub(crate) fn note_failed_login(app: &App, head: &Parts, status: StatusCode) {
    let (actor, action) = ("nobody".to_owned(), Action::Login.name());
    let event = AuditEvent { actor, action, outcome: status.as_u16(), ..event_of(head) };
    app.sidecar.admin().audit_failed_login(event);
}

/// Keeps the names of the fields of a JSON object that was understood: a body that was not may
/// have anything for a name, also a key.
pub(super) fn note_fields(body: &[u8]) {
    // Nobody has to listen.
    let _ = NOTES.try_with(|notes| {
        let fields: BTreeMap<String, IgnoredAny> = serde_json::from_slice(body).unwrap_or_default();
        lock(notes).fields = fields.into_keys().collect();
    });
}

/// Keeps the name of what was made, which no path says.
pub(super) fn note_target(name: &str) {
    let _ = NOTES.try_with(|notes| lock(notes).target = Some(name.to_owned()));
}

/// The rows, the newest first.
pub(super) async fn list(admin: &Admin, query: Option<&str>) -> Answered {
    #[derive(Serialize)]
    struct Audit {
        events: Vec<AuditRow>,
    }
    let mut query = Query::parse(query)?;
    let limit = query.take_as("limit", "a whole number from 1 to 1000", |limit: &usize| {
        (1..=MOST_ROWS).contains(limit)
    })?;
    let before = query.take_as("before", "the id of a row", |_: &u64| true)?;
    query.finish()?;
    let events = admin.audit_events(limit.unwrap_or(DEFAULT_ROWS), before).await?;
    Ok(respond::json(StatusCode::OK, &Audit { events }))
}

fn event_of(head: &Parts) -> AuditEvent {
    let id = head.extensions.get::<RequestId>();
    let request_id = id.map(|id| id.0.as_ref().to_owned()).unwrap_or_default();
    AuditEvent { peer: peer_of(head), request_id, ..AuditEvent::default() }
}

/// A poisoned mutex guards plain values that are valid at every step.
fn lock(notes: &Mutex<Notes>) -> MutexGuard<'_, Notes> {
    notes.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What web servers log of a client that did not wait for the answer.
const LEFT: u16 = 499;
const DEFAULT_ROWS: usize = 100;
const MOST_ROWS: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_names_are_kept_and_only_of_the_request_that_is_served() {
        note_fields(br#"{"nobody": "listens"}"#);
        let notes: Arc<Mutex<Notes>> = Arc::default();
        let work = async {
            note_fields(br#"{"label": {"needle": "needle"}, "api_key": "needle", "label": 1}"#);
            note_target("one");
        };
        NOTES.scope(notes.clone(), work).await;
        let notes = mem::take(&mut *lock(&notes));
        assert_eq!(notes.fields, ["api_key", "label"]);
        assert_eq!(notes.target.as_deref(), Some("one"));
    }
}
