use super::*;

#[tokio::test(start_paused = true)]
async fn what_a_provider_has_sent_counts_on_in_the_account_it_moves_to() {
    let rig = Rig::new([limited_to("one", 10), provider("two")]);
    let now = rig.clock.now();
    for _ in 0..7 {
        let _ = rig.live("one").limiter.admit(now).unwrap();
    }
    let moved = provider_with("one", json!({"rpm_limit": 10, "account": "shared"}));
    rig.pools.replace([moved, provider("two")], Settings::default());
    assert_eq!(rig.live("one").limiter.free(now), 3);
    // Once only, however often the providers change.
    let moved = provider_with("one", json!({"rpm_limit": 10, "account": "shared"}));
    rig.pools.replace([moved], Settings::default());
    assert_eq!(rig.live("one").limiter.free(now), 3);
}

#[tokio::test(start_paused = true)]
async fn a_request_is_in_flight_until_its_body_is_dropped() {
    let rig = Rig::new([provider("one"), fallback("two")]).script("one", [LIMITED]);
    let response = rig.send_now().await.unwrap();
    assert_eq!((rig.in_flight("one"), rig.in_flight("two")), (0, 1));
    let (_, body) = response.into_parts();
    assert_eq!(rig.in_flight("two"), 1);
    drop(body);
    assert_eq!(rig.in_flight("two"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_is_no_longer_in_flight() {
    let rig = Rig::new([provider("one")]).script("one", [Reply::Hang]);
    timeout(SECOND, rig.send_now()).await.map(drop).unwrap_err();
    assert_eq!(rig.in_flight("one"), 0);
}

#[tokio::test(start_paused = true)]
async fn providers_of_one_account_share_their_limit_and_their_rest() {
    let of_account = |name| provider_with(name, json!({"account": "acme", "rpm_limit": 2}));
    let rig = Rig::new([of_account("one"), of_account("two")]);
    rig.send_now().await.unwrap();
    rig.send_now().await.unwrap();
    assert!(matches!(rig.send_now().await, Err(Error::Exhausted { attempts: 0, .. })));

    let rig = Rig::new([of_account("one"), of_account("two")])
        .script("one", [LIMITED])
        .script("two", [LIMITED]);
    assert!(matches!(rig.send_now().await, Err(Error::Exhausted { attempts: 1, .. })));
    assert_eq!(rig.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_limit_on_one_model_leaves_the_others() {
    let both = json!({"model_mappings": {"m": {}, "n": {}}});
    let rig = Rig::new([provider_with("one", both)]).script("one", [LIMITED, GOOD]);
    rig.send_now().await.map(drop).unwrap_err();
    let head = Head { model: Some("n".into()), ..rig.head(Duration::ZERO) };
    rig.send_head(head).await.unwrap();
    rig.send_now().await.map(drop).unwrap_err();
    assert_eq!(rig.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_providers_keeps_limits_and_rests() {
    let rig = Rig::new([limited_to("one", 1), fallback("two")]).script("two", [LIMITED]);
    rig.send_now().await.unwrap();
    rig.send_now().await.map(drop).unwrap_err();
    let again = [limited_to("one", 1), fallback("two"), fallback("three")];
    rig.pools.replace(again, Settings::default());
    assert_eq!(said(&rig.send_now().await.unwrap(), "provider"), "three");
    assert_eq!(rig.asked(), ["one", "two", "three"]);
}

#[tokio::test(start_paused = true)]
async fn a_model_served_by_any_name_keeps_its_rest_over_a_change() {
    let any = || provider_with("one", json!({"model_mappings": {"*": {}}}));
    let rig = Rig::new([any()]).script("one", [LIMITED]);
    rig.send_now().await.map(drop).unwrap_err();
    rig.pools
        .replace([any(), provider_with("two", json!({"enabled": false}))], Settings::default());
    rig.send_now().await.map(drop).unwrap_err();
    assert_eq!(rig.asked(), ["one"], "it is still resting");
}

#[tokio::test(start_paused = true)]
async fn made_up_model_names_make_no_rest_forgotten() {
    let rig = Rig::new([provider_with("one", json!({"model_mappings": {"*": {}}}))])
        .script("one", [LIMITED, GOOD]);
    rig.send_now().await.map(drop).unwrap_err();
    for number in 0..2_000 {
        let head = Head { model: Some(format!("x-{number}").into()), ..rig.head(MINUTE) };
        assert!(rig.pools.plan(&head).is_some());
    }
    rig.send_now().await.map(drop).unwrap_err();
    assert_eq!(rig.asked(), ["one"], "it is still resting");
}

#[tokio::test(start_paused = true)]
async fn models_are_listed_once_with_their_largest_window() {
    let rig = Rig::new([
        with_window("one", 8_192),
        with_window("two", 131_072),
        provider_with("three", json!({"model_mappings": {"*": {}, "a": {}}})),
        provider_with("off", json!({"enabled": false, "model_mappings": {"z": {}}})),
    ]);
    let models = rig.pools.models();
    let listed: Vec<_> =
        models.iter().map(|model| (model.name.as_str(), model.context_window)).collect();
    assert_eq!(listed, [("a", None), ("m", Some(131_072))]);
}
