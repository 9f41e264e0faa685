//! [`Upload`].

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::SendStream;

/// The part of a request's body that its connection has not taken yet.
///
/// It is handed over as the provider makes room for it. Handed over at once, it would hold its
/// stream even after the answer, until a provider that needs no more of it had taken it all.
#[derive(Debug)]
pub(super) struct Upload {
    stream: SendStream<Bytes>,
    rest: Bytes,
}

impl Upload {
    /// What is to be sent of `data`; `None` for nothing, with which a stream ends from the start.
    pub(super) fn new(stream: SendStream<Bytes>, data: Bytes) -> Option<Self> {
        (!data.is_empty()).then_some(Self { stream, rest: data })
    }

    /// Ready once there is nothing left to do. That the stream has ended before is told by the
    /// answer.
    pub(super) fn poll_done(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.rest.is_empty() {
            self.stream.reserve_capacity(self.rest.len());
            let room = self.stream.capacity();
            if room == 0 {
                match ready!(self.stream.poll_capacity(cx)) {
                    Some(Ok(_)) => continue,
                    Some(Err(_)) | None => return Poll::Ready(()),
                }
            }
            let part = self.rest.split_to(room.min(self.rest.len()));
            if self.stream.send_data(part, self.rest.is_empty()).is_err() {
                return Poll::Ready(());
            }
        }
        Poll::Ready(())
    }
}
