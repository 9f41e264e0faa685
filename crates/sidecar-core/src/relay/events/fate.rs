//! [`Fate`]: what becomes of a line.

use std::mem;

use memchr::memmem;

use super::Events;
use crate::clock::Timestamp;
use crate::relay::chunk::Chunk;
use crate::relay::finish::{Typed, says_finish};
use crate::relay::grammar::Grammar;
use crate::relay::line::Line;
use crate::verdict::judge_event;

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Pass,
    /// It passes behind a blank line that is missing.
    PassApart,
    Drop,
    /// It passes and is the last one.
    Last,
    /// It is `[DONE]`.
    Done,
    /// It is an error.
    Fail,
}

/// The event that is not complete yet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Open {
    /// Something of it has passed, if only a comment.
    pub(super) has_lines: bool,
    pub(super) has_data: bool,
    /// Its data is whole: more data makes another event of it, even without a blank line.
    pub(super) is_whole: bool,
    pub(super) name: Name,
}

/// What the name of an event says of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Name {
    #[default]
    Plain,
    Error,
    Last,
}

impl Events {
    /// What becomes of a line.
    pub(super) fn fate(&mut self, line: &[u8]) -> Fate {
        match Line::of(line) {
            Line::Blank => self.blank(),
            Line::Comment => self.comment(),
            Line::Data(data) => self.data(data),
            Line::Name(name) => {
                self.open.name = self.name(name);
                match self.open.name {
                    // What is said in place of its data brings a name of its own.
                    Name::Error => Fate::Drop,
                    Name::Plain | Name::Last => self.other(),
                }
            }
            Line::Other => self.other(),
        }
    }

    /// What becomes of a long line that begins with `front`, and whether it is the last event.
    pub(super) fn long_fate(&mut self, front: &[u8]) -> (Fate, bool) {
        let fate = match Line::of(front) {
            Line::Data(data) if self.is_done(data) => Fate::Done,
            Line::Data(_) if self.open.name == Name::Error => Fate::Fail,
            Line::Data(data) => {
                let names_last = |kind: &[u8]| {
                    let quoted = [b"\"".as_slice(), kind, b"\""].concat();
                    memmem::find(data, &quoted).is_some()
                };
                let is_last = self.open.name == Name::Last
                    || self.grammar.last_kinds().iter().any(|kind| names_last(kind));
                return (self.open_data(true), is_last);
            }
            Line::Comment => self.comment(),
            Line::Blank | Line::Name(_) | Line::Other => self.other(),
        };
        (fate, false)
    }

    fn blank(&mut self) -> Fate {
        let open = mem::take(&mut self.open);
        if self.finish.is_last() {
            Fate::Last
        } else if open.has_lines || !self.grammar.is_strict() {
            Fate::Pass
        } else {
            Fate::Drop
        }
    }

    fn comment(&mut self) -> Fate {
        self.open.has_lines = true;
        Fate::Pass
    }

    fn other(&self) -> Fate {
        if self.grammar.is_strict() { Fate::Drop } else { Fate::Pass }
    }

    fn data(&mut self, data: &[u8]) -> Fate {
        if self.is_done(data) {
            return Fate::Done;
        }
        if data.is_empty() {
            // Clients parse it, and fail.
            return self.other();
        }
        let event = self.grammar.has_types().then(|| Typed::read(data));
        let is_last = event.as_ref().is_some_and(|event| {
            self.open.name == Name::Last || self.grammar.is_last(event.kind.as_bytes())
        });
        if !is_last && (self.open.name == Name::Error || is_error(data, self.grammar)) {
            return Fate::Fail;
        }
        if let Some(event) = event {
            self.finish.count(&event);
        }
        if is_last {
            self.finish.end_all();
        }
        if self.grammar == Grammar::Gemini && says_finish(data, self.grammar) {
            self.finish.end_one();
        }
        if self.grammar != Grammar::Chat {
            return self.open_data(true);
        }
        let Some(chunk) = Chunk::read(data) else { return self.open_data(false) };
        self.finish.read_chunk(&chunk);
        if self.view.admits(&chunk) { self.open_data(true) } else { Fate::Drop }
    }

    fn is_done(&self, data: &[u8]) -> bool {
        // Clients look no further either.
        self.grammar.has_done() && data.starts_with(DONE_DATA)
    }

    fn name(&self, name: &[u8]) -> Name {
        if name == b"error" {
            Name::Error
        } else if self.grammar.is_last(name) {
            Name::Last
        } else {
            Name::Plain
        }
    }

    /// Lets data pass.
    fn open_data(&mut self, is_whole: bool) -> Fate {
        let is_apart = self.grammar.is_strict() && self.open.has_data && self.open.is_whole;
        self.open = Open { has_lines: true, has_data: true, is_whole, name: self.open.name };
        if is_apart { Fate::PassApart } else { Fate::Pass }
    }
}

/// Whether the provider says that it has failed.
fn is_error(data: &[u8], grammar: Grammar) -> bool {
    // Only what the error asks for depends on the time, and that is of no interest here.
    let now = Timestamp::from_millis(0);
    matches!(data.first(), Some(b'{' | b'[')) && judge_event(data, grammar.api(), now).is_some()
}

/// What begins the data that ends a stream.
pub(super) const DONE_DATA: &[u8] = b"[DONE]";
