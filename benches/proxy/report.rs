//! The tables.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::child::Role;
use crate::load::{Cost, Shape};
use crate::memory::Resident;

/// What the rounds of one shape have cost.
pub(crate) struct Table {
    shape: Shape,
    rounds: BTreeMap<Role, Vec<Cost>>,
}

/// How long requests took, round by round, at a steady rate.
#[derive(Default)]
pub(crate) struct Latency {
    rounds: BTreeMap<Role, Vec<Vec<Duration>>>,
}

/// Says what the figures were measured on.
pub(crate) fn machine() {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    say(&format!("{cores} cores, shared by the callers, the gateway and the provider\n"));
}

impl Table {
    pub(crate) fn new(shape: Shape) -> Self {
        Self { shape, rounds: BTreeMap::new() }
    }

    pub(crate) fn add(&mut self, role: Role, cost: Cost) {
        self.rounds.entry(role).or_default().push(cost);
    }

    /// One line for each gateway; the ratios are the middle ones of the rounds' own ratios to the
    /// floor.
    pub(crate) fn print(&self) {
        say(&format!("{}, 64 connections", self.shape.name()));
        let Some(floor) = self.rounds.get(&Role::Floor) else { return };
        for (role, costs) in &self.rounds {
            let cpu = middle(costs.iter().map(|cost| cost.cpu.as_secs_f64() * 1e6));
            let per_second = middle(costs.iter().map(|cost| cost.per_second));
            let pairs = || costs.iter().zip(floor);
            let cpu_ratio = middle(
                pairs().map(|(cost, floor)| cost.cpu.as_secs_f64() / floor.cpu.as_secs_f64()),
            );
            let rate_ratio =
                middle(pairs().map(|(cost, floor)| cost.per_second / floor.per_second));
            say(&format!(
                "  {:<10} {cpu:>8.1} us CPU a request ({cpu_ratio:.2} x floor) \
                 {per_second:>8.0} requests a second ({rate_ratio:.2} x floor)",
                role.name(),
            ));
        }
        say("");
    }
}

impl Latency {
    pub(crate) fn add(&mut self, role: Role, mut times: Vec<Duration>) {
        times.sort_unstable();
        self.rounds.entry(role).or_default().push(times);
    }

    pub(crate) fn print(&self, what: &str) {
        say(what);
        let Some(floor) = self.rounds.get(&Role::Floor) else { return };
        for (role, rounds) in &self.rounds {
            let at = |share: f64| middle(rounds.iter().map(|round| quantile(round, share)));
            let more = |share: f64| {
                let pairs = rounds.iter().zip(floor);
                middle(pairs.map(|(own, floor)| quantile(own, share) - quantile(floor, share)))
            };
            say(&format!(
                "  {:<10} median {:>7.0} us ({:>+6.0} to floor)  p99 {:>7.0} us ({:>+6.0} to floor)",
                role.name(),
                at(0.5),
                more(0.5),
                at(0.99),
                more(0.99),
            ));
        }
        say("");
    }
}

/// One line for each gateway, with so many idle callers and with so many that read a stream.
pub(crate) fn memory(callers: usize, gateways: &[(Role, Resident, Resident)]) {
    say(&format!("resident memory, {callers} callers"));
    let megabytes = |kib: u64| kib as f64 * 1_024.0 / 1e6;
    for (role, idle, live) in gateways {
        let grown = |of: &Resident| megabytes(of.with_callers) - megabytes(of.at_start);
        say(&format!(
            "  {:<10} {:>6.1} MB at start  {:>6.1} MB ({:>+6.1}) with idle connections  \
             {:>6.1} MB ({:>+6.1}) with live streams",
            role.name(),
            megabytes(idle.at_start),
            megabytes(idle.with_callers),
            grown(idle),
            megabytes(live.with_callers),
            grown(live),
        ));
    }
    say("");
}

/// In microseconds.
fn quantile(sorted: &[Duration], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    // The index is within the slice: `share` is at most 1.
    let index = (last as f64 * share).round() as usize;
    sorted.get(index).map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
}

fn middle(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[expect(clippy::print_stdout, reason = "the table is what the program is for")]
fn say(line: &str) {
    println!("{line}");
}
