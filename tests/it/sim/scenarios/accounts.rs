//! Two keys of one account, whose vendor counts them together.

use serde_json::json;
use sidecar_core::settings::Settings;

use crate::sim::arrivals::Bursts;
use crate::sim::books::Fate;
use crate::sim::caller::{Ask, Outcome};
use crate::sim::checker::{all_served, longest_wait};
use crate::sim::rng::Rng;
use crate::sim::run::simulate;
use crate::sim::vendor::{Nature, Per};
use crate::sim::world::{World, key};
use crate::sim::{mins, ms, secs};

#[test]
fn two_keys_of_one_account_keep_its_limit_together() {
    simulate("one account", &[1, 2, 3], async |rng| {
        // 36 a minute: nine tenths of what the vendor allows. By the same reckoning as under
        // full load, nobody waits longer than 6 s.
        let (world, outcomes) = demand(&rng, Some("acme"), 6).await;
        let served = all_served(&outcomes);
        let books = world.vendor("vendor").books();
        let fullest = books.worst_minute_of_all();
        assert_eq!(books.count(Fate::Limited), 0);
        assert!(fullest <= LIMIT, "{fullest} requests of the account in 60 s");
        for name in KEYS {
            assert!(served.iter().any(|served| served.provider == name), "{name} is not used");
        }
        world
            .figures(outcomes.len())
            .worst("in a minute of the account", fullest as f64)
            .worst("seconds queued", longest_wait(&served))
    });
}

#[test]
fn without_the_account_they_would_not() {
    simulate("one account, unknown", &[1], async |rng| {
        // 60 a minute: less than two keys could take, more than one account can.
        let (world, outcomes) = demand(&rng, None, 10).await;
        let limited = world.vendor("vendor").count(Fate::Limited);
        assert!(limited > 0, "the vendor does not count the keys together");
        world.figures(outcomes.len()).worst("429s", limited as f64)
    });
}

async fn demand(rng: &Rng, account: Option<&str>, callers: usize) -> (World, Vec<Outcome>) {
    let nature = Nature::new("vendor").limited(LIMIT, Per::Account).way(ms(5)..ms(120));
    let keys =
        KEYS.map(|name| key(name, "vendor", json!({"rpm_limit": LIMIT, "account": account})));
    let world = World::new(rng, Settings::default(), [nature], keys);
    let (every, lasts, late) = (secs(30), secs(2), secs(5));
    let bursts = Bursts { callers, every, size: 3, lasts, late, in_step: false };
    let arrivals = bursts.over(mins(15), &mut rng.fork("arrivals"));
    let outcomes = world.play(&arrivals, |caller| Ask::of(format!("agent-{caller}"))).await;
    (world, outcomes)
}

const LIMIT: usize = 40;
const KEYS: [&str; 2] = ["one", "two"];
