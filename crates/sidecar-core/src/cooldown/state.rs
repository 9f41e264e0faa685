//! What a cell keeps under its lock, and how it changes.

use std::time::Duration;

use super::policy::{CooldownPolicy, LONGEST_REST, MAX_LEVEL};
use super::strikes::Strikes;
use super::{RestSource, SavedRest, Trip};
use crate::clock::Instant;
use crate::verdict::{Class, Scope, Verdict};

/// What a cell looks like from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CellState {
    /// How often it has tripped without proven recovery.
    pub level: u8,
    /// Why it tripped last.
    pub class: Option<Class>,
    /// The end of the rest, if it rests.
    pub until: Option<Instant>,
    /// Who says that it takes so long, if it rests.
    pub source: Option<RestSource>,
    /// Whether it is an endpoint that takes requests and has answered none for a while. Then it
    /// takes one at a time.
    pub suspect: bool,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) policy: CooldownPolicy,
    /// Requests per minute at full rate, which the ramp takes its fractions of.
    pub(super) rpm: u32,
    /// The end of the last rest.
    pub(super) until: Instant,
    /// Made with the first failure that counts, because most cells never see one.
    pub(super) strikes: Option<Box<Strikes>>,
    level: u8,
    class: Option<Class>,
    /// The last rest as a whole.
    length: Duration,
    /// Who said that it takes so long.
    source: RestSource,
    /// Since when there has been no failure; a minute lowers the level.
    clean_since: Instant,
    ramp_since: Option<Instant>,
}

impl State {
    pub(super) fn new(policy: CooldownPolicy, rpm: u32) -> Self {
        let epoch_start = Instant::from_nanos(0);
        Self {
            policy,
            rpm,
            until: epoch_start,
            strikes: None,
            level: 0,
            class: None,
            length: Duration::ZERO,
            source: RestSource::Heuristic,
            clean_since: epoch_start,
            ramp_since: None,
        }
    }

    pub(super) fn at(&self, now: Instant, suspect: bool) -> CellState {
        let resting = self.until > now;
        CellState {
            level: self.level,
            class: self.class,
            until: resting.then_some(self.until),
            source: resting.then_some(self.source),
            suspect,
        }
    }

    pub(super) fn is_ramping(&self) -> bool {
        self.ramp_since.is_some()
    }

    /// A failure begins the clean minute anew.
    pub(super) fn soil(&mut self, now: Instant) {
        self.clean_since = now;
    }

    /// The failures so far are a strike: the cell rests, for `least` at least.
    pub(super) fn trip(
        &mut self,
        verdict: &Verdict,
        least: Duration,
        now: Instant,
        jitter: f64,
    ) -> Trip {
        let class = verdict.class;
        self.level = (self.level + 1).min(MAX_LEVEL);
        let length = self.policy.length(class, self.level, verdict.hint).max(least);
        let spread = CooldownPolicy::spread(class, length).mul_f64(jitter.clamp(0.0, 1.0));
        let until = now + length + spread;
        // A longer rest that a straggler asked for stays, and so does who asked for it.
        if verdict.hint.is_some() || until >= self.until {
            self.source = RestSource::of(verdict.hint);
        }
        self.until = self.until.max(until);
        self.length = self.until - now;
        self.class = Some(class);
        self.strikes = None;
        self.ramp_since = None;
        let Self { level, length, until, source, .. } = *self;
        Trip { level, class, length, until, source }
    }

    /// Lengthens the rest by what the provider asked for, if that is longer. Never shortens it.
    pub(super) fn lengthen(&mut self, verdict: &Verdict, now: Instant) -> bool {
        let Some(hint) = verdict.hint else { return false };
        let asked = self.policy.length(verdict.class, 1, Some(hint)).min(hint.wait);
        if now + asked <= self.until {
            return false;
        }
        self.until = now + asked;
        self.length = asked;
        self.source = RestSource::of(Some(hint));
        true
    }

    /// Rests although nothing has failed.
    pub(super) fn rest(&mut self, until: Instant, now: Instant) {
        self.until = until;
        self.length = until - now;
        self.source = RestSource::Authoritative;
        self.class = Some(Class::RateLimited);
    }

    /// A good probe ends the rest and begins the ramp.
    pub(super) fn recover(&mut self, now: Instant) {
        self.ramp_since = Some(now);
        self.clean_since = now;
        self.until = now;
    }

    /// When the request after the one of `now` may pass, as long as the ramp lasts: at a quarter,
    /// then half of the full rate, which is the limiter's.
    pub(super) fn pace(&mut self, now: Instant) -> Option<Instant> {
        let share = match (now - self.ramp_since?).as_secs() / RAMP_STEP {
            0 => 4,
            1 => 2,
            _ => {
                self.ramp_since = None;
                return None;
            }
        };
        let spacing = MINUTE * share / self.rpm.max(1);
        Some(now + spacing.min(MINUTE))
    }

    /// A success of a closed cell. Idle minutes prove nothing: the level falls by one step for
    /// each clean minute that has seen one. Says what it has done if this is the end of one.
    pub(super) fn mend(&mut self, now: Instant) -> Option<Mended> {
        if now - self.clean_since < MINUTE {
            return None;
        }
        let fell = self.level > 0;
        self.level = self.level.saturating_sub(1);
        self.clean_since = now;
        if self.level == 0 {
            self.class = None;
        }
        Some(Mended { fell, is_whole: self.level == 0 })
    }

    /// Whether the rest may be cut short by a probe. Only a guess can be wrong, and a guess at a
    /// limit is given half of its time.
    pub(super) fn may_be_tried_early(&self, now: Instant) -> bool {
        let left = self.until - now;
        let may_be_wrong = match self.class.map_or(Scope::None, Class::scope) {
            // A key that is wrong or out of money gets no better by trying.
            Scope::None | Scope::Key => false,
            Scope::Quota => left <= self.length / 2,
            // Whether it works again nobody knows but by trying.
            Scope::Endpoint | Scope::Origin => true,
        };
        may_be_wrong && !left.is_zero() && self.source == RestSource::Heuristic
    }

    pub(super) fn export(&self, now: Instant) -> Option<SavedRest> {
        let remaining = self.until - now;
        if self.level == 0 && remaining.is_zero() {
            return None;
        }
        let Self { level, length, source, .. } = *self;
        Some(SavedRest { class: self.class?, level, length, source, remaining })
    }

    /// Takes up what an earlier run has exported. Returns whether there was anything in it.
    pub(super) fn restore(&mut self, saved: &SavedRest, remaining: Duration, now: Instant) -> bool {
        let length = saved.length.min(LONGEST_REST);
        let until = now + remaining.min(length);
        let rests = until > now;
        if !saved.class.is_failure() || (!rests && saved.level == 0) {
            return false;
        }
        self.level = self.level.max(saved.level.min(MAX_LEVEL));
        self.class = Some(saved.class);
        self.clean_since = now;
        if rests {
            self.until = until;
            self.length = length;
            self.source = saved.source;
        }
        true
    }

    pub(super) fn has_level(&self) -> bool {
        self.level > 0
    }

    pub(super) fn reset(&mut self) {
        let Self { policy, rpm, .. } = *self;
        *self = Self::new(policy, rpm);
    }
}

/// What a clean minute has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mended {
    /// The level is lower.
    pub(super) fell: bool,
    /// Nothing is left to mend.
    pub(super) is_whole: bool,
}

const MINUTE: Duration = Duration::from_secs(60);
/// Seconds of each step of the ramp.
const RAMP_STEP: u64 = 10;
