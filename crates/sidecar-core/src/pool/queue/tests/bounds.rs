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
