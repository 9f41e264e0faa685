//! How long a vendor is left alone after its 429s.

use std::time::Duration;

use serde_json::json;
use sidecar_core::settings::Settings;

use crate::sim::arrivals::{at_once, evenly};
use crate::sim::books::{Books, Fate};
use crate::sim::caller::Ask;
use crate::sim::checker::{all_served, rests_as_expected};
use crate::sim::rng::Rng;
use crate::sim::run::simulate;
use crate::sim::vendor::{Mood, Nature};
use crate::sim::world::{World, key};
use crate::sim::{mins, ms, secs};

#[test]
fn fifty_429s_at_once_are_one_strike_and_the_pauses_double_up_to_their_cap() {
    simulate("strikes", &[1, 2], async |rng| {
        let world = tired(&rng);
        let mut arrivals = at_once(secs(0), 50, 50);
        // Somebody comes every second, so that a probe is never missed.
        arrivals.extend(evenly(5, secs(1), mins(37), &mut rng.fork("arrivals")));
        arrivals.sort_by_key(|arrival| arrival.at);
        let outcomes = world.play(&arrivals, |caller| Ask::of(format!("agent-{caller}"))).await;
        // The fallback has served them all.
        all_served(&outcomes);
        let tries = world.vendor("tired").books().times_of(Fate::Limited);
        let burst = tries.iter().filter(|at| **at < secs(1)).count();
        // All fifty, and perhaps one who came before the first answer.
        assert!((50..=51).contains(&burst), "{burst} requests in the burst");
        let after: Vec<_> = tries[burst - 1..].windows(2).map(|pair| pair[1] - pair[0]).collect();
        let expected = [30, 60, 120, 240, 480, 600, 600].map(secs);
        assert!(after.len() >= expected.len(), "only {after:?}");
        for (gap, expected) in after.iter().zip(expected) {
            rests_as_expected(*gap, expected);
        }
        world.figures(outcomes.len()).worst("in the burst", burst as f64)
    });
}

#[test]
fn a_pause_falls_only_after_proven_success() {
    simulate("proven success", &[1, 2], async |rng| {
        let world = tired(&rng);
        let arrivals = evenly(5, ms(800), mins(16), &mut rng.fork("arrivals"));
        let (outcomes, (after_one, after_two_minutes)) = tokio::join!(
            world.play(&arrivals, |caller| Ask::of(format!("agent-{caller}"))),
            async {
                // Three strikes: 30, 60 and 120 s.
                strike(&world, 3).await;
                let back = world.vendor("tired").count(Fate::Served) + 1;
                served(&world, back).await;
                // A good answer or two prove nothing: this is the fourth strike.
                world.sleep_until(world.now() + secs(5)).await;
                let after_one = pause(&world).await;
                // Two clean minutes take two of four levels back: the next one is the third.
                world.sleep_until(world.now() + secs(130)).await;
                (after_one, pause(&world).await)
            }
        );
        all_served(&outcomes);
        rests_as_expected(after_one, secs(240));
        rests_as_expected(after_two_minutes, secs(120));
        world
            .figures(outcomes.len())
            .worst("pause after one good answer", after_one.as_secs_f64())
            .worst("pause after two clean minutes", after_two_minutes.as_secs_f64())
    });
}

/// A vendor that answers 429 to everything, without a hint, and a fallback for everybody.
fn tired(rng: &Rng) -> World {
    let natures = [Nature::new("tired").mood(Mood::Answers(429)), Nature::new("spare")];
    let keys = [
        // So high that what is learned of its limit does not matter here.
        key("one", "tired", json!({"rpm_limit": 1_000})),
        key("two", "spare", json!({"rpm_limit": 10_000, "pool": "fallback"})),
    ];
    World::new(rng, Settings::default(), natures, keys)
}

/// Waits until the vendor has struck so many times, then makes it well.
async fn strike(world: &World, times: usize) {
    let vendor = world.vendor("tired");
    world.until("a strike", || strikes(&vendor.books()) >= times).await;
    // Whatever is under way gets the same answer.
    world.sleep_until(world.now() + secs(1)).await;
    vendor.turn(Mood::Well);
}

/// How often it has answered 429. What came at the same time counts once.
fn strikes(books: &Books) -> usize {
    let times = books.times_of(Fate::Limited);
    times.len().min(1) + times.windows(2).filter(|pair| pair[1] - pair[0] > secs(1)).count()
}

async fn served(world: &World, times: usize) {
    let vendor = world.vendor("tired");
    world.until("a good answer", || vendor.count(Fate::Served) >= times).await;
}

/// Makes the well vendor strike once, and measures how long it is left alone.
async fn pause(world: &World) -> Duration {
    let vendor = world.vendor("tired");
    vendor.turn(Mood::Answers(429));
    strike(world, strikes(&vendor.books()) + 1).await;
    served(world, vendor.count(Fate::Served) + 1).await;
    let books = vendor.books();
    let struck = *books.times_of(Fate::Limited).last().unwrap();
    let back = books.times_of(Fate::Served).into_iter().find(|at| *at > struck).unwrap();
    back - struck
}
