use super::*;

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
    let quota = &endpoint.cells.quota;
    quota.fail(quota.admit(now, MINUTE).unwrap(), &Verdict::of(Class::RateLimited), None, now, 0.0);
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
