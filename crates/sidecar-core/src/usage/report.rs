//! [`Report`]: how an answer ended, by the word of who passes it on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// How an answer ended, by the word of who passes it on. The books see no more than what becomes
/// of a body: whether one is dropped because its stream is whole, because it was given up, or
/// because the caller left, they have to be told. It is in the extensions of an answer whose end
/// is open; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report(Arc<State>);

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The caller has all of it, whether its body came to an end or not.
    Whole,
    /// It did not come to its end, by the provider's fault.
    Cut {
        /// Whether the request goes on to another provider.
        is_sent_on: bool,
    },
}

#[derive(Debug, Default)]
struct State {
    is_promised: AtomicBool,
    ended: OnceLock<Ended>,
}

impl Report {
    /// From now on the books wait for a word until the body is dropped.
    pub(crate) fn promise(&self) {
        self.0.is_promised.store(true, Ordering::Release);
    }

    /// Says how it ended, before the body is dropped. The first word counts.
    pub(crate) fn say(&self, ended: Ended) {
        let _ = self.0.ended.set(ended);
    }

    pub(super) fn is_promised(&self) -> bool {
        self.0.is_promised.load(Ordering::Acquire)
    }

    pub(crate) fn ended(&self) -> Option<Ended> {
        self.0.ended.get().copied()
    }
}
