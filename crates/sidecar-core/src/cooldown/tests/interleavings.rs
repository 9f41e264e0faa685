//! Every order in which the steps of two or three requests can follow one another.
//!
//! The cell's use of its gate is written down here once more, one access of shared memory a step,
//! with the gate's own words. All states that any order leads to are visited, and each is checked.

use std::collections::HashSet;

use super::*;
use crate::cooldown::gate::{Sight, Word};

const NOW: Instant = START;

/// All that requests share, and how far each of them has come.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    rules: Rules,
    word: Word,
    epoch: u32,
    /// Who holds the lock.
    locked_by: Option<usize>,
    until: Instant,
    level: u8,
    ramping: bool,
    requests: Vec<Request>,
}

/// To see that the search finds what it looks for, the cell may be a wrong one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Rules {
    Right,
    /// The epoch is raised before the gate is shut.
    EpochFirst,
    /// The gate is read before the epoch.
    GateFirst,
    /// A request becomes the probe whatever stands in the gate by now.
    BlindLease,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Request {
    ending: Ending,
    at: At,
    epoch: u32,
    /// Whether it lets itself be an early probe.
    early: bool,
    lease: Word,
}

/// What becomes of a request that is admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Ending {
    Good,
    /// A failure that counts at once, with a rest that the provider asked for or none.
    Failed(Option<Duration>),
    Left,
}

/// The next step of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    ReadsFirst,
    ReadsSecond { word: Option<Word> },
    Leases { seen: Word },
    LocksToBePaced,
    IsPaced,
    LocksToBeEarly,
    LooksEarly,
    LeasesEarly { seen: Word },
    LocksToSettle,
    Settles,
    Opens,
    Shuts { from: Word },
    RaisesEpoch,
    PutsOff,
    Unlocks { next: Next },
    Refused,
    Settled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Next {
    Refused,
    Admitted,
    Settled,
}

impl From<Next> for At {
    fn from(next: Next) -> Self {
        match next {
            Next::Refused => Self::Refused,
            Next::Admitted => Self::LocksToSettle,
            Next::Settled => Self::Settled,
        }
    }
}

fn request(ending: Ending) -> Request {
    Request { ending, at: At::ReadsFirst, epoch: 0, early: false, lease: Word::CLOSED }
}

impl World {
    /// A cell whose gate shows `word`, after a rest until `until`, if that is later than the start
    /// of time.
    fn new(word: Word, until: Instant, requests: impl IntoIterator<Item = Request>) -> Self {
        Self {
            rules: Rules::Right,
            word,
            epoch: 1,
            locked_by: None,
            until,
            level: 1,
            ramping: false,
            requests: requests.into_iter().collect(),
        }
    }

    fn closed(requests: impl IntoIterator<Item = Request>) -> Self {
        Self::new(Word::CLOSED, Instant::from_nanos(0), requests)
    }

    /// Its rest has just ended.
    fn due(requests: impl IntoIterator<Item = Request>) -> Self {
        Self::new(Word::rest(NOW), NOW, requests)
    }

    /// It rests for 30 s more, which is a guess.
    fn at_rest(requests: impl IntoIterator<Item = Request>) -> Self {
        Self::new(Word::rest(NOW + REST), NOW + REST, requests)
    }

    /// One step of one request; `None` if it has none left or has to wait for the lock.
    fn step(&self, who: usize) -> Option<Self> {
        let mut next = self.clone();
        let at = next.take_step(who)?;
        next.requests[who].at = at;
        Some(next)
    }

    fn take_step(&mut self, who: usize) -> Option<At> {
        let request = self.requests[who].clone();
        Some(match request.at {
            At::ReadsFirst if self.rules == Rules::GateFirst => {
                At::ReadsSecond { word: Some(self.word) }
            }
            At::ReadsFirst => {
                self.requests[who].epoch = self.epoch;
                At::ReadsSecond { word: None }
            }
            At::ReadsSecond { word } => {
                if word.is_some() {
                    self.requests[who].epoch = self.epoch;
                }
                self.seen(who, word.unwrap_or(self.word))
            }
            At::Leases { seen } => {
                if self.word == seen || self.rules == Rules::BlindLease {
                    self.lease(who, Word::leased(NOW + LEASE));
                    At::LocksToSettle
                } else {
                    match self.word.sight(NOW) {
                        Sight::Open => At::LocksToSettle,
                        _ => At::Refused,
                    }
                }
            }
            At::LocksToBePaced => self.lock(who, At::IsPaced)?,
            At::IsPaced => match self.word.sight(NOW) {
                Sight::Paced if self.ramping => {
                    self.word = Word::paced(NOW + secs(4));
                    At::Unlocks { next: Next::Admitted }
                }
                Sight::Paced => {
                    self.word = Word::CLOSED;
                    At::Unlocks { next: Next::Admitted }
                }
                Sight::Open => At::Unlocks { next: Next::Admitted },
                Sight::Shut(_) | Sight::Leased(_) | Sight::Due => {
                    At::Unlocks { next: Next::Refused }
                }
            },
            At::LocksToBeEarly => self.lock(who, At::LooksEarly)?,
            At::LooksEarly if self.word.lacks_probe() && self.until > NOW => {
                At::LeasesEarly { seen: self.word }
            }
            At::LooksEarly => At::Unlocks { next: Next::Refused },
            At::LeasesEarly { seen } if self.word == seen => {
                self.requests[who].epoch = self.epoch;
                self.lease(who, Word::leased(self.until.max(NOW + LEASE)));
                At::Unlocks { next: Next::Admitted }
            }
            At::LeasesEarly { .. } => At::Unlocks { next: Next::Refused },
            At::LocksToSettle if request.ending == Ending::Left && !request.is_probe() => {
                At::Settled
            }
            At::LocksToSettle => self.lock(who, At::Settles)?,
            At::Settles => self.settle(&request),
            At::Opens => {
                self.word = Word::paced(NOW);
                At::Unlocks { next: Next::Settled }
            }
            At::Shuts { from } => {
                // The lock keeps everybody out but one who becomes the probe.
                assert!(self.word == from || self.is_leased(), "{self:?}");
                self.word = Word::rest(self.until);
                match self.rules {
                    Rules::EpochFirst => At::Unlocks { next: Next::Settled },
                    _ => At::RaisesEpoch,
                }
            }
            At::RaisesEpoch => {
                self.epoch += 1;
                match self.rules {
                    Rules::EpochFirst => At::Shuts { from: self.word },
                    _ => At::Unlocks { next: Next::Settled },
                }
            }
            At::PutsOff => {
                self.word = self.word.max(Word::rest(self.until));
                At::Unlocks { next: Next::Settled }
            }
            At::Unlocks { next } => {
                assert_eq!(self.locked_by.take(), Some(who));
                next.into()
            }
            At::Refused | At::Settled => return None,
        })
    }

    /// What a request does that has seen `word` in the gate.
    fn seen(&self, who: usize, word: Word) -> At {
        match word.sight(NOW) {
            Sight::Open => At::LocksToSettle,
            Sight::Shut(_) | Sight::Leased(_) if self.requests[who].early => At::LocksToBeEarly,
            Sight::Shut(_) | Sight::Leased(_) => At::Refused,
            Sight::Paced => At::LocksToBePaced,
            Sight::Due => At::Leases { seen: word },
        }
    }

    fn lease(&mut self, who: usize, lease: Word) {
        self.word = lease;
        self.requests[who].lease = lease;
    }

    fn lock(&mut self, who: usize, then: At) -> Option<At> {
        if self.locked_by.is_some() {
            return None;
        }
        self.locked_by = Some(who);
        Some(then)
    }

    /// Under the lock, with one look at the gate.
    fn settle(&mut self, request: &Request) -> At {
        let (done, word) = (At::Unlocks { next: Next::Settled }, self.word);
        let is_straggler = request.epoch != self.epoch;
        match request.ending {
            Ending::Left => {
                if word == request.lease {
                    let at_rest = self.until > NOW;
                    self.word = if at_rest { Word::rest(self.until) } else { Word::due(NOW) };
                }
                done
            }
            Ending::Good => {
                if is_straggler || !request.is_probe() || !word.needs_probe() {
                    return done;
                }
                self.until = NOW;
                self.ramping = true;
                At::Opens
            }
            Ending::Failed(hint) if is_straggler => match hint {
                Some(hint) if word.needs_probe() && NOW + hint > self.until => {
                    self.until = NOW + hint;
                    At::PutsOff
                }
                _ => done,
            },
            Ending::Failed(hint) => {
                self.level += 1;
                self.until = self.until.max(NOW + hint.unwrap_or_default().max(REST));
                self.ramping = false;
                match self.rules {
                    Rules::EpochFirst => At::RaisesEpoch,
                    _ => At::Shuts { from: word },
                }
            }
        }
    }

    fn is_leased(&self) -> bool {
        self.word.needs_probe() && !self.word.lacks_probe()
    }

    /// The probes that are out: they have not been judged, or nobody can see yet that they were.
    fn probes(&self) -> usize {
        let is_unjudged = |request: &Request| {
            let next_is_admitted = matches!(request.at, At::Unlocks { next: Next::Admitted });
            let settles = matches!(
                request.at,
                At::LocksToSettle | At::Settles | At::Opens | At::Shuts { .. }
            );
            next_is_admitted || settles
        };
        let is_out = |request: &&Request| {
            request.is_probe() && request.epoch == self.epoch && is_unjudged(request)
        };
        self.requests.iter().filter(is_out).count()
    }
}

impl Request {
    fn is_probe(&self) -> bool {
        self.lease != Word::CLOSED
    }

    fn early(self) -> Self {
        Self { early: true, ..self }
    }
}

const REST: Duration = Duration::from_secs(30);
const FAILED: Ending = Ending::Failed(None);

/// Visits every state that `start` can lead to, and returns those where nobody has a step left.
/// Everybody has come to an end there: there is no deadlock.
fn ends(start: World, check: impl Fn(&World)) -> Vec<World> {
    let (mut seen, mut todo, mut ends) = (HashSet::new(), vec![start], Vec::new());
    while let Some(world) = todo.pop() {
        if !seen.insert(world.clone()) {
            continue;
        }
        check(&world);
        let before = todo.len();
        todo.extend((0..world.requests.len()).filter_map(|who| world.step(who)));
        if todo.len() == before {
            let is_done = |request: &Request| matches!(request.at, At::Refused | At::Settled);
            assert!(world.requests.iter().all(is_done), "a deadlock: {world:?}");
            assert_eq!(world.locked_by, None);
            ends.push(world);
        }
    }
    ends
}

fn one_probe_at_most(world: &World) {
    assert!(world.probes() <= 1, "two probes: {world:?}");
}

/// Every choice of endings for `count` requests.
fn choices(count: usize) -> Vec<Vec<Ending>> {
    let endings = [Ending::Good, FAILED, Ending::Left];
    (0..count).fold(vec![vec![]], |choices, _| {
        let longer = |choice: Vec<Ending>| endings.map(|last| [&choice[..], &[last]].concat());
        choices.into_iter().flat_map(longer).collect()
    })
}

#[test]
fn a_burst_is_one_strike_in_any_order() {
    for end in ends(World::closed([FAILED; 3].map(request)), one_probe_at_most) {
        assert_eq!(end.level, 2, "{end:?}");
        assert_eq!(end.word, Word::rest(NOW + REST));
    }
}

#[test]
fn the_search_finds_a_strike_that_is_counted_twice() {
    for rules in [Rules::EpochFirst, Rules::GateFirst] {
        let start = World { rules, ..World::closed([FAILED; 2].map(request)) };
        let levels: HashSet<u8> = ends(start, |_| {}).iter().map(|end| end.level).collect();
        assert_eq!(levels, HashSet::from([2, 3]), "{rules:?}");
    }
}

#[test]
fn after_a_rest_there_is_one_probe_in_any_order() {
    for endings in choices(3) {
        for end in ends(World::due(endings.iter().copied().map(request)), one_probe_at_most) {
            assert!(!end.is_leased(), "a lease without a probe: {end:?}");
            let failed = endings.contains(&FAILED);
            assert!(end.level <= 1 + u8::from(failed), "{end:?}");
        }
    }
}

#[test]
fn the_search_finds_two_probes() {
    let start = World { rules: Rules::BlindLease, ..World::due([FAILED; 2].map(request)) };
    let found = std::cell::Cell::new(false);
    ends(start, |world| found.set(found.get() || world.probes() > 1));
    assert!(found.get());
}

#[test]
fn a_good_probe_opens_the_ramp_in_any_order() {
    for end in ends(World::due([Ending::Good; 3].map(request)), one_probe_at_most) {
        assert_eq!((end.level, end.ramping), (1, true), "{end:?}");
        assert!(matches!(end.word.sight(NOW), Sight::Paced | Sight::Shut(_)), "{end:?}");
    }
}

#[test]
fn a_rest_is_as_long_as_a_straggler_was_asked_for_in_any_order() {
    let hint = secs(100);
    for ending in [FAILED, Ending::Left] {
        let straggler = Request { at: At::LocksToSettle, ..request(Ending::Failed(Some(hint))) };
        let requests = [straggler, request(ending), request(ending)];
        for end in ends(World::due(requests), one_probe_at_most) {
            assert_eq!(end.until, NOW + hint);
            assert!(end.word >= Word::rest(NOW + hint), "{end:?}");
            assert!(end.level <= 2);
        }
    }
}

#[test]
fn one_request_is_early_in_any_order() {
    for endings in choices(3) {
        let requests = endings.iter().map(|ending| request(*ending).early());
        for end in ends(World::at_rest(requests), one_probe_at_most) {
            assert!(!end.is_leased(), "a lease without a probe: {end:?}");
            assert!(end.until >= NOW + REST || end.ramping, "{end:?}");
        }
    }
}

#[test]
fn an_early_probe_and_a_straggler_do_not_shorten_the_rest_in_any_order() {
    let hint = secs(100);
    for ending in [FAILED, Ending::Left] {
        let straggler = Request { at: At::LocksToSettle, ..request(Ending::Failed(Some(hint))) };
        let requests = [straggler, request(ending).early(), request(ending)];
        for end in ends(World::at_rest(requests), one_probe_at_most) {
            assert_eq!(end.until, NOW + hint);
            assert!(end.word >= Word::rest(NOW + hint), "{end:?}");
        }
    }
}

/// The description above is worth something only if the cell is like that: where the requests
/// follow one another as a whole, both must come to the same.
#[test]
fn the_cell_does_the_same() {
    for endings in choices(4) {
        let cell = cell();
        let now = trip(&cell, Class::RateLimited, at(0));
        // The world's time stands still at the end of the rest.
        let mut world = World::new(Word::rest(NOW), NOW, endings.iter().copied().map(request));
        for (who, ending) in endings.into_iter().enumerate() {
            while let Some(next) = world.step(who) {
                world = next;
            }
            if let Ok(sent) = cell.admit(now, LEASE) {
                match ending {
                    Ending::Good => {
                        succeed(&cell, sent, now);
                    }
                    Ending::Failed(_) => {
                        cell.fail(sent, &Verdict::of(Class::RateLimited), None, now, 0.0);
                    }
                    Ending::Left => cell.release(sent, now),
                }
                assert_eq!(world.requests[who].at, At::Settled);
                assert_eq!(world.requests[who].is_probe(), sent.is_probe());
            } else {
                assert_eq!(world.requests[who].at, At::Refused);
            }
            assert_eq!(world.level, level(&cell, now));
            let waits = !matches!(world.word.sight(NOW), Sight::Open | Sight::Paced | Sight::Due);
            assert_eq!(waits, cell.ready_at(now).is_some());
        }
    }
}
