//! What the two shapes and the layer promise.

mod crash;
mod estimate;
mod lease;
mod offer;

use std::future::pending;
use std::num::NonZeroU32;
use std::time::Duration;

use http::Response;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use tokio::time::advance;
use tower::{Layer, Service, ServiceExt, service_fn};

use super::window::WINDOW;
use super::*;
use crate::clock::{Clock, Instant};
use crate::error::{AttemptError, BoxError, RejectReason, Rejected};
use crate::verdict::{Class, Verdict};

type Answer = Result<Response<()>, BoxError>;

const START: Instant = Instant::from_nanos(86_400_000_000_000);
const MINUTE: Duration = Duration::from_secs(60);
const NANO: Duration = Duration::from_nanos(1);

fn n(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

fn at(seconds: u64) -> Instant {
    START + Duration::from_secs(seconds)
}

/// Takes as many slots as there are at `now`, at most 1000.
fn drain(limiter: &Limiter, now: Instant) -> usize {
    (0..1_000).take_while(|_| limiter.admit(now).is_ok()).count()
}

// The window.

#[test]
fn a_window_admits_its_limit_at_once_and_no_more_for_a_minute() {
    let limiter = Limiter::window(n(5));
    assert_eq!(drain(&limiter, at(0)), 5);
    assert_eq!(limiter.admit(at(1)), Err(at(0) + WINDOW));
    assert_eq!(drain(&limiter, at(60)), 0, "sends 60 s apart here may be less apart there");
    assert_eq!(drain(&limiter, at(0) + WINDOW), 5);
}

#[test]
fn a_window_frees_a_slot_as_each_send_leaves_it() {
    let limiter = Limiter::window(n(3));
    for second in [0, 10, 20] {
        let _ = limiter.admit(at(second)).unwrap();
    }
    assert_eq!(limiter.ready_at(at(30)), Some(at(0) + WINDOW));
    assert_eq!(drain(&limiter, at(0) + WINDOW), 1);
    assert_eq!(limiter.ready_at(at(61)), Some(at(10) + WINDOW));
}

#[test]
fn a_lowered_limit_waits_for_enough_sends_to_leave() {
    let limiter = Limiter::window(n(4));
    for second in [0, 10, 20, 30] {
        let _ = limiter.admit(at(second)).unwrap();
    }
    limiter.configure(n(2), None, at(31));
    assert_eq!(limiter.ready_at(at(31)), Some(at(20) + WINDOW));
    assert!(limiter.admit(at(10) + WINDOW).is_err());
    assert_eq!(drain(&limiter, at(20) + WINDOW), 1);
}

#[test]
fn a_raised_limit_counts_at_once() {
    let limiter = Limiter::window(n(2));
    assert_eq!(drain(&limiter, at(0)), 2);
    limiter.configure(n(5), None, at(1));
    assert_eq!(limiter.rpm(), n(5));
    assert_eq!(drain(&limiter, at(1)), 3);
}

// The smooth shape.

#[test]
fn a_smooth_limit_admits_its_burst_at_once_and_spaces_the_others() {
    let limiter = Limiter::smooth(n(10), n(4));
    assert_eq!(drain(&limiter, at(0)), 4);
    // The six others, evenly over the minute.
    let mut now = at(0);
    for _ in 0..6 {
        let next = limiter.ready_at(now).unwrap();
        assert_eq!(next - now, WINDOW / 6);
        assert_eq!(drain(&limiter, next), 1);
        now = next;
    }
}

#[test]
fn a_burst_of_one_is_even_spacing() {
    let limiter = Limiter::smooth(n(40), n(1));
    assert_eq!(drain(&limiter, at(0)), 1);
    assert_eq!(limiter.ready_at(at(0)), Some(at(0) + WINDOW / 39));
}

#[test]
fn a_burst_is_cut_to_the_limit() {
    let limiter = Limiter::smooth(n(3), n(100));
    assert_eq!(drain(&limiter, at(0)), 3);
    assert_eq!(drain(&limiter, at(60)), 0);
    assert_eq!(limiter.rpm(), n(3));
}

// Both.

#[test]
fn a_slot_given_back_is_free_again() {
    for limiter in [Limiter::window(n(2)), Limiter::smooth(n(3), n(2))] {
        let _ = limiter.admit(at(0)).unwrap();
        let unsent = limiter.admit(at(1)).unwrap();
        assert!(limiter.admit(at(1)).is_err());
        limiter.give_back(unsent);
        assert_eq!(limiter.ready_at(at(1)), None);
        assert_eq!(drain(&limiter, at(1)), 1);
    }
}

#[test]
fn clones_share_the_limit() {
    for limiter in [Limiter::window(n(2)), Limiter::smooth(n(3), n(2))] {
        let clone = limiter.clone();
        let _ = clone.admit(at(0)).unwrap();
        assert_eq!(drain(&limiter, at(0)), 1);
        assert_eq!(drain(&clone, at(0)), 0);
    }
}

#[test]
fn headroom_is_the_free_share() {
    let limiter = Limiter::window(n(4));
    assert_eq!(limiter.headroom(at(0)), 1.0);
    let _ = limiter.admit(at(0)).unwrap();
    assert_eq!(limiter.headroom(at(0)), 0.75);
    drain(&limiter, at(1));
    assert_eq!(limiter.headroom(at(2)), 0.0);
    limiter.configure(n(2), None, at(2));
    assert_eq!(limiter.headroom(at(2)), 0.0);
    assert_eq!(limiter.headroom(at(1) + WINDOW), 1.0);
}

#[test]
fn a_change_of_shape_keeps_the_last_minute() {
    let limiter = Limiter::window(n(5));
    assert_eq!(drain(&limiter, at(0)), 5);
    limiter.configure(n(5), Some(n(5)), at(1));
    assert_eq!(drain(&limiter, at(1)), 0);
    limiter.configure(n(5), None, at(2));
    assert_eq!(drain(&limiter, at(2)), 0);
    assert_eq!(drain(&limiter, at(59)), 0);
}

#[test]
fn a_smooth_limit_that_becomes_a_window_counts_all_of_the_last_minute() {
    let limiter = Limiter::smooth(n(10), n(5));
    let (mut now, mut sent) = (at(0), 0);
    while now < at(50) {
        sent += drain(&limiter, now);
        now = limiter.ready_at(now).unwrap();
    }
    assert_eq!(sent, 9, "five at once and one in each 12 s");
    limiter.configure(n(10), None, at(50));
    assert_eq!(drain(&limiter, at(50)), 1);
}

#[test]
fn a_new_smooth_limit_counts_all_of_the_last_minute() {
    let limiter = Limiter::smooth(n(60), n(1));
    let (mut now, mut sent) = (at(0), 0);
    while now < at(59) {
        sent += drain(&limiter, now);
        now = limiter.ready_at(now).unwrap();
    }
    limiter.configure(n(60), Some(n(30)), at(59));
    sent += drain(&limiter, at(59));
    assert!(sent <= 60, "{sent} in one minute");
}

#[derive(Clone, Debug)]
enum Step {
    Advance {
        millis: u64,
    },
    /// To the instant the limiter names; a nanosecond before it, nothing must be free.
    AdvanceToReady,
    Admit,
    /// One of the sends of the last seconds; 0 is the latest.
    GiveBack {
        which: usize,
    },
    Configure {
        rpm: u32,
        burst: Option<u32>,
    },
}

fn step(configure: impl Strategy<Value = Step> + 'static) -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..5_000_u64).prop_map(|millis| Step::Advance { millis }),
        2 => (0..40_000_u64).prop_map(|millis| Step::Advance { millis }),
        3 => Just(Step::AdvanceToReady),
        12 => Just(Step::Admit),
        2 => (0..4_usize).prop_map(|which| Step::GiveBack { which }),
        2 => configure,
    ]
}

/// A limiter under a random history, with every send that was not given back.
struct History {
    limiter: Limiter,
    rpm: u32,
    now: Instant,
    sent: Vec<(Slot, Instant)>,
}

impl History {
    fn new(rpm: u32, burst: Option<u32>) -> Self {
        let limiter = match burst {
            None => Limiter::window(n(rpm)),
            Some(burst) => Limiter::smooth(n(rpm), n(burst)),
        };
        Self { limiter, rpm, now: START, sent: Vec::new() }
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Advance { millis } => self.now = self.now + Duration::from_millis(millis),
            Step::AdvanceToReady => {
                if let Some(ready_at) = self.limiter.ready_at(self.now) {
                    prop_assert!(ready_at > self.now);
                    let before = ready_at.saturating_sub(NANO);
                    prop_assert_eq!(self.limiter.admit(before), Err(ready_at));
                    self.now = ready_at;
                    prop_assert_eq!(self.limiter.ready_at(ready_at), None);
                    self.admit()?;
                }
            }
            Step::Admit => self.admit()?,
            Step::GiveBack { which } => {
                let index = self.sent.len().checked_sub(which + 1);
                // A connection that fails does so within seconds.
                if let Some(index) = index
                    && self.now - self.sent[index].1 <= Duration::from_secs(10)
                {
                    self.limiter.give_back(self.sent.remove(index).0);
                }
            }
            Step::Configure { rpm, burst } => {
                self.rpm = rpm;
                self.limiter.configure(n(rpm), burst.map(n), self.now);
            }
        }
        Ok(())
    }

    fn admit(&mut self) -> Result<(), TestCaseError> {
        let ready_at = self.limiter.ready_at(self.now);
        match self.limiter.admit(self.now) {
            Ok(slot) => {
                prop_assert_eq!(ready_at, None);
                self.sent.push((slot, self.now));
                let in_a_minute = self.sent_within(MINUTE);
                prop_assert!(in_a_minute <= self.rpm as usize, "{} in a minute", in_a_minute);
            }
            Err(until) => prop_assert_eq!(ready_at, Some(until)),
        }
        Ok(())
    }

    /// How many of the last `length`, its first instant included.
    fn sent_within(&self, length: Duration) -> usize {
        self.sent.iter().filter(|(_, sent_at)| self.now - *sent_at <= length).count()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_minute_of_a_window_holds_more_than_the_limit_in_force(
        rpm in 1..13_u32,
        steps in vec(
            step((1..13_u32).prop_map(|rpm| Step::Configure { rpm, burst: None })),
            1..120,
        ),
    ) {
        let mut history = History::new(rpm, None);
        for step in steps {
            history.step(step)?;
            // Nor is it stricter than it says.
            let used = history.sent_within(WINDOW - NANO);
            let free = history.limiter.ready_at(history.now).is_none();
            prop_assert_eq!(free, used < history.rpm as usize);
        }
    }

    #[test]
    fn no_minute_of_a_smooth_limit_holds_more_than_the_limit(
        rpm in 1..13_u32,
        burst in 1..15_u32,
        steps in vec(step(Just(Step::Admit)), 1..120),
    ) {
        let mut history = History::new(rpm, Some(burst));
        for step in steps {
            // Only the latest, at once: an older slot may have come back by itself.
            let undone = matches!(step, Step::GiveBack { .. });
            let just_taken = history.sent.last().is_some_and(|&(_, at)| at == history.now);
            match step {
                Step::GiveBack { .. } if just_taken => history.step(Step::GiveBack { which: 0 })?,
                step if !undone => history.step(step)?,
                _ => {}
            }
        }
    }

    #[test]
    fn no_minute_holds_more_than_the_limit_in_force_whatever_changes(
        rpm in 1..13_u32,
        burst in option::of(1..15_u32),
        steps in vec(
            step((1..13_u32, option::of(1..15_u32))
                .prop_map(|(rpm, burst)| Step::Configure { rpm, burst })),
            1..120,
        ),
    ) {
        let mut history = History::new(rpm, burst);
        for step in steps {
            history.step(step)?;
        }
    }
}

// The layer.

fn layer(limiter: &Limiter, clock: &Clock) -> RateLimitLayer {
    RateLimitLayer::new(limiter.clone(), clock.clone())
}

/// Whether a call that ends so keeps its slot, for either shape.
async fn keeps_its_slot(answer: fn() -> Answer) -> bool {
    let clock = Clock::simulated();
    let mut kept = Vec::new();
    for limiter in [Limiter::window(n(1)), Limiter::smooth(n(1), n(1))] {
        let service = layer(&limiter, &clock).layer(service_fn(move |()| async move { answer() }));
        let _ = service.oneshot(()).await;
        kept.push(limiter.ready_at(clock.now()).is_some());
    }
    assert_eq!(kept[0], kept[1]);
    kept[0]
}

fn attempt_error(sent: bool) -> BoxError {
    AttemptError::new(Verdict::of(Class::Transport), sent, None).into()
}

#[tokio::test(start_paused = true)]
async fn a_call_over_the_limit_is_refused_with_the_time_of_the_next_slot() {
    let (limiter, clock) = (Limiter::window(n(2)), Clock::simulated());
    let service = layer(&limiter, &clock).layer(service_fn(|()| async { Ok::<_, BoxError>(()) }));
    let start = clock.now();
    for _ in 0..2 {
        service.clone().oneshot(()).await.unwrap();
    }
    advance(Duration::from_secs(30)).await;
    let error = service.clone().oneshot(()).await.unwrap_err();
    let refusal = Rejected::new(RejectReason::RateLimited, Some(start + WINDOW));
    assert_eq!(error.downcast_ref::<Rejected>(), Some(&refusal));
    advance(WINDOW - Duration::from_secs(30)).await;
    service.oneshot(()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_refused_call_takes_nothing() {
    let (limiter, clock) = (Limiter::window(n(1)), Clock::simulated());
    let service = layer(&limiter, &clock).layer(service_fn(|()| async { Ok::<_, BoxError>(()) }));
    service.clone().oneshot(()).await.unwrap();
    for _ in 0..100 {
        advance(Duration::from_millis(600)).await;
        service.clone().oneshot(()).await.unwrap_err();
    }
    advance(Duration::from_millis(250)).await;
    service.oneshot(()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_keeps_its_slot_however_it_ends() {
    let answered: [fn() -> Answer; 4] = [
        || Ok(Response::new(())),
        || Ok(Response::builder().status(429).body(()).unwrap()),
        || Err(attempt_error(true)),
        // Of an error that says nothing, the worst is believed.
        || Err("reset".into()),
    ];
    for answer in answered {
        assert!(keeps_its_slot(answer).await);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_never_sent_gives_its_slot_back() {
    assert!(!keeps_its_slot(|| Err(attempt_error(false))).await);
    assert!(!keeps_its_slot(|| Err(Rejected::new(RejectReason::Cooling, None).into())).await);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_does_not_take_the_slot_along() {
    let (limiter, clock) = (Limiter::window(n(1)), Clock::simulated());
    let mut service = layer(&limiter, &clock).layer(service_fn(|()| pending::<Answer>()));
    let sent = service.ready().await.unwrap().call(());
    drop(sent);
    assert_eq!(limiter.ready_at(clock.now()), Some(clock.now() + WINDOW));
}

#[tokio::test(start_paused = true)]
async fn a_slot_is_taken_by_the_call_and_not_by_readiness() {
    let (limiter, clock) = (Limiter::window(n(1)), Clock::simulated());
    let mut service =
        layer(&limiter, &clock).layer(service_fn(|()| async { Ok::<_, BoxError>(()) }));
    for _ in 0..10 {
        ServiceExt::<()>::ready(&mut service).await.unwrap();
    }
    assert_eq!(limiter.headroom(clock.now()), 1.0);
    service.call(()).await.unwrap();
    assert_eq!(limiter.headroom(clock.now()), 0.0);
}

#[test]
fn a_refusal_under_the_stated_limit_teaches_the_real_one() {
    let limiter = Limiter::window(NonZeroU32::new(48).unwrap());
    let at = |seconds| Instant::from_nanos(86_400_000_000_000) + Duration::from_secs(seconds);
    for _ in 0..48 {
        let _ = limiter.admit(at(0)).unwrap();
    }
    // A burst of refusals: the first of them tells the most.
    limiter.learn(at(0), at(1));
    assert_eq!(limiter.rpm().get(), 47);
    let limiter = Limiter::window(NonZeroU32::new(48).unwrap());
    for second in 0..41 {
        let _ = limiter.admit(at(second)).unwrap();
    }
    limiter.learn(at(40), at(41));
    assert_eq!(limiter.rpm().get(), 40);
    assert!(limiter.admit(at(42)).is_err());
    // The same limit stated again changes nothing, another one does.
    limiter.configure(NonZeroU32::new(48).unwrap(), None, at(43));
    assert_eq!(limiter.rpm().get(), 40);
    limiter.configure(NonZeroU32::new(50).unwrap(), None, at(44));
    assert_eq!(limiter.rpm().get(), 50);
}

#[test]
fn what_was_learned_creeps_back_and_an_early_refusal_teaches_nothing() {
    let limiter = Limiter::window(NonZeroU32::new(40).unwrap());
    let at = |seconds| Instant::from_nanos(86_400_000_000_000) + Duration::from_secs(seconds);
    for count in 1..=38 {
        let _ = limiter.admit(at(0)).unwrap();
        if count <= 20 {
            limiter.learn(at(0), at(0));
            assert_eq!(limiter.rpm().get(), 40);
        }
    }
    limiter.learn(at(0), at(0));
    assert_eq!(limiter.rpm().get(), 37);
    for hour in 1..=3 {
        let _ = limiter.admit(at(hour * 3_600)).unwrap();
    }
    assert_eq!(limiter.rpm().get(), 40);
}
