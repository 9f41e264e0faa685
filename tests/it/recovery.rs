//! A vendor that is down for a minute, on real sockets and in real time.

use std::time::Duration;

use serde_json::json;
use sidecar_core::clock::Clock;

use crate::support::{Home, Script, Upstream, chat, provider, with};

/// Two requests a second. While the vendor is down it is asked five times, then once for each step
/// of its rests: after 10, 20 and 40 s.
#[tokio::test]
async fn a_vendor_that_was_down_carries_traffic_again_within_half_a_minute() {
    let (clock, home) = (Clock::system(), Home::new());
    let (vendor, spare) = (Upstream::start().await, Upstream::start().await);
    let server = home.start().await;
    let limit = json!({"rpm_limit": 1_000});
    server.add(with(provider("vendor", &vendor.base_url()), limit.clone())).await;
    let fallback = with(limit, json!({"pool": "fallback"}));
    server.add(with(provider("spare", &spare.base_url()), fallback)).await;

    vendor.follow(Script::status(500, "down"));
    let down = clock.now();
    let mut asked_while_down = 0;
    let mut back = None;
    for beat in 0..200_u32 {
        clock.sleep_until(down + BEAT * beat).await;
        let since = clock.now() - down;
        if since >= OUTAGE && asked_while_down == 0 {
            asked_while_down = vendor.count();
            vendor.follow(Script::Good);
        }
        let answer = server.post("/v1/chat/completions", &chat("llama")).await;
        assert_eq!(answer.status, 200, "after {since:?}: {}", answer.whole());
        if asked_while_down > 0 && answer.header("x-sidecar-provider") == "vendor" {
            back = Some(since - OUTAGE);
            break;
        }
    }
    assert!((5..=9).contains(&asked_while_down), "asked {asked_while_down} times while down");
    let back = back.expect("the vendor carries traffic again");
    assert!(back <= Duration::from_secs(30), "back after {back:?}");
}

const BEAT: Duration = Duration::from_millis(500);
const OUTAGE: Duration = Duration::from_secs(60);
