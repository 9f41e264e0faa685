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
