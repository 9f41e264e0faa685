use super::*;

#[test]
fn every_key_has_a_baton_of_its_own() {
    let queue = Queue::default();
    let pinned = QueueKey { pinned: Some("p".into()), ..key("m") };
    let family = QueueKey { family: Family::Anthropic, ..key("m") };
    let unnamed = QueueKey { model: None, ..key("m") };
    let pairs = [key("m"), key("n"), pinned, family, unnamed].map(|key| {
        [(), ()]
            .map(|()| queue.enter(key.clone(), &caller("a"), NonZeroU32::MIN, 0, ROOMY).unwrap())
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
    let (first, middle, mut last) = (enter(&queue, "a"), enter(&queue, "a"), enter(&queue, "a"));
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
