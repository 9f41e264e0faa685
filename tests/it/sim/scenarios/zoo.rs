//! All kinds of vendors together, for a long time.

use serde_json::json;
use sidecar_core::settings::Settings;

use crate::sim::arrivals::evenly;
use crate::sim::books::Fate;
use crate::sim::caller::Ask;
use crate::sim::checker::all_served;
use crate::sim::run::simulate;
use crate::sim::vendor::{Hint, Mood, Nature, Per};
use crate::sim::world::{World, key};
use crate::sim::{mins, secs};

#[test]
fn one_dependable_fallback_is_enough_among_liars_and_flappers() {
    simulate("the zoo", &[1, 2, 3], async |rng| {
        let natures = [
            Nature::new("flapper").mood(Mood::Flaps(secs(90), secs(30))),
            Nature::new("flaky").mood(Mood::Flaky(0.2)),
            // Half of what it is thought to allow, and asks to be left alone for a second.
            Nature::new("hasty").limited(10, Per::Key).hint(Hint::Says(1)),
            // The same, and asks to be left alone for a day.
            Nature::new("sulky").limited(10, Per::Key).hint(Hint::Says(86_400)),
            Nature::new("slow").thinks(secs(3)..secs(8)),
        ];
        let keys = ["flapper", "flaky", "hasty", "sulky", "slow"].map(|name| {
            let (pool, rpm) = if name == "slow" { ("fallback", 300) } else { ("primary", 20) };
            key(name, name, json!({"pool": pool, "rpm_limit": rpm}))
        });
        let world = World::new(&rng, Settings::default(), natures, keys);
        let end = mins(120);
        let arrivals = evenly(6, secs(2), end, &mut rng.fork("arrivals"));
        let outcomes = world.play(&arrivals, |caller| Ask::of(format!("agent-{caller}"))).await;
        let served = all_served(&outcomes);
        assert!(served.iter().all(|served| served.attempts <= 5));

        // A second is believed once and then no more, and what the limit really is was learned; a
        // day is not a rest that anybody may ask for.
        let hasty = world.vendor("hasty").books();
        let refusals = hasty.count(Fate::Limited);
        assert!(refusals <= 12, "the hasty one had to refuse {refusals} times in two hours");
        let sulky = world.vendor("sulky").books();
        let rest = sulky.shortest_peace_after(Fate::Limited).unwrap_or_default();
        assert!(rest >= mins(59) && rest <= mins(62), "the sulky one rested for {rest:?}");

        // Whoever is up most of the time is used, to the end.
        let late = |name: &str| {
            let books = world.vendor(name).books();
            books.times_of(Fate::Served).into_iter().filter(|at| *at >= end - mins(30)).count()
        };
        // How much depends on the spread of the rests, which no seed fixes.
        for (name, least) in [("flapper", 25), ("flaky", 40), ("hasty", 10)] {
            let served = late(name);
            assert!(served >= least, "{name} served {served} in the last half hour");
        }
        let limited = hasty.count(Fate::Limited) + sulky.count(Fate::Limited);
        world.figures(outcomes.len()).worst("429s", limited as f64)
    });
}
