//! What the queue promises: bounds, one baton for each key, and that none is ever lost.

use std::cell::Cell;
use std::collections::HashSet;
use std::future::pending;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use tokio::time::{sleep, timeout};

use super::lanes::Place;
use super::*;

const ROOMY: QueueLimits = QueueLimits { max_depth: 500, max_bytes: 1 << 20 };

fn key(model: &str) -> QueueKey {
    QueueKey { model: Some(model.into()), family: Family::OpenAi, pinned: None }
}

fn caller(name: &str) -> Caller {
    Caller(name.into())
}

/// A place under the key `m`, without a body.
fn enter(queue: &Queue, name: &str) -> Ticket {
    queue.enter(key("m"), &caller(name), NonZeroU32::MIN, 0, ROOMY).unwrap()
}

/// Asks once.
fn is_at_front(ticket: &mut Ticket) -> bool {
    pin!(ticket.front()).poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

fn holders(tickets: &[Ticket]) -> Vec<usize> {
    (0..tickets.len()).filter(|index| tickets[*index].holds_baton()).collect()
}

/// A waker that knows whether it was used.
#[derive(Debug, Default)]
struct Woken(AtomicBool);

impl Woken {
    fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    fn take(&self) -> bool {
        self.0.swap(false, Ordering::AcqRel)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

mod bounds {
    use super::*;

    #[test]
    fn the_501st_is_refused_until_a_place_is_given_back() {
        let queue = Queue::default();
        let mut tickets: Vec<Ticket> = (0..500).map(|_| enter(&queue, "a")).collect();
        let one_more = || queue.enter(key("n"), &caller("b"), NonZeroU32::MIN, 0, ROOMY);
        assert!(matches!(one_more(), Err(Error::QueueFull)), "all keys count together");
        assert_eq!(queue.depth(), 500);
        assert!(!queue.has_waiters(&key("n")), "a refused one leaves nothing behind");
        tickets.swap_remove(250).leave();
        let _last = one_more().unwrap();
        assert!(matches!(one_more(), Err(Error::QueueFull)));
    }

    #[test]
    fn bytes_are_bounded_and_given_back() {
        let queue = Queue::default();
        let limits = QueueLimits { max_depth: 10, max_bytes: 100 };
        let sized =
            |model, bytes| queue.enter(key(model), &caller("a"), NonZeroU32::MIN, bytes, limits);
        let large = sized("m", 60).unwrap();
        let _small = sized("n", 40).unwrap();
        assert!(matches!(sized("m", 1), Err(Error::QueueFull)));
        assert!(matches!(sized("m", usize::MAX), Err(Error::QueueFull)));
        let _empty = sized("m", 0).unwrap();
        assert_eq!((queue.depth(), queue.bytes()), (3, 100));
        drop(large);
        assert_eq!((queue.depth(), queue.bytes()), (2, 40));
        let _fits = sized("m", 60).unwrap();
    }

    #[test]
    fn a_limit_of_none_lets_nobody_wait() {
        let none = QueueLimits { max_depth: 0, ..ROOMY };
        let refused = Queue::default().enter(key("m"), &caller("a"), NonZeroU32::MIN, 0, none);
        assert!(matches!(refused, Err(Error::QueueFull)));
    }

    #[test]
    fn nothing_is_left_of_a_key_that_nobody_waits_under() {
        let queue = Queue::default();
        let (first, second) = (enter(&queue, "a"), enter(&queue, "b"));
        assert!(queue.has_waiters(&key("m")));
        assert!(!queue.has_waiters(&key("n")));
        drop((first, second));
        assert!(!queue.has_waiters(&key("m")));
        assert!(queue.waiting().keys.is_empty());
    }
}

mod baton {
    use super::*;

    #[test]
    fn every_key_has_a_baton_of_its_own() {
        let queue = Queue::default();
        let pinned = QueueKey { pinned: Some("p".into()), ..key("m") };
        let family = QueueKey { family: Family::Anthropic, ..key("m") };
        let unnamed = QueueKey { model: None, ..key("m") };
        let pairs = [key("m"), key("n"), pinned, family, unnamed].map(|key| {
            [(), ()].map(|()| {
                queue.enter(key.clone(), &caller("a"), NonZeroU32::MIN, 0, ROOMY).unwrap()
            })
        });
        for pair in &pairs {
            assert_eq!(holders(pair), [0]);
        }
    }

    #[test]
    fn it_stays_where_it_is_while_others_come_and_go() {
        let queue = Queue::default();
        let mut first = enter(&queue, "a");
        assert!(is_at_front(&mut first));
        let mut second = enter(&queue, "b");
        assert!(!is_at_front(&mut second));
        drop(second);
        drop(enter(&queue, "a"));
        assert!(is_at_front(&mut first), "it may ask again");
    }

    #[test]
    fn it_passes_on_when_its_holder_leaves() {
        let queue = Queue::default();
        let (first, mut second) = (enter(&queue, "a"), enter(&queue, "a"));
        assert!(!is_at_front(&mut second));
        drop(first);
        assert!(is_at_front(&mut second));
    }

    #[test]
    fn it_passes_over_one_who_left_from_the_middle() {
        let queue = Queue::default();
        let (first, middle, mut last) =
            (enter(&queue, "a"), enter(&queue, "a"), enter(&queue, "a"));
        assert_eq!([first.ahead(), middle.ahead(), last.ahead()], [0, 1, 2]);
        drop(middle);
        assert_eq!(last.ahead(), 1);
        first.leave();
        assert!(is_at_front(&mut last));
    }

    #[test]
    fn one_who_was_woken_and_left_before_it_looked_passes_it_on() {
        let queue = Queue::default();
        let (first, mut second, mut third) =
            (enter(&queue, "a"), enter(&queue, "b"), enter(&queue, "c"));
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        {
            let mut front = pin!(second.front());
            assert!(front.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            first.leave();
            assert!(woken.is_set());
        }
        assert!(second.holds_baton(), "it has only dropped the future");
        drop(second);
        assert!(is_at_front(&mut third));
    }

    #[test]
    fn a_hundred_wait_and_fifty_vanish_and_the_others_keep_their_order() {
        let queue = Queue::default();
        let all = (0..100).map(|n| (n, enter(&queue, if n % 3 == 0 { "a" } else { "b" })));
        let mut all: Vec<(usize, Ticket)> = all.collect();
        all.retain(|(n, _)| n % 2 == 1);
        all.sort_by_key(|(_, ticket)| ticket.ahead());
        assert_eq!((all.len(), queue.depth()), (50, 50));
        let mut last_of = [0, 0];
        for (n, mut ticket) in all {
            assert!(is_at_front(&mut ticket));
            let last = &mut last_of[usize::from(n % 3 == 0)];
            assert!(*last < n, "a lane is served in order");
            *last = n;
        }
        assert_eq!(queue.depth(), 0);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Enter { model: &'static str, name: &'static str, weight: u32, bytes: usize },
        Leave { which: usize },
    }

    fn step() -> impl Strategy<Value = Step> {
        let enter = (
            prop::sample::select(vec!["m", "n", "o"]),
            prop::sample::select(vec!["a", "b", "c"]),
            1..4_u32,
            0..50_usize,
        );
        prop_oneof![
            3 => enter.prop_map(|(model, name, weight, bytes)| {
                Step::Enter { model, name, weight, bytes }
            }),
            2 => any::<usize>().prop_map(|which| Step::Leave { which }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn places_and_bytes_add_up_and_every_key_has_one_holder(steps in vec(step(), 1..60)) {
            let queue = Queue::default();
            let limits = QueueLimits { max_depth: 8, max_bytes: 150 };
            let mut tickets: Vec<Ticket> = Vec::new();
            let bytes_of = |tickets: &[Ticket]| tickets.iter().map(|t| t.bytes).sum::<usize>();
            for step in steps {
                match step {
                    Step::Enter { model, name, weight, bytes } => {
                        let weight = NonZeroU32::new(weight).unwrap();
                        let fits = tickets.len() < 8 && bytes_of(&tickets) + bytes <= 150;
                        let ticket = queue.enter(key(model), &caller(name), weight, bytes, limits);
                        prop_assert_eq!(ticket.is_ok(), fits);
                        tickets.extend(ticket);
                    }
                    Step::Leave { which } if !tickets.is_empty() => {
                        tickets.remove(which % tickets.len()).leave();
                    }
                    Step::Leave { .. } => {}
                }
                prop_assert_eq!(queue.depth() as usize, tickets.len());
                prop_assert_eq!(queue.bytes(), bytes_of(&tickets));
                for model in ["m", "n", "o"] {
                    let waiting = tickets.iter().filter(|ticket| ticket.key == key(model));
                    let (mut places, mut holders) = (Vec::new(), 0);
                    for ticket in waiting {
                        places.push(ticket.ahead());
                        holders += usize::from(ticket.holds_baton());
                        prop_assert_eq!(ticket.holds_baton(), ticket.ahead() == 0);
                    }
                    places.sort_unstable();
                    prop_assert_eq!(holders, places.len().min(1));
                    prop_assert_eq!(queue.has_waiters(&key(model)), !places.is_empty());
                    prop_assert!((0..).zip(&places).all(|(ahead, place)| ahead == *place));
                }
            }
        }
    }
}

/// Every order in which four tickets can do what tickets do.
mod interleavings {
    use super::*;

    const TICKETS: usize = 4;

    /// What a ticket's task does next. Each step is atomic in the code, because it is one stretch
    /// under the lock or one call of its `Notify`; between two of them anybody else may do theirs.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    enum At {
        Outside,
        /// About to look whether it holds the baton.
        Look,
        /// It looked, and is about to listen.
        Listen,
        /// Asleep until it is woken.
        Asleep,
        /// `front` has returned.
        Front,
        /// It has left, and is about to wake another.
        Wake(usize),
        Gone,
    }

    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
    struct World {
        lanes: Lanes<usize>,
        at: [At; TICKETS],
        places: [Option<Place>; TICKETS],
        /// Wake-ups that were sent and not received.
        woken: [bool; TICKETS],
    }

    struct Plan {
        /// Which lane each ticket enters.
        lanes: [usize; TICKETS],
        callers: [Arc<str>; TICKETS],
        weight: NonZeroU32,
        /// The classic fault, to see that it would be found: a ticket that leaves without having
        /// seen that it holds the baton wakes nobody.
        forgets: bool,
    }

    impl Plan {
        fn new(lanes: [usize; TICKETS], weight: u32, forgets: bool) -> Self {
            let callers = ["a", "b", "c", "d"].map(Arc::from);
            Self { lanes, callers, weight: NonZeroU32::new(weight).unwrap(), forgets }
        }

        /// How many worlds can be reached, all of them sound.
        fn explore(&self) -> Result<usize, String> {
            let start = World {
                lanes: Lanes::default(),
                at: [At::Outside; TICKETS],
                places: [None; TICKETS],
                woken: [false; TICKETS],
            };
            let mut seen = HashSet::from([start.clone()]);
            let mut open = vec![start];
            while let Some(world) = open.pop() {
                world.check().map_err(|what| format!("{what}: {world:?}"))?;
                for who in 0..TICKETS {
                    for next in self.steps(&world, who) {
                        let moved = world.holder() != next.holder();
                        if moved && world.holder().is_some_and(|holder| holder != who) {
                            return Err(format!("the baton was taken away: {world:?}"));
                        }
                        if seen.insert(next.clone()) {
                            open.push(next);
                        }
                    }
                }
            }
            Ok(seen.len())
        }

        /// All that ticket `who` may do next.
        fn steps(&self, world: &World, who: usize) -> Vec<World> {
            let go = |to: At| {
                let mut next = world.clone();
                next.at[who] = to;
                next
            };
            let receive = |to: At| {
                let mut next = go(to);
                next.woken[who] = false;
                next
            };
            match world.at[who] {
                // Tickets are alike, so they may as well enter in the order of their numbers.
                At::Outside if who > 0 && world.at[who - 1] == At::Outside => Vec::new(),
                At::Outside => {
                    let mut next = go(At::Look);
                    let caller = &self.callers[self.lanes[who]];
                    next.places[who] = Some(next.lanes.enter(caller, self.weight, who));
                    vec![next]
                }
                At::Look if world.holder() == Some(who) => {
                    vec![go(At::Front), self.leave(world, who)]
                }
                At::Look => vec![go(At::Listen), self.leave(world, who)],
                At::Listen if world.woken[who] => vec![receive(At::Look)],
                At::Listen => vec![go(At::Asleep)],
                // It wakes up, or drops the future and asks again, or leaves. A wake-up that was
                // not received before the future was dropped is kept.
                At::Asleep if world.woken[who] => {
                    vec![receive(At::Look), go(At::Look), self.leave(world, who)]
                }
                At::Asleep => vec![go(At::Look), self.leave(world, who)],
                At::Front => vec![self.leave(world, who)],
                At::Wake(other) => {
                    let mut next = go(At::Gone);
                    next.woken[other] = true;
                    vec![next]
                }
                At::Gone => Vec::new(),
            }
        }

        fn leave(&self, world: &World, who: usize) -> World {
            let mut next = world.clone();
            let place = world.places[who].unwrap();
            let woken = next.lanes.leave(&self.callers[self.lanes[who]], place).copied();
            let woken = woken.filter(|_| !self.forgets || world.at[who] == At::Front);
            next.at[who] = woken.map_or(At::Gone, At::Wake);
            next
        }
    }

    impl World {
        fn is_waiting(&self, who: usize) -> bool {
            matches!(self.at[who], At::Look | At::Listen | At::Asleep | At::Front)
        }

        fn holder(&self) -> Option<usize> {
            let holder = self.lanes.holder()?;
            (0..TICKETS).find(|who| self.is_waiting(*who) && self.places[*who] == Some(holder))
        }

        fn check(&self) -> Result<(), &'static str> {
            let anybody = (0..TICKETS).any(|who| self.is_waiting(who));
            if anybody == self.lanes.is_empty() {
                return Err("the lanes do not hold who waits");
            }
            let Some(holder) = self.holder() else {
                return if anybody { Err("nobody holds the baton") } else { Ok(()) };
            };
            if (0..TICKETS).any(|who| self.at[who] == At::Front && who != holder) {
                return Err("two are in front");
            }
            let sleeps = matches!(self.at[holder], At::Listen | At::Asleep);
            if sleeps && !self.woken[holder] && !self.at.contains(&At::Wake(holder)) {
                return Err("the holder sleeps and nobody will wake it");
            }
            Ok(())
        }
    }

    /// Every way to spread the tickets over lanes that are alike.
    fn all_lanes() -> Vec<[usize; TICKETS]> {
        let mut all: Vec<Vec<usize>> = vec![vec![0]];
        for _ in 1..TICKETS {
            let longer = |lanes: &Vec<usize>| {
                let new = lanes.iter().max().map_or(0, |most| most + 1);
                let lanes = lanes.clone();
                (0..=new).map(move |lane| [lanes.as_slice(), &[lane]].concat())
            };
            all = all.iter().flat_map(longer).collect();
        }
        all.into_iter().map(|lanes| lanes.try_into().unwrap()).collect()
    }

    #[test]
    fn no_order_of_steps_loses_the_baton() {
        assert_eq!(all_lanes().len(), 15);
        for lanes in all_lanes() {
            for weight in [1, 2] {
                let worlds = Plan::new(lanes, weight, false).explore().unwrap();
                assert!(worlds > 500, "{lanes:?}: {worlds}");
            }
        }
    }

    #[test]
    fn the_search_finds_a_baton_that_is_lost() {
        for lanes in all_lanes() {
            let lost = Plan::new(lanes, 1, true).explore().unwrap_err();
            assert!(lost.starts_with("the holder sleeps"), "{lost}");
        }
    }

    /// A task with a ticket, asked by hand.
    #[derive(Default)]
    struct Actor {
        task: Option<Pin<Box<dyn Future<Output = ()>>>>,
        asked: bool,
        woken: Arc<Woken>,
        front: Rc<Cell<bool>>,
    }

    impl Actor {
        fn enter(&mut self, queue: &Queue, lane: &str) {
            let (mut ticket, front) = (enter(queue, lane), self.front.clone());
            self.task = Some(Box::pin(async move {
                ticket.front().await;
                front.set(true);
                pending::<()>().await;
            }));
        }

        fn ask(&mut self) {
            let waker = Waker::from(self.woken.clone());
            self.woken.take();
            self.asked = true;
            let task = self.task.as_mut().unwrap().as_mut();
            assert!(task.poll(&mut Context::from_waker(&waker)).is_pending());
        }

        fn is_in_front(&self) -> bool {
            self.task.is_some() && self.front.get()
        }

        /// Whether it is in front, or will look again by itself.
        fn is_awake(&self) -> bool {
            self.task.is_some() && (self.front.get() || self.woken.is_set() || !self.asked)
        }
    }

    /// Runs one schedule of the real queue: who does their next step, entering first, leaving
    /// last, being asked between.
    fn run(lanes: &[&str], steps_each: usize, schedule: &[usize]) {
        let queue = Queue::default();
        let mut actors: Vec<Actor> = lanes.iter().map(|_| Actor::default()).collect();
        let mut done = vec![0; lanes.len()];
        for who in schedule {
            let awake = actors.iter().filter(|actor| actor.woken.is_set()).count();
            let actor = &mut actors[*who];
            let was_woken = usize::from(actor.woken.take());
            done[*who] += 1;
            match done[*who] {
                1 => actor.enter(&queue, lanes[*who]),
                step if step == steps_each => actor.task = None,
                _ => actor.ask(),
            }
            let now_awake = actors.iter().filter(|actor| actor.woken.is_set()).count();
            let leaves = usize::from(done[*who] == steps_each);
            assert!(now_awake + was_woken <= awake + leaves, "a herd in {schedule:?}");
            let in_front = actors.iter().filter(|actor| actor.is_in_front()).count();
            assert!(in_front <= 1, "{schedule:?}");
            let waiting = actors.iter().any(|actor| actor.task.is_some());
            assert_eq!(waiting, actors.iter().any(Actor::is_awake), "{schedule:?}");
        }
        assert_eq!(queue.depth(), 0);
    }

    /// All schedules in which the tickets enter in the order of their numbers.
    fn schedules(
        left: &mut [usize],
        steps_each: usize,
        path: &mut Vec<usize>,
        visit: &mut dyn FnMut(&[usize]),
    ) -> usize {
        if left.iter().all(|left| *left == 0) {
            visit(path);
            return 1;
        }
        let mut count = 0;
        for who in 0..left.len() {
            let too_early = who > 0 && left[who - 1] == steps_each;
            if left[who] == 0 || too_early {
                continue;
            }
            left[who] -= 1;
            path.push(who);
            count += schedules(left, steps_each, path, visit);
            path.pop();
            left[who] += 1;
        }
        count
    }

    #[test]
    fn no_schedule_of_three_tickets_that_are_asked_twice_stalls() {
        for lanes in [["a", "a", "a"], ["a", "a", "b"], ["a", "b", "a"], ["a", "b", "c"]] {
            let run = &mut |schedule: &[usize]| run(&lanes, 4, schedule);
            assert_eq!(schedules(&mut [4; 3], 4, &mut Vec::new(), run), 34_650 / 6);
        }
    }

    #[test]
    fn no_schedule_of_four_tickets_stalls() {
        for lanes in [["a", "a", "b", "b"], ["a", "b", "a", "b"]] {
            let run = &mut |schedule: &[usize]| run(&lanes, 3, schedule);
            assert_eq!(schedules(&mut [3; 4], 3, &mut Vec::new(), run), 369_600 / 24);
        }
    }
}

mod tasks {
    use super::*;

    const NAMES: [&str; 4] = ["a", "b", "c", "d"];

    /// Steele's SplitMix64, so that every run is the same.
    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = self.0;
            let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (z ^ (z >> 31)) % bound
        }

        fn index(&mut self, len: usize) -> usize {
            self.below(len as u64) as usize
        }
    }

    /// How many are in front. Never two.
    #[derive(Clone, Default)]
    struct InFront(Arc<AtomicU32>);

    struct Here(InFront);

    impl InFront {
        fn step_up(&self) -> Here {
            assert_eq!(self.0.fetch_add(1, Ordering::AcqRel), 0, "two are in front");
            Here(self.clone())
        }
    }

    impl Drop for Here {
        fn drop(&mut self) {
            self.0.0.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Waits for its turn and then for the slot, as a request does.
    async fn take_slot(queue: Queue, name: &str, in_front: InFront, slot: Duration) {
        let mut ticket = queue.enter(key("m"), &caller(name), NonZeroU32::MIN, 10, ROOMY).unwrap();
        ticket.front().await;
        let here = in_front.step_up();
        sleep(slot).await;
        drop(here);
        ticket.leave();
    }

    #[tokio::test(start_paused = true)]
    async fn tickets_that_are_aborted_anywhere_leave_the_others_their_turns() {
        for seed in 0..20 {
            let (queue, in_front) = (Queue::default(), InFront::default());
            let (mut random, mut tasks, mut aborts) = (Random(seed), Vec::new(), 0);
            for _ in 0..100 {
                let slot = Duration::from_millis(random.below(20));
                let name = NAMES[random.index(NAMES.len())];
                tasks.push(tokio::spawn(take_slot(queue.clone(), name, in_front.clone(), slot)));
                if random.below(3) == 0 {
                    sleep(Duration::from_millis(random.below(10))).await;
                }
                if random.below(3) == 0 {
                    tasks[random.index(tasks.len())].abort();
                    aborts += 1;
                }
            }
            let all = async {
                let mut served = 0;
                for task in tasks {
                    match task.await {
                        Ok(()) => served += 1,
                        Err(error) => assert!(error.is_cancelled(), "{error}"),
                    }
                }
                served
            };
            // Far more than all slots together.
            let served = timeout(Duration::from_secs(5), all).await.unwrap();
            assert!(served + aborts >= 100, "seed {seed}: {served} served, {aborts} aborts");
            assert_eq!((queue.depth(), queue.bytes()), (0, 0));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_callers_are_served_by_turns() {
        let queue = Queue::default();
        let first = enter(&queue, "x");
        let served = Arc::new(Mutex::new(String::new()));
        let tasks: Vec<_> = ["a", "a", "a", "b", "b", "c"]
            .map(|name| {
                let (mut ticket, served) = (enter(&queue, name), served.clone());
                tokio::spawn(async move {
                    ticket.front().await;
                    served.lock().unwrap().push_str(name);
                })
            })
            .into();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(*served.lock().unwrap(), "");
        first.leave();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*served.lock().unwrap(), "abcaba");
    }

    #[tokio::test(start_paused = true)]
    async fn who_stops_waiting_for_a_moment_keeps_the_place() {
        let queue = Queue::default();
        let first = enter(&queue, "a");
        let (mut second, third) = (enter(&queue, "a"), enter(&queue, "a"));
        for _ in 0..3 {
            timeout(Duration::from_millis(10), second.front()).await.unwrap_err();
        }
        first.leave();
        timeout(Duration::from_millis(10), second.front()).await.unwrap();
        assert_eq!(third.ahead(), 1);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn threads_hand_the_baton_to_and_fro() {
        let (queue, in_front) = (Queue::default(), InFront::default());
        let tasks: Vec<_> = (0..16_usize)
            .map(|n| {
                let (queue, in_front) = (queue.clone(), in_front.clone());
                tokio::spawn(async move {
                    for round in 0..100 {
                        let mut ticket = enter(&queue, NAMES[n % NAMES.len()]);
                        tokio::task::yield_now().await;
                        // Some leave without ever having asked.
                        if (n + round) % 5 != 0 {
                            ticket.front().await;
                            let _here = in_front.step_up();
                            tokio::task::yield_now().await;
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            timeout(Duration::from_secs(60), task).await.unwrap().unwrap();
        }
        assert_eq!(queue.depth(), 0);
    }
}
