//! A limiter that is killed and started again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::{MINUTE, START, n};
use crate::clock::{Instant, Timestamp};
use crate::rate_limit::{Limiter, Slot, WindowRecord};

#[derive(Clone, Debug)]
enum Step {
    Advance {
        micros: u64,
    },
    Send {
        count: u32,
    },
    /// One of the sends of the last seconds; 0 is the latest.
    GiveBack {
        which: usize,
    },
    Configure {
        rpm: u32,
    },
    /// A record is taken.
    Take,
    /// The first record that was taken becomes durable, or is lost.
    Commit {
        succeeds: bool,
    },
    /// The limiter hears of the first record that became durable, or never does.
    Acknowledge {
        arrives: bool,
    },
    /// The three of them without a fault.
    Flush,
    /// The process is killed; so many of the records taken become durable all the same.
    Crash {
        commits: usize,
        down_micros: u64,
    },
    /// An orderly shutdown.
    Restart {
        down_micros: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let down = || prop_oneof![0..5_000_u64, 0..20_000_000_u64, 0..90_000_000_u64];
    prop_oneof![
        6 => (0..5_000_u64).prop_map(|micros| Step::Advance { micros }),
        4 => (0..3_000_000_u64).prop_map(|micros| Step::Advance { micros }),
        1 => (0..70_000_000_u64).prop_map(|micros| Step::Advance { micros }),
        12 => (1..8_u32).prop_map(|count| Step::Send { count }),
        2 => (0..4_usize).prop_map(|which| Step::GiveBack { which }),
        1 => rpm().prop_map(|rpm| Step::Configure { rpm }),
        4 => Just(Step::Take),
        4 => prop::bool::weighted(0.8).prop_map(|succeeds| Step::Commit { succeeds }),
        4 => prop::bool::weighted(0.8).prop_map(|arrives| Step::Acknowledge { arrives }),
        4 => Just(Step::Flush),
        2 => (0..3_usize, down())
            .prop_map(|(commits, down_micros)| Step::Crash { commits, down_micros }),
        1 => down().prop_map(|down_micros| Step::Restart { down_micros }),
    ]
}

fn rpm() -> impl Strategy<Value = u32> {
    prop_oneof![3 => 1..13_u32, 1 => 60..300_u32]
}

/// A record on its way to the store, or there.
struct Stored {
    record: WindowRecord,
    taken_at: Timestamp,
}

/// The life of a limit over several processes.
struct World {
    limiter: Limiter,
    rpm: u32,
    burst: Option<u32>,
    /// The true time since the start of it all.
    time: Duration,
    /// When the process was started. Its own clock knows no more than that.
    started: Duration,
    taken: VecDeque<Stored>,
    committed: VecDeque<WindowRecord>,
    durable: Option<Stored>,
    /// Every send of all processes that was not given back.
    sent: Vec<Duration>,
    /// Those of this process.
    slots: Vec<Slot>,
}

impl World {
    fn new(rpm: u32, burst: Option<u32>) -> Self {
        let mut world = Self {
            limiter: Limiter::window(n(rpm)),
            rpm,
            burst,
            time: Duration::ZERO,
            started: Duration::ZERO,
            taken: VecDeque::new(),
            committed: VecDeque::new(),
            durable: None,
            sent: Vec::new(),
            slots: Vec::new(),
        };
        world.start();
        world
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Advance { micros } => self.time += Duration::from_micros(micros),
            Step::Send { count } => {
                for _ in 0..count {
                    self.send()?;
                }
            }
            Step::GiveBack { which } => self.give_back(which),
            Step::Configure { rpm } => {
                self.rpm = rpm;
                self.limiter.configure(n(rpm), self.burst.map(n), self.now());
            }
            Step::Take => self.take(),
            Step::Commit { succeeds } => self.commit(succeeds),
            Step::Acknowledge { arrives } => self.acknowledge(arrives),
            Step::Flush => {
                self.take();
                while !self.taken.is_empty() {
                    self.commit(true);
                }
                while !self.committed.is_empty() {
                    self.acknowledge(true);
                }
            }
            Step::Crash { commits, down_micros } => {
                for _ in 0..commits {
                    self.commit(true);
                }
                self.time += Duration::from_micros(down_micros);
                self.start();
            }
            Step::Restart { down_micros } => self.restart(Duration::from_micros(down_micros))?,
        }
        Ok(())
    }

    fn send(&mut self) -> Result<(), TestCaseError> {
        if let Ok(slot) = self.limiter.admit(self.now()) {
            self.slots.push(slot);
            self.sent.push(self.time);
            let recent = self.sent.iter().rev().take_while(|at| self.time - **at <= MINUTE);
            let in_a_minute = recent.count();
            prop_assert!(in_a_minute <= self.rpm as usize, "{} in a minute", in_a_minute);
        }
        Ok(())
    }

    fn give_back(&mut self, which: usize) {
        let of_process = self.slots.len().checked_sub(which + 1);
        let of_all = self.sent.len().checked_sub(which + 1);
        if let (Some(of_process), Some(of_all)) = (of_process, of_all)
            // A connection that fails does so within seconds.
            && self.time - self.sent[of_all] <= Duration::from_secs(10)
        {
            self.limiter.give_back(self.slots.remove(of_process));
            self.sent.remove(of_all);
        }
    }

    fn take(&mut self) {
        if let Some(record) = self.limiter.record(self.now()) {
            self.taken.push_back(Stored { record, taken_at: self.wall() });
        }
    }

    fn commit(&mut self, succeeds: bool) {
        if let Some(stored) = self.taken.pop_front()
            && succeeds
        {
            self.committed.push_back(stored.record.clone());
            self.durable = Some(stored);
        }
    }

    fn acknowledge(&mut self, arrives: bool) {
        if let Some(record) = self.committed.pop_front()
            && arrives
        {
            self.limiter.acknowledge(&record);
        }
    }

    fn restart(&mut self, down: Duration) -> Result<(), TestCaseError> {
        let free = self.limiter.free(self.now());
        let record = self.limiter.close(self.now());
        self.durable = Some(Stored { record, taken_at: self.wall() });
        prop_assert!(self.limiter.admit(self.now()).is_err());
        self.time += down;
        self.start();
        prop_assert!(self.limiter.free(self.now()) >= free);
        Ok(())
    }

    /// A new process, which knows only what is durable.
    fn start(&mut self) {
        self.started = self.time;
        self.taken.clear();
        self.committed.clear();
        self.slots.clear();
        self.limiter = match self.burst {
            None => Limiter::window(n(self.rpm)),
            Some(burst) => Limiter::smooth(n(self.rpm), n(burst)),
        };
        if let Some(Stored { record, taken_at }) = &self.durable {
            let json = serde_json::to_string(record).unwrap();
            let record = serde_json::from_str(&json).unwrap();
            let age = self.wall().saturating_since(*taken_at);
            self.limiter.restore(&record, age, self.now());
        }
        self.limiter.lease(Arc::new(|| {}));
    }

    fn now(&self) -> Instant {
        START + (self.time - self.started)
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_millis(1_767_225_600_000) + self.time
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_minute_holds_more_than_the_limit_in_force_whatever_crashes(
        rpm in rpm(),
        burst in option::weighted(0.2, 1..15_u32),
        steps in vec(step(), 1..200),
    ) {
        let mut world = World::new(rpm, burst);
        for step in steps {
            world.step(step)?;
        }
    }
}

#[test]
fn a_process_that_is_killed_again_and_again_never_sends_too_much() {
    let mut world = World::new(40, None);
    for _ in 0..500 {
        world.step(Step::Flush).unwrap();
        world.step(Step::Send { count: 100 }).unwrap();
        world.step(Step::Crash { commits: 0, down_micros: 700_000 }).unwrap();
    }
    assert_eq!(world.sent.len(), 40, "each has to believe that the last one used its reserve");
    world.step(Step::Advance { micros: 61_000_000 }).unwrap();
    assert_eq!(world.limiter.free(world.now()), 40);
    world.step(Step::Flush).unwrap();
    world.step(Step::Send { count: 100 }).unwrap();
    assert_eq!(world.sent.len(), 50);
}

#[test]
fn a_process_that_is_killed_now_and_then_goes_on_sending() {
    let mut world = World::new(40, None);
    for _ in 0..30 {
        for _ in 0..2 {
            world.step(Step::Flush).unwrap();
            world.step(Step::Send { count: 10 }).unwrap();
        }
        world.step(Step::Advance { micros: 61_000_000 }).unwrap();
        world.step(Step::Crash { commits: 0, down_micros: 700_000 }).unwrap();
    }
    assert_eq!(world.sent.len(), 600);
}
