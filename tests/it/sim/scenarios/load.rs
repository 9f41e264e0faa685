//! Fifteen callers, three keys of 40 requests a minute and one fallback of the same, in demand of
//! nine tenths of it all.

use std::time::Duration;

use serde_json::json;
use sidecar_core::settings::Settings;

use crate::sim::arrivals::Bursts;
use crate::sim::books::Fate;
use crate::sim::caller::{Ask, Outcome};
use crate::sim::checker::{all_served, longest_wait};
use crate::sim::rng::Rng;
use crate::sim::run::{Figures, simulate};
use crate::sim::vendor::{Hint, Nature, Per};
use crate::sim::world::{World, key};
use crate::sim::{mins, ms, secs};

#[test]
fn with_true_limits_no_caller_sees_an_error_and_no_vendor_more_than_its_limit() {
    simulate("true limits", &[1, 2, 3, 4], async |rng| true_limits(&rng, false).await);
}

#[test]
fn with_true_limits_the_same_holds_when_all_callers_burst_in_step() {
    simulate("true limits, in step", &[5, 6], async |rng| true_limits(&rng, true).await);
}

#[test]
fn limits_that_are_a_fifth_too_high_are_found_out_within_ten_minutes() {
    simulate("limits too high", &[7, 8, 9], async |rng| {
        let (world, outcomes) = demand(&rng, LIMIT * 6 / 5, false, mins(20)).await;
        let served = all_served(&outcomes);
        let (mut sends, mut limited) = (0_usize, 0_usize);
        for vendor in VENDORS {
            let books = world.vendor(vendor).books();
            let late = books.iter().filter(|seen| seen.at >= mins(10));
            for seen in late {
                sends += 1;
                limited += usize::from(seen.fate == Fate::Limited);
            }
        }
        let share = limited as f64 / sends as f64;
        assert!(share < 0.01, "{limited} of {sends} sends were answered 429 after ten minutes");
        world
            .figures(outcomes.len())
            .worst("share of 429s", share)
            .worst("seconds queued", longest_wait(&served))
    });
}

async fn true_limits(rng: &Rng, in_step: bool) -> Figures {
    let span = mins(30);
    let (world, outcomes) = demand(rng, LIMIT, in_step, span).await;
    let per_minute = outcomes.len() as f64 / (span.as_secs_f64() / 60.0);
    assert!((140.0..148.0).contains(&per_minute), "{per_minute} requests a minute are no demand");
    let served = all_served(&outcomes);
    let mut fullest = 0;
    for vendor in VENDORS {
        let books = world.vendor(vendor).books();
        fullest = fullest.max(books.worst_minute_of_a_key());
        assert_eq!(books.count(Fate::Limited), 0, "{vendor} had to say 429");
    }
    assert!(fullest <= LIMIT as usize, "{fullest} requests of one key in 60 s");
    world
        .figures(outcomes.len())
        .worst("in a minute of a key", fullest as f64)
        .worst("seconds queued", longest_wait(&served))
}

/// Plays the demand against vendors of the true limit and a core that knows `configured`.
async fn demand(
    rng: &Rng,
    configured: u32,
    in_step: bool,
    span: Duration,
) -> (World, Vec<Outcome>) {
    let natures = VENDORS.map(|name| {
        let nature = Nature::new(name).limited(LIMIT as usize, Per::Key).hint(Hint::Honest);
        // The way differs by more than it does from one request to the next in real life, and by
        // less than the core's margin of 250 ms.
        nature.way(ms(5)..ms(120))
    });
    let limit = json!({"rpm_limit": configured});
    let mut keys = ["one", "two", "three"].map(|name| key(name, "nim", limit.clone())).to_vec();
    keys.push(key("four", "other", json!({"rpm_limit": configured, "pool": "fallback"})));
    let world = World::new(rng, Settings::default(), natures, keys);
    let arrivals = bursts(in_step).over(span, &mut rng.fork("arrivals"));
    let outcomes = world.play(&arrivals, |caller| Ask::of(format!("agent-{caller}"))).await;
    (world, outcomes)
}

/// 15 callers times 6 requests every 37.5 s are 144 a minute: nine tenths of four times 40.
///
/// A window of 160 that is used up in a burst is not free again before a minute has passed, so
/// what decides is not the height of the bursts but how much arrives in a minute or two. Bursts
/// that wander freely add up sooner or later to a backlog beyond any patience, whoever schedules;
/// these keep their beat. Worked out for a perfect scheduler over the four windows (a hundred
/// seeds), nobody waits longer than 14 s, and 24 s if all burst in step: well inside the 30 s of
/// patience, and with room for a limiter that keeps a margin of 5 %.
fn bursts(in_step: bool) -> Bursts {
    let (every, lasts, late) = (ms(37_500), secs(2), secs(8));
    Bursts { callers: 15, every, size: 6, lasts, late, in_step }
}

/// Requests of one key that its vendor allows in any 60 s.
const LIMIT: u32 = 40;
/// Of three keys, and of the fallback.
const VENDORS: [&str; 2] = ["nim", "other"];
