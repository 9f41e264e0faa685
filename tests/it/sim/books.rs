//! What a vendor writes down about the requests it sees.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{mins, ms};

/// One request as its vendor saw it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// When it arrived, since the world's start.
    pub(super) at: Duration,
    /// The provider whose key it came with.
    pub(super) key: String,
    pub(super) caller: String,
    pub(super) fate: Fate,
}

/// What the vendor did with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Served,
    /// 429: too many in this minute.
    Limited,
    /// 429: too many on this day.
    DaySpent,
    /// Another status that says that the vendor is not well.
    Broken(u16),
    /// 400.
    Faulted,
    /// The connection was cut.
    Reset,
    /// There never was an answer.
    Hung,
    /// The connection was refused: tried, but not seen.
    Unreached,
}

/// All of them, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Books(Vec<Seen>);

impl Books {
    pub(super) fn write(&mut self, seen: Seen) {
        self.0.push(seen);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Seen> {
        self.0.iter()
    }

    /// How many were sent, or tried to be.
    pub(super) fn tries(&self) -> usize {
        self.0.len()
    }

    /// When those of one fate arrived.
    pub(super) fn times_of(&self, fate: Fate) -> Vec<Duration> {
        self.0.iter().filter(|seen| seen.fate == fate).map(|seen| seen.at).collect()
    }

    pub(super) fn count(&self, fate: Fate) -> usize {
        self.0.iter().filter(|seen| seen.fate == fate).count()
    }

    /// When they arrived, from `start` up to, but not, `end`.
    pub(super) fn times_in(&self, start: Duration, end: Duration) -> Vec<Duration> {
        let times = self.0.iter().map(|seen| seen.at);
        times.filter(|at| (start..end).contains(at)).collect()
    }

    /// The most requests of one key in any 60 seconds.
    pub(super) fn worst_minute_of_a_key(&self) -> usize {
        let keys: BTreeSet<&str> = self.0.iter().map(|seen| seen.key.as_str()).collect();
        keys.into_iter().map(|key| self.worst_minute(|seen| seen.key == key)).max().unwrap_or(0)
    }

    /// The most requests of all keys together in any 60 seconds.
    pub(super) fn worst_minute_of_all(&self) -> usize {
        self.worst_minute(|_| true)
    }

    fn worst_minute(&self, counts: impl Fn(&Seen) -> bool) -> usize {
        let seen = self.0.iter().filter(|seen| seen.fate != Fate::Unreached && counts(seen));
        let times: Vec<Duration> = seen.map(|seen| seen.at).collect();
        let mut first = 0;
        let mut worst = 0;
        for (last, at) in times.iter().enumerate() {
            while *at - times[first] >= mins(1) {
                first += 1;
            }
            worst = worst.max(last - first + 1);
        }
        worst
    }

    /// The shortest peace after a request of `fate`: until the next try that was not under way
    /// yet when the vendor's answer came.
    pub(super) fn shortest_peace_after(&self, fate: Fate) -> Option<Duration> {
        let peace = |at: Duration| {
            self.0
                .iter()
                .map(|seen| seen.at)
                .find(|next| *next > at + UNDER_WAY)
                .map(|next| next - at)
        };
        self.times_of(fate).into_iter().filter_map(peace).min()
    }
}

/// From the arrival of one request until no other is on its way that was sent before the answer to
/// the first: two ways and the making of a refusal.
const UNDER_WAY: Duration = ms(500);

#[test]
fn the_worst_minute_is_found_wherever_it_starts() {
    let mut books = Books::default();
    for (seconds, key) in [(0, "a"), (30, "a"), (59, "b"), (60, "a"), (61, "a"), (200, "b")] {
        let at = Duration::from_secs(seconds);
        books.write(Seen { at, key: key.into(), caller: String::new(), fate: Fate::Served });
    }
    assert_eq!(books.worst_minute_of_a_key(), 3);
    assert_eq!(books.worst_minute_of_all(), 4);
    assert_eq!(books.shortest_peace_after(Fate::Served), Some(Duration::from_secs(1)));
}
