//! Who changed what, and who failed to log in.
//!
//! A row tells the names of the fields that were written, never a value. Rows wait in memory for
//! the next flush, so that no answer waits for the disk; what waits is bounded, and so is what the
//! store keeps.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Admin, AdminError};
use crate::clock::{Instant, Timestamp};
use crate::store::{Event, NewEvent};

/// What somebody did, or was refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AuditEvent {
    /// Who: `token`, `session:` with what names the session, or `nobody`.
    pub actor: String,
    /// The address it came from, if it is known.
    pub peer: Option<IpAddr>,
    /// What, such as `change_provider`.
    pub action: String,
    /// To what: an id, a name or a key, as it was given.
    pub target: Option<String>,
    /// The names of the fields that were written.
    pub fields: Vec<String>,
    /// The HTTP status of the answer. 499 means that nobody waited for it: it may have been done.
    pub outcome: u16,
    /// The id of the request.
    pub request_id: String,
}

/// A row of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct AuditRow {
    /// Rises from row to row.
    pub id: u64,
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub event: AuditEvent,
    /// How many alike it stands for, of which it shows the last one. More than one only where each
    /// could not have a row of its own.
    pub count: u64,
}

/// Rows that wait to be written.
#[derive(Debug, Default)]
pub(crate) struct AuditLog(Mutex<Waiting>);

/// Rows that were taken out to be written.
#[derive(Debug)]
pub(crate) struct Taken {
    rows: VecDeque<NewEvent>,
    lost: Option<Lost>,
}

#[derive(Debug, Default)]
struct Waiting {
    rows: VecDeque<NewEvent>,
    lost: Option<Lost>,
    failed: Option<FailedMinute>,
}

/// Rows that there was no room for.
#[derive(Clone, Copy, Debug)]
struct Lost {
    /// When the last one of them happened, in milliseconds since the Unix epoch.
    at_ms: i64,
    count: u64,
}

/// The log-ins that failed within a minute.
#[derive(Debug)]
struct FailedMinute {
    began: Instant,
    /// How many have a row of their own.
    rows: usize,
    /// The last one that has none, and how many of those there are.
    rest: Option<(Timestamp, AuditEvent, u64)>,
}

/// The body of a row in the store.
#[derive(Serialize, Deserialize)]
struct Kept {
    count: u64,
    #[serde(flatten)]
    event: AuditEvent,
}

impl Admin {
    /// Puts `event` on record. It is durable a moment later. If the store cannot be written for
    /// long, the oldest events are lost, and a row says how many. Control characters are left out,
    /// and what is too long is shortened.
    pub fn audit(&self, event: AuditEvent) {
        let at = self.state.pools.clock().wall();
        self.state.flusher.audit_log().add(at, &event);
    }

    /// Puts a log-in that failed on record. Beyond ten in a minute they share one row, so that
    /// guessing does not push everything else out of the log.
    pub fn audit_failed_login(&self, event: AuditEvent) {
        let clock = self.state.pools.clock();
        self.state.flusher.audit_log().add_failed_login(clock.now(), clock.wall(), event);
    }

    /// At most `limit` rows of the audit log, also those of a moment ago, the newest first; with
    /// `before` only those whose id is lower. The last 10 000 rows are kept.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub async fn audit_events(
        &self,
        limit: usize,
        before: Option<u64>,
    ) -> Result<Vec<AuditRow>, AdminError> {
        let rows = self.state.flusher.audit_rows(limit, before).await?;
        // A row that a later version wrote is left out.
        Ok(rows.iter().filter_map(AuditRow::read).collect())
    }
}

impl AuditRow {
    fn read(event: &Event) -> Option<Self> {
        let (&VERSION, json) = event.body.split_first()? else { return None };
        let Kept { count, event: what } = serde_json::from_slice(json).ok()?;
        let at = Timestamp::from_millis(event.at_ms);
        Some(Self { id: event.seq, at, event: what, count })
    }
}

impl AuditLog {
    fn add(&self, at: Timestamp, event: &AuditEvent) {
        self.waiting().push(row(at, event, 1));
    }

    fn add_failed_login(&self, now: Instant, at: Timestamp, event: AuditEvent) {
        let mut waiting = self.waiting();
        waiting.end_old_minute(now);
        let minute = waiting.failed.get_or_insert(FailedMinute { began: now, rows: 0, rest: None });
        if minute.rows < MOST_FAILED {
            minute.rows += 1;
            waiting.push(row(at, &event, 1));
        } else {
            let before = minute.rest.as_ref().map_or(0, |(.., count)| *count);
            minute.rest = Some((at, event, before + 1));
        }
    }

    /// Takes out what is to be written by now.
    pub(crate) fn take(&self, now: Instant) -> Taken {
        let mut waiting = self.waiting();
        waiting.end_old_minute(now);
        waiting.take()
    }

    /// Takes out everything.
    pub(crate) fn take_all(&self) -> Taken {
        let mut waiting = self.waiting();
        waiting.end_minute();
        waiting.take()
    }

    /// Puts back what could not be written.
    pub(crate) fn put_back(&self, taken: Taken) {
        let mut waiting = self.waiting();
        let later = std::mem::replace(&mut waiting.rows, taken.rows);
        waiting.rows.extend(later);
        if let Some(lost) = taken.lost {
            waiting.lose(lost);
        }
        waiting.make_room();
    }

    /// A poisoned mutex guards plain collections that are valid at every step.
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// As the store takes them.
    pub(crate) fn rows(&self) -> Vec<NewEvent> {
        let lost = self.lost.map(|lost| {
            let (actor, action) = ("sidecar".to_owned(), "lose_audit_rows".to_owned());
            let event = AuditEvent { actor, action, ..AuditEvent::default() };
            row(Timestamp::from_millis(lost.at_ms), &event, lost.count)
        });
        lost.into_iter().chain(self.rows.iter().cloned()).collect()
    }
}

impl Waiting {
    fn push(&mut self, row: NewEvent) {
        self.rows.push_back(row);
        self.make_room();
    }

    fn make_room(&mut self) {
        while self.rows.len() > MOST_WAITING {
            let Some(oldest) = self.rows.pop_front() else { return };
            self.lose(Lost { at_ms: oldest.at_ms, count: 1 });
        }
    }

    fn lose(&mut self, more: Lost) {
        let lost = self.lost.get_or_insert(Lost { count: 0, ..more });
        lost.at_ms = lost.at_ms.max(more.at_ms);
        lost.count += more.count;
    }

    fn end_old_minute(&mut self, now: Instant) {
        if self.failed.as_ref().is_some_and(|minute| now - minute.began >= MINUTE) {
            self.end_minute();
        }
    }

    fn end_minute(&mut self) {
        if let Some((at, event, count)) = self.failed.take().and_then(|minute| minute.rest) {
            self.push(row(at, &event, count));
        }
    }

    fn take(&mut self) -> Taken {
        Taken { rows: std::mem::take(&mut self.rows), lost: self.lost.take() }
    }
}

/// A version, then JSON. What others wrote is made short and plain first.
fn row(at: Timestamp, event: &AuditEvent, count: u64) -> NewEvent {
    let fields = event.fields.iter().take(MOST_FIELDS);
    let event = AuditEvent {
        actor: plain(&event.actor, MOST_CHARACTERS),
        peer: event.peer,
        action: plain(&event.action, MOST_CHARACTERS),
        target: event.target.as_deref().map(|target| plain(target, MOST_CHARACTERS)),
        fields: fields.map(|name| plain(name, MOST_OF_A_NAME)).collect(),
        outcome: event.outcome,
        request_id: plain(&event.request_id, MOST_CHARACTERS),
    };
    let json = serde_json::to_vec(&Kept { count, event });
    let json = json.expect("texts and numbers have a JSON form");
    NewEvent { at_ms: at.as_millis(), body: [&[VERSION], json.as_slice()].concat() }
}

fn plain(text: &str, most: usize) -> String {
    text.chars().filter(|character| !character.is_control()).take(most).collect()
}

/// How many rows may wait. More come only while the store cannot be written.
const MOST_WAITING: usize = 1_000;
/// How many log-ins that failed within a minute have a row of their own.
const MOST_FAILED: usize = 10;
const MOST_FIELDS: usize = 64;
const MOST_OF_A_NAME: usize = 64;
const MOST_CHARACTERS: usize = 256;
const MINUTE: Duration = Duration::from_secs(60);
const VERSION: u8 = 1;

#[cfg(test)]
mod tests;
