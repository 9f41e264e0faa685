use std::time::Duration;

use http::{Method, StatusCode};

use super::*;
use crate::ingest::Family;

fn head(name: &str, now: Instant) -> Head {
    Head::of_our_own(name, Method::POST, Family::OpenAi, "/v1/chat/completions".to_owned(), now)
}

fn begin(agents: &Agents, name: &str, clock: &Clock) -> AgentRequest {
    agents.begin(&head(name, clock.now()), clock)
}

fn view(agents: &Agents, name: &str, clock: &Clock) -> AgentView {
    let views = agents.views(clock.now());
    views.into_iter().find(|view| &*view.name == name).unwrap()
}

async fn pass(seconds: u64) {
    tokio::time::advance(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_served_is_alive_and_not_stuck() {
    let (agents, clock) = (Agents::default(), Clock::simulated());
    let mut request = begin(&agents, "a", &clock);
    assert_eq!(view(&agents, "a", &clock).pending, 1);
    pass(4).await;
    request.answered();
    drop(request);
    let served = view(&agents, "a", &clock);
    assert!(served.is_alive);
    assert_eq!((served.pending, served.stagnation), (0, Duration::ZERO));
    assert_eq!((served.response_time, served.limited), (4.0, 0.0));
    pass(400).await;
    let idle = view(&agents, "a", &clock);
    assert!(!idle.is_alive);
    assert_eq!((idle.response_time, idle.stagnation), (0.0, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_gets_nothing_good_stagnates_until_it_gives_up_or_gets_some() {
    let (agents, clock) = (Agents::default(), Clock::simulated());
    for _ in 0..4 {
        let mut request = begin(&agents, "a", &clock);
        pass(60).await;
        request.refused(StatusCode::TOO_MANY_REQUESTS);
    }
    let stuck = view(&agents, "a", &clock);
    assert_eq!((stuck.stagnation, stuck.limited), (Duration::from_secs(240), 1.0));
    // It has given up, and what it asks for later is another matter.
    pass(301).await;
    assert_eq!(view(&agents, "a", &clock).stagnation, Duration::ZERO);
    let mut request = begin(&agents, "a", &clock);
    pass(10).await;
    assert_eq!(view(&agents, "a", &clock).stagnation, Duration::from_secs(10));
    request.answered();
    drop(request);
    assert_eq!(view(&agents, "a", &clock).stagnation, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_request_under_way_counts_for_as_long_as_it_takes() {
    let (agents, clock) = (Agents::default(), Clock::simulated());
    let mut request = begin(&agents, "a", &clock);
    pass(900).await;
    let waiting = view(&agents, "a", &clock);
    assert!(waiting.is_alive);
    assert_eq!((waiting.pending, waiting.stagnation), (1, Duration::from_secs(900)));
    request.answered();
    request.broke();
    drop(request);
    // Nothing good has come, but it is long since it asked.
    let broken = view(&agents, "a", &clock);
    assert_eq!((broken.pending, broken.response_time), (0, 900.0));
}

#[tokio::test(start_paused = true)]
async fn only_a_429_is_counted_as_one_and_only_for_five_minutes() {
    let (agents, clock) = (Agents::default(), Clock::simulated());
    for status in [429, 503, 404, 429] {
        begin(&agents, "a", &clock).refused(StatusCode::from_u16(status).unwrap());
    }
    // Its caller left.
    drop(begin(&agents, "a", &clock));
    assert_eq!(view(&agents, "a", &clock).limited, 0.4);
    pass(200).await;
    assert_eq!(view(&agents, "a", &clock).limited, 0.4);
    pass(100).await;
    assert_eq!(view(&agents, "a", &clock).limited, 0.0);
}

#[tokio::test(start_paused = true)]
async fn made_up_names_are_bounded_and_forgotten() {
    let (agents, clock) = (Agents::default(), Clock::simulated());
    let held = begin(&agents, "held", &clock);
    for name in 0..10_000 {
        begin(&agents, &name.to_string(), &clock).answered();
    }
    let views = agents.views(clock.now());
    assert_eq!(views.len(), MOST_NAMES + 1);
    assert!(views.iter().any(|view| &*view.name == OTHER));
    pass(3_600).await;
    // What is under way is not forgotten, and there is room again.
    begin(&agents, "new", &clock).answered();
    let names: Vec<_> = agents.views(clock.now()).into_iter().map(|view| view.name).collect();
    assert_eq!(names.iter().map(|name| &**name).collect::<Vec<_>>(), [OTHER, "held", "new"]);
    drop(held);
}
