//! [`Joined`]: bytes that come in pieces, in one piece.

use std::ops::Deref;

use bytes::{Bytes, BytesMut};

/// Bytes that come in pieces, in one piece. As long as there is but one, as most often, nothing is
/// copied.
#[derive(Debug, Default)]
pub(crate) struct Joined {
    /// All there is, up to the second piece.
    first: Bytes,
    /// All there is, from then on.
    all: BytesMut,
}

impl Joined {
    /// Adds `piece`, and makes room for `expected` bytes in all if it has to copy.
    pub(crate) fn push(&mut self, piece: Bytes, expected: usize) {
        if self.is_empty() {
            self.first = piece;
            return;
        }
        if self.all.is_empty() {
            self.all.reserve(expected.max(self.first.len() + piece.len()));
            self.all.extend_from_slice(&self.first);
            self.first = Bytes::new();
        }
        self.all.extend_from_slice(&piece);
    }

    /// All of it.
    pub(crate) fn into_bytes(self) -> Bytes {
        if self.all.is_empty() { self.first } else { self.all.freeze() }
    }
}

impl Deref for Joined {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        if self.all.is_empty() { &self.first } else { &self.all }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_piece_is_not_copied_and_several_are_in_order() {
        let mut joined = Joined::default();
        let piece = Bytes::from_static(b"one");
        joined.push(Bytes::new(), 0);
        joined.push(piece.clone(), 100);
        assert_eq!(joined.as_ptr(), piece.as_ptr());
        joined.push(Bytes::new(), 100);
        joined.push(Bytes::from_static(b" two"), 100);
        joined.push(Bytes::from_static(b" three"), 100);
        assert_eq!(&*joined, b"one two three");
        assert_eq!(joined.into_bytes(), "one two three");
    }
}
