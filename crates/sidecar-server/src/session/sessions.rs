//! [`Sessions`].

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use sha2::{Digest as _, Sha256};
use sidecar_core::clock::Instant;
use sidecar_core::secret::Secret;

/// The sessions there are. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sessions(Arc<Mutex<HashMap<Session, Times>>>);

/// Names a session: the SHA-256 digest of its id. An id of 256 random bits needs no slow hash, and
/// a look-up by digest tells nothing by its time.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Session([u8; 32]);

#[derive(Clone, Copy, Debug)]
struct Times {
    began: Instant,
    used: Instant,
}

impl Sessions {
    /// Begins a session; its id is for the browser only. If there are too many, the oldest ends.
    ///
    /// # Panics
    ///
    /// If the operating system has no random bytes to give, where nothing else could be done.
    pub(crate) fn begin(&self, now: Instant) -> (Secret, Session) {
        let mut random = [0_u8; 32];
        getrandom::fill(&mut random).expect("the operating system gives random bytes");
        let id = Secret::new(BASE64URL_NOPAD.encode(&random));
        let session = Session::of(id.expose());
        let mut live = self.live();
        live.retain(|_, times| times.left(now).is_some());
        while live.len() >= MOST {
            let oldest = live.iter().min_by_key(|(_, times)| times.began);
            let Some(oldest) = oldest.map(|(session, _)| *session) else { break };
            live.remove(&oldest);
        }
        live.insert(session, Times { began: now, used: now });
        (id, session)
    }

    /// The session of `id`, if it lives.
    pub(crate) fn find(&self, id: &str, now: Instant) -> Option<Session> {
        let session = Session::of(id);
        self.time_left(session, now).map(|_| session)
    }

    /// How long `session` lives on if nobody uses it; `None` if it has ended.
    pub(crate) fn time_left(&self, session: Session, now: Instant) -> Option<Duration> {
        self.live().get(&session).and_then(|times| times.left(now))
    }

    /// Somebody uses `session`.
    pub(crate) fn touch(&self, session: Session, now: Instant) {
        if let Some(times) = self.live().get_mut(&session) {
            times.used = now;
        }
    }

    /// Ends `session`.
    pub(crate) fn end(&self, session: Session) {
        self.live().remove(&session);
    }

    /// A poisoned mutex guards a plain map that is valid at every step.
    fn live(&self) -> MutexGuard<'_, HashMap<Session, Times>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    fn of(id: &str) -> Self {
        Self(Sha256::digest(id.as_bytes()).into())
    }
}

/// Enough to tell it from others, and nothing that leads to the id.
impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [one, two, three, four, ..] = self.0;
        f.write_str("session:")?;
        f.write_str(&HEXLOWER.encode(&[one, two, three, four]))
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Times {
    fn left(&self, now: Instant) -> Option<Duration> {
        let idle = IDLE.saturating_sub(now - self.used);
        let left = LONGEST.saturating_sub(now - self.began).min(idle);
        (!left.is_zero()).then_some(left)
    }
}

/// How long a session lives that nobody uses.
const IDLE: Duration = Duration::from_secs(30 * 60);
/// How long a session lives at most.
pub(super) const LONGEST: Duration = Duration::from_secs(12 * 60 * 60);
/// How many sessions there may be.
const MOST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const START: Instant = Instant::from_nanos(0);
    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_session_that_nobody_uses_ends_after_half_an_hour() {
        let sessions = Sessions::default();
        let (id, session) = sessions.begin(START);
        assert_eq!(sessions.time_left(session, START), Some(IDLE));
        let used = START + MINUTE * 29;
        assert_eq!(sessions.find(id.expose(), used), Some(session));
        sessions.touch(session, used);
        assert_eq!(sessions.time_left(session, START + MINUTE * 58), Some(MINUTE));
        assert_eq!(sessions.find(id.expose(), START + MINUTE * 59), None);
    }

    #[test]
    fn a_session_that_is_used_ends_after_half_a_day() {
        let sessions = Sessions::default();
        let (_, session) = sessions.begin(START);
        for minute in 0..12 * 60 {
            let now = START + MINUTE * minute;
            assert!(sessions.time_left(session, now).is_some(), "minute {minute}");
            sessions.touch(session, now);
        }
        assert_eq!(sessions.time_left(session, START + LONGEST), None);
    }

    #[test]
    fn an_ended_session_stays_ended_and_others_live_on() {
        let sessions = Sessions::default();
        let (id, session) = sessions.begin(START);
        let (_, other) = sessions.clone().begin(START);
        sessions.end(session);
        sessions.touch(session, START);
        assert_eq!(sessions.find(id.expose(), START), None);
        assert!(sessions.time_left(other, START).is_some());
    }

    #[test]
    fn beyond_the_most_the_oldest_ends_and_used_up_ones_count_no_more() {
        let sessions = Sessions::default();
        let begun: Vec<_> =
            (0..MOST as u32 + 3).map(|n| sessions.begin(START + MINUTE * n / 60).1).collect();
        let now = START + MINUTE * 2;
        let live: Vec<_> = begun.iter().map(|one| sessions.time_left(*one, now)).collect();
        assert!(live[..3].iter().all(Option::is_none) && live[3..].iter().all(Option::is_some));
        let later = START + LONGEST;
        sessions.begin(later);
        assert_eq!(sessions.live().len(), 1);
    }

    #[test]
    fn an_id_is_random_and_not_what_is_shown() {
        let sessions = Sessions::default();
        let ((one, session), (two, _)) = (sessions.begin(START), sessions.begin(START));
        assert_eq!(BASE64URL_NOPAD.decode(one.expose().as_bytes()).unwrap().len(), 32);
        assert_ne!(one.expose(), two.expose());
        let shown = format!("{session} {sessions:?}");
        assert!(shown.starts_with("session:") && !shown.contains(one.expose()), "{shown}");
        assert_eq!(session.to_string().len(), "session:".len() + 8);
        for guess in ["", "x", &session.to_string()] {
            assert_eq!(sessions.find(guess, START), None);
        }
    }
}
