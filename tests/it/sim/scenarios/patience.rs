//! Deadlines, and waits that would be for nothing.

use serde_json::json;
use sidecar_core::settings::Settings;

use crate::sim::arrivals::{at_once, evenly};
use crate::sim::books::Fate;
use crate::sim::caller::{Ask, Outcome};
use crate::sim::checker::{all_served, longest_overrun};
use crate::sim::rng::Rng;
use crate::sim::run::simulate;
use crate::sim::vendor::{Hint, Mood, Nature, Per};
use crate::sim::world::{World, key};
use crate::sim::{mins, ms, secs};

#[test]
fn no_request_outlives_its_deadline() {
    simulate("deadlines", &[1, 2, 3], async |rng| {
        let natures = [
            Nature::new("slow").thinks(secs(1)..secs(15)),
            Nature::new("hung").mood(Mood::Hangs),
            Nature::new("dead").mood(Mood::Refuses),
            Nature::new("flaky").mood(Mood::Flaky(0.5)),
            Nature::new("full").limited(5, Per::Key).hint(Hint::Honest),
        ];
        let keys = ["slow", "hung", "dead", "flaky", "full"].map(|name| {
            let pool = if name == "full" { "fallback" } else { "primary" };
            key(name, name, json!({"pool": pool, "rpm_limit": 20}))
        });
        let world = World::new(&rng, Settings::default(), natures, keys);
        let mut patience = rng.fork("patience");
        let arrivals = evenly(5, ms(500), mins(5), &mut rng.fork("arrivals"));
        let outcomes = world
            .play(&arrivals, |caller| {
                let patience = ms(50) + patience.up_to(secs(20));
                Ask::of(format!("agent-{caller}")).within(patience)
            })
            .await;
        let overrun = longest_overrun(&outcomes);
        assert!(overrun <= ms(50), "a request went on for {overrun:?} after its deadline");
        let served = outcomes.iter().filter(|outcome| outcome.result.is_ok()).count();
        let hung = world.vendor("hung").count(Fate::Hung);
        assert!(served > 30 && hung > 0, "{served} served, {hung} hung: this shows nothing");
        world.figures(outcomes.len()).worst("seconds after a deadline", overrun.as_secs_f64())
    });
}

#[test]
fn whoever_would_wait_for_nothing_is_told_at_once() {
    simulate("hopeless waits", &[1, 2], async |rng| {
        let world = full_minute(&rng, 10).await;
        // The next slot is free at 60 s.
        world.sleep_until(secs(1)).await;
        assert_refused_at_once(&world.send(Ask::of("hasty").within(secs(5))).await);
        // The default is 30 s.
        assert_refused_at_once(&world.send(Ask::of("patient")).await);
        world.sleep_until(secs(45)).await;
        let patient = at_once(ms(0), 5, 5);
        let (waiting, hasty) = tokio::join!(
            world.play(&patient, |caller| Ask::of(format!("agent-{caller}"))),
            async {
                world.sleep_until(secs(46)).await;
                // Even though others wait, who have the time.
                world.send(Ask::of("hasty").within(secs(5))).await
            }
        );
        assert_refused_at_once(&hasty);
        all_served(&waiting);
        world.figures(18)
    });
}

#[test]
fn a_full_queue_is_told_at_once() {
    simulate("a full queue", &[1], async |rng| {
        let world = full_minute(&rng, 600).await;
        world.sleep_until(secs(45)).await;
        let all = at_once(ms(0), 500, 25);
        let (waiting, late) =
            tokio::join!(world.play(&all, |caller| Ask::of(format!("agent-{caller}"))), async {
                world.sleep_until(secs(46)).await;
                world.send(Ask::of("late")).await
            });
        assert_refused_at_once(&late);
        assert_eq!(late.result.err().map(|failed| failed.code), Some("overloaded"));
        // Those who were in time are none the worse for it.
        for served in all_served(&waiting) {
            assert!(served.queued <= secs(16), "somebody waited {:?}", served.queued);
        }
        world.figures(1_101)
    });
}

/// One key, and all of its minute used up in the first instant.
async fn full_minute(rng: &Rng, rpm: usize) -> World {
    let nature = Nature::new("vendor").limited(rpm, Per::Key);
    let keys = [key("one", "vendor", json!({"rpm_limit": rpm}))];
    let world = World::new(rng, Settings::default(), [nature], keys);
    all_served(&world.play(&at_once(ms(0), rpm, 5), |_| Ask::of("early")).await);
    world
}

fn assert_refused_at_once(outcome: &Outcome) {
    let status = outcome.result.as_ref().err().map(|failed| failed.status);
    assert_eq!(status, Some(503), "{outcome:?}");
    assert!(outcome.latency <= ms(5), "{outcome:?}");
}
