//! Two hundred who wait for the end of one rest.

use serde_json::json;
use sidecar_core::settings::Settings;

use crate::sim::arrivals::evenly;
use crate::sim::books::Fate;
use crate::sim::caller::Ask;
use crate::sim::checker::{all_served, longest_wait};
use crate::sim::run::simulate;
use crate::sim::vendor::{Hint, Mood, Nature};
use crate::sim::world::{World, key};
use crate::sim::{ms, secs};

#[test]
fn a_vendor_that_comes_back_is_not_trampled() {
    simulate("recovery herd", &[1, 2, 3], async |rng| {
        let mut settings = Settings::default();
        settings.set("queue_timeout_seconds", &json!(120)).unwrap();
        // Its own word counts, so that no early probe is allowed.
        let nature = Nature::new("vendor").mood(Mood::Answers(429)).hint(Hint::Says(30));
        let world =
            World::new(&rng, settings, [nature], [key("one", "vendor", json!({"rpm_limit": RPM}))]);
        let arrivals = evenly(20, ms(100), secs(20), &mut rng.fork("arrivals"));
        let vendor = world.vendor("vendor");
        let (outcomes, ()) = tokio::join!(
            world.play(&arrivals, |caller| Ask::of(format!("agent-{caller}"))),
            async {
                world.sleep_until(secs(10)).await;
                vendor.turn(Mood::Well);
            }
        );
        assert_eq!(outcomes.len(), 200);
        let served = all_served(&outcomes);
        let books = vendor.books();
        let probe = books.times_of(Fate::Served)[0];
        let asked = books.times_of(Fate::Limited);
        assert!(probe - asked[0] >= secs(30), "it was asked {:?} early", probe - asked[0]);
        // Sent before the first answer was there.
        assert!(asked.len() <= 2 && books.times_in(secs(1), probe).is_empty(), "{asked:?}");
        // A quarter of the rate for 10 s, then half of it; and the probe itself, and one that
        // each step may begin with.
        let (first, both) = (
            books.times_in(probe, probe + secs(10)).len(),
            books.times_in(probe, probe + secs(20)).len(),
        );
        assert!(first <= RPM / 6 / 4 + 2, "{first} requests in the first 10 s");
        assert!(both <= RPM / 6 / 4 + RPM / 6 / 2 + 3, "{both} requests in the first 20 s");
        assert!(both >= RPM / 6 / 4, "{both} requests in the first 20 s are too few");
        world
            .figures(outcomes.len())
            .worst("in the first 10 s", first as f64)
            .worst("in the first 20 s", both as f64)
            .worst("seconds queued", longest_wait(&served))
    });
}

const RPM: usize = 240;
