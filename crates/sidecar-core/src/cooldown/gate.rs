//! Whether to admit, in one atomic word, and [`Admission`]: the epoch of what is admitted.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::clock::Instant;

/// The part of a cell that every request reads, and that one request at a time may change without
/// the cell's lock: by becoming the probe.
#[derive(Debug)]
pub(super) struct Gate {
    word: AtomicU64,
    /// Rises with every trip. What was sent under an older epoch is a straggler.
    epoch: AtomicU32,
}

/// A state of the gate: when the next request may pass, in nanoseconds of which the last two bits
/// say what happens then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Word(u64);

/// Leave to send, and what is needed to judge the outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    epoch: u32,
    /// The word that makes this the probe; [`Word::CLOSED`] if it is none.
    lease: Word,
}

/// What a gate lets happen at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// Anybody passes.
    Open,
    /// Nobody passes before then.
    Shut(Instant),
    /// A probe is out, until then at most.
    Leased(Instant),
    /// The next request of a paced sequence passes, and none is needed as a probe.
    Paced,
    /// The rest is over, or the probe is lost: one request may become the probe.
    Due,
}

impl Gate {
    pub(super) const fn new() -> Self {
        Self { word: AtomicU64::new(Word::CLOSED.0), epoch: AtomicU32::new(0) }
    }

    pub(super) fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Acquire)
    }

    /// To be raised after the gate has been shut, as requests read them the other way round: who
    /// sees the new epoch sees the shut gate, so that a burst cannot reach into the new epoch.
    pub(super) fn raise_epoch(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn load(&self) -> Word {
        Word(self.word.load(Ordering::Acquire))
    }

    /// Only under the cell's lock.
    pub(super) fn store(&self, word: Word) {
        self.word.store(word.0, Ordering::Release);
    }

    /// Changes `from` into `to`, or says what stands there instead.
    pub(super) fn exchange(&self, from: Word, to: Word) -> Result<(), Word> {
        let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
        match self.word.compare_exchange(from.0, to.0, success, failure) {
            Ok(_) => Ok(()),
            Err(other) => Err(Word(other)),
        }
    }

    /// Makes a request the probe, unless the gate is no longer as it was seen. Says what stands
    /// there instead.
    pub(super) fn lease(&self, seen: Word, epoch: u32, until: Instant) -> Result<Admission, Word> {
        let lease = Word::leased(until);
        self.exchange(seen, lease).map(|()| Admission { epoch, lease })
    }

    /// Whether it was sent before the last trip.
    pub(super) fn is_straggler(&self, admission: Admission) -> bool {
        admission.epoch != self.epoch()
    }

    /// Puts `to` in the place of any earlier time.
    pub(super) fn put_off(&self, to: Word) {
        let later = |word: u64| (word < to.0).then_some(to.0);
        let _ = self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, later);
    }
}

impl Word {
    /// The cell is closed: a word of its own, so that this takes no look at the time.
    pub(super) const CLOSED: Self = Self(0);

    /// At rest until `until`, after which one request is the probe.
    pub(super) const fn rest(until: Instant) -> Self {
        Self(round_up(until))
    }

    /// The rest is over at this very instant.
    pub(super) const fn due(now: Instant) -> Self {
        Self(now.as_nanos() & !BITS)
    }

    /// The next request passes at `at`, without being a probe.
    pub(super) const fn paced(at: Instant) -> Self {
        Self(round_up(at) | PACED)
    }

    /// A probe is out, and given up at `until`.
    pub(super) const fn leased(until: Instant) -> Self {
        Self(round_up(until) | LEASED)
    }

    pub(super) fn sight(self, now: Instant) -> Sight {
        let at = Instant::from_nanos(self.0 & !BITS);
        match self.0 & BITS {
            _ if self == Self::CLOSED => Sight::Open,
            LEASED if at > now => Sight::Leased(at),
            _ if at > now => Sight::Shut(at),
            PACED => Sight::Paced,
            _ => Sight::Due,
        }
    }

    /// Whether a probe is still needed: at rest, due, or with a probe out.
    pub(super) const fn needs_probe(self) -> bool {
        self.0 != Self::CLOSED.0 && self.0 & PACED == 0
    }

    /// Whether a probe is needed and none is out.
    pub(super) const fn lacks_probe(self) -> bool {
        self.0 != Self::CLOSED.0 && self.0 & BITS == 0
    }
}

impl Admission {
    pub(super) const NONE: Self = Self::plain(0);

    pub(super) const fn plain(epoch: u32) -> Self {
        Self { epoch, lease: Word::CLOSED }
    }

    pub(super) const fn lease(self) -> Word {
        self.lease
    }

    /// Whether this is the one request that tries a resting cell.
    pub const fn is_probe(self) -> bool {
        self.lease.needs_probe()
    }
}

/// To a multiple of four, so that a rest never ends early and two bits are free.
const fn round_up(at: Instant) -> u64 {
    at.as_nanos().saturating_add(BITS) & !BITS
}

const PACED: u64 = 1;
const LEASED: u64 = 2;
const BITS: u64 = PACED | LEASED;
