//! [`Long`]: a line that is too long to be held.

use super::finish::says_finish;
use super::grammar::Grammar;

/// A line that is too long to be held. It passes in pieces or is left out as a whole, and is only
/// searched for the mark of a proper end.
#[derive(Debug)]
pub(super) struct Long {
    passes: bool,
    grammar: Grammar,
    is_last: bool,
    finishes: bool,
    /// The end of what has been searched, because a mark may lie across pieces.
    seam: Vec<u8>,
}

impl Long {
    /// A line that begins with `front`. `is_last` says whether it is the last event of its stream.
    pub(super) fn new(passes: bool, is_last: bool, grammar: Grammar, front: &[u8]) -> Self {
        let mut long = Self { passes, grammar, is_last, finishes: false, seam: Vec::new() };
        long.read(front);
        long
    }

    pub(super) const fn passes(&self) -> bool {
        self.passes
    }

    /// Whether it is the last event of its stream.
    pub(super) const fn is_last(&self) -> bool {
        self.is_last
    }

    /// Whether it says that the answer has come to its end.
    pub(super) const fn finishes(&self) -> bool {
        self.finishes
    }

    /// Takes the next piece.
    pub(super) fn read(&mut self, piece: &[u8]) {
        if !self.passes || self.finishes {
            return;
        }
        self.seam.extend_from_slice(&piece[..piece.len().min(SEAM)]);
        self.finishes = says_finish(&self.seam, self.grammar) || says_finish(piece, self.grammar);
        if piece.len() > SEAM {
            self.seam.clear();
            self.seam.extend_from_slice(&piece[piece.len() - SEAM..]);
        } else {
            self.seam.drain(..self.seam.len().saturating_sub(SEAM));
        }
    }
}

/// The longest mark with its value and the white space in it, in bytes.
const SEAM: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_wherever_the_line_is_cut() {
        let text = format!(r#"{0},"finishReason": "STOP",{0}"#, "x".repeat(100));
        for size in 1..text.len() {
            let mut pieces = text.as_bytes().chunks(size);
            let mut long = Long::new(true, false, Grammar::Gemini, pieces.next().unwrap());
            pieces.for_each(|piece| long.read(piece));
            assert!(long.finishes(), "in pieces of {size}");
            assert!(long.seam.len() <= SEAM);
        }
        let mut none = Long::new(true, false, Grammar::Gemini, b"\"finishReason\":");
        none.read(b"null,\"STOP\"");
        assert!(!none.finishes());
    }
}
