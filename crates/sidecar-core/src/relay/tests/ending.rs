//! The end of a whole stream, which may come before that of its body.

use super::*;

#[tokio::test(start_paused = true)]
async fn after_done_the_body_ends_although_the_provider_does_not() {
    let clock = Clock::simulated();
    for (endpoint, text) in [(CHAT, OPENAI), ((Family::Anthropic, "/v1/messages"), ANTHROPIC)] {
        for rest in [
            vec![Step::Hang],
            vec![data(": x\n\n"), Step::Hang],
            vec![data("data: more\n\n")],
            vec![Step::Cut],
            vec![Step::Trailers, Step::Hang],
            vec![],
        ] {
            let start = clock.now();
            let steps = [data(text)].into_iter().chain(rest);
            let (mut body, reports) = relay_steps(endpoint, SSE, steps).await;
            let (passed, error) = read(&mut body).await;
            assert!(passed == text && error.is_none());
            assert!(reports.lock().unwrap().is_empty());
            assert!(clock.now() - start < Duration::from_millis(200));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_ends_its_body_soon_after_done_is_heard_out() {
    let steps = [data(FINISH), data(DONE), Step::Wait(Duration::from_millis(20))];
    let script = Script::new(steps);
    let alive = Arc::downgrade(&script.alive);
    let head = head(CHAT, &Clock::simulated());
    let (answer, _) = relay(head, response(200, SSE, script)).await;
    let mut body = answer.into_body();
    for expected in [FINISH, DONE] {
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), expected);
    }
    assert_eq!(alive.strong_count(), 1);
    let clock = Clock::simulated();
    let start = clock.now();
    assert!(body.frame().await.is_none());
    let took = (clock.now() - start).as_millis();
    assert!((20..30).contains(&took), "{took} ms");
}

#[tokio::test(start_paused = true)]
async fn a_missing_done_is_waited_for_a_few_seconds_and_added() {
    let clock = Clock::simulated();
    for (rest, seconds) in [(vec![Step::Hang], 5), (vec![], 0)] {
        let start = clock.now();
        let steps = [data(CHUNK), data(FINISH)].into_iter().chain(rest);
        let (mut body, reports) = relay_steps(CHAT, SSE, steps).await;
        let (passed, error) = read(&mut body).await;
        assert!(passed == format!("{CHUNK}{FINISH}{DONE}") && error.is_none());
        assert!(reports.lock().unwrap().is_empty());
        assert_eq!((clock.now() - start).as_secs(), seconds);
    }
}
