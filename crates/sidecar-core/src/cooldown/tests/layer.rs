//! The layer over a service.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Request, Response};
use tokio::time::{advance, timeout};
use tower::{Layer, Service, ServiceExt, service_fn};

use super::*;
use crate::call::Caller;
use crate::clock::Clock;
use crate::cooldown::CooldownLayer;
use crate::error::{AttemptError, BoxError, RejectReason, Rejected};

type Answer = Result<Response<()>, BoxError>;

/// What [`crate::first_byte::FirstByte`] makes of an answer.
fn judged(verdict: Verdict) -> Response<()> {
    let mut response = Response::new(());
    response.extensions_mut().insert(verdict);
    response
}

fn request() -> Request<()> {
    Request::new(())
}

fn rig() -> (CellSet, Clock, CooldownLayer) {
    let (cells, clock) = (CellSet::new(CooldownPolicy::default()), Clock::simulated());
    let layer = CooldownLayer::new(cells.clone(), clock.clone());
    (cells, clock, layer)
}

fn rejected(answer: Answer) -> Rejected {
    *answer.unwrap_err().downcast_ref::<Rejected>().unwrap()
}

/// Rests the quota cell for 30 s and lets the time pass.
async fn past_a_rest(cells: &CellSet, clock: &Clock) {
    trip(&cells.quota, Class::RateLimited, clock.now());
    advance(secs(31)).await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_call_says_when_to_ask_again_and_is_not_sent() {
    let (_, clock, layer) = rig();
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = sent.clone();
    let service = layer.layer(service_fn(move |_: Request<()>| {
        counter.fetch_add(1, Ordering::Relaxed);
        async { Ok::<_, BoxError>(judged(Verdict::of(Class::RateLimited))) }
    }));
    let start = clock.now();
    service.clone().oneshot(request()).await.unwrap();
    advance(secs(10)).await;
    let refusal = rejected(service.clone().oneshot(request()).await);
    assert_eq!(refusal.reason, RejectReason::Cooling);
    // 30 s and up to a tenth of jitter.
    let wait = refusal.ready_at.unwrap() - start;
    assert!(wait >= secs(30) && wait <= secs(33) + ROUNDING, "{wait:?}");
    assert_eq!(sent.load(Ordering::Relaxed), 1);
    advance(secs(24)).await;
    service.oneshot(request()).await.unwrap();
    assert_eq!(sent.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_burst_through_the_layer_is_one_strike() {
    let (cells, clock, layer) = rig();
    let mut service = layer.layer(service_fn(|_: Request<()>| async {
        Ok::<_, BoxError>(judged(Verdict::of(Class::RateLimited)))
    }));
    let mut sent = Vec::new();
    for _ in 0..50 {
        sent.push(service.ready().await.unwrap().call(request()));
    }
    for answer in sent {
        answer.await.unwrap();
    }
    assert_eq!(level(&cells.quota, clock.now()), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_gives_the_probe_back() {
    let (cells, clock, layer) = rig();
    let mut service = layer.layer(service_fn(|_: Request<()>| pending::<Answer>()));
    past_a_rest(&cells, &clock).await;
    let probe = service.ready().await.unwrap().call(request());
    assert_eq!(rejected(service.clone().oneshot(request()).await).reason, RejectReason::Cooling);
    drop(probe);
    advance(Duration::from_millis(1)).await;
    assert_eq!(level(&cells.quota, clock.now()), 1);
    assert!(admitted(&cells.quota, clock.now()).is_probe());
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_hangs_is_given_up_after_its_lease() {
    let (cells, clock, layer) = rig();
    let mut service =
        layer.probe_lease(secs(10)).layer(service_fn(|_: Request<()>| pending::<Answer>()));
    past_a_rest(&cells, &clock).await;
    let _hanging = service.ready().await.unwrap().call(request());
    advance(secs(9)).await;
    rejected(service.clone().oneshot(request()).await);
    advance(secs(2)).await;
    let next = timeout(secs(1), service.clone().oneshot(request())).await;
    assert!(next.is_err(), "it was let through, and hangs too");
}

#[tokio::test(start_paused = true)]
async fn a_probe_refused_further_in_is_given_back_uncounted() {
    let (cells, clock, layer) = rig();
    let service = layer.layer(service_fn(|_: Request<()>| async {
        Err::<Response<()>, BoxError>(Rejected::new(RejectReason::RateLimited, None).into())
    }));
    past_a_rest(&cells, &clock).await;
    for _ in 0..10 {
        let refusal = rejected(service.clone().oneshot(request()).await);
        assert_eq!(refusal.reason, RejectReason::RateLimited);
        advance(Duration::from_millis(1)).await;
    }
    assert_eq!(level(&cells.quota, clock.now()), 1);
    assert!(admitted(&cells.quota, clock.now()).is_probe());
}

#[tokio::test(start_paused = true)]
async fn a_good_probe_closes_the_cell_by_way_of_the_ramp() {
    let (cells, clock, layer) = rig();
    let service = layer
        .layer(service_fn(|_: Request<()>| async { Ok::<_, BoxError>(judged(Verdict::ACCEPT)) }));
    past_a_rest(&cells, &clock).await;
    service.clone().oneshot(request()).await.unwrap();
    advance(Duration::from_millis(1)).await;
    service.clone().oneshot(request()).await.unwrap();
    rejected(service.clone().oneshot(request()).await);
    advance(secs(20)).await;
    for _ in 0..100 {
        service.clone().oneshot(request()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn the_verdict_of_an_error_is_charged() {
    let (cells, clock, layer) = rig();
    let service = layer.layer(service_fn(|_: Request<()>| async {
        let error = AttemptError::new(Verdict::of(Class::Overloaded), true, None);
        Err::<Response<()>, BoxError>(error.into())
    }));
    service.oneshot(request()).await.unwrap_err();
    assert_eq!(level(&cells.endpoint, clock.now()), 1);
    assert_eq!(level(&cells.quota, clock.now()), 0);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_a_foreign_service_is_a_fault_of_the_way() {
    let (_, _, layer) = rig();
    let service = layer.layer(service_fn(|_: Request<()>| async {
        Err::<Response<()>, BoxError>("reset".into())
    }));
    for _ in 0..5 {
        let error = service.clone().oneshot(request()).await.unwrap_err();
        assert!(!error.is::<Rejected>());
    }
    rejected(service.oneshot(request()).await);
}

/// A request of somebody with this name.
fn request_of(name: &str) -> Request<()> {
    let mut request = request();
    request.extensions_mut().insert(Caller(name.into()));
    request
}

#[tokio::test(start_paused = true)]
async fn one_caller_alone_closes_nothing_to_the_others() {
    let (cells, clock, layer) = rig();
    let service = layer.layer(service_fn(|request: Request<()>| async move {
        match request.extensions().get::<Caller>() {
            Some(caller) if &*caller.0 == "huge" => {
                let error = AttemptError::new(Verdict::timeout(), true, None);
                Err::<_, BoxError>(error.into())
            }
            _ => Ok(judged(Verdict::ACCEPT)),
        }
    }));
    // Several, because one of them might look the same as the other.
    for number in 0..8 {
        service.clone().oneshot(request_of(&format!("small {number}"))).await.unwrap();
    }
    for _ in 0..20 {
        service.clone().oneshot(request_of("huge")).await.unwrap_err();
    }
    assert_eq!(level(&cells.endpoint, clock.now()), 0);
    service.oneshot(request_of("small 1")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_hangs_takes_one_at_a_time_until_it_answers() {
    let (cells, clock, layer) = rig();
    let mut hanging = layer.clone().layer(service_fn(|_: Request<()>| pending::<Answer>()));
    let answering =
        layer.layer(service_fn(|_: Request<()>| async { Ok::<_, BoxError>(Response::new(())) }));
    let mut waiting = Vec::new();
    for _ in 0..8 {
        waiting.push(hanging.ready().await.unwrap().call(request()));
    }
    advance(secs(16)).await;
    assert!(cells.endpoint.state_at(clock.now()).suspect);
    let alone = hanging.ready().await.unwrap().call(request());
    let refusal = rejected(answering.clone().oneshot(request()).await);
    assert_eq!(refusal.ready_at, Some(clock.now() + secs(1)));
    drop(alone);
    answering.clone().oneshot(request()).await.unwrap();
    assert!(!cells.endpoint.state_at(clock.now()).suspect);
    answering.oneshot(request()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn requests_for_documents_may_wait_for_long() {
    let (cells, clock, layer) = rig();
    let mut slow = layer.streaming(false).layer(service_fn(|_: Request<()>| pending::<Answer>()));
    let mut waiting = Vec::new();
    for _ in 0..100 {
        waiting.push(slow.ready().await.unwrap().call(request()));
    }
    advance(secs(100)).await;
    assert!(!cells.endpoint.state_at(clock.now()).suspect);
}

#[tokio::test(start_paused = true)]
async fn only_a_layer_that_may_be_early_cuts_a_rest_short() {
    let (cells, clock, layer) = rig();
    let service =
        || service_fn(|_: Request<()>| async { Ok::<_, BoxError>(judged(Verdict::ACCEPT)) });
    trip(&cells.endpoint, Class::Transport, clock.now());
    rejected(layer.clone().layer(service()).oneshot(request()).await);
    let early = layer.early_probe(true).layer(service());
    early.clone().oneshot(request()).await.unwrap();
    assert_eq!(cells.endpoint.state_at(clock.now()).until, None);
    // It is an early probe, never a way around a limit.
    advance(secs(60)).await;
    let verdict = retry_after(secs(30));
    let sent = admitted(&cells.quota, clock.now());
    cells.quota.fail(sent, &verdict, None, clock.now(), 0.0).unwrap();
    advance(secs(29)).await;
    rejected(early.oneshot(request()).await);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_is_no_answer() {
    let (cells, clock, layer) = rig();
    let mut hanging = layer.clone().layer(service_fn(|_: Request<()>| pending::<Answer>()));
    let mut waiting = Vec::new();
    for _ in 0..8 {
        waiting.push(hanging.ready().await.unwrap().call(request()));
    }
    let local = layer.layer(service_fn(|_: Request<()>| async {
        let error = AttemptError::new(Verdict::of(Class::CallerFault), false, None);
        Err::<Response<()>, BoxError>(error.into())
    }));
    local.oneshot(request()).await.unwrap_err();
    advance(secs(16)).await;
    assert!(cells.endpoint.state_at(clock.now()).suspect);
}
