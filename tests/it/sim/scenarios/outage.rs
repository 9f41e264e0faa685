//! Vendors that are down.

use std::time::Duration;

use serde_json::json;
use sidecar_core::settings::Settings;

use crate::sim::arrivals::evenly;
use crate::sim::books::Fate;
use crate::sim::caller::{Ask, Outcome};
use crate::sim::checker::{all_served, one_probe_per_step, percentile};
use crate::sim::rng::Rng;
use crate::sim::run::{Figures, simulate};
use crate::sim::vendor::{Mood, Nature};
use crate::sim::world::{World, key};
use crate::sim::{mins, ms, secs};

#[test]
fn while_one_vendor_is_down_the_others_serve_and_it_is_back_within_30_s_of_its_return() {
    simulate("a vendor down", &[1, 2, 3], async |rng| {
        let mut all = Figures::default();
        // How it is down, how many tries it takes to be sure, and the first rest.
        for (mood, opening, base) in [
            (Mood::Refuses, 2, secs(10)),
            (Mood::Cuts, 5, secs(10)),
            (Mood::Answers(500), 5, secs(10)),
            (Mood::Answers(503), 1, secs(5)),
        ] {
            all = all.and(one_down(&rng, mood, opening, base).await);
        }
        all
    });
}

#[test]
fn four_dead_vendors_cost_few_sends_and_no_time() {
    simulate("all dead", &[1, 2], async |rng| {
        let mut all = Figures::default();
        for mood in [Mood::Refuses, Mood::Cuts, Mood::Answers(500)] {
            all = all.and(all_dead(&rng, mood).await);
        }
        all
    });
}

async fn one_down(rng: &Rng, mood: Mood, opening: usize, base: Duration) -> Figures {
    let names = ["one", "two", "three"];
    // 150 a minute for three times 120: two are enough, and tries come fast enough for five in a
    // row to be a matter of seconds.
    let keys = names.map(|name| key(name, name, json!({"rpm_limit": 120})));
    let world = World::new(rng, Settings::default(), names.map(Nature::new), keys);
    let (down, up, end) = (mins(2), mins(3), mins(6));
    let arrivals = evenly(8, ms(400), end, &mut rng.fork("arrivals"));
    let vendor = world.vendor("one");
    let (outcomes, ()) =
        tokio::join!(world.play(&arrivals, |caller| Ask::of(format!("agent-{caller}"))), async {
            world.sleep_until(down).await;
            vendor.turn(mood);
            world.sleep_until(up).await;
            vendor.turn(Mood::Well);
        });
    all_served(&outcomes);
    let books = vendor.books();
    let probes = one_probe_per_step(&books.times_in(down, up), opening, base);
    assert!(probes >= 2, "{mood:?}: {probes} probes in a minute");
    let served = books.times_of(Fate::Served);
    let back = served.iter().find(|at| **at >= up).map(|at| *at - up);
    let back = back.unwrap_or(Duration::MAX);
    assert!(back <= secs(30), "{mood:?}: it carried traffic {back:?} after its return");
    // A third of the last minute is its fair share.
    let share = books.times_in(end - mins(1), end).len() as f64 / 150.0;
    assert!(share > 0.25, "{mood:?}: it has {share} of the traffic long after its return");
    world
        .figures(outcomes.len())
        .worst("seconds until it is back", back.as_secs_f64())
        .worst("probes", probes as f64)
}

async fn all_dead(rng: &Rng, mood: Mood) -> Figures {
    let names = ["one", "two", "three", "four"];
    let keys = names.map(|name| key(name, name, json!({})));
    let natures = names.map(|name| Nature::new(name).mood(mood));
    let world = World::new(rng, Settings::default(), natures, keys);
    let arrivals = evenly(10, ms(60), mins(1), &mut rng.fork("arrivals"));
    let outcomes = world.play(&arrivals, |caller| Ask::of(format!("agent-{caller}"))).await;
    assert_eq!(outcomes.len(), 1_000);
    let sends: usize = names.iter().map(|name| world.vendor(name).tries()).sum();
    assert!(sends <= 60, "{mood:?}: {sends} sends to vendors that are dead");
    assert!(outcomes.iter().all(is_exhausted), "{mood:?}: somebody was told something else");
    // Five failures of each of them are a matter of the first second.
    let open: Vec<&Outcome> = outcomes.iter().filter(|outcome| outcome.at >= secs(5)).collect();
    let slow = percentile(&open, 0.99);
    assert!(slow < ms(50), "{mood:?}: {slow:?} for an answer that costs nothing");
    // Whoever is no probe waits for nothing at all.
    let mut unsent = open.iter().filter(|outcome| attempts(outcome) == Some(0));
    let slow = unsent.find(|outcome| outcome.latency >= ms(50));
    assert!(slow.is_none(), "{mood:?}: {slow:?}");
    world.figures(outcomes.len()).worst("sends", sends as f64)
}

fn is_exhausted(outcome: &Outcome) -> bool {
    outcome.result.as_ref().is_err_and(|failed| failed.status == 503)
}

fn attempts(outcome: &Outcome) -> Option<u32> {
    outcome.result.as_ref().err()?.attempts
}
