//! Callers whole: found by their keys, held to all limits at once, kept through changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use super::*;
use crate::clock::{Instant, Timestamp};
use crate::secret::Secret;

// 2026-01-01T00:00:00Z
const NEW_YEAR: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// Both clocks at so many seconds after the start.
#[derive(Clone, Copy)]
struct At(u64);

impl At {
    fn now(self) -> Instant {
        Instant::from_nanos(86_400_000_000_000) + Duration::from_secs(self.0)
    }

    fn wall(self) -> Timestamp {
        NEW_YEAR + Duration::from_secs(self.0)
    }

    fn request(self) -> Admit<'static> {
        Admit::new(Some("small"), self.now(), self.wall())
    }
}

fn record(mut json: Value) -> (CallerRecord, Secret) {
    if json.get("name").is_none() {
        json["name"] = "agents".into();
    }
    let patch: CallerPatch = serde_json::from_value(json).unwrap();
    patch.create("id", NEW_YEAR).unwrap()
}

fn caller(json: Value) -> (Callers, Arc<LiveCaller>) {
    let callers = Callers::default();
    callers.replace([record(json).0]);
    let caller = callers.find("agents").unwrap();
    (callers, caller)
}

fn change(callers: &Callers, json: Value) -> Arc<LiveCaller> {
    let patch: CallerPatch = serde_json::from_value(json).unwrap();
    let current = callers.find("agents").unwrap();
    callers.replace([patch.apply(current.record(), NEW_YEAR).unwrap()]);
    callers.find("agents").unwrap()
}

fn refusal(caller: &LiveCaller, request: Admit<'_>) -> CallerRefusal {
    caller.admit(&request).unwrap_err()
}

#[test]
fn a_key_finds_its_caller_and_nothing_else_does() {
    let callers = Callers::default();
    let (agents, key) = record(json!({}));
    let hint = agents.key_hint().to_owned();
    assert!(callers.is_empty() && callers.authenticate(key.expose(), NEW_YEAR).is_none());
    callers.replace([agents]);
    let found = callers.authenticate(key.expose(), NEW_YEAR).unwrap();
    assert_eq!(&*found.caller().0, "agents");
    let (stranger, _) = CallerKey::generate();
    let padded = format!(" {}", key.expose());
    for token in ["", "any", stranger.expose(), &padded, &hint, &key.expose().to_uppercase()] {
        assert!(callers.authenticate(token, NEW_YEAR).is_none());
    }
    callers.replace([]);
    assert!(callers.authenticate(key.expose(), NEW_YEAR).is_none());
}

#[test]
fn two_keys_work_until_the_older_one_ends() {
    let callers = Callers::default();
    let (first, old) = record(json!({}));
    callers.replace([first.clone()]);
    let last_used = |digest: &KeyDigest| callers.last_used(digest);
    let (second, new) = first.with_new_key(DEFAULT_OVERLAP, At(0).wall(), last_used);
    callers.replace([second]);
    for (key, seconds, works) in
        [(&old, 0, true), (&new, 0, true), (&old, 86_399, true), (&old, 86_400, false)]
    {
        let found = callers.authenticate(key.expose(), At(seconds).wall());
        assert_eq!(found.is_some(), works, "{seconds}");
    }
    assert!(callers.authenticate(new.expose(), At(1_000_000).wall()).is_some());
}

#[test]
fn the_last_use_of_a_key_is_known_after_a_change() {
    let callers = Callers::default();
    let (agents, key) = record(json!({}));
    let digest = agents.keys[0].digest;
    callers.replace([agents]);
    assert_eq!(callers.last_used(&digest), None);
    callers.authenticate(key.expose(), At(7).wall()).unwrap();
    change(&callers, json!({"label": "other"}));
    assert_eq!(callers.last_used(&digest), Some(At(7).wall()));
}

#[test]
fn who_may_not_call_at_all_is_told_so_first() {
    let (callers, agents) = caller(json!({"expires_at": "2026-01-01T01:00:00Z", "rpm": 1}));
    drop(agents.admit(&At(0).request()).unwrap());
    assert_eq!(refusal(&agents, At(3_600).request()), CallerRefusal::Expired);
    let agents = change(&callers, json!({"enabled": false}));
    assert_eq!(refusal(&agents, At(3_600).request()), CallerRefusal::Disabled);
}

#[test]
fn a_model_that_is_not_on_the_list_is_refused() {
    let (_, agents) = caller(json!({"models": ["small", "big-*"]}));
    assert!(agents.may_use("big-1") && !agents.may_use("huge"));
    let request = |model| Admit::new(model, At(0).now(), At(0).wall());
    drop(agents.admit(&request(Some("small"))).unwrap());
    assert_eq!(refusal(&agents, request(Some("huge"))), CallerRefusal::Model);
    assert_eq!(refusal(&agents, request(None)), CallerRefusal::Model);
}

#[test]
fn a_place_is_given_back_when_the_permit_is_dropped() {
    let (_, agents) = caller(json!({"concurrency": 2}));
    let [first, second] = [0, 1].map(|_| agents.admit(&At(0).request()).unwrap());
    assert_eq!(refusal(&agents, At(0).request()), CallerRefusal::Concurrency);
    drop(first);
    let third = agents.admit(&At(0).request()).unwrap();
    assert_eq!(agents.numbers(At(0).now(), At(0).wall()).in_flight, 2);
    drop((second, third));
    assert_eq!(agents.numbers(At(0).now(), At(0).wall()).in_flight, 0);
}

#[test]
fn a_rate_says_when_the_next_request_is_due() {
    let (_, agents) = caller(json!({"rpm": 2}));
    for left in [1, 0] {
        drop(agents.admit(&At(0).request()).unwrap());
        let numbers = agents.numbers(At(0).now(), At(0).wall());
        assert_eq!(numbers.rpm_remaining, Some(left));
    }
    let retry_after = Duration::from_secs(20);
    assert_eq!(refusal(&agents, At(10).request()), CallerRefusal::Rate { retry_after });
    drop(agents.admit(&At(30).request()).unwrap());
}

#[test]
fn a_refused_request_counts_against_no_limit() {
    let (_, agents) =
        caller(json!({"rpm": 2, "concurrency": 1, "budget_daily_usd": 1, "max_rounds": 2}));
    let request = At(0).request().task(Some("task")).estimate(1_000);
    let first = agents.admit(&request).unwrap();
    let before = agents.numbers(At(0).now(), At(0).wall());
    for _ in 0..10 {
        assert_eq!(refusal(&agents, request), CallerRefusal::Concurrency);
        let too_much = request.estimate(1_000_000_000_000);
        assert!(matches!(refusal(&agents, too_much), CallerRefusal::Budget { .. }));
    }
    assert_eq!(agents.numbers(At(0).now(), At(0).wall()), before);
    drop(first);
    let second = agents.admit(&request).unwrap();
    assert_eq!(second.rounds(), Some(Rounds { used: 2, max: 2 }));
}

#[test]
fn a_task_ends_when_its_requests_are_used_up() {
    let (_, agents) = caller(json!({"max_rounds": 5}));
    let request = |task| At(0).request().task(task);
    let warnings = (0..5).map(|_| {
        let permit = agents.admit(&request(Some("loop"))).unwrap();
        permit.rounds_warning()
    });
    let expected = [None, None, None, Some("4/5".to_owned()), Some("5/5".to_owned())];
    assert_eq!(warnings.collect::<Vec<_>>(), expected);
    let retry_after = Duration::from_secs(86_400);
    assert_eq!(refusal(&agents, request(Some("loop"))), CallerRefusal::Rounds { retry_after });
    drop(agents.admit(&request(Some("other"))).unwrap());
    // What is no name of a task is no task.
    for task in [None, Some(""), Some("two words")] {
        assert_eq!(agents.admit(&request(task)).unwrap().rounds(), None);
    }
}

#[test]
fn money_is_reserved_before_and_settled_after() {
    let (_, agents) = caller(json!({"budget_daily_usd": "0.00000000001"}));
    let numbers = |at: At| agents.numbers(at.now(), at.wall());
    let request = At(0).request().estimate(6);
    let first = agents.admit(&request).unwrap();
    assert!(matches!(refusal(&agents, request), CallerRefusal::Budget { .. }));
    // An attempt that failed, and one that did not.
    first.settle(1, At(1).wall());
    first.settle(2, At(2).wall());
    assert_eq!(numbers(At(2)).spent_today_usd, Usd::from_pico(3));
    assert_eq!(numbers(At(2)).reserved_usd, Usd::from_pico(3));
    drop(first);
    assert_eq!(numbers(At(2)).reserved_usd, Usd::default());
    let second = agents.admit(&request).unwrap();
    // It cost more than it should have.
    second.settle(20, At(3).wall());
    drop(second);
    assert_eq!(numbers(At(3)).spent_today_usd, Usd::from_pico(23));
    let retry_after = Duration::from_secs(86_400 - 3);
    assert_eq!(refusal(&agents, At(3).request()), CallerRefusal::Budget { retry_after });
    assert_eq!(numbers(At(86_400)).spent_today_usd, Usd::default());
    assert_eq!(numbers(At(86_400)).spent_month_usd, Usd::from_pico(23));
    drop(agents.admit(&At(86_400).request()).unwrap());
}

#[test]
fn what_is_counted_outlives_a_change() {
    let (callers, agents) =
        caller(json!({"rpm": 1, "concurrency": 1, "max_rounds": 9, "budget_monthly_usd": 5}));
    let permit = agents.admit(&At(0).request().task(Some("task")).estimate(7)).unwrap();
    permit.settle(3, At(0).wall());
    let before = agents.numbers(At(0).now(), At(0).wall());
    let changed = change(&callers, json!({"label": "other"}));
    assert_eq!(changed.numbers(At(0).now(), At(0).wall()), before);
    let changed = change(&callers, json!({"concurrency": 2}));
    assert!(matches!(refusal(&changed, At(0).request()), CallerRefusal::Rate { .. }));
    // The permit of the old configuration gives back what the new one counts.
    drop(permit);
    let after = changed.numbers(At(0).now(), At(0).wall());
    assert_eq!((after.in_flight, after.reserved_usd), (0, Usd::default()));
}

#[test]
fn earlier_runs_are_counted_from_the_books() {
    let (callers, agents) = caller(json!({}));
    let now = At(40 * 86_400 + 5 * 3_600);
    let hour = now.wall().hour();
    let (seeded_from, seeded_to) = Callers::seed_hours(now.wall()).into_inner();
    assert_eq!((seeded_from, seeded_to), (NEW_YEAR.hour() + 31 * 24, hour));
    callers.seed_spend([
        ("agents", hour, 1),
        ("agents", hour - 5, 2),
        ("agents", hour - 6, 4),
        ("agents", seeded_from, 8),
        ("agents", seeded_from - 1, 16),
        ("agents", NEW_YEAR.hour() - 1, 32),
        ("somebody else", hour, 64),
    ]);
    let numbers = agents.numbers(now.now(), now.wall());
    assert_eq!(numbers.spent_today_usd, Usd::from_pico(3));
    assert_eq!(numbers.spent_month_usd, Usd::from_pico(15));
}

#[test]
fn what_was_booked_before_a_caller_was_made_is_not_its_own() {
    let (callers, agents) = caller(json!({}));
    callers.seed_spend([("agents", NEW_YEAR.hour() - 1, 5), ("agents", NEW_YEAR.hour(), 1)]);
    assert_eq!(agents.numbers(At(0).now(), At(0).wall()).spent_month_usd, Usd::from_pico(1));
}

#[test]
fn names_are_those_of_callers_only() {
    let (callers, _) = caller(json!({}));
    assert!(callers.is_name("agents") && !callers.is_name("id") && !callers.is_name("other"));
    assert!(callers.find("id").is_some() && callers.find("other").is_none());
    assert_eq!(callers.all().len(), 1);
}

#[test]
fn a_debug_print_shows_no_key_and_no_digest() {
    let callers = Callers::default();
    let (agents, key) = record(json!({"rpm": 5, "max_rounds": 5}));
    let digest = serde_json::to_string(&agents.keys[0].digest).unwrap();
    callers.replace([agents]);
    let agents = callers.authenticate(key.expose(), NEW_YEAR).unwrap();
    let permit = agents.admit(&At(0).request().task(Some("task"))).unwrap();
    let shown = format!("{callers:?} {agents:?} {permit:?} {key:?}");
    assert!(!shown.contains(&key.expose()[8..38]), "{shown}");
    assert!(!shown.contains(digest.trim_matches('"')), "{shown}");
}

#[test]
fn threads_together_never_spend_more_than_the_budget() {
    const BUDGET: u128 = 1_000;
    let (_, agents) = caller(json!({"budget_daily_usd": Usd::from_pico(BUDGET), "concurrency": 5}));
    let paid = AtomicU64::new(0);
    thread::scope(|scope| {
        for worker in 0..8_u64 {
            let (agents, paid) = (&agents, &paid);
            scope.spawn(move || {
                for turn in 0..500 {
                    let estimate = 1 + (worker * 7 + turn * 13) % 40;
                    let request = At(turn).request().estimate(estimate.into());
                    let Ok(permit) = agents.admit(&request) else { continue };
                    // Some are cancelled, and none costs more than it should.
                    if turn % 3 != 0 {
                        let cost = estimate - turn % estimate;
                        permit.settle(cost.into(), At(turn).wall());
                        paid.fetch_add(cost, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let numbers = agents.numbers(At(500).now(), At(500).wall());
    assert_eq!((numbers.in_flight, numbers.reserved_usd), (0, Usd::default()));
    assert_eq!(numbers.spent_today_usd.pico(), u128::from(paid.into_inner()));
    assert!(numbers.spent_today_usd.pico() <= BUDGET);
}

/// What may happen to the requests of a caller.
#[derive(Clone, Debug)]
enum Step {
    /// One comes and may cost so much.
    Admit(u128),
    /// One of those under way has paid a part, in percent, of what it may still cost.
    Settle(Index, u128),
    /// One of those under way ends.
    Drop(Index),
    /// Seconds pass.
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..60_u128).prop_map(Step::Admit),
        3 => (any::<Index>(), 0..=100_u128).prop_map(|(which, part)| Step::Settle(which, part)),
        3 => any::<Index>().prop_map(Step::Drop),
        1 => (0..100_000_u64).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn no_order_of_events_spends_more_than_was_budgeted(steps in vec(step(), 1..200)) {
        let (daily, monthly) = (100, 250);
        let [daily_usd, monthly_usd] = [daily, monthly].map(Usd::from_pico);
        let (_, agents) = caller(json!({
            "budget_daily_usd": daily_usd, "budget_monthly_usd": monthly_usd,
        }));
        let mut at = At(0);
        let mut open: Vec<(CallerPermit, u128)> = Vec::new();
        for step in steps {
            match step {
                Step::Admit(estimate) => {
                    let before = agents.numbers(at.now(), at.wall());
                    let used = before.spent_today_usd.pico() + before.reserved_usd.pico();
                    let used_month = before.spent_month_usd.pico() + before.reserved_usd.pico();
                    let fits = used < daily && used + estimate <= daily
                        && used_month < monthly && used_month + estimate <= monthly;
                    let admitted = agents.admit(&at.request().estimate(estimate));
                    prop_assert_eq!(admitted.is_ok(), fits);
                    open.extend(admitted.ok().map(|permit| (permit, estimate)));
                }
                Step::Settle(which, part) if !open.is_empty() => {
                    let (permit, left) = which.get_mut(&mut open);
                    let cost = *left * part / 100;
                    *left -= cost;
                    permit.settle(cost, at.wall());
                }
                Step::Drop(which) if !open.is_empty() => {
                    drop(open.swap_remove(which.index(open.len())));
                }
                Step::Wait(seconds) => at = At(at.0 + seconds),
                Step::Settle(..) | Step::Drop(_) => {}
            }
            let numbers = agents.numbers(at.now(), at.wall());
            let reserved: u128 = open.iter().map(|(_, left)| left).sum();
            prop_assert_eq!(numbers.reserved_usd.pico(), reserved);
            prop_assert_eq!(numbers.in_flight as usize, open.len());
            prop_assert!(numbers.spent_today_usd.pico() + reserved <= daily);
            prop_assert!(numbers.spent_month_usd.pico() + reserved <= monthly);
        }
        open.clear();
        let numbers = agents.numbers(at.now(), at.wall());
        prop_assert_eq!((numbers.in_flight, numbers.reserved_usd), (0, Usd::default()));
    }
}
