//! [`Events`]: the lines of a stream.

mod fate;

use std::mem;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use memchr::memchr;
use serde::de::IgnoredAny;

use self::fate::{DONE_DATA, Fate, Open};
use super::cut::Cut;
use super::finish::Finish;
use super::grammar::Grammar;
use super::line::Line;
use super::long::Long;
use super::out::Out;
use super::view::View;

/// The lines of one stream: takes a provider's frames and makes the caller's of them, the same
/// bytes however they are cut. Knows nothing of time.
#[derive(Debug)]
pub(super) struct Events {
    grammar: Grammar,
    view: View,
    finish: Finish,
    /// The beginning of a line whose end has not come yet; at most [`MOST_HELD`] bytes.
    line: Vec<u8>,
    /// The line that is too long to be held, while it lasts.
    long: Option<Long>,
    open: Open,
}

/// What comes of a frame, or of its not coming.
#[derive(Debug)]
pub(super) struct Step {
    /// For the caller; may be empty.
    pub(super) frame: Bytes,
    pub(super) then: Then,
}

/// What comes after a [`Step`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    More,
    /// The stream is whole; the provider's body may not have ended yet.
    Settle,
    /// The stream is whole, and its body is of no more interest.
    End,
    /// It is not whole. The caller has been told, unless half a line has passed.
    Cut(Cut),
}

/// How a provider's body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Clean,
    Broken,
    /// It does not, but nothing came for longer than [`Events::patience`].
    Silent,
}

/// Where the text of a line is.
#[derive(Debug)]
enum Text<'a> {
    InChunk(Range<usize>),
    Held(&'a [u8]),
}

impl Events {
    pub(super) fn new(grammar: Grammar, view: View) -> Self {
        let (finish, open) = (Finish::default(), Open::default());
        Self { grammar, view, finish, line: Vec::new(), long: None, open }
    }

    /// How long it is worth waiting for more, if that is less than the idle timeout.
    pub(super) const fn patience(&self) -> Duration {
        if self.finish.is_last() {
            SETTLING
        } else if self.finish.is_proper() {
            LINGERING
        } else {
            Duration::MAX
        }
    }

    /// Takes in a frame.
    pub(super) fn feed(&mut self, chunk: Bytes) -> Step {
        let mut out = Out::new(&chunk);
        let then = self.read(&mut out);
        let made = out.finish();
        Step { frame: made.of(chunk), then }
    }

    /// Takes in that there are no more frames.
    pub(super) fn end(&mut self, ending: Ending) -> Step {
        let cut = if ending == Ending::Silent { Cut::Stalled } else { Cut::Broken };
        if self.long.as_ref().is_some_and(Long::passes) {
            // Whatever followed would make an event of half a line, which no client can read.
            return Step { frame: Bytes::new(), then: Then::Cut(cut) };
        }
        let mut text = Vec::new();
        if ending == Ending::Clean && self.long.is_none() && is_whole(&self.line) {
            // Only the end of the last line is missing.
            let step = self.feed(Bytes::from_static(b"\n"));
            if step.then != Then::More {
                return step;
            }
            text.extend_from_slice(&step.frame);
        }
        let is_proper = match ending {
            Ending::Clean => self.finish.is_proper() || self.grammar == Grammar::Other,
            Ending::Broken => self.finish.is_last(),
            Ending::Silent => self.finish.is_proper(),
        };
        let then = if is_proper {
            self.close(&mut text);
            self.view.write_last(&mut text);
            if self.grammar == Grammar::Chat {
                text.extend_from_slice(DONE);
            }
            Then::End
        } else {
            self.write_cut(cut, &mut text);
            Then::Cut(cut)
        };
        Step { frame: text.into(), then }
    }

    fn read(&mut self, out: &mut Out<'_>) -> Then {
        let chunk = out.chunk();
        let mut at = 0;
        while at < chunk.len() {
            let newline = memchr(b'\n', &chunk[at..]);
            let part = at..newline.map_or(chunk.len(), |length| at + length + 1);
            at = part.end;
            let then = self.read_part(part, newline.is_some(), out);
            if then != Then::More {
                return then;
            }
        }
        Then::More
    }

    /// Takes in a line, or the part of one that is in the chunk; `is_end` says whether the line
    /// ends with it.
    fn read_part(&mut self, part: Range<usize>, is_end: bool, out: &mut Out<'_>) -> Then {
        let text = &out.chunk()[part.clone()];
        if self.long.is_some() || self.line.len() + text.len() > MOST_HELD {
            return self.read_long(part, is_end, out);
        }
        if !is_end {
            self.line.extend_from_slice(text);
            return Then::More;
        }
        if self.line.is_empty() {
            let fate = self.fate(text);
            return self.apply(fate, Text::InChunk(part), out);
        }
        let mut line = mem::take(&mut self.line);
        line.extend_from_slice(text);
        let fate = self.fate(&line);
        let then = self.apply(fate, Text::Held(&line), out);
        if line.capacity() <= MOST_KEPT {
            line.clear();
            self.line = line;
        }
        then
    }

    /// Takes in a part of a line that is too long to be held.
    fn read_long(&mut self, part: Range<usize>, is_end: bool, out: &mut Out<'_>) -> Then {
        let then = match &mut self.long {
            Some(long) => {
                long.read(&out.chunk()[part.clone()]);
                if long.passes() {
                    out.pass(part);
                }
                Then::More
            }
            None => self.begin_long(part, out),
        };
        if is_end
            && then == Then::More
            && let Some(long) = self.long.take()
        {
            if long.finishes() {
                self.finish.end_one();
            }
            if long.is_last() {
                self.finish.end_all();
            }
        }
        then
    }

    /// Decides what becomes of a line by as much of it as is ever held, so that it is the same
    /// however the line is cut.
    fn begin_long(&mut self, part: Range<usize>, out: &mut Out<'_>) -> Then {
        let chunk = out.chunk();
        let seam = part.start + MOST_HELD - self.line.len();
        let (front, rest) = (part.start..seam, seam..part.end);
        let mut held = mem::take(&mut self.line);
        let was_held = !held.is_empty();
        if was_held {
            held.extend_from_slice(&chunk[front.clone()]);
        }
        let text = if was_held { &held[..] } else { &chunk[front.clone()] };
        let (fate, is_last) = self.long_fate(text);
        let passes = matches!(fate, Fate::Pass | Fate::PassApart);
        let mut long = Long::new(passes, is_last, self.grammar, text);
        long.read(&chunk[rest.clone()]);
        self.long = Some(long);
        let text = if was_held { Text::Held(&held) } else { Text::InChunk(front) };
        let then = self.apply(fate, text, out);
        if passes {
            out.pass(rest);
        }
        then
    }

    fn apply(&mut self, fate: Fate, text: Text<'_>, out: &mut Out<'_>) -> Then {
        match fate {
            Fate::Pass => text.pass(out),
            Fate::PassApart => {
                out.put(b"\n");
                text.pass(out);
            }
            Fate::Drop => {}
            Fate::Last => {
                text.pass(out);
                return Then::Settle;
            }
            Fate::Done => {
                let mut last = Vec::new();
                self.close(&mut last);
                self.view.write_last(&mut last);
                out.put(&last);
                out.put_or_pass(DONE, text.start());
                return Then::Settle;
            }
            Fate::Fail => {
                let mut last = Vec::new();
                self.write_cut(Cut::Failed, &mut last);
                out.put(&last);
                return Then::Cut(Cut::Failed);
            }
        }
        Then::More
    }

    fn write_cut(&mut self, cut: Cut, text: &mut Vec<u8>) {
        self.close(text);
        let event = cut.event(self.grammar, self.finish.next_number());
        text.extend_from_slice(event.as_bytes());
    }

    /// Ends what is open, so that another event can follow.
    fn close(&mut self, text: &mut Vec<u8>) {
        if mem::take(&mut self.open).has_data {
            text.push(b'\n');
        }
    }
}

impl Text<'_> {
    fn pass(self, out: &mut Out<'_>) {
        match self {
            Self::InChunk(part) => out.pass(part),
            Self::Held(text) => out.put(text),
        }
    }

    /// Where in the chunk it stands, if it does.
    fn start(&self) -> Option<usize> {
        match self {
            Self::InChunk(part) => Some(part.start),
            Self::Held(_) => None,
        }
    }
}

/// Whether nothing but its end is missing of `line`.
fn is_whole(line: &[u8]) -> bool {
    let Line::Data(data) = Line::of(line) else { return false };
    data.starts_with(DONE_DATA) || serde_json::from_slice::<IgnoredAny>(data).is_ok()
}

const DONE: &[u8] = b"data: [DONE]\n\n";
/// The longest line that is held, and read, in bytes.
const MOST_HELD: usize = 64 << 10;
/// The largest buffer for lines that is kept from one to the next, in bytes.
const MOST_KEPT: usize = 8 << 10;
/// How long a provider has to end its body after the last event.
pub(super) const SETTLING: Duration = Duration::from_millis(100);
/// How long a provider has to say its usage and `[DONE]` after the answer's proper finish.
const LINGERING: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
