//! What a connection has come to since its last request.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Follows one connection. By HTTP/1.1 a request is written, an answer is read, and so on; by
/// HTTP/2 it says only whether anything is heard.
///
/// Only who moves the connection changes it. Whoever asks has got the connection's last error from
/// there, which orders the two.
#[derive(Clone, Debug, Default)]
pub(super) struct Exchange(Arc<AtomicU8>);

impl Exchange {
    /// Something is about to be written. What follows bytes of an answer belongs to the next
    /// request, or to one that was refused before it was all there; either way the provider has
    /// not begun to work for it. Bytes that came before any request are no answer.
    pub(super) fn writes(&self) {
        let state = self.0.load(Ordering::Relaxed);
        let answered = state & (WROTE | READ) == WROTE | READ;
        let used = if answered { USED } else { state & USED };
        self.change(state, WROTE | used | (state & HEARD));
    }

    /// Something was read.
    pub(super) fn reads(&self) {
        let state = self.0.load(Ordering::Relaxed);
        self.change(state, state | READ | HEARD);
    }

    /// Whether anything was read since this was last asked, whatever was written.
    pub(super) fn take_heard(&self) -> bool {
        let state = self.0.load(Ordering::Relaxed);
        self.change(state, state & !HEARD);
        state & HEARD != 0
    }

    /// Whether an earlier request was answered here and the last one has not got a single byte. If
    /// the connection ends so, it had most likely been idle too long; of a new one such an end says
    /// that the provider is ill.
    pub(super) fn is_silent_again(&self) -> bool {
        self.0.load(Ordering::Relaxed) & (USED | READ) == USED
    }

    fn change(&self, from: u8, to: u8) {
        if from != to {
            self.0.store(to, Ordering::Relaxed);
        }
    }
}

/// Whether the connection ended, by whichever of the ways to notice it.
pub(super) fn is_closed(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let ended = error.downcast_ref::<hyper::Error>();
        let broke = error.downcast_ref::<io::Error>();
        if ended.is_some_and(hyper::Error::is_incomplete_message)
            || broke.is_some_and(|error| is_end(error.kind()))
        {
            return true;
        }
        next = error.source();
    }
    false
}

const fn is_end(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::NotConnected
            | io::ErrorKind::UnexpectedEof
    )
}

/// A request has been written, at least in part.
const WROTE: u8 = 1;
/// Something has been read since.
const READ: u8 = 2;
/// An earlier request has been answered.
const USED: u8 = 4;
/// Something was read that nobody has asked for yet.
const HEARD: u8 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_counts_only_after_an_earlier_answer() {
        let exchange = Exchange::default();
        assert!(!exchange.is_silent_again());
        exchange.writes();
        exchange.writes();
        assert!(!exchange.is_silent_again());
        exchange.reads();
        assert!(!exchange.is_silent_again());
        for _ in 0..3 {
            exchange.writes();
            assert!(exchange.is_silent_again());
            exchange.writes();
            assert!(exchange.is_silent_again());
            exchange.reads();
            exchange.reads();
            assert!(!exchange.is_silent_again());
        }
    }

    #[test]
    fn what_is_said_before_any_request_is_no_answer() {
        let exchange = Exchange::default();
        exchange.reads();
        exchange.writes();
        assert!(!exchange.is_silent_again());
    }

    #[test]
    fn what_was_heard_is_told_once_whatever_is_written() {
        let exchange = Exchange::default();
        assert!(!exchange.take_heard());
        exchange.reads();
        exchange.writes();
        assert!(exchange.take_heard());
        exchange.writes();
        assert!(!exchange.take_heard());
    }

    #[test]
    fn every_way_to_notice_the_end_is_known() {
        for kind in [io::ErrorKind::ConnectionReset, io::ErrorKind::UnexpectedEof] {
            assert!(is_closed(&io::Error::from(kind)));
        }
        assert!(!is_closed(&io::Error::from(io::ErrorKind::InvalidData)));
        assert!(!is_closed(&io::Error::other("bad record")));
    }
}
