//! Who is told what happens.

use std::sync::{Arc, Mutex, OnceLock};

use super::*;
use crate::cooldown::{Trip, TripObserver};
use crate::verdict::Scope;

#[derive(Debug, Default)]
struct Recorder {
    events: Mutex<Vec<Event>>,
    /// Asked at every event, which would never end if their locks were held.
    set: OnceLock<CellSet>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Event {
    Tripped(Scope, Trip),
    Changed(Scope),
}

impl Recorder {
    fn note(&self, event: Event) {
        if let Some(set) = self.set.get() {
            for cell in [&set.key, &set.quota, &set.endpoint, &set.origin] {
                cell.state_at(at(0));
            }
        }
        self.events.lock().unwrap().push(event);
    }

    fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.events.lock().unwrap())
    }
}

impl TripObserver for Recorder {
    fn tripped(&self, scope: Scope, trip: &Trip) {
        self.note(Event::Tripped(scope, *trip));
    }

    fn changed(&self, scope: Scope) {
        self.note(Event::Changed(scope));
    }
}

fn observed() -> (CellSet, Arc<Recorder>) {
    let recorder = Arc::new(Recorder::default());
    let cells = set();
    recorder.set.set(cells.clone()).unwrap();
    (cells.observed(recorder.clone()), recorder)
}

#[test]
fn a_trip_is_told_once_with_the_cell_it_is_charged_to() {
    let (set, recorder) = observed();
    let burst: Vec<Pass> = (0..50).map(|_| enter(&set, at(0)).unwrap()).collect();
    for sent in burst {
        settle(&set, sent, &retry_after(secs(40)), at(0));
    }
    let (class, source) = (Class::RateLimited, RestSource::Authoritative);
    let trip = Trip { level: 1, class, length: secs(40), until: at(40), source };
    assert_eq!(recorder.take(), [Event::Tripped(Scope::Quota, trip)]);
}

#[test]
fn the_scope_is_that_of_the_failure() {
    for (class, scope) in [
        (Class::Auth, Scope::Key),
        (Class::ModelGone, Scope::Quota),
        (Class::Overloaded, Scope::Endpoint),
        (Class::Unreachable, Scope::Origin),
    ] {
        let (set, recorder) = observed();
        for _ in 0..2 {
            if let Ok(sent) = enter(&set, at(0)) {
                settle(&set, sent, &Verdict::of(class), at(0));
            }
        }
        let events = recorder.take();
        let [Event::Tripped(told, trip)] = events[..] else { panic!("{class:?}: {events:?}") };
        assert_eq!((told, trip.class, trip.source), (scope, class, RestSource::Heuristic));
    }
}

#[test]
fn a_failure_that_is_no_strike_is_not_told() {
    let (set, recorder) = observed();
    for class in [Class::ServerError, Class::CallerFault, Class::Transport] {
        settle(&set, enter(&set, at(0)).unwrap(), &Verdict::of(class), at(0));
    }
    settle(&set, enter(&set, at(0)).unwrap(), &Verdict::ACCEPT, at(0));
    assert!(recorder.take().is_empty());
}

#[test]
fn the_way_back_is_told() {
    let (set, recorder) = observed();
    settle(&set, enter(&set, at(0)).unwrap(), &Verdict::of(Class::RateLimited), at(0));
    recorder.take();
    settle(&set, enter(&set, at(30)).unwrap(), &Verdict::ACCEPT, at(30));
    assert_eq!(recorder.take(), [Event::Changed(Scope::Quota)], "the probe was good");
    for (second, expected) in [(60, 0), (90, 1), (91, 0), (150, 0)] {
        settle(&set, enter(&set, at(second)).unwrap(), &Verdict::ACCEPT, at(second));
        assert_eq!(recorder.take().len(), expected, "at {second} s");
    }
}

#[test]
fn a_longer_rest_is_told() {
    let (set, recorder) = observed();
    let (first, second) = (enter(&set, at(0)).unwrap(), enter(&set, at(0)).unwrap());
    settle(&set, first, &Verdict::of(Class::RateLimited), at(0));
    recorder.take();
    settle(&set, second, &retry_after(secs(90)), at(1));
    assert_eq!(recorder.take(), [Event::Changed(Scope::Quota)]);
}

#[test]
fn a_rest_that_a_good_answer_asks_for_is_told() {
    let (set, recorder) = observed();
    let last_one = asking(Class::Accept, secs(20), HintSource::Authoritative);
    settle(&set, enter(&set, at(0)).unwrap(), &last_one, at(0));
    assert_eq!(recorder.take(), [Event::Changed(Scope::Quota)]);
    assert_eq!(set.quota.export(at(0)).unwrap().remaining, secs(20));
}

#[test]
fn a_reset_is_told_of_cells_that_had_a_past() {
    let (set, recorder) = observed();
    settle(&set, enter(&set, at(0)).unwrap(), &Verdict::of(Class::Auth), at(0));
    recorder.take();
    set.reset();
    assert_eq!(recorder.take(), [Event::Changed(Scope::Key)]);
    enter(&set, at(0)).unwrap();
}

#[test]
fn a_probe_given_back_is_not_told() {
    let (set, recorder) = observed();
    settle(&set, enter(&set, at(0)).unwrap(), &Verdict::of(Class::RateLimited), at(0));
    recorder.take();
    set.release(enter(&set, at(30)).unwrap(), at(31));
    assert!(recorder.take().is_empty());
}
