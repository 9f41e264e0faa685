//! The whole server with scripted providers and a little traffic. Needs no API key.
//!
//! ```text
//! cargo run --release --example demo
//! ```
//!
//! Three providers: `limited` answers 429 above 10 requests a minute, `flaky` fails two of five,
//! and `healthy` in the fallback pool takes what they cannot. No caller sees an error.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use sidecar_core::Sidecar;
use sidecar_core::error::BoxError;
use sidecar_core::secret::TokenDigest;
use sidecar_server::app;
use sidecar_server::auth::Gate;
use sidecar_server::config::KeySource;
use sidecar_server::listen::{self, Limits, Listener};
use tokio::net::TcpListener;

/// What a scripted provider answers to its n-th request.
type Script = fn(u32) -> u16;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let mut out = std::io::stdout();
    let sidecar = Sidecar::builder().open().await?;
    let scripts: [(&str, &str, u32, Script); 3] = [
        // Its real limit is lower than the one it is configured with.
        ("limited", "primary", 40, |n| if n < 10 { 200 } else { 429 }),
        ("flaky", "primary", 40, |n| if n % 5 < 2 { 500 } else { 200 }),
        ("healthy", "fallback", 600, |_| 200),
    ];
    for (name, pool, rpm, script) in scripts {
        let address = provider(script).await?;
        let provider = json!({
            "name": name, "pool": pool, "rpm_limit": rpm,
            "api_base_url": format!("http://{address}/v1"), "api_key": "demo-key",
            "model_mappings": {"demo": {"cost_per_mtok": {"input": 0.15, "output": 0.6}}},
        });
        sidecar.admin().add_provider(serde_json::from_value(provider)?).await?;
    }

    let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let address = listener.local_addr()?;
    // It opens nothing but this demo, which keeps all it has in memory.
    let gate = Gate::new(TokenDigest::of(ADMIN_TOKEN), true);
    let edge = app::edge(sidecar.clone(), sidecar.https_client()?, gate, KeySource::none());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(listen::serve(listener, edge, Limits::default(), async {
        let _ = stopped.await;
    }));
    writeln!(out, "serving at http://{address}/v1, model `demo`; {REQUESTS} requests follow\n")?;

    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let mut served: BTreeMap<String, u32> = BTreeMap::new();
    for number in 1..=REQUESTS {
        let response = client.request(question(address)?).await?;
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let (provider, attempts) = (header("x-sidecar-provider"), header("x-sidecar-attempts"));
        let (provider, attempts) = (provider.unwrap_or("-"), attempts.unwrap_or("-"));
        let status = response.status();
        writeln!(out, "{number:3}  {status}  by {provider:8}  attempts {attempts}")?;
        *served.entry(format!("{status} by {provider}")).or_default() += 1;
        response.into_body().collect().await?;
        tokio::time::sleep(PAUSE).await;
    }

    writeln!(out, "\nwhat the callers saw:")?;
    for (what, count) in served {
        writeln!(out, "  {count:3} x {what}")?;
    }
    writeln!(out, "\nwhat the providers saw:")?;
    for provider in sidecar.admin().providers() {
        let mut sums = sidecar_core::usage::UsageCounts::default();
        for (key, counts) in sidecar.admin().usage(i64::MIN..=i64::MAX).await? {
            if key.provider == provider.id {
                sums.add(&counts);
            }
        }
        writeln!(
            out,
            "  {:8} {:3} requests, {:2} failed, {:5} tokens, ${:.6}, now {:?}",
            provider.name,
            sums.requests,
            sums.errors,
            sums.prompt_tokens + sums.completion_tokens,
            sums.cost_pico_usd as f64 / 1e12,
            provider.status,
        )?;
    }
    writeln!(
        out,
        "\nthe dashboard is at http://{address}/dashboard, the token is {ADMIN_TOKEN}\n\
         a request a second goes on; Ctrl-C ends it",
    )?;
    let traffic = async {
        loop {
            // What becomes of it is to be seen on the dashboard.
            let _ = client.request(question(address)?).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::select! {
        ended = tokio::signal::ctrl_c() => ended?,
        failed = traffic => return failed,
    }
    let _ = stop.send(());
    server.await?;
    Ok(sidecar.close().await?)
}

/// What the callers ask.
fn question(address: SocketAddr) -> Result<Request<Full<Bytes>>, BoxError> {
    Ok(Request::post(format!("http://{address}/v1/chat/completions"))
        .header("content-type", "application/json")
        .body(Full::from(r#"{"model":"demo","messages":[{"role":"user","content":"hi"}]}"#))?)
}

/// Starts a provider that answers by `script`, on a port of its own.
async fn provider(script: Script) -> Result<SocketAddr, BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let count = Arc::new(AtomicU32::new(0));
    let answer = move |_request: Request<Incoming>| {
        let status = script(count.fetch_add(1, Ordering::Relaxed));
        async move {
            let body = match status {
                200 => json!({
                    "id": "demo", "object": "chat.completion", "created": 0, "model": "demo",
                    "choices": [{"index": 0, "finish_reason": "stop",
                                 "message": {"role": "assistant", "content": "hello"}}],
                    "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
                }),
                429 => json!({"status": 429, "title": "Too Many Requests"}),
                _ => json!({"error": {"message": "boom", "type": "server_error"}}),
            };
            Response::builder()
                .status(status)
                .header("content-type", "application/json")
                .body(Full::<Bytes>::from(body.to_string()))
        }
    };
    let service = hyper::service::service_fn(answer);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let serving = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service.clone());
            tokio::spawn(serving);
        }
    });
    Ok(address)
}

/// Of the demo alone.
const ADMIN_TOKEN: &str = "demo-admin-token";
const REQUESTS: u32 = 60;
const PAUSE: Duration = Duration::from_millis(50);
