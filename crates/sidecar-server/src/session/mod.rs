//! Sessions: what a browser gets for the admin token, so that it need not keep the token.
//!
//! The cookie holds a random id, of which only the digest is kept, in memory: a restart ends all
//! sessions. A browser sends cookies by itself, also for pages of others; `csrf` sees to it that
//! only what the dashboard itself sends counts.

mod answers;
mod cookie;
mod csrf;
mod sessions;

pub(crate) use self::answers::{log_in, log_out, show};
pub(crate) use self::cookie::shown;
pub(crate) use self::csrf::objection;
pub(crate) use self::sessions::{Session, Sessions};
