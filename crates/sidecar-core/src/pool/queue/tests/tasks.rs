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
