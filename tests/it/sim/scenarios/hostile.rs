//! A caller who sends what must fail, next to one who does not.

use serde_json::json;
use sidecar_core::settings::Settings;

use crate::sim::arrivals::{at_once, evenly};
use crate::sim::caller::{Ask, Outcome, Prompt};
use crate::sim::checker::{all_served, longest_overrun};
use crate::sim::rng::Rng;
use crate::sim::run::simulate;
use crate::sim::vendor::Nature;
use crate::sim::world::{World, key};
use crate::sim::{mins, ms, secs};

#[test]
fn requests_that_must_fail_cool_nothing_for_others() {
    simulate("hostile requests", &[1, 2, 3], async |rng| {
        let world = world(&rng, 600);
        let mut whims = rng.fork("whims");
        let hostile = |_: usize| {
            let ask = Ask::of("mallory");
            match whims.pick(&[0, 1, 2, 3]) {
                0 => ask.saying(Prompt::Nonsense),
                1 => ask.saying(Prompt::TooLong),
                2 => ask.model("no-such-model"),
                // Gone long before any vendor has thought of an answer.
                _ => ask.within(ms(1) + whims.up_to(ms(100))),
            }
        };
        let mut arrivals = evenly(1, ms(300), mins(3), &mut rng.fork("hostile"));
        arrivals.extend(at_once(mins(1), 50, 1));
        arrivals.sort_by_key(|arrival| arrival.at);
        let (bad, good) = tokio::join!(world.play(&arrivals, hostile), honest(&world, &rng));
        assert!(bad.iter().all(|outcome| outcome.result.is_err()), "something was served");
        for code in ["provider_refused", "model_not_found", "upstream_timeout"] {
            let told = |outcome: &Outcome| {
                outcome.result.as_ref().is_err_and(|failed| failed.code == code)
            };
            assert!(bad.iter().any(told), "nobody was told {code}");
        }
        assert_untouched(&good);
        let overrun = longest_overrun(&bad).as_secs_f64();
        world.figures(bad.len() + good.len()).worst("seconds after a deadline", overrun)
    });
}

#[test]
fn a_caller_whose_prompts_are_never_answered_cools_nothing_for_others() {
    simulate("endless prompts", &[1, 2], async |rng| {
        let world = world(&rng, 2);
        // Twelve at a time, so that no good answer comes between their failures.
        let mut arrivals = Vec::new();
        for burst in 0..6 {
            arrivals.extend(at_once(secs(10 + 20 * burst), 12, 1));
        }
        let (bad, good) = tokio::join!(
            world.play(&arrivals, |_| Ask::of("mallory").saying(Prompt::Endless)),
            honest(&world, &rng)
        );
        assert!(bad.iter().all(|outcome| outcome.result.is_err()), "something was served");
        assert_untouched(&good);
        world.figures(bad.len() + good.len())
    });
}

/// A vendor and a fallback, both of them well, whose answers are waited for `timeout` seconds.
fn world(rng: &Rng, timeout: u32) -> World {
    let timeouts = json!({
        "rpm_limit": 1_000,
        "timeout_seconds": timeout,
        "first_token_timeout_seconds": timeout,
    });
    let mut spare = timeouts.clone();
    spare["pool"] = "fallback".into();
    let keys = [key("one", "vendor", timeouts), key("two", "spare", spare)];
    World::new(rng, Settings::default(), ["vendor", "spare"].map(Nature::new), keys)
}

/// Three who send something sensible every two seconds each.
async fn honest(world: &World, rng: &Rng) -> Vec<Outcome> {
    let arrivals = evenly(3, ms(667), mins(3), &mut rng.fork("honest"));
    world.play(&arrivals, |caller| Ask::of(format!("agent-{caller}"))).await
}

/// They were all served at once, at the first try, and by the first choice.
fn assert_untouched(outcomes: &[Outcome]) {
    for served in all_served(outcomes) {
        assert_eq!((served.provider.as_str(), served.attempts), ("one", 1));
        assert!(served.queued.is_zero(), "somebody waited {:?}", served.queued);
    }
}
