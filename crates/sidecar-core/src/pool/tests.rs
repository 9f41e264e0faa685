//! Choosing, failing over and waiting, over scripted providers.

use std::collections::{HashMap, VecDeque};
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tokio::time::{advance, sleep, timeout};
use tower::{Layer, Service, ServiceExt};

use super::plan::{Next, Walk};
use super::*;
use crate::call::{Call, Caller, Head};
use crate::clock::{Clock, Instant, Timestamp};
use crate::error::{BoxError, Error};
use crate::ingest::Family;
use crate::provider::{Provider, ProviderPatch};
use crate::settings::Settings;
use crate::verdict::{Class, Verdict};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const GOOD: Reply = Reply::Answer(200, r#"{"choices":[{"message":{"content":"hi"}}]}"#);
const LIMITED: Reply = Reply::Answer(429, r#"{"error":{"message":"Too many requests"}}"#);
const BROKEN: Reply = Reply::Answer(500, r#"{"error":{"message":"oops"}}"#);
const BAD: Reply = Reply::Answer(
    400,
    r#"{"error":{"message":"temperature is too high","type":"invalid_request_error","param":"temperature","code":"invalid_value"}}"#,
);
const TOO_LONG: Reply = Reply::Answer(
    400,
    r#"{"error":{"message":"This model's maximum context length is 8192 tokens","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#,
);

/// What a provider does with one request.
#[derive(Clone, Copy, Debug)]
enum Reply {
    Answer(u16, &'static str),
    /// The same, after a while.
    Slowly(Duration, u16, &'static str),
    Reset,
    Hang,
}

/// All providers, told apart by the host that a request names. A provider that has come to the
/// end of its script repeats the last reply.
#[derive(Clone, Default)]
struct Upstream {
    scripts: Arc<Mutex<HashMap<String, VecDeque<Reply>>>>,
    /// The providers that were asked, in order.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Service<Request<Full<Bytes>>> for Upstream {
    type Response = Response<Full<Bytes>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Full<Bytes>>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let host = request.headers()[HOST].to_str().unwrap();
        let name = host.strip_suffix(".example").unwrap().to_owned();
        let mut scripts = self.scripts.lock().unwrap();
        let script = scripts.entry(name.clone()).or_insert_with(|| [GOOD].into());
        let reply = if script.len() > 1 { script.pop_front().unwrap() } else { script[0] };
        self.asked.lock().unwrap().push(name);
        Box::pin(async move {
            match reply {
                Reply::Answer(status, body) => Ok(json_answer(status, body)),
                Reply::Slowly(wait, status, body) => {
                    sleep(wait).await;
                    Ok(json_answer(status, body))
                }
                Reply::Reset => Err("connection reset by peer".into()),
                Reply::Hang => pending().await,
            }
        })
    }
}

fn json_answer(status: u16, body: &'static str) -> Response<Full<Bytes>> {
    let builder = Response::builder().status(status).header(CONTENT_TYPE, "application/json");
    builder.body(Full::from(body)).unwrap()
}

/// A pool over scripted providers.
struct Rig {
    clock: Clock,
    pools: Pools,
    upstream: Upstream,
}

impl Rig {
    fn new(providers: impl IntoIterator<Item = Provider>) -> Self {
        Self::with(Settings::default(), providers)
    }

    fn with(settings: Settings, providers: impl IntoIterator<Item = Provider>) -> Self {
        let clock = Clock::simulated();
        let pools = Pools::new(Settings::default(), clock.clone());
        pools.replace(providers, settings);
        Self { clock, pools, upstream: Upstream::default() }
    }

    /// What the provider `name` will do, one reply after the other.
    fn script(self, name: &str, replies: impl Into<VecDeque<Reply>>) -> Self {
        self.upstream.scripts.lock().unwrap().insert(name.to_owned(), replies.into());
        self
    }

    fn asked(&self) -> Vec<String> {
        self.upstream.asked.lock().unwrap().clone()
    }

    fn pool(&self) -> Pool<Upstream> {
        PoolLayer::new(self.pools.clone()).layer(self.upstream.clone())
    }

    /// A request for the model `m` that waits at most `patience` for a slot.
    fn head(&self, patience: Duration) -> Head {
        let (now, path) = (self.clock.now(), "/v1/chat/completions".to_owned());
        Head {
            model: Some("m".into()),
            caller: Caller::anonymous(),
            queue_until: now + patience,
            ..Head::of_our_own("req_1", Method::POST, Family::OpenAi, path, now)
        }
    }

    async fn send_head(&self, head: Head) -> Result<Response<ResponseBody>, Error> {
        self.pool().oneshot(Call::new(head, Bytes::from_static(b"{\"model\":\"m\"}"))).await
    }

    async fn send(&self, patience: Duration) -> Result<Response<ResponseBody>, Error> {
        self.send_head(self.head(patience)).await
    }

    /// Sends a request that will not wait.
    async fn send_now(&self) -> Result<Response<ResponseBody>, Error> {
        self.send(Duration::ZERO).await
    }

    fn live(&self, name: &str) -> Arc<LiveProvider> {
        self.pools.provider(&format!("id-{name}")).unwrap()
    }

    /// How many requests are in flight at the provider `name`.
    fn in_flight(&self, name: &str) -> usize {
        let live = self.live(name);
        // One count is the provider's own.
        Arc::strong_count(&live.in_flight) - 1
    }
}

/// A provider at `https://{name}.example` that serves the model `m`; `extra` goes over it.
fn provider_with(name: &str, extra: Value) -> Provider {
    let mut fields = json!({
        "name": name,
        "api_base_url": format!("https://{name}.example/v1"),
        "api_key": format!("sk-{name}-0123456789"),
        "model_mappings": {"m": {}},
    });
    let Value::Object(extra) = extra else { panic!("not an object") };
    fields.as_object_mut().unwrap().extend(extra);
    let patch: ProviderPatch = serde_json::from_value(fields).unwrap();
    patch.create(format!("id-{name}"), Timestamp::from_millis(0), true).unwrap()
}

fn provider(name: &str) -> Provider {
    provider_with(name, json!({}))
}

fn fallback(name: &str) -> Provider {
    provider_with(name, json!({"pool": "fallback"}))
}

fn limited_to(name: &str, rpm: u32) -> Provider {
    provider_with(name, json!({"rpm_limit": rpm}))
}

fn with_window(name: &str, tokens: u32) -> Provider {
    provider_with(name, json!({"model_mappings": {"m": {"context_window": tokens}}}))
}

/// The value of an `x-sidecar-` header.
fn said<'a>(response: &'a Response<ResponseBody>, name: &str) -> &'a str {
    response.headers()[format!("x-sidecar-{name}")].to_str().unwrap()
}

fn queued_ms(response: &Response<ResponseBody>) -> u64 {
    said(response, "queued-ms").parse().unwrap()
}

mod choosing;

mod complete;

mod failing_over;

mod waiting;

mod state;
