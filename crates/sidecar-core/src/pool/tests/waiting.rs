use super::*;

#[tokio::test(start_paused = true)]
async fn a_request_waits_until_a_slot_is_free_and_says_how_long() {
    let rig = Rig::new([limited_to("one", 1)]);
    let first = rig.send(MINUTE * 2).await.unwrap();
    assert_eq!(queued_ms(&first), 0);
    let start = rig.clock.now();
    let second = rig.send(MINUTE * 2).await.unwrap();
    let waited = rig.clock.now() - start;
    assert!(waited > MINUTE && waited < MINUTE + SECOND, "{waited:?}");
    assert_eq!(u128::from(queued_ms(&second)), waited.as_millis());
    assert_eq!(said(&second, "attempts"), "1");
}

#[tokio::test(start_paused = true)]
async fn the_soonest_slot_of_any_provider_is_waited_for() {
    let rig = Rig::new([
        limited_to("one", 1),
        provider_with("two", json!({"rpm_limit": 1, "pool": "fallback"})),
    ]);
    rig.send_now().await.unwrap();
    advance(SECOND * 20).await;
    assert_eq!(said(&rig.send_now().await.unwrap(), "provider"), "two");
    let start = rig.clock.now();
    let third = rig.send(MINUTE * 2).await.unwrap();
    assert_eq!(said(&third, "provider"), "one");
    let waited = rig.clock.now() - start;
    assert!(waited > SECOND * 40 && waited < SECOND * 41, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_slot_that_comes_too_late() {
    let rig = Rig::new([limited_to("one", 1)]);
    rig.send_now().await.unwrap();
    let start = rig.clock.now();
    let Err(Error::Exhausted { next_available, attempts, retry_after, .. }) =
        rig.send(SECOND * 30).await
    else {
        panic!("it was let through")
    };
    assert_eq!(rig.clock.now(), start, "it left at once");
    let next_available = next_available.unwrap();
    assert!(next_available > MINUTE && next_available < MINUTE + SECOND, "{next_available:?}");
    assert_eq!((attempts, retry_after), (0, MINUTE * 2));
    assert_eq!(rig.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_retry_after_is_no_earlier_than_the_next_slot() {
    let settings = Settings { exhausted_retry_after_seconds: 10, ..Settings::default() };
    let rig = Rig::with(settings, [limited_to("one", 1)]);
    rig.send_now().await.unwrap();
    let error = rig.send_now().await.map(drop).unwrap_err();
    assert_eq!(error.retry_after().unwrap().as_secs(), 61);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_waits_for_a_rest_to_end_only_if_it_may_ask_then() {
    let settings = Settings { cooldown_base: SECOND * 2, ..Settings::default() };
    let rig = Rig::with(settings, [provider("one")]).script("one", [LIMITED, GOOD]);
    let start = rig.clock.now();
    match rig.send(SECOND * 30).await {
        Ok(response) => {
            assert_eq!(said(&response, "attempts"), "2");
            assert!(queued_ms(&response) >= 2_000);
        }
        Err(_) => assert_eq!(rig.clock.now(), start, "it waited for nothing"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiter_outlasts_the_probe_of_another_request() {
    const BODY: &str = r#"{"choices":[]}"#;
    let settings = Settings { cooldown_base: SECOND, ..Settings::default() };
    let rig = Rig::with(settings, [provider("one")])
        .script("one", [LIMITED, Reply::Slowly(SECOND * 2, 200, BODY)]);
    rig.send_now().await.map(drop).unwrap_err();
    let (first, second) = tokio::join!(rig.send(SECOND * 30), rig.send(SECOND * 30));
    first.unwrap();
    second.unwrap();
}

#[tokio::test(start_paused = true)]
async fn many_waiters_never_exceed_the_limit_and_all_are_served() {
    let rig = Arc::new(Rig::new([limited_to("one", 3)]));
    let waiters: Vec<_> = (0..9)
        .map(|_| {
            let rig = rig.clone();
            tokio::spawn(async move { rig.send(MINUTE * 5).await.map(drop) })
        })
        .collect();
    for (minutes, served) in [(0, 3), (1, 6), (2, 9)] {
        advance(if minutes == 0 { SECOND } else { MINUTE + SECOND }).await;
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        assert_eq!(rig.asked().len(), served, "after {minutes} minutes");
    }
    for waiter in waiters {
        waiter.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_at_once() {
    let settings = Settings { queue_max_depth: 1, ..Settings::default() };
    let rig = Rig::with(settings, [limited_to("one", 1)]);
    rig.send_now().await.unwrap();
    let start = rig.clock.now();
    let refused_at = async {
        let result = rig.send(MINUTE * 2).await;
        (result, rig.clock.now())
    };
    let (waited, (refused, refused_at)) = tokio::join!(biased; rig.send(MINUTE * 2), refused_at);
    waited.unwrap();
    assert!(matches!(refused, Err(Error::QueueFull)));
    assert_eq!(refused_at, start);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_who_leaves_gives_the_place_back() {
    let settings = Settings { queue_max_depth: 1, ..Settings::default() };
    let rig = Rig::with(settings, [limited_to("one", 1)]);
    rig.send_now().await.unwrap();
    timeout(SECOND, rig.send(MINUTE * 2)).await.map(drop).unwrap_err();
    rig.send(MINUTE * 2).await.unwrap();
    assert_eq!(rig.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_callers_deadline_ends_the_request() {
    let rig = Rig::new([provider("one")]).script("one", [Reply::Hang]);
    let start = rig.clock.now();
    let head = Head { deadline: Some(start + SECOND * 5), ..rig.head(SECOND * 5) };
    assert!(matches!(rig.send_head(head).await, Err(Error::UpstreamTimeout)));
    assert_eq!(rig.clock.now() - start, SECOND * 5);
    assert_eq!(rig.in_flight("one"), 0);
}
