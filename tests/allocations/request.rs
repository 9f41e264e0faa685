//! A request that is not streamed.

use crate::caller::Caller;
use crate::counting::{Counting, run};
use crate::gateways;
use crate::provider::Provider;

#[test]
fn a_request_takes_few_allocations_more_than_through_a_bare_proxy() {
    let counting = Counting::start();
    let home = tempfile::tempdir().unwrap();
    let [direct, streaming, floor, sidecar] = run(async {
        let provider = Provider::start().await.address();
        // What the caller and the provider need themselves.
        let direct = Caller::connect(provider, "").await;
        let streaming = gateways::bare_proxy(provider, false).await;
        let floor = gateways::bare_proxy(provider, true).await;
        let sidecar = gateways::sidecar(provider, home.path()).await;
        let mut counts = [0; 4];
        for (mut caller, count) in [direct, streaming, floor, sidecar].into_iter().zip(&mut counts)
        {
            *count = allocations(&counting, &mut caller).await;
        }
        counts
    });
    let of = |count: u64, than: u64| (count as f64 - than as f64) / REQUESTS as f64;
    assert!(
        sidecar <= floor + MOST * REQUESTS,
        "{:.1} allocations a request more than the floor's, and {MOST} are allowed; beside those \
         of caller and provider: streaming {:.1}, floor {:.1}, sidecar {:.1}",
        of(sidecar, floor),
        of(streaming, direct),
        of(floor, direct),
        of(sidecar, direct),
    );
}

/// How many allocations [`REQUESTS`] of `caller` make, anywhere in the process. It is the least of
/// some rounds, each too short for the background work of the server to come into all of them.
async fn allocations(counting: &Counting, caller: &mut Caller) -> u64 {
    for _ in 0..WARM_UP {
        caller.ask().await;
    }
    let mut least = u64::MAX;
    for _ in 0..ROUNDS {
        let before = counting.allocations();
        for _ in 0..REQUESTS {
            caller.ask().await;
        }
        least = least.min(counting.allocations() - before);
    }
    least
}

/// A request, beyond those of the floor.
const MOST: u64 = 30;
const WARM_UP: u32 = 200;
const ROUNDS: u32 = 20;
const REQUESTS: u64 = 10;
