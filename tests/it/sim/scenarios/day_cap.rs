//! A vendor whose day is spent. Each run ends before its next day is spent, too.

use std::time::Duration;

use serde_json::json;
use sidecar_core::settings::Settings;

use crate::sim::arrivals::evenly;
use crate::sim::books::{Books, Fate};
use crate::sim::caller::Ask;
use crate::sim::checker::all_served;
use crate::sim::rng::Rng;
use crate::sim::run::{Figures, simulate};
use crate::sim::vendor::{Day, Nature};
use crate::sim::world::{World, key};
use crate::sim::{mins, secs};

#[test]
fn a_spent_day_is_asked_about_once_an_hour_and_others_serve() {
    simulate("a spent day", &[1, 2], async |rng| {
        let words = "You have reached the limit of requests per day for this model";
        // The world starts at midnight.
        let day = Day { cap: 100, starts_at: 0, words };
        let (figures, books) = spend(&rng, day, mins(60 * 25 + 30)).await;
        let asked = books.times_of(Fate::DaySpent);
        for pair in asked.windows(2) {
            assert!(pair[1] - pair[0] >= mins(60), "asked after {:?}", pair[1] - pair[0]);
        }
        assert!(asked.len() <= 24, "asked {} times", asked.len());
        let back = back_after(&books, mins(60 * 24));
        // An hour, up to a minute more, and until somebody comes.
        assert!(back <= mins(64), "{back:?} without it on the next day");
        figures
            .worst("asked", asked.len() as f64)
            .worst("minutes without it", back.as_secs_f64() / 60.0)
    });
}

#[test]
fn a_day_whose_end_is_known_is_not_asked_about_before() {
    simulate("a spent day, end known", &[1, 2], async |rng| {
        // Midnight in Beijing is 16:00 in UTC.
        let day = Day { cap: 100, starts_at: 16, words: "RPD limit reached" };
        let (figures, books) = spend(&rng, day, mins(60 * 17 + 30)).await;
        let asked = books.count(Fate::DaySpent);
        assert_eq!(asked, 1, "asked again before the day was over");
        let back = back_after(&books, mins(60 * 16));
        assert!(back <= mins(4), "{back:?} without it on the next day");
        figures.worst("minutes without it", back.as_secs_f64() / 60.0)
    });
}

/// One request a minute for `span` against a vendor of such a day and a fallback.
async fn spend(rng: &Rng, day: Day, span: Duration) -> (Figures, Books) {
    let natures = [Nature::new("daily").day(day), Nature::new("spare")];
    let keys = [key("one", "daily", json!({})), key("two", "spare", json!({"pool": "fallback"}))];
    let world = World::new(rng, Settings::default(), natures, keys);
    let arrivals = evenly(3, secs(60), span, &mut rng.fork("arrivals"));
    let outcomes = world.play(&arrivals, |caller| Ask::of(format!("agent-{caller}"))).await;
    all_served(&outcomes);
    (world.figures(outcomes.len()), world.vendor("daily").books())
}

/// How long after `renewed` it serves again.
fn back_after(books: &Books, renewed: Duration) -> Duration {
    let served = books.times_of(Fate::Served).into_iter();
    served.map(|at| at.saturating_sub(renewed)).find(|late| !late.is_zero()).unwrap()
}
