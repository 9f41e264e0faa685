//! Reads usage from an answer that streams by, within a bounded memory.

mod lexer;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use memchr::memchr;

use self::lexer::{Event, Lexer, Usage};
use super::meter::Used;
use super::tokens::{self, Impossible, Tokens, estimate};
use crate::sse::is_event_stream;

/// Reads usage from the bytes of one answer, in whatever pieces they come. The last usage wins;
/// providers that repeat it count upwards.
#[derive(Debug)]
pub(super) struct Scanner {
    kind: Kind,
    lexer: Lexer,
    sum: Sum,
}

#[derive(Debug)]
enum Kind {
    /// Server-sent events.
    Events(Line),
    /// A JSON document.
    Document,
    /// Neither: nothing to read.
    Opaque,
}

/// Where in a line of an event stream the next byte stands.
#[derive(Clone, Copy, Debug)]
enum Line {
    /// In its name, of which so many bytes are those of [`DATA`].
    Name(usize),
    /// In the value of a `data` line.
    Data,
    /// In a line of no interest.
    Other,
}

/// What has been read so far.
#[derive(Debug, Default)]
struct Sum {
    tokens: Option<Tokens>,
    /// The provider's own cost, in pico-USD.
    cost: Option<u128>,
    /// Bytes of text that came after the last usage.
    written: u64,
    /// Whether the model said that it is done.
    is_finished: bool,
    /// Whether the last usage is the final one.
    is_final: bool,
    /// Whether the last usage was impossible.
    is_suspect: bool,
    has_bytes: bool,
}

impl Scanner {
    /// A scanner for an answer with these headers.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        if is_event_stream(headers) {
            return Self::new(Kind::Events(Line::Name(0)));
        }
        let is_json = |value: &HeaderValue| {
            let start = value.as_bytes().get(..JSON.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(JSON))
        };
        // Some servers name no type at all for their JSON.
        if headers.get(CONTENT_TYPE).is_none_or(is_json) {
            Self::new(Kind::Document)
        } else {
            Self::opaque()
        }
    }

    /// A scanner for what says nothing of its usage, such as audio.
    pub(super) fn opaque() -> Self {
        Self::new(Kind::Opaque)
    }

    fn new(kind: Kind) -> Self {
        Self { kind, lexer: Lexer::default(), sum: Sum::default() }
    }

    /// Takes the next piece.
    pub(super) fn feed(&mut self, piece: &[u8]) {
        let Self { kind, lexer, sum } = self;
        sum.has_bytes |= !piece.is_empty();
        match kind {
            Kind::Events(line) => *line = feed_lines(*line, piece, lexer, sum),
            Kind::Document => lexer.feed(piece, &mut |event| sum.add_document(event)),
            Kind::Opaque => {}
        }
    }

    /// What the attempt is booked with: `is_whole` if the answer came to its end, `is_good` if it
    /// is one that a provider charges for, to a request of so many bytes.
    pub(super) fn finish(self, is_whole: bool, is_good: bool, request_bytes: u64) -> Used {
        let Self { kind, mut lexer, mut sum } = self;
        lexer.end(&mut |event| match kind {
            Kind::Document => sum.add_document(event),
            _ => sum.add(event),
        });
        if matches!(kind, Kind::Opaque) || (is_whole && !sum.has_bytes) {
            // Audio, images and answers without a body use no tokens that could be estimated.
            return Used::default();
        }
        sum.used(is_whole, is_good, request_bytes)
    }
}

impl Sum {
    fn add(&mut self, event: Event) {
        self.is_finished |= event.finishes;
        let written = event.written();
        let said = match event.usage {
            None => Ok(None),
            Some(Usage::Whole(json)) => tokens::read(&json, self.tokens),
            Some(Usage::Oversized) => Err(Impossible),
        };
        match said {
            Ok(Some(statement)) => {
                self.tokens = Some(statement.tokens);
                self.cost = statement.cost.or(self.cost);
                // It counts what came with it.
                self.written = 0;
                self.is_final = self.is_finished;
                self.is_suspect = false;
            }
            Ok(None) => self.written += written,
            Err(Impossible) => {
                self.written += written;
                self.is_suspect = true;
            }
        }
    }

    /// A document says its usage once, wherever it stands.
    fn add_document(&mut self, event: Event) {
        let says_all = !event.is_element && event.usage.is_some();
        self.is_finished |= says_all;
        self.add(event);
    }

    fn used(self, is_whole: bool, is_good: bool, request_bytes: u64) -> Used {
        let Self { cost, is_suspect, .. } = self;
        let estimated = |tokens| Used { tokens, is_estimated: true, is_suspect, cost };
        match self.tokens {
            Some(tokens) if !is_suspect && (is_whole || self.is_final) => {
                Used { tokens, is_estimated: false, is_suspect, cost }
            }
            Some(said) => estimated(Tokens {
                prompt: if said.prompt > 0 { said.prompt } else { estimate(request_bytes) },
                completion: said.completion.saturating_add(estimate(self.written)),
                ..said
            }),
            None if is_good => estimated(Tokens {
                prompt: estimate(request_bytes),
                completion: estimate(self.written),
                ..Tokens::default()
            }),
            // A failed attempt that says nothing of tokens most likely used none.
            None => Used { is_suspect, cost, ..Used::default() },
        }
    }
}

/// Reads the values of `data` lines; gives where the next piece starts.
fn feed_lines(mut line: Line, mut piece: &[u8], lexer: &mut Lexer, sum: &mut Sum) -> Line {
    let on_event = &mut |event| sum.add(event);
    while let Some((&byte, rest)) = piece.split_first() {
        // The common case at once; byte by byte only what ends within the name.
        if matches!(line, Line::Name(0))
            && let Some(rest) = piece.strip_prefix(DATA)
        {
            (line, piece) = (Line::Data, rest);
            continue;
        }
        match line {
            Line::Name(matched) => {
                match byte {
                    b'\n' => {
                        if matched == 0 {
                            // A blank line ends the event, whole or not.
                            lexer.end(on_event);
                        }
                        line = Line::Name(0);
                    }
                    b'\r' if matched == 0 => {}
                    byte if DATA[matched] != byte => line = Line::Other,
                    _ if matched + 1 == DATA.len() => line = Line::Data,
                    _ => line = Line::Name(matched + 1),
                }
                piece = rest;
            }
            Line::Data | Line::Other => {
                let end = memchr(b'\n', piece).unwrap_or(piece.len());
                let (value, rest) = piece.split_at(end);
                if matches!(line, Line::Data) {
                    lexer.feed(value, on_event);
                }
                piece = rest;
                if !rest.is_empty() {
                    line = Line::Name(0);
                    piece = &rest[1..];
                }
            }
        }
    }
    line
}

const DATA: &[u8] = b"data:";
const JSON: &[u8] = b"application/json";

#[cfg(test)]
mod tests;
