//! A cell against a plain description of what it should do, over random histories.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::verdict::Scope;

const RPM: u32 = 60;
const HIGHEST_LEVEL: u8 = 8;
const CALLERS: u64 = 3;

#[derive(Clone, Debug)]
enum Step {
    Advance {
        millis: u64,
    },
    /// To the instant the cell names.
    AdvanceToReady,
    Admit,
    AdmitEarly,
    /// One of the requests that are out.
    Settle {
        which: usize,
        how: How,
        who: Option<u64>,
    },
    Reset,
    /// A new cell takes up what the old one exports.
    Restart,
}

#[derive(Clone, Copy, Debug)]
enum How {
    Succeed,
    Fail { class: Class, hint: Option<u64> },
    Release,
}

/// What a cell should be, written down without a thought for speed, memory or threads.
#[derive(Debug)]
struct Model {
    epoch: u32,
    level: u8,
    class: Option<Class>,
    /// The end of the last rest; never earlier than before but by a good probe or a reset.
    until: Instant,
    /// The last rest as a whole.
    length: Duration,
    /// Whether nobody asked for it.
    is_guess: bool,
    clean_since: Instant,
    phase: Phase,
    probes: u32,
    /// Failures since the last good answer, by who may have provoked them.
    row: Vec<Option<u64>>,
    /// The same since the last trip, with the ten seconds they came in.
    failures: Vec<(u64, Option<u64>)>,
    /// When each caller was lied to last, since the last trip.
    lies: Vec<(u64, Instant)>,
    /// All good answers, by the ten seconds they came in.
    successes: Vec<u64>,
    /// All callers, with the ten seconds they were here.
    seen: Vec<(u64, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    Closed,
    Resting,
    Probing { probe: u32, lease_end: Instant, lengthened: bool },
    Ramping { since: Instant, next: Instant },
}

/// A request that is out.
#[derive(Clone, Copy, Debug)]
struct Sent {
    admission: Admission,
    epoch: u32,
    probe: Option<u32>,
    lease_end: Instant,
}

/// The model's leave to send.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Leave {
    Refused,
    Plain,
    Probe(u32),
}

impl Model {
    fn new() -> Self {
        Self {
            epoch: 0,
            level: 0,
            class: None,
            until: START,
            length: Duration::ZERO,
            is_guess: true,
            clean_since: START,
            phase: Phase::Closed,
            probes: 0,
            row: Vec::new(),
            failures: Vec::new(),
            lies: Vec::new(),
            successes: Vec::new(),
            seen: Vec::new(),
        }
    }

    fn admit(&mut self, now: Instant) -> Leave {
        match self.phase {
            Phase::Closed => Leave::Plain,
            Phase::Resting if now < self.until => Leave::Refused,
            Phase::Probing { lease_end, .. } if now < lease_end.max(self.until) => Leave::Refused,
            Phase::Resting | Phase::Probing { .. } => self.probe(now + LEASE),
            Phase::Ramping { next, .. } if now < next => Leave::Refused,
            Phase::Ramping { since, .. } => {
                let share = match (now - since).as_secs() {
                    0..10 => 4,
                    10..20 => 2,
                    _ => {
                        self.phase = Phase::Closed;
                        return Leave::Plain;
                    }
                };
                let next = now + secs(60) * share / RPM;
                self.phase = Phase::Ramping { since, next };
                Leave::Plain
            }
        }
    }

    fn admit_early(&mut self, now: Instant) -> Leave {
        let left = self.until - now;
        let may_be_wrong = match self.class.map_or(Scope::None, Class::scope) {
            Scope::None | Scope::Key => false,
            Scope::Quota => left <= self.length / 2,
            Scope::Endpoint | Scope::Origin => true,
        };
        if self.phase != Phase::Resting || left.is_zero() || !self.is_guess || !may_be_wrong {
            return Leave::Refused;
        }
        self.probe(self.until.max(now + LEASE))
    }

    fn probe(&mut self, lease_end: Instant) -> Leave {
        self.probes += 1;
        let probe = self.probes;
        self.phase = Phase::Probing { probe, lease_end, lengthened: false };
        Leave::Probe(probe)
    }

    /// Whether `sent` is the probe that is out, or no probe at all.
    fn is_current(&self, sent: &Sent) -> bool {
        match (sent.probe, self.phase) {
            (None, _) => true,
            (Some(mine), Phase::Probing { probe, .. }) => mine == probe,
            (Some(_), _) => false,
        }
    }

    /// Whether a straggler has lengthened the rest since the probe went out.
    fn was_lengthened(&self) -> bool {
        matches!(self.phase, Phase::Probing { lengthened: true, .. })
    }

    fn release(&mut self, sent: &Sent, now: Instant) {
        if sent.epoch == self.epoch && sent.probe.is_some() && self.is_current(sent) {
            self.phase = Phase::Resting;
            self.until = self.until.max(now);
        }
    }

    fn see(&mut self, who: Option<u64>, now: Instant) {
        self.seen.extend(who.map(|who| (who, slot(now))));
    }

    /// Whether anything has changed that should outlive a restart.
    fn succeed(&mut self, sent: &Sent, who: Option<u64>, now: Instant) -> bool {
        self.see(who, now);
        self.successes.push(slot(now));
        if sent.epoch != self.epoch {
            return false;
        }
        self.row.clear();
        if sent.probe.is_some() {
            self.phase = Phase::Ramping { since: now, next: now };
            self.clean_since = now;
            self.until = now;
            return true;
        }
        if self.phase != Phase::Closed || now - self.clean_since < secs(60) {
            return false;
        }
        let fell = self.level > 0;
        self.level = self.level.saturating_sub(1);
        self.clean_since = now;
        fell
    }

    /// Whether it is a strike.
    fn fail(
        &mut self,
        sent: &Sent,
        (class, hint): (Class, Option<Duration>),
        who: Option<u64>,
        now: Instant,
    ) -> bool {
        self.see(who, now);
        let hint = hint.map(|hint| hint.min(secs(3_600)));
        if sent.epoch != self.epoch {
            if let Some(hint) = hint.filter(|hint| now + *hint > self.until) {
                self.lengthen(hint, now);
            }
            return false;
        }
        self.clean_since = now;
        let provoker = who.filter(|_| matches!(class, Class::Timeout | Class::Lying));
        self.row.push(provoker);
        self.failures.push((slot(now), provoker));
        let is_lied_to_all = class == Class::Lying && self.is_third_lie(who, now);
        let least = if is_lied_to_all { secs(600) } else { Duration::ZERO };
        let enough = match self.phase {
            _ if sent.probe.is_some() => 0,
            Phase::Ramping { .. } => 1,
            _ => threshold(class, hint),
        };
        let in_a_row = self.weight(&self.row, now) >= enough;
        if !(in_a_row || is_lied_to_all || (threshold(class, hint) > 1 && self.are_half(now))) {
            return false;
        }
        (self.row, self.failures, self.lies) = (Vec::new(), Vec::new(), Vec::new());
        self.level = (self.level + 1).min(HIGHEST_LEVEL);
        self.epoch += 1;
        self.phase = Phase::Resting;
        self.class = Some(class);
        let until = now + guess(class, self.level, hint).max(hint.unwrap_or_default()).max(least);
        if hint.is_some() || until >= self.until {
            self.is_guess = hint.is_none();
        }
        self.until = self.until.max(until);
        self.length = self.until - now;
        true
    }

    fn lengthen(&mut self, hint: Duration, now: Instant) {
        match &mut self.phase {
            Phase::Closed | Phase::Ramping { .. } => return,
            Phase::Resting => {}
            Phase::Probing { lengthened, .. } => *lengthened = true,
        }
        self.until = now + hint;
        self.length = hint;
        self.is_guess = false;
    }

    /// Of the failures that `provokers` may have made, how many count.
    fn weight(&self, provokers: &[Option<u64>], now: Instant) -> usize {
        let share = |who| provokers.iter().filter(|provoker| **provoker == Some(who)).count();
        let (most, who) = (1..=CALLERS).map(|who| (share(who), who)).max().unwrap();
        let is_here = |&(other, at): &(u64, u64)| other != who && slot(now) - at < 16;
        let total = provokers.len();
        if self.seen.iter().any(is_here) { total.min(2 * (total - most)) } else { total }
    }

    fn are_half(&self, now: Instant) -> bool {
        let is_recent = |at: u64| slot(now) - at < 3;
        let failures = self.failures.iter().filter(|(at, _)| is_recent(*at));
        let provokers: Vec<Option<u64>> = failures.map(|(_, provoker)| *provoker).collect();
        let failures = self.weight(&provokers, now);
        let successes = self.successes.iter().filter(|at| is_recent(**at)).count();
        failures + successes >= 10 && failures >= successes
    }

    fn is_third_lie(&mut self, who: Option<u64>, now: Instant) -> bool {
        let Some(who) = who else { return false };
        self.lies.retain(|(other, _)| *other != who);
        let others = self.lies.iter().filter(|(_, at)| now - *at <= secs(900)).count();
        self.lies.push((who, now));
        others >= 2
    }

    fn reset(&mut self) {
        let (epoch, probes) = (self.epoch + 1, self.probes);
        let (successes, seen) =
            (std::mem::take(&mut self.successes), std::mem::take(&mut self.seen));
        *self = Self { epoch, probes, successes, seen, ..Self::new() };
    }

    fn restart(&mut self, now: Instant) {
        let rests = self.until > now;
        *self = Self {
            level: self.level,
            class: self.class,
            until: self.until,
            length: self.length,
            is_guess: self.is_guess,
            clean_since: now,
            phase: if rests { Phase::Resting } else { Phase::Closed },
            probes: self.probes,
            ..Self::new()
        };
    }
}

/// The ten seconds that `at` belongs to.
fn slot(at: Instant) -> u64 {
    at.as_nanos() / 10_000_000_000
}

fn threshold(class: Class, hint: Option<Duration>) -> usize {
    match class {
        Class::Timeout | Class::Lying => 5,
        _ if hint.is_some() => 1,
        Class::Transport | Class::ServerError => 5,
        Class::Unreachable => 2,
        _ => 1,
    }
}

fn guess(class: Class, level: u8, hint: Option<Duration>) -> Duration {
    let (base, cap): (u64, u64) = match class {
        Class::Overloaded => (5, 120),
        Class::RateLimited => (30, 600),
        Class::Auth => (300, 3_600),
        _ => (10, 300),
    };
    match level - u8::from(class == Class::RateLimited && hint.is_some()) {
        0 => Duration::from_secs(1),
        step => secs((base << (step - 1)).min(cap)),
    }
}

/// The cell and its model, side by side.
struct Pair {
    cell: Cell,
    model: Model,
    now: Instant,
    out: Vec<Sent>,
}

impl Pair {
    fn new() -> Self {
        let cell = Cell::new(CooldownPolicy::default(), RPM);
        Self { cell, model: Model::new(), now: START, out: Vec::new() }
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        // More than the rounding of the cell, so that both always see the same side of a moment.
        self.now = self.now + Duration::from_nanos(10);
        let before = self.cell.state_at(self.now).until;
        let mut may_end_a_rest = false;
        match step {
            Step::Advance { millis } => self.now = self.now + Duration::from_millis(millis),
            Step::AdvanceToReady => self.now = self.cell.ready_at(self.now).unwrap_or(self.now),
            Step::Admit => self.admit()?,
            Step::AdmitEarly => self.admit_early()?,
            Step::Settle { which, how, who } => {
                if !self.out.is_empty() {
                    let sent = self.out.swap_remove(which % self.out.len());
                    may_end_a_rest = sent.probe.is_some() && matches!(how, How::Succeed);
                    self.settle(sent, how, who)?;
                }
            }
            Step::Reset => {
                may_end_a_rest = true;
                self.cell.reset();
                self.model.reset();
            }
            Step::Restart => self.restart(),
        }
        if let Some(before) = before.filter(|before| !may_end_a_rest && *before > self.now) {
            prop_assert!(self.cell.state_at(self.now).until >= Some(before), "a shorter rest");
        }
        self.check()
    }

    fn admit(&mut self) -> Result<(), TestCaseError> {
        let now = self.now;
        let ready = self.cell.ready_at(now).is_none();
        let (got, expected) = (self.cell.admit(now, LEASE), self.model.admit(now));
        if let Err(ready_at) = got {
            prop_assert!(ready_at > now, "refused until a time that has passed");
        }
        prop_assert_eq!(ready, got.is_ok(), "ready_at and admit disagree");
        self.sent(got.ok(), expected, now + LEASE)
    }

    fn admit_early(&mut self) -> Result<(), TestCaseError> {
        let now = self.now;
        let admits = self.cell.admits_early(now);
        let got = self.cell.admit_early(now, LEASE);
        prop_assert_eq!(admits, got.is_some(), "admits_early and admit_early disagree");
        let expected = self.model.admit_early(now);
        self.sent(got, expected, self.model.until.max(now + LEASE))
    }

    fn sent(
        &mut self,
        got: Option<Admission>,
        expected: Leave,
        lease_end: Instant,
    ) -> Result<(), TestCaseError> {
        let leave = match got {
            None => Leave::Refused,
            Some(admission) if admission.is_probe() => Leave::Probe(self.model.probes),
            Some(_) => Leave::Plain,
        };
        prop_assert_eq!(leave, expected);
        let Some(admission) = got else { return Ok(()) };
        let (epoch, now) = (self.model.epoch, self.now);
        let probe = match leave {
            Leave::Probe(probe) => Some(probe),
            Leave::Plain | Leave::Refused => None,
        };
        let out_already =
            |sent: &Sent| sent.probe.is_some() && sent.epoch == epoch && sent.lease_end > now;
        prop_assert!(probe.is_none() || !self.out.iter().any(out_already), "two probes");
        self.out.push(Sent { admission, epoch, probe, lease_end });
        Ok(())
    }

    fn settle(&mut self, sent: Sent, how: How, who: Option<u64>) -> Result<(), TestCaseError> {
        let now = self.now;
        // What a probe says after another one has taken its place, and a success after the
        // provider asked for a longer rest, have tests of their own.
        let how = match how {
            _ if sent.epoch != self.model.epoch => how,
            _ if !self.model.is_current(&sent) => How::Release,
            How::Succeed if sent.probe.is_some() && self.model.was_lengthened() => How::Release,
            how => how,
        };
        let hash = who.map(caller);
        match how {
            How::Release => {
                self.cell.release(sent.admission, now);
                self.model.release(&sent, now);
            }
            How::Succeed => {
                let changed = self.cell.succeed(sent.admission, hash, now);
                prop_assert_eq!(changed, self.model.succeed(&sent, who, now));
            }
            How::Fail { class, hint } => {
                let hint = hint.map(secs);
                let verdict = hint.map_or_else(
                    || Verdict::of(class),
                    |wait| asking(class, wait, HintSource::Authoritative),
                );
                let trip = self.cell.fail(sent.admission, &verdict, hash, now, 0.0);
                let is_strike = self.model.fail(&sent, (class, hint), who, now);
                prop_assert_eq!(trip.is_some(), is_strike);
                if let Some(trip) = trip {
                    let told = (trip.level, trip.class, trip.length, trip.until);
                    let model = &self.model;
                    prop_assert_eq!(told, (model.level, class, model.length, model.until));
                }
            }
        }
        Ok(())
    }

    fn restart(&mut self) {
        let new = Cell::new(CooldownPolicy::default(), RPM);
        if let Some(saved) = self.cell.export(self.now) {
            new.restore(&saved, saved.remaining, self.now);
        }
        self.cell = new;
        self.model.restart(self.now);
        self.out.clear();
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let state = self.cell.state_at(self.now);
        prop_assert_eq!(state.level, self.model.level);
        prop_assert!(state.level <= HIGHEST_LEVEL);
        if self.model.phase == Phase::Resting && self.model.until > self.now {
            prop_assert_eq!(state.until, Some(self.model.until));
            let is_guess = state.source == Some(RestSource::Heuristic);
            prop_assert_eq!(is_guess, self.model.is_guess);
        }
        Ok(())
    }

    /// With traffic and a healthy provider a cell is as new in bounded time, whatever was before
    /// and whoever never came back.
    fn recovers(mut self) -> Result<(), TestCaseError> {
        let resting = self.model.until.max(self.now) - self.now;
        let bound = self.now + resting.max(LEASE) + secs(20 + 65 * (u64::from(HIGHEST_LEVEL) + 1));
        while self.now < bound {
            match self.cell.admit(self.now, LEASE) {
                Ok(sent) => {
                    self.cell.succeed(sent, None, self.now);
                    self.now = self.now + secs(5);
                }
                Err(ready_at) => self.now = ready_at,
            }
        }
        prop_assert!(self.cell.is_untouched(), "{:?}", self.cell.state_at(self.now));
        Ok(())
    }
}

fn class() -> impl Strategy<Value = Class> {
    prop_oneof![
        3 => Just(Class::RateLimited),
        2 => Just(Class::Overloaded),
        1 => Just(Class::Auth),
        3 => Just(Class::Transport),
        3 => Just(Class::ServerError),
        3 => Just(Class::Unreachable),
        5 => Just(Class::Timeout),
        5 => Just(Class::Lying),
    ]
}

fn how() -> impl Strategy<Value = How> {
    prop_oneof![
        3 => Just(How::Succeed),
        5 => (class(), option::weighted(0.3, 1..7_200_u64))
            .prop_map(|(class, hint)| How::Fail { class, hint }),
        2 => Just(How::Release),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let who = option::weighted(0.8, 1..=CALLERS);
    let settle = (any::<usize>(), how(), who);
    prop_oneof![
        8 => (0..8_000_u64).prop_map(|millis| Step::Advance { millis }),
        3 => (0..700_000_u64).prop_map(|millis| Step::Advance { millis }),
        6 => Just(Step::AdvanceToReady),
        16 => Just(Step::Admit),
        4 => Just(Step::AdmitEarly),
        20 => settle.prop_map(|(which, how, who)| Step::Settle { which, how, who }),
        1 => Just(Step::Reset),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn a_cell_does_what_its_model_does_and_recovers(steps in vec(step(), 1..160)) {
        let mut pair = Pair::new();
        for step in steps {
            pair.step(step)?;
        }
        pair.recovers()?;
    }
}
