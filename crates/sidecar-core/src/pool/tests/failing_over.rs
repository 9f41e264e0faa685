use super::*;

#[tokio::test(start_paused = true)]
async fn a_good_answer_says_who_gave_it() {
    let rig = Rig::new([provider("one")]);
    let response = rig.send_now().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!((said(&response, "provider"), said(&response, "attempts")), ("one", "1"));
    assert_eq!(queued_ms(&response), 0);
    assert_eq!(response.headers()["x-request-id"], "req_1");
    assert_eq!(&*response.extensions().get::<Served>().unwrap().provider, "one");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, r#"{"choices":[{"message":{"content":"hi"}}]}"#);
}

#[tokio::test(start_paused = true)]
async fn a_limited_provider_is_left_alone_and_the_fallback_answers() {
    let rig = Rig::new([provider("one"), fallback("two")]).script("one", [LIMITED]);
    let first = rig.send_now().await.unwrap();
    assert_eq!((said(&first, "provider"), said(&first, "attempts")), ("two", "2"));
    let second = rig.send_now().await.unwrap();
    assert_eq!((said(&second, "provider"), said(&second, "attempts")), ("two", "1"));
    assert_eq!(rig.asked(), ["one", "two", "two"]);
    // It comes back by a probe.
    let rig = rig.script("one", [GOOD]);
    advance(MINUTE).await;
    assert_eq!(said(&rig.send_now().await.unwrap(), "provider"), "one");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_breaks_or_cannot_be_reached_or_lies_is_passed_over() {
    const ERROR: &str = r#"{"error":{"message":"no healthy upstream","code":502}}"#;
    const PAGE: &str = "<html>Bad gateway</html>";
    for reply in [BROKEN, Reply::Reset, Reply::Answer(200, ERROR), Reply::Answer(200, PAGE)] {
        let rig = Rig::new([provider("one"), fallback("two")]).script("one", [reply]);
        let response = rig.send_now().await.unwrap();
        let by = (said(&response, "provider"), said(&response, "attempts"));
        assert_eq!(by, ("two", "2"), "{reply:?}");
        assert_eq!(rig.asked(), ["one", "two"], "{reply:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_key_or_an_empty_purse_never_reaches_a_caller() {
    for status in [401, 402, 403] {
        let reply = Reply::Answer(status, r#"{"error":{"message":"no"}}"#);
        let rig = Rig::new([provider("one"), fallback("two")]).script("one", [reply]);
        assert_eq!(said(&rig.send_now().await.unwrap(), "provider"), "two", "{status}");
        let rig = Rig::new([provider("one")]).script("one", [reply]);
        assert!(matches!(rig.send_now().await, Err(Error::Exhausted { .. })), "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_provider_is_passed_over_when_its_time_is_up() {
    let slow = provider_with("one", json!({"timeout_seconds": 7}));
    let rig = Rig::new([slow, fallback("two")]).script("one", [Reply::Hang]);
    let start = rig.clock.now();
    assert_eq!(said(&rig.send_now().await.unwrap(), "provider"), "two");
    assert_eq!(rig.clock.now() - start, SECOND * 7);
    assert_eq!(rig.in_flight("one"), 0);
}

#[tokio::test(start_paused = true)]
async fn the_callers_own_fault_is_answered_once_as_it_is() {
    let rig = Rig::new([provider("one"), provider("two"), fallback("three")])
        .script("one", [BAD])
        .script("two", [BAD]);
    for round in 1..=50 {
        let Err(Error::CallerFault { status, message }) = rig.send_now().await else {
            panic!("not the caller's fault")
        };
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(message.message, "temperature is too high");
        assert_eq!(message.param.as_deref(), Some("temperature"));
        assert_eq!(rig.asked().len(), round);
        advance(SECOND * 10).await;
    }
    assert!(!rig.asked().contains(&"three".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn the_callers_own_fault_inside_a_200_is_not_failed_over_either() {
    let filtered = Reply::Answer(
        200,
        r#"{"error":{"message":"The prompt was filtered","code":"content_filter"}}"#,
    );
    let rig = Rig::new([provider("one"), fallback("two")]).script("one", [filtered]);
    let error = rig.send_now().await.map(drop).unwrap_err();
    assert!(error.status().is_client_error(), "{error:?}");
    assert_eq!(rig.asked(), ["one"]);
}

#[tokio::test(start_paused = true)]
async fn a_prompt_that_is_too_long_goes_to_larger_windows_only() {
    let rig = Rig::new([
        with_window("small", 8_192),
        with_window("same", 8_192),
        provider("unknown"),
        provider_with(
            "large",
            json!({"pool": "fallback", "model_mappings": {"m": {"context_window": 131_072}}}),
        ),
    ]);
    let rig = ["small", "same"].into_iter().fold(rig, |rig, name| rig.script(name, [TOO_LONG]));
    // One of the two small ones comes first.
    let _ = rig.live("unknown").limiter.admit(rig.clock.now()).unwrap();
    let response = rig.send_now().await.unwrap();
    assert_eq!((said(&response, "provider"), said(&response, "attempts")), ("large", "2"));
    assert_eq!(rig.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_prompt_that_is_too_long_for_everybody_is_the_callers_fault() {
    let rig = Rig::new([with_window("one", 8_192), with_window("two", 4_096), fallback("three")])
        .script("one", [TOO_LONG])
        .script("two", [TOO_LONG]);
    let Err(Error::CallerFault { status, message }) = rig.send(MINUTE).await else {
        panic!("not the caller's fault")
    };
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(message.is_context_too_long);
    assert!(!rig.asked().contains(&"three".to_owned()), "its window is not known");
}

#[tokio::test(start_paused = true)]
async fn a_larger_window_that_fails_leaves_the_callers_fault() {
    let rig = Rig::new([with_window("one", 8_192), with_window("two", 131_072)])
        .script("one", [TOO_LONG])
        .script("two", [LIMITED]);
    let _ = rig.live("two").limiter.admit(rig.clock.now()).unwrap();
    assert!(matches!(rig.send(MINUTE).await, Err(Error::CallerFault { .. })));
    assert_eq!(rig.asked(), ["one", "two"]);
}

#[tokio::test(start_paused = true)]
async fn a_model_that_nobody_serves_is_unknown() {
    let rig = Rig::new([
        provider("one"),
        provider_with("off", json!({"enabled": false, "model_mappings": {"x": {}}})),
    ]);
    for model in ["x", "M", ""] {
        let head = Head { model: Some(model.into()), ..rig.head(MINUTE) };
        match rig.send_head(head).await {
            Err(Error::UnknownModel(name)) => assert_eq!(name, model),
            other => panic!("{other:?}"),
        }
    }
    let head = Head { pinned: Some("nobody".into()), ..rig.head(MINUTE) };
    assert!(matches!(rig.send_head(head).await, Err(Error::UnknownModel(_))));
    assert!(rig.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_request_is_sent_so_often_and_no_more() {
    let settings = Settings { max_pool_retries: 2, ..Settings::default() };
    let names = ["one", "two", "three", "four"];
    let rig = Rig::with(settings, names.map(provider));
    let rig = names.into_iter().fold(rig, |rig, name| rig.script(name, [BROKEN]));
    let Err(Error::Exhausted { attempts, .. }) = rig.send(MINUTE).await else {
        panic!("somebody answered")
    };
    assert_eq!((attempts, rig.asked().len()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_lone_provider_that_breaks_is_asked_once_more_after_a_pause() {
    for reply in [BROKEN, Reply::Reset] {
        let rig = Rig::new([provider("one")]).script("one", [reply, GOOD]);
        let start = rig.clock.now();
        let response = rig.send_now().await.unwrap();
        assert_eq!(said(&response, "attempts"), "2", "{reply:?}");
        let pause = rig.clock.now() - start;
        let (least, most) = (Duration::from_millis(250), Duration::from_millis(502));
        assert!(pause >= least && pause <= most, "{pause:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lone_provider_is_not_asked_a_third_time() {
    let rig = Rig::new([provider("one")]).script("one", [BROKEN, BROKEN, GOOD]);
    let Err(Error::Exhausted { attempts, .. }) = rig.send(MINUTE).await else {
        panic!("it was asked again")
    };
    assert_eq!((attempts, rig.asked().len()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_times_out_is_not_asked_again_at_once() {
    let slow = provider_with("one", json!({"timeout_seconds": 7}));
    let rig = Rig::new([slow]).script("one", [Reply::Hang]);
    assert!(matches!(rig.send_now().await, Err(Error::Exhausted { attempts: 1, .. })));
    assert_eq!(rig.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn every_attempt_is_booked_once() {
    let rig = Rig::new([provider("one"), fallback("two")]).script("one", [LIMITED]);
    let response = rig.send_now().await.unwrap();
    response.into_body().collect().await.unwrap();
    let mut booked: Vec<(String, u64, u64)> = rig
        .pools
        .ledger()
        .take()
        .into_iter()
        .map(|(key, counts)| (key.provider, counts.requests, counts.errors))
        .collect();
    booked.sort_unstable();
    assert_eq!(booked, [("id-one".to_owned(), 1, 1), ("id-two".to_owned(), 1, 0)]);
}
