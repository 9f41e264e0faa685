//! [`WindowRecord`].

use std::iter;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::lease::Mark;
use crate::clock::Instant;

/// What a [`super::Limiter`] has sent in the last minute, to be kept durably.
///
/// As JSON it is `{"buckets": [[age_ms, count], ..], "reserve": count}`: ages at the time of the
/// record, youngest first, and how many more sends may have followed it. It is small for any
/// limit: sends are put together by the second when they are too many, and count as old as the
/// youngest of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowRecord {
    buckets: Vec<(u32, u32)>,
    reserve: u32,
    #[serde(skip)]
    mark: Mark,
}

impl WindowRecord {
    /// Of `sends`, oldest first, as of `now`.
    pub(super) fn new(
        sends: impl DoubleEndedIterator<Item = (Instant, u32)> + ExactSizeIterator,
        reserve: u32,
        mark: Mark,
        now: Instant,
    ) -> Self {
        let grain = if sends.len() <= MAX_BUCKETS { 1 } else { SECOND };
        let mut buckets: Vec<(u32, u32)> = Vec::with_capacity(sends.len().min(MAX_BUCKETS));
        for (at, count) in sends.rev() {
            // Rounded down: what is restored must not leave the window before the real one.
            let age = u32::try_from((now - at).as_millis()).unwrap_or(u32::MAX);
            match buckets.last_mut() {
                Some((youngest, counted)) if *youngest / grain == age / grain => {
                    *counted = counted.saturating_add(count);
                }
                _ => buckets.push((age, count)),
            }
        }
        Self { buckets, reserve, mark }
    }

    pub(super) fn mark(&self) -> Mark {
        self.mark
    }

    /// The sends to count at `now`, when the record is `age` old.
    pub(super) fn sends(
        &self,
        age: Duration,
        now: Instant,
    ) -> impl Iterator<Item = (Instant, u32)> {
        // `age` is the difference of two times that were rounded to milliseconds.
        let made_at = now.saturating_sub(age.saturating_sub(MILLISECOND));
        let of_bucket = move |&(age, count): &(u32, u32)| {
            (made_at.saturating_sub(Duration::from_millis(age.into())), count)
        };
        // The reserve may have been sent up to the end of the run, which nobody saw.
        self.buckets.iter().map(of_bucket).chain(iter::once((now, self.reserve)))
    }
}

/// A window is 61 seconds long, the one that it ends in included.
const MAX_BUCKETS: usize = 62;
const SECOND: u32 = 1_000;
const MILLISECOND: Duration = Duration::from_millis(1);
