use std::collections::HashSet;

use super::*;
use crate::endpoint::Endpoint;

/// The provider that comes next.
fn next(walk: &Walk<'_>, now: Instant) -> String {
    match walk.next(now, now) {
        Next::Try(_, endpoint) => endpoint.provider.name.to_string(),
        other => panic!("nobody is next: {other:?}"),
    }
}

/// Excludes the provider that comes next, and says which.
fn exclude_next(walk: &mut Walk<'_>, now: Instant) -> String {
    let Next::Try(position, endpoint) = walk.next(now, now) else { panic!("nobody is next") };
    let name = endpoint.provider.name.to_string();
    walk.exclude(position);
    name
}

/// Rests the account of the provider that comes next for 30 s from `now` on.
fn rest_next(walk: &Walk<'_>, now: Instant) {
    let Next::Try(_, endpoint) = walk.next(now, now) else { panic!("nobody is next") };
    rest(endpoint, now);
}

fn rest(endpoint: &Endpoint, now: Instant) {
    let quota = &endpoint.cells.quota;
    quota.fail(quota.admit(now, MINUTE).unwrap(), &Verdict::of(Class::RateLimited), None, now, 0.0);
}

/// Providers named `p0`, `p1` and so on.
fn crowd(count: usize) -> Vec<Provider> {
    (0..count).map(|index| provider(&format!("p{index}"))).collect()
}

#[tokio::test(start_paused = true)]
async fn the_most_headroom_comes_first() {
    let rig = Rig::new([limited_to("one", 10), limited_to("two", 10), limited_to("ten", 100)]);
    let (head, now) = (rig.head(MINUTE), rig.clock.now());
    let plan = rig.pools.plan(&head).unwrap();
    let walk = Walk::new(&plan, &head);
    for (name, times) in [("one", 2), ("two", 1), ("ten", 11)] {
        for _ in 0..times {
            let _ = rig.live(name).limiter.admit(now).unwrap();
        }
    }
    // 80, 90 and 89 of a hundred are free, whoever's turn it is.
    for _ in 0..3 {
        assert_eq!(next(&walk, now), "two");
    }
}

#[tokio::test(start_paused = true)]
async fn of_equal_headroom_the_fewest_in_flight_come_first() {
    let rig = Rig::new([provider("one"), provider("two"), provider("three")]);
    let (head, now) = (rig.head(MINUTE), rig.clock.now());
    let plan = rig.pools.plan(&head).unwrap();
    let walk = Walk::new(&plan, &head);
    let _busy = [rig.live("one").in_flight.clone(), rig.live("three").in_flight.clone()];
    for _ in 0..3 {
        assert_eq!(next(&walk, now), "two");
    }
}

#[tokio::test(start_paused = true)]
async fn equals_take_turns() {
    let rig = Rig::new([provider("one"), provider("two"), provider("three")]);
    let (head, now) = (rig.head(MINUTE), rig.clock.now());
    let plan = rig.pools.plan(&head).unwrap();
    let turns: Vec<String> = (0..6).map(|_| next(&Walk::new(&plan, &head), now)).collect();
    assert_eq!(turns[..3], turns[3..]);
    let mut once = turns[..3].to_vec();
    once.sort_unstable();
    assert_eq!(once, ["one", "three", "two"]);
}

#[tokio::test(start_paused = true)]
async fn the_fallback_comes_when_the_primary_pool_is_done() {
    let rig = Rig::new([fallback("three"), provider("one"), provider("two")]);
    let (head, now) = (rig.head(MINUTE), rig.clock.now());
    let plan = rig.pools.plan(&head).unwrap();
    let mut walk = Walk::new(&plan, &head);
    let mut primary = [exclude_next(&mut walk, now), exclude_next(&mut walk, now)];
    primary.sort_unstable();
    assert_eq!(primary, ["one", "two"]);
    assert_eq!(exclude_next(&mut walk, now), "three");
    assert!(matches!(walk.next(now, now), Next::Nothing(_)));
}

#[tokio::test(start_paused = true)]
async fn a_resting_provider_is_passed_over_and_the_soonest_is_waited_for() {
    let rig = Rig::new([provider("one"), fallback("two")]);
    let (head, start) = (rig.head(MINUTE), rig.clock.now());
    let plan = rig.pools.plan(&head).unwrap();
    let walk = Walk::new(&plan, &head);
    rest_next(&walk, start);
    assert_eq!(next(&walk, start), "two");
    advance(SECOND).await;
    let now = rig.clock.now();
    rest_next(&walk, now);
    let Next::Wait(at) = walk.next(now, now) else { panic!("somebody is ready") };
    assert!(at >= start + SECOND * 30 && at < start + SECOND * 31);
    assert_eq!(next(&walk, at), "one");
}

#[tokio::test(start_paused = true)]
async fn a_request_goes_to_the_provider_it_insists_on() {
    let rig = Rig::new([provider("one"), provider("two")]);
    let now = rig.clock.now();
    for pinned in ["two", "id-two"] {
        let head = Head { pinned: Some(pinned.into()), ..rig.head(MINUTE) };
        let plan = rig.pools.plan(&head).unwrap();
        let mut walk = Walk::new(&plan, &head);
        assert_eq!(exclude_next(&mut walk, now), "two");
        assert!(matches!(walk.next(now, now), Next::Nothing(_)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_goes_only_to_providers_of_its_protocol() {
    let rig =
        Rig::new([provider("one"), provider_with("two", json!({"api": "anthropic-messages"}))]);
    let now = rig.clock.now();
    for (family, expected) in [(Family::OpenAi, "one"), (Family::Anthropic, "two")] {
        let head = Head { family, ..rig.head(MINUTE) };
        let plan = rig.pools.plan(&head).unwrap();
        let mut walk = Walk::new(&plan, &head);
        assert_eq!(exclude_next(&mut walk, now), expected);
        assert!(matches!(walk.next(now, now), Next::Nothing(_)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_tier_shares_its_requests_evenly_also_when_half_of_it_rests() {
    let rig = Rig::new(crowd(400));
    let (head, now) = (rig.head(MINUTE), rig.clock.now());
    let plan = rig.pools.plan(&head).unwrap();
    let walk = Walk::new(&plan, &head);
    // As those of one vendor do, they stand side by side.
    for resting in [0, 200] {
        plan.endpoints().take(resting).for_each(|endpoint| rest(endpoint, now));
        let mut sent: HashMap<String, usize> = HashMap::new();
        for _ in 0..(400 - resting) * 10 {
            let Next::Try(_, endpoint) = walk.next(now, now) else { panic!("nobody is next") };
            let _ = endpoint.limiter.admit(now).unwrap();
            *sent.entry(endpoint.provider.name.to_string()).or_default() += 1;
        }
        assert_eq!(sent.len(), 400 - resting);
        assert!(sent.values().all(|times| (9..=11).contains(times)), "{sent:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_one_of_a_large_tier_that_can_be_sent_to_is_found() {
    // Half of the others speak another protocol, and the other half rests.
    let other =
        |index: usize| provider_with(&format!("q{index}"), json!({"api": "anthropic-messages"}));
    let rig = Rig::new(crowd(50).into_iter().chain((0..50).map(other)));
    let (head, now) = (rig.head(MINUTE), rig.clock.now());
    let plan = rig.pools.plan(&head).unwrap();
    let walk = Walk::new(&plan, &head);
    let is_other = |endpoint: &&Arc<Endpoint>| &*endpoint.provider.name != "p20";
    plan.endpoints().filter(is_other).for_each(|endpoint| rest(endpoint, now));
    for _ in 0..100 {
        assert_eq!(next(&walk, now), "p20");
    }
}

#[tokio::test(start_paused = true)]
async fn each_of_a_large_tier_can_be_tried_once() {
    let rig = Rig::new(crowd(100));
    let (head, now) = (rig.head(MINUTE), rig.clock.now());
    let plan = rig.pools.plan(&head).unwrap();
    let mut walk = Walk::new(&plan, &head);
    let tried: HashSet<String> = (0..100).map(|_| exclude_next(&mut walk, now)).collect();
    assert_eq!(tried.len(), 100);
    assert!(matches!(walk.next(now, now), Next::Nothing(_)));
}

#[tokio::test(start_paused = true)]
async fn the_best_of_a_small_tier_is_always_found() {
    let rig = Rig::new(crowd(32));
    let (head, now) = (rig.head(MINUTE), rig.clock.now());
    let plan = rig.pools.plan(&head).unwrap();
    let walk = Walk::new(&plan, &head);
    let others = plan.endpoints().filter(|endpoint| &*endpoint.provider.name != "p31");
    for endpoint in others {
        let _ = endpoint.limiter.admit(now).unwrap();
    }
    for _ in 0..32 {
        assert_eq!(next(&walk, now), "p31");
    }
}

#[tokio::test(start_paused = true)]
async fn the_slot_after_others_is_that_of_all_providers_together() {
    let names = ["one", "two", "three"];
    let rig = Rig::new((1..).zip(names).map(|(rpm, name)| limited_to(name, rpm)));
    for name in ["three", "one", "two", "three", "two", "three"] {
        let _ = rig.live(name).limiter.admit(rig.clock.now()).unwrap();
        advance(SECOND).await;
    }
    let (head, now) = (rig.head(MINUTE), rig.clock.now());
    let plan = rig.pools.plan(&head).unwrap();
    let walk = Walk::new(&plan, &head);
    let slots = |name| {
        let live = rig.live(name);
        (0..20).map(move |n| live.limiter.nth_free(n, now))
    };
    let mut slots: Vec<Instant> = names.into_iter().flat_map(slots).collect();
    slots.sort_unstable();
    for (ahead, slot) in (0..20).zip(slots) {
        assert_eq!(walk.slot_after(ahead, now), Some(slot), "behind {ahead} others");
    }
}
