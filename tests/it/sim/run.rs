//! Runs a scenario once for each seed, and says what it came to.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::thread;
use std::time::Duration;

use tokio::runtime::Builder;

use super::rng::Rng;

/// What a scenario came to. Of several runs, the worst counts.
#[derive(Debug, Default)]
pub(super) struct Figures {
    runs: usize,
    simulated: Duration,
    requests: usize,
    worst: BTreeMap<&'static str, f64>,
}

/// Says how to run it again if the run fails.
struct Replay<'a> {
    name: &'a str,
    seed: u64,
}

/// Runs `scenario` in virtual time for each of `seeds`, or for `SIM_SEED` alone.
pub(super) fn simulate(name: &str, seeds: &[u64], scenario: impl AsyncFn(Rng) -> Figures) {
    let mut all = Figures::default();
    for seed in chosen(seeds) {
        let _replay = Replay { name, seed };
        // A runtime of its own: its time starts anew, and what is left over ends with it.
        let runtime =
            Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        all.join(runtime.block_on(scenario(Rng::new(seed))));
    }
    say(&format!("sim {name}: {all}"));
}

impl Figures {
    pub(super) fn of(simulated: Duration, requests: usize) -> Self {
        Self { runs: 1, simulated, requests, worst: BTreeMap::new() }
    }

    /// With one more figure, of which more is worse.
    pub(super) fn worst(mut self, what: &'static str, value: f64) -> Self {
        self.note(what, value);
        self
    }

    /// Two runs together.
    pub(super) fn and(mut self, other: Self) -> Self {
        let runs = self.runs.max(other.runs);
        self.join(other);
        // Still of one seed.
        self.runs = runs;
        self
    }

    fn join(&mut self, other: Self) {
        self.runs += other.runs;
        self.simulated += other.simulated;
        self.requests += other.requests;
        for (what, value) in other.worst {
            self.note(what, value);
        }
    }

    fn note(&mut self, what: &'static str, value: f64) {
        let worst = self.worst.entry(what).or_insert(value);
        *worst = worst.max(value);
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = self.simulated.as_secs_f64() / 60.0;
        write!(f, "{} seeds, {minutes:.0} simulated minutes", self.runs)?;
        write!(f, ", {} requests", self.requests)?;
        self.worst.iter().try_for_each(|(what, value)| write!(f, "; {what} {value:.3}"))
    }
}

impl Drop for Replay<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            say(&format!("sim {} failed; to run it again: SIM_SEED={}", self.name, self.seed));
        }
    }
}

fn chosen(seeds: &[u64]) -> Vec<u64> {
    match std::env::var("SIM_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => seeds.to_vec(),
    }
}

/// To the terminal itself: the lines are wanted of tests that pass, too.
fn say(line: &str) {
    // Nothing depends on whether somebody reads it.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
