//! What must hold of books and outcomes.

use std::time::Duration;

use super::caller::{Outcome, Served};
use super::{ms, secs};

/// Every request was answered; what each answer says of its making.
pub(super) fn all_served(outcomes: &[Outcome]) -> Vec<&Served> {
    let failed: Vec<&Outcome> = outcomes.iter().filter(|o| o.result.is_err()).collect();
    let (few, all) = (failed.len(), outcomes.len());
    assert!(failed.is_empty(), "{few} of {all} requests failed, one: {:?}", failed[0]);
    outcomes.iter().filter_map(|outcome| outcome.result.as_ref().ok()).collect()
}

/// The longest wait in the queue, in seconds.
pub(super) fn longest_wait(served: &[&Served]) -> f64 {
    served.iter().map(|served| served.queued.as_secs_f64()).fold(0.0, f64::max)
}

/// The longest that a request went on after its deadline.
pub(super) fn longest_overrun(outcomes: &[Outcome]) -> Duration {
    let overrun = |o: &Outcome| Some(o.latency.saturating_sub(o.patience?));
    outcomes.iter().filter_map(overrun).max().unwrap_or_default()
}

/// The latency that `share` of the outcomes keep to.
pub(super) fn percentile(outcomes: &[&Outcome], share: f64) -> Duration {
    let mut latencies: Vec<Duration> = outcomes.iter().map(|outcome| outcome.latency).collect();
    latencies.sort_unstable();
    let rank = (share * latencies.len() as f64).ceil() as usize;
    latencies[rank.saturating_sub(1)]
}

/// Jain's index of fairness: 1 if all get the same, `1 / n` if one gets it all.
pub(super) fn jain(shares: &[f64]) -> f64 {
    let sum: f64 = shares.iter().sum();
    let squares: f64 = shares.iter().map(|share| share * share).sum();
    sum * sum / (shares.len() as f64 * squares)
}

/// The tries of a vendor that is down: `opening` of them, a few more that were under way or came
/// between good answers, then one at the end of each step of a rest that starts at `base` and
/// doubles, and that lasts up to a tenth longer. Gives the number of probes.
pub(super) fn one_probe_per_step(tries: &[Duration], opening: usize, base: Duration) -> usize {
    let gaps: Vec<Duration> = tries.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let first_rest = gaps.iter().position(|gap| *gap >= base / 2).unwrap_or(gaps.len());
    let opened_with = first_rest + 1;
    assert!(
        (opening..=opening + 3).contains(&opened_with),
        "{opened_with} tries to find out that it is down, not {opening}: {tries:?}"
    );
    for (step, gap) in gaps[first_rest..].iter().enumerate() {
        rests_as_expected(*gap, base * (1_u32 << step));
    }
    gaps.len() - first_rest
}

/// Whether a pause of `gap` is a rest of `expected`: never shorter, at most a tenth and 5 s
/// longer, and until somebody comes.
pub(super) fn rests_as_expected(gap: Duration, expected: Duration) {
    // The last to arrive before a rest may have been sent before the answer that it began with.
    let least = expected.saturating_sub(ms(50));
    let most = expected + (expected / 10).min(secs(5)) + ms(2_500);
    assert!((least..=most).contains(&gap), "rested {gap:?} in place of {expected:?}");
}

#[test]
fn one_who_gets_it_all_is_unfair_to_the_others() {
    assert!((jain(&[3.0, 3.0, 3.0]) - 1.0).abs() < 1e-9);
    assert!((jain(&[9.0, 0.0, 0.0]) - 1.0 / 3.0).abs() < 1e-9);
}

#[test]
fn probes_are_told_from_the_tries_before_them() {
    let tries = [0, 1, 2, 13, 34, 75].map(Duration::from_secs);
    assert_eq!(one_probe_per_step(&tries, 2, secs(10)), 3);
}
