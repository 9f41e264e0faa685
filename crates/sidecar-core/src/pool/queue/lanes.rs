//! Whose turn it is: deficit round robin over the callers that wait under one key.
//!
//! Every caller has a lane, first come, first served, and the lanes stand in a ring. A lane that
//! comes to the front gets a deficit of its quantum, the caller's weight; each place served costs
//! one; with the deficit used up, the lane goes to the end of the ring. A new lane starts at the
//! end. A lane that becomes empty is removed and keeps nothing, so nobody saves turns up.
//!
//! Pure state: no async, no locks, no time. Entering and leaving take logarithmic time.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

/// The lanes of one key. `W` is what it takes to wake who waits at a place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Lanes<W> {
    /// The lanes, none of them empty, by the number of their next turn. The first one's is on, and
    /// no other lane has a deficit: a place costs one and a quantum is whole, so that a turn leaves
    /// nothing over.
    ring: BTreeMap<u64, Lane<W>>,
    /// Where in the ring each caller's lane stands.
    turns: BTreeMap<Arc<str>, u64>,
    /// The next number to give out, to a place or to a turn.
    next: u64,
}

/// A place in one of the [`Lanes`]. Later places of a lane have larger numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place(u64);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Lane<W> {
    quantum: NonZeroU32,
    /// How many more places are served before the turn ends.
    deficit: u32,
    places: BTreeMap<Place, W>,
}

impl<W> Lanes<W> {
    /// Takes a place at the end of the caller's lane. A new `weight` counts from the lane's next
    /// turn on.
    pub(super) fn enter(&mut self, caller: &Arc<str>, weight: NonZeroU32, waiter: W) -> Place {
        let number = self.number();
        let turn = *self.turns.entry(caller.clone()).or_insert(number);
        let new = || Lane { quantum: weight, deficit: 0, places: BTreeMap::new() };
        let lane = self.ring.entry(turn).or_insert_with(new);
        lane.quantum = weight;
        lane.places.insert(Place(number), waiter);
        self.begin_turn();
        Place(number)
    }

    /// Who holds the baton: nobody only if nobody waits. It stays the same until its holder leaves.
    pub(super) fn holder(&self) -> Option<Place> {
        let (place, _) = self.first()?;
        Some(*place)
    }

    /// Gives a place up. If it held the baton, that counts as served, and the answer is the new
    /// holder, who has to be woken; nobody else has.
    pub(super) fn leave(&mut self, caller: &Arc<str>, place: Place) -> Option<&W> {
        let held = self.holder() == Some(place);
        let turn = *self.turns.get(caller)?;
        let lane = self.ring.get_mut(&turn)?;
        lane.places.remove(&place)?;
        if held {
            lane.deficit = lane.deficit.saturating_sub(1);
        }
        if lane.places.is_empty() {
            self.ring.remove(&turn);
            self.turns.remove(caller);
        } else if held && lane.deficit == 0 {
            self.move_to_end(caller, turn);
        }
        if !held {
            return None;
        }
        self.begin_turn();
        let (_, waiter) = self.first()?;
        Some(waiter)
    }

    /// How many places are served before this one if nobody comes or gives up; `None` if it is
    /// not in the caller's lane.
    pub(super) fn ahead(&self, caller: &str, place: Place) -> Option<u32> {
        let turn = *self.turns.get(caller)?;
        let lane = self.ring.get(&turn)?;
        if !lane.places.contains_key(&place) {
            return None;
        }
        let in_lane = lane.places.range(..place).count() as u64;
        let turns = lane.turns_before(in_lane);
        let others = self.ring.iter().filter(|(of, _)| **of != turn);
        // Who stands before it in the ring has had one turn more by then.
        let in_others = others.map(|(of, other)| other.served_in(turns + u64::from(*of < turn)));
        let ahead = in_others.fold(in_lane, u64::saturating_add);
        Some(u32::try_from(ahead).unwrap_or(u32::MAX))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    fn first(&self) -> Option<(&Place, &W)> {
        let (_, lane) = self.ring.first_key_value()?;
        lane.places.first_key_value()
    }

    /// Gives the first lane its quantum, unless its turn is on already.
    fn begin_turn(&mut self) {
        if let Some(mut first) = self.ring.first_entry() {
            let lane = first.get_mut();
            if lane.deficit == 0 {
                lane.deficit = lane.quantum.get();
            }
        }
    }

    fn move_to_end(&mut self, caller: &Arc<str>, turn: u64) {
        let number = self.number();
        if let Some(lane) = self.ring.remove(&turn) {
            self.ring.insert(number, lane);
            self.turns.insert(caller.clone(), number);
        }
    }

    fn number(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }
}

impl<W> Lane<W> {
    /// How many of the lane's turns end before it serves the place that has `index` others before
    /// it in the lane.
    fn turns_before(&self, index: u64) -> u64 {
        match index.checked_sub(self.first_turn()) {
            None => 0,
            Some(rest) => 1 + rest / self.full_turn(),
        }
    }

    /// How many places the lane serves in so many turns, the one that is on included.
    fn served_in(&self, turns: u64) -> u64 {
        let Some(full) = turns.checked_sub(1) else { return 0 };
        let most = full.saturating_mul(self.full_turn()).saturating_add(self.first_turn());
        most.min(self.places.len() as u64)
    }

    /// What is left of the turn that is on, else all of the next one.
    fn first_turn(&self) -> u64 {
        if self.deficit == 0 { self.full_turn() } else { self.deficit.into() }
    }

    fn full_turn(&self) -> u64 {
        self.quantum.get().into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Lanes, and who waits in them: callers are single letters.
    #[derive(Clone, Default)]
    struct Ring {
        lanes: Lanes<u64>,
        callers: BTreeMap<Place, char>,
    }

    impl Ring {
        /// One place for each letter of `callers`.
        fn of(callers: &str, weight: impl Fn(char) -> u32) -> Self {
            let mut ring = Self::default();
            for caller in callers.chars() {
                ring.enter(caller, weight(caller));
            }
            ring
        }

        fn enter(&mut self, caller: char, weight: u32) -> Place {
            // The waiter is the number of its place, which is known beforehand.
            let waiter = self.lanes.next;
            let place = self.lanes.enter(&lane(caller), NonZeroU32::new(weight).unwrap(), waiter);
            assert_eq!(place, Place(waiter));
            self.callers.insert(place, caller);
            place
        }

        /// Who is woken.
        fn leave(&mut self, place: Place) -> Option<Place> {
            let caller = self.callers.remove(&place).unwrap();
            self.lanes.leave(&lane(caller), place).copied().map(Place)
        }

        /// Serves the one in front, and tells whose it was.
        fn serve(&mut self) -> Option<char> {
            let holder = self.lanes.holder()?;
            let caller = self.callers[&holder];
            let woken = self.leave(holder);
            assert_eq!(woken, self.lanes.holder(), "whoever holds the baton now is woken");
            Some(caller)
        }

        fn serve_some(&mut self, count: usize) -> String {
            (0..count).map_while(|_| self.serve()).collect()
        }

        fn serve_all(&mut self) -> String {
            self.serve_some(usize::MAX)
        }

        fn ahead(&self, place: Place) -> Option<u32> {
            self.lanes.ahead(&lane(self.callers[&place]), place)
        }
    }

    fn lane(caller: char) -> Arc<str> {
        caller.to_string().into()
    }

    fn count(served: &str, caller: char) -> usize {
        served.chars().filter(|c| *c == caller).count()
    }

    #[test]
    fn lanes_take_turns_by_their_weights() {
        const ROWS: &[(&str, [u32; 3], &str)] = &[
            ("a", [1, 1, 1], "a"),
            ("cba", [1, 1, 1], "cba"),
            ("aaabbc", [1, 1, 1], "abcaba"),
            ("abababab", [1, 1, 1], "abababab"),
            ("aabbcc", [2, 1, 1], "aabcbc"),
            ("aaaabbbbbb", [1, 3, 1], "abbbabbbaa"),
            ("aaaaabbbbb", [2, 3, 1], "aabbbaabba"),
            ("aaab", [u32::MAX, 1, 1], "aaab"),
        ];
        for (callers, weights, order) in ROWS {
            let weight = |caller: char| weights["abc".find(caller).unwrap()];
            assert_eq!(Ring::of(callers, weight).serve_all(), *order, "{callers} {weights:?}");
        }
    }

    #[test]
    fn a_newcomer_starts_at_the_end_of_the_ring() {
        let mut ring = Ring::of("aaabb", |_| 1);
        assert_eq!(ring.serve_some(1), "a");
        ring.enter('c', 1);
        assert_eq!(ring.serve_all(), "bacba");
    }

    #[test]
    fn an_empty_lane_forgets_the_rest_of_its_turn() {
        let mut ring = Ring::of("abbbbb", |caller| if caller == 'a' { 3 } else { 1 });
        assert_eq!(ring.serve_some(1), "a");
        for _ in 0..5 {
            ring.enter('a', 3);
        }
        assert_eq!(ring.serve_all(), "baaabaabbb");
    }

    #[test]
    fn a_new_weight_counts_from_the_next_turn_on() {
        let mut ring = Ring::of("aaabb", |_| 1);
        ring.enter('a', 2);
        assert_eq!(ring.serve_all(), "abaaba");
    }

    #[test]
    fn two_hundred_of_one_caller_delay_another_by_one_slot() {
        let mut greedy = Ring::of(&"a".repeat(200), |_| 1);
        while !greedy.lanes.is_empty() {
            let mut ring = greedy.clone();
            let first = ring.enter('b', 1);
            assert_eq!(ring.ahead(first), Some(1));
            assert_eq!(ring.serve_some(2), "ab");
            greedy.serve();
        }
    }

    #[test]
    fn equal_callers_are_served_equally_however_many_they_send() {
        let callers: Vec<char> = ('a'..='j').collect();
        let mut ring = Ring::default();
        let mut served = String::new();
        for slot in 0..500_usize {
            // Each keeps a few waiting, and the later ones send more and more of them.
            for (index, caller) in callers.iter().enumerate() {
                let some = if slot == 0 { 3 + index } else { usize::from(slot % 10 <= index) };
                for _ in 0..some {
                    ring.enter(*caller, 1);
                }
            }
            served.extend(ring.serve());
        }
        let shares = callers.iter().map(|caller| count(&served, *caller) as f64);
        let (sum, squares) = shares.fold((0.0_f64, 0.0_f64), |(sum, of), x| (sum + x, of + x * x));
        let jain = sum * sum / (squares * callers.len() as f64);
        assert!(jain >= 0.99, "{jain}");
    }

    #[test]
    fn a_weight_of_three_gets_three_times_as_much() {
        let weight = |caller: char| if caller == 'b' { 3 } else { 1 };
        let mut ring = Ring::of(&"ab".repeat(100), weight);
        let served = ring.serve_some(80);
        assert_eq!((count(&served, 'a'), count(&served, 'b')), (20, 60));
    }

    #[test]
    fn who_leaves_from_the_middle_wakes_nobody_and_keeps_the_order() {
        let mut ring = Ring::default();
        let places: Vec<Place> = "aaabbc".chars().map(|caller| ring.enter(caller, 1)).collect();
        assert_eq!(ring.leave(places[1]), None);
        assert_eq!(ring.leave(places[5]), None, "the last of its lane");
        assert_eq!(ring.lanes.holder(), Some(places[0]));
        assert_eq!(ring.serve_all(), "abab");
    }

    #[test]
    fn a_place_that_is_not_there_changes_nothing() {
        let mut ring = Ring::of("ab", |_| 1);
        let before = ring.lanes.clone();
        for (caller, place) in [('a', Place(1)), ('b', Place(7)), ('c', Place(0))] {
            assert_eq!(ring.lanes.leave(&lane(caller), place), None);
            assert_eq!(ring.lanes.ahead(&lane(caller), place), None);
        }
        assert_eq!(ring.lanes, before);
    }

    /// The textbook's round robin: runs over all lanes, again and again.
    #[derive(Clone, Debug, Default)]
    struct Model(Vec<ModelLane>);

    #[derive(Clone, Debug)]
    struct ModelLane {
        caller: char,
        weight: u32,
        /// Of the turn that is on; only the first lane has one.
        left: u32,
        places: Vec<Place>,
    }

    impl Model {
        fn enter(&mut self, caller: char, weight: u32, place: Place) {
            match self.0.iter_mut().find(|lane| lane.caller == caller) {
                Some(lane) => {
                    lane.weight = weight;
                    lane.places.push(place);
                }
                None => self.0.push(ModelLane { caller, weight, left: 0, places: vec![place] }),
            }
            self.begin_turn();
        }

        fn leave(&mut self, place: Place) {
            let held = self.order().first() == Some(&place);
            for lane in &mut self.0 {
                lane.places.retain(|other| *other != place);
            }
            if held {
                self.0[0].left -= 1;
                if self.0[0].left == 0 {
                    self.0.rotate_left(1);
                }
            }
            self.0.retain(|lane| !lane.places.is_empty());
            self.begin_turn();
        }

        fn begin_turn(&mut self) {
            if let Some(first) = self.0.first_mut().filter(|lane| lane.left == 0) {
                first.left = first.weight;
            }
        }

        /// In which order all are served.
        fn order(&self) -> Vec<Place> {
            let mut lanes = self.0.clone();
            let mut order = Vec::new();
            while lanes.iter().any(|lane| !lane.places.is_empty()) {
                for lane in &mut lanes {
                    let turn = if lane.left > 0 { lane.left } else { lane.weight };
                    lane.left = 0;
                    let served = lane.places.len().min(turn as usize);
                    order.extend(lane.places.drain(..served));
                }
            }
            order
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Enter { caller: char, weight: u32 },
        Leave { which: usize },
        Serve,
    }

    fn step() -> impl Strategy<Value = Step> {
        let caller = prop::sample::select(vec!['a', 'b', 'c', 'd']);
        prop_oneof![
            6 => (caller, 1..5_u32).prop_map(|(caller, weight)| Step::Enter { caller, weight }),
            2 => any::<usize>().prop_map(|which| Step::Leave { which }),
            3 => Just(Step::Serve),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn lanes_do_what_their_model_does(steps in vec(step(), 1..60)) {
            let (mut ring, mut model) = (Ring::default(), Model::default());
            for step in steps {
                let before = ring.lanes.holder();
                let leaves = match step {
                    Step::Enter { caller, weight } => {
                        model.enter(caller, weight, ring.enter(caller, weight));
                        prop_assert!(before.is_none() || ring.lanes.holder() == before);
                        None
                    }
                    Step::Leave { which } => {
                        let inside = ring.callers.len().max(1);
                        ring.callers.keys().nth(which % inside).copied()
                    }
                    Step::Serve => before,
                };
                if let Some(place) = leaves {
                    let woken = ring.leave(place);
                    model.leave(place);
                    let held = before == Some(place);
                    prop_assert_eq!(woken, ring.lanes.holder().filter(|_| held));
                    prop_assert!(held || ring.lanes.holder() == before);
                }

                let order = model.order();
                prop_assert_eq!(order.len(), ring.callers.len());
                prop_assert_eq!(ring.lanes.is_empty(), order.is_empty());
                prop_assert_eq!(ring.lanes.holder(), order.first().copied());
                for (ahead, place) in (0..).zip(&order) {
                    prop_assert_eq!(ring.ahead(*place), Some(ahead));
                }
            }
            let callers = ring.callers.clone();
            let order: String = model.order().iter().map(|place| callers[place]).collect();
            prop_assert_eq!(ring.serve_all(), order);
        }
    }
}
