//! A cell against a plain description of what it should do, over random histories.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;

const RPM: u32 = 60;
const HIGHEST_LEVEL: u8 = 8;

#[derive(Clone, Debug)]
enum Step {
    Advance {
        millis: u64,
    },
    /// To the instant the cell names.
    AdvanceToReady,
    Admit,
    /// One of the requests that are out.
    Settle {
        which: usize,
        how: How,
    },
    Reset,
}

#[derive(Clone, Copy, Debug)]
enum How {
    Succeed,
    Fail { class: Class, hint: Option<u64> },
    Release,
}

/// What a cell should be, written down without a thought for speed or threads.
#[derive(Debug)]
struct Model {
    epoch: u32,
    level: u8,
    failures: u32,
    /// The end of the last rest; never earlier than before but by a reset.
    until: Instant,
    clean_since: Instant,
    phase: Phase,
    probes: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    Closed,
    Resting,
    Probing { probe: u32, since: Instant, lease_end: Instant },
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
        let (epoch, level, failures, probes) = (0, 0, 0, 0);
        let phase = Phase::Closed;
        Self { epoch, level, failures, until: START, clean_since: START, phase, probes }
    }

    fn admit(&mut self, now: Instant) -> Leave {
        match self.phase {
            Phase::Closed => Leave::Plain,
            Phase::Resting if now < self.until => Leave::Refused,
            Phase::Probing { lease_end, .. } if now < lease_end.max(self.until) => Leave::Refused,
            Phase::Resting | Phase::Probing { .. } => {
                self.probes += 1;
                let probe = self.probes;
                self.phase = Phase::Probing { probe, since: now, lease_end: now + LEASE };
                Leave::Probe(probe)
            }
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
        matches!(self.phase, Phase::Probing { since, .. } if self.until > since)
    }

    fn release(&mut self, sent: &Sent, now: Instant) {
        if sent.epoch == self.epoch && sent.probe.is_some() && self.is_current(sent) {
            self.phase = Phase::Resting;
            self.until = self.until.max(now);
        }
    }

    /// Whether it is a strike.
    fn fail(&mut self, sent: &Sent, class: Class, hint: Option<Duration>, now: Instant) -> bool {
        let hint = hint.map(|hint| hint.min(secs(3_600)));
        if sent.epoch != self.epoch {
            if let (Phase::Resting | Phase::Probing { .. }, Some(hint)) = (self.phase, hint) {
                self.until = self.until.max(now + hint);
            }
            return false;
        }
        self.failures += 1;
        self.clean_since = now;
        let tender = sent.probe.is_some() || matches!(self.phase, Phase::Ramping { .. });
        if !tender && self.failures < threshold(class, hint) {
            return false;
        }
        self.failures = 0;
        self.level = (self.level + 1).min(HIGHEST_LEVEL);
        self.epoch += 1;
        self.phase = Phase::Resting;
        let length = guess(class, self.level).max(hint.unwrap_or_default());
        self.until = self.until.max(now + length);
        true
    }

    fn reset(&mut self) {
        let epoch = self.epoch + 1;
        *self = Self { epoch, probes: self.probes, ..Self::new() };
    }
}

fn threshold(class: Class, hint: Option<Duration>) -> u32 {
    match class {
        _ if hint.is_some() => 1,
        Class::Transport => 5,
        Class::Unreachable => 2,
        _ => 1,
    }
}

fn guess(class: Class, level: u8) -> Duration {
    let (base, cap): (u64, u64) = match class {
        Class::Overloaded => (5, 120),
        Class::RateLimited => (30, 600),
        _ => (10, 300),
    };
    secs((base << (level - 1)).min(cap))
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
        match step {
            Step::Advance { millis } => self.now = self.now + Duration::from_millis(millis),
            Step::AdvanceToReady => self.now = self.cell.ready_at(self.now).unwrap_or(self.now),
            Step::Admit => self.admit()?,
            Step::Settle { which, how } => {
                if !self.out.is_empty() {
                    let sent = self.out.swap_remove(which % self.out.len());
                    self.settle(sent, how)?;
                }
            }
            Step::Reset => {
                self.cell.reset();
                self.model.reset();
            }
        }
        self.check()
    }

    fn admit(&mut self) -> Result<(), TestCaseError> {
        let now = self.now;
        let ready = self.cell.ready_at(now).is_none();
        let (got, expected) = (self.cell.admit(now, LEASE), self.model.admit(now));
        let leave = match got {
            Err(ready_at) => {
                prop_assert!(ready_at > now, "refused until a time that has passed");
                Leave::Refused
            }
            Ok(admission) if admission.is_probe() => Leave::Probe(self.model.probes),
            Ok(_) => Leave::Plain,
        };
        prop_assert_eq!(leave, expected);
        prop_assert_eq!(ready, leave != Leave::Refused, "ready_at and admit disagree");
        let Ok(admission) = got else { return Ok(()) };
        let (epoch, lease_end) = (self.model.epoch, now + LEASE);
        let probe = match leave {
            Leave::Probe(probe) => Some(probe),
            _ => None,
        };
        let out_already =
            |sent: &Sent| sent.probe.is_some() && sent.epoch == epoch && sent.lease_end > now;
        prop_assert!(probe.is_none() || !self.out.iter().any(out_already), "two probes");
        self.out.push(Sent { admission, epoch, probe, lease_end });
        Ok(())
    }

    fn settle(&mut self, sent: Sent, how: How) -> Result<(), TestCaseError> {
        let now = self.now;
        // What a probe says after another one has taken its place, and a success after the
        // provider asked for a longer rest, have tests of their own.
        let how = match how {
            _ if sent.epoch != self.model.epoch => how,
            _ if !self.model.is_current(&sent) => How::Release,
            How::Succeed if sent.probe.is_some() && self.model.was_lengthened() => How::Release,
            how => how,
        };
        match how {
            How::Release => {
                self.cell.release(sent.admission, now);
                self.model.release(&sent, now);
            }
            How::Succeed => self.succeed(&sent)?,
            How::Fail { class, hint } => {
                let hint = hint.map(secs);
                let verdict = hint.map_or_else(
                    || Verdict::of(class),
                    |wait| asking(class, wait, HintSource::Authoritative),
                );
                let tripped = self.cell.fail(sent.admission, &verdict, now, 0.0);
                prop_assert_eq!(tripped, self.model.fail(&sent, class, hint, now));
            }
        }
        Ok(())
    }

    fn succeed(&mut self, sent: &Sent) -> Result<(), TestCaseError> {
        let now = self.now;
        self.cell.succeed(sent.admission, now);
        if sent.epoch != self.model.epoch {
            return Ok(());
        }
        self.model.failures = 0;
        if sent.probe.is_some() {
            self.model.phase = Phase::Ramping { since: now, next: now };
            self.model.clean_since = now;
        } else if self.model.phase == Phase::Closed && now - self.model.clean_since >= secs(60) {
            self.model.clean_since = now;
            let level = level(&self.cell, now);
            prop_assert!(level < self.model.level.max(1), "a clean minute lowers the level");
            self.model.level = level;
        }
        Ok(())
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let state = self.cell.state_at(self.now);
        prop_assert_eq!(state.level, self.model.level);
        prop_assert!(state.level <= HIGHEST_LEVEL);
        if self.model.phase == Phase::Resting && self.model.until > self.now {
            prop_assert_eq!(state.until, Some(self.model.until));
        }
        Ok(())
    }
}

fn class() -> impl Strategy<Value = Class> {
    prop_oneof![
        Just(Class::RateLimited),
        Just(Class::Overloaded),
        Just(Class::Transport),
        Just(Class::Unreachable),
    ]
}

fn how() -> impl Strategy<Value = How> {
    prop_oneof![
        3 => Just(How::Succeed),
        5 => (class(), option::of(1..7_200_u64)).prop_map(|(class, hint)| How::Fail { class, hint }),
        2 => Just(How::Release),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..8_000_u64).prop_map(|millis| Step::Advance { millis }),
        3 => (0..700_000_u64).prop_map(|millis| Step::Advance { millis }),
        6 => Just(Step::AdvanceToReady),
        14 => Just(Step::Admit),
        18 => (any::<usize>(), how()).prop_map(|(which, how)| Step::Settle { which, how }),
        1 => Just(Step::Reset),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_cell_does_what_its_model_does(steps in vec(step(), 1..120)) {
        let mut pair = Pair::new();
        for step in steps {
            pair.step(step)?;
        }
    }
}
