//! [`Out`]: a frame for the caller, made of one from the provider.

use std::ops::Range;

use bytes::Bytes;

/// A frame for the caller in the making: parts of the provider's frame in their order, and what is
/// put between them. As long as it is one part, nothing is copied.
#[derive(Debug)]
pub(super) struct Out<'c> {
    chunk: &'c [u8],
    /// What was copied so far, which comes first.
    copied: Vec<u8>,
    /// The part of the chunk that comes next.
    run: Range<usize>,
}

/// What [`Out`] came to, apart from the chunk it was made of.
#[derive(Debug)]
pub(super) enum Made {
    /// A part of the chunk.
    Part(Range<usize>),
    /// Something of its own.
    Own(Vec<u8>),
}

impl<'c> Out<'c> {
    pub(super) fn new(chunk: &'c [u8]) -> Self {
        Self { chunk, copied: Vec::new(), run: 0..0 }
    }

    pub(super) fn chunk(&self) -> &'c [u8] {
        self.chunk
    }

    /// Lets a part of the chunk pass, which lies behind those that passed before.
    pub(super) fn pass(&mut self, part: Range<usize>) {
        if self.run.end == part.start {
            self.run.end = part.end;
        } else if !part.is_empty() {
            self.flush();
            self.run = part;
        }
    }

    /// Puts `text` in.
    pub(super) fn put(&mut self, text: &[u8]) {
        if !text.is_empty() {
            self.flush();
            self.copied.extend_from_slice(text);
        }
    }

    /// Puts in what stands at `at` in the chunk as well, if it does.
    pub(super) fn put_or_pass(&mut self, text: &[u8], at: Option<usize>) {
        match at {
            Some(at) if self.chunk[at..].starts_with(text) => self.pass(at..at + text.len()),
            _ => self.put(text),
        }
    }

    pub(super) fn finish(mut self) -> Made {
        if self.copied.is_empty() {
            return Made::Part(self.run);
        }
        self.flush();
        Made::Own(self.copied)
    }

    fn flush(&mut self) {
        self.copied.extend_from_slice(&self.chunk[self.run.clone()]);
        // Nothing, behind everything that passed.
        self.run = self.run.end..self.run.end;
    }
}

impl Made {
    /// The frame, made of the `chunk` that [`Out`] was given.
    pub(super) fn of(self, chunk: Bytes) -> Bytes {
        match self {
            Self::Part(part) if part.len() == chunk.len() => chunk,
            Self::Part(part) => chunk.slice(part),
            Self::Own(text) => text.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(chunk: &Bytes, make: impl FnOnce(&mut Out<'_>)) -> Bytes {
        let mut out = Out::new(chunk);
        make(&mut out);
        out.finish().of(chunk.clone())
    }

    #[test]
    fn one_part_is_not_copied() {
        let chunk = Bytes::from(b"0123456789".to_vec());
        let part = made(&chunk, |out| {
            out.pass(2..4);
            out.pass(4..4);
            out.pass(4..7);
            out.put(b"");
            out.put_or_pass(b"789", Some(7));
        });
        assert_eq!(part, "23456789");
        assert_eq!(part.as_ptr(), chunk[2..].as_ptr());
        let whole = made(&chunk, |out| out.pass(0..10));
        assert_eq!(whole.as_ptr(), chunk.as_ptr());
        assert_eq!(made(&chunk, |_| {}), "");
    }

    #[test]
    fn parts_and_texts_keep_their_order() {
        let chunk = Bytes::from_static(b"0123456789");
        let mixed = made(&chunk, |out| {
            out.put(b"<");
            out.pass(0..2);
            out.pass(3..5);
            out.put(b"|");
            out.pass(5..6);
            out.put_or_pass(b">", Some(8));
            out.put_or_pass(b"9", None);
        });
        assert_eq!(mixed, "<0134|5>9");
    }
}
