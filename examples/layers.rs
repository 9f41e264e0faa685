//! Cooldown, rate limit and usage around a service of one's own, without store or pool.
//!
//! ```text
//! cargo run --example layers
//! ```

use std::io::Write as _;
use std::num::NonZeroU32;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use sidecar_core::clock::Clock;
use sidecar_core::cooldown::{CellSet, CooldownLayer, CooldownPolicy};
use sidecar_core::error::{BoxError, Rejected};
use sidecar_core::rate_limit::{Limiter, RateLimitLayer};
use sidecar_core::usage::{Ledger, Meter, UsageLayer};
use tower::{ServiceBuilder, ServiceExt, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let (clock, ledger) = (Clock::system(), Ledger::default());
    let five_a_minute = Limiter::window(NonZeroU32::new(5).ok_or("not zero")?);
    let service = ServiceBuilder::new()
        // Outermost: a resting service is refused before anything is spent on it.
        .layer(CooldownLayer::new(CellSet::new(CooldownPolicy::default()), clock.clone()))
        // A refusal by the cells takes no slot.
        .layer(RateLimitLayer::new(five_a_minute, clock.clone()))
        // What was refused is not booked.
        .layer(UsageLayer::new(Meter::new(ledger.clone(), "mine", "echo", None), clock))
        .service(service_fn(echo));

    let mut out = std::io::stdout();
    for number in 1..=7 {
        match service.clone().oneshot(Request::new(Full::from("hi"))).await {
            Ok(response) => {
                let answer = response.into_body().collect().await?.to_bytes();
                writeln!(out, "{number}: {}", String::from_utf8_lossy(&answer))?;
            }
            Err(error) => match error.downcast_ref::<Rejected>() {
                Some(rejected) => writeln!(out, "{number}: not sent: {rejected}")?,
                None => writeln!(out, "{number}: failed: {error}")?,
            },
        }
    }
    for (key, counts) in ledger.take() {
        let (requests, tokens) = (counts.requests, counts.completion_tokens);
        writeln!(out, "{}: {requests} requests, {tokens} completion tokens", key.provider)?;
    }
    Ok(())
}

/// Any service of HTTP requests will do.
async fn echo(_request: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, BoxError> {
    let body = r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#;
    Ok(Response::builder().header("content-type", "application/json").body(Full::from(body))?)
}
