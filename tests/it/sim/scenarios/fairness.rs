//! Callers who want more than there is.

use std::ops::Range;
use std::time::Duration;

use serde_json::json;
use sidecar_core::settings::Settings;
use tokio::task::JoinSet;

use crate::sim::arrivals::{Arrival, at_once};
use crate::sim::caller::Ask;
use crate::sim::checker::{all_served, jain, longest_wait};
use crate::sim::rng::Rng;
use crate::sim::run::{Figures, simulate};
use crate::sim::vendor::Nature;
use crate::sim::world::{World, key};
use crate::sim::{mins, ms, secs};

#[test]
fn two_hundred_queued_requests_of_one_caller_delay_another_by_at_most_one_slot() {
    simulate("a hog", &[1, 2, 3], async |rng| {
        let world = one_lane(&rng, 60);
        let hog = at_once(ms(0), 200, 1);
        // Everybody else sends one request while the hog's are queued, at least 4 s apart.
        let mut whims = rng.fork("others");
        let other = |caller: usize| {
            let start = secs(9 * caller as u64);
            Arrival { at: start + whims.up_to(secs(5)), caller }
        };
        let others: Vec<Arrival> = (0..20).map(other).collect();
        let (hog, others) = tokio::join!(
            world.play(&hog, |_| Ask::of("hog")),
            world.play(&others, |caller| Ask::of(format!("other-{caller}"))),
        );
        all_served(&hog);
        let served = all_served(&others);
        let books = world.vendor("vendor").books();
        let mut most = 0;
        for other in &others {
            let mut seen = books.iter();
            let at = seen.find(|seen| seen.caller == other.caller).map(|seen| seen.at).unwrap();
            let hogs = books.iter().filter(|seen| seen.caller == "hog");
            // What the hog sent after the other one had come and before it was its turn.
            let before = hogs.filter(|seen| seen.at > other.at + WAY && seen.at < at).count();
            assert!(before <= 1, "{before} of the hog's went before {other:?}");
            most = most.max(before);
        }
        // The next slot, and one more. A slot is 1.02 s.
        let wait = longest_wait(&served);
        assert!(wait <= 2.1, "somebody waited {wait} s");
        let figures = world.figures(hog.len() + others.len());
        figures.worst("slots", most as f64).worst("seconds queued", wait)
    });
}

#[test]
fn equal_callers_get_equal_shares() {
    simulate("equal shares", &[1, 2], async |rng| {
        let same = shares(&rng, |_| 3).await;
        // Whoever pushes harder gets no more.
        same.and(shares(&rng, |caller| 1 + caller).await)
    });
}

/// Ten callers with so many requests at a time each, for ten minutes, at 120 a minute.
async fn shares(rng: &Rng, at_a_time: impl Fn(usize) -> usize) -> Figures {
    let world = one_lane(rng, 120);
    // The first minute has slots for everybody.
    let counted: Range<Duration> = mins(1)..mins(10);
    let mut workers = JoinSet::new();
    for caller in 0..10 {
        for _ in 0..at_a_time(caller) {
            let (world, counted) = (world.clone(), counted.clone());
            workers.spawn(async move {
                let mut served = 0;
                while world.now() < counted.end {
                    let outcome = world.send(Ask::of(format!("agent-{caller}"))).await;
                    all_served(std::slice::from_ref(&outcome));
                    served += usize::from(counted.contains(&(outcome.at + outcome.latency)));
                }
                (caller, served)
            });
        }
    }
    let mut shares = [0.0; 10];
    for (caller, served) in workers.join_all().await {
        shares[caller] += served as f64;
    }
    let index = jain(&shares);
    assert!(index >= 0.99, "an index of {index} for {shares:?}");
    world.figures(world.vendor("vendor").tries()).worst("unfairness", 1.0 - index)
}

/// One key of evenly spaced slots, and callers with all the patience there is.
fn one_lane(rng: &Rng, rpm: u32) -> World {
    let mut settings = Settings::default();
    settings.set("queue_timeout_seconds", &json!(600)).unwrap();
    let nature = Nature::new("vendor").way(WAY..WAY);
    let limit = json!({"rpm_limit": rpm, "limit_shape": "smooth", "burst": 1});
    World::new(rng, settings, [nature], [key("one", "vendor", limit)])
}

/// The way to the vendor, always the same, so that arrivals tell when a request was sent.
const WAY: Duration = ms(10);
