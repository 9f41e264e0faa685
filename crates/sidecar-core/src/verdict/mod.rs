//! What the outcome of an attempt means.
//!
//! [`judge()`] is one pure function, and cooldown, usage and failover all read its [`Verdict`], so
//! they can never disagree. The rules come from the vendors' documents and recorded answers. The
//! status counts first; the body only refines it, and what a caller could make a provider repeat
//! is never enough to charge somebody else.
//!
//! ```
//! use std::time::Duration;
//!
//! use http::{HeaderMap, StatusCode};
//! use sidecar_core::clock::Timestamp;
//! use sidecar_core::provider::Api;
//! use sidecar_core::verdict::{Class, Scope, judge};
//!
//! let now = Timestamp::from_millis(1_767_225_600_000);
//! let body = br#"{"error":{"message":"Rate limit reached. Please try again in 6m0s."}}"#;
//! let status = StatusCode::TOO_MANY_REQUESTS;
//! let verdict = judge(status, &HeaderMap::new(), body, Api::default(), now);
//!
//! assert_eq!(verdict.class, Class::RateLimited);
//! assert_eq!(verdict.class.scope(), Scope::Quota);
//! assert_eq!(verdict.hint.unwrap().wait, Duration::from_secs(360));
//! ```

mod calendar;
mod class;
mod duration;
mod event;
mod evidence;
mod hint;
mod judge;
mod message;
mod outcome;
mod redact;
mod reset;
mod rules;
mod window;

pub use self::class::{Class, Scope};
pub use self::event::judge_event;
pub use self::hint::{Hint, HintSource};
pub use self::judge::judge;
pub use self::message::{CallerMessage, caller_message};
pub use self::outcome::Outcome;

/// What an attempt's outcome means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What happened.
    pub class: Class,
    /// How long the provider wants to be left alone, if it said so. With [`Class::Accept`] it
    /// means that this answer was the last one for now.
    pub hint: Option<Hint>,
}

impl Verdict {
    /// A good answer, with nothing said about the next one.
    pub const ACCEPT: Self = Self::of(Class::Accept);

    /// A verdict without a hint.
    pub const fn of(class: Class) -> Self {
        Self { class, hint: None }
    }

    /// No head or no first event in time.
    pub const fn timeout() -> Self {
        Self::of(Class::Timeout)
    }

    /// The connection broke.
    pub const fn transport() -> Self {
        Self::of(Class::Transport)
    }
}

#[cfg(test)]
mod tests;
