//! Reading the usage of a stream beside it.

use std::convert::Infallible;
use std::future::ready;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use sidecar_core::clock::Clock;
use sidecar_core::usage::{Ledger, Meter, UsageLayer};
use tokio::runtime::Runtime;
use tower::{Layer, ServiceExt, service_fn};

/// A stream of 1 MiB, event by event or in pieces of 16 KiB, through the layer that books it. What
/// is not said to be a stream of events is passed on and booked all the same, but not read.
pub(crate) fn scan(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let meter = Meter::new(Ledger::default(), "provider", "model", None);
    let usage = UsageLayer::new(meter, Clock::system());
    let events = EVENT.repeat(SIZE / EVENT.len());
    let mut group = c.benchmark_group("stream");
    for (shape, piece) in [("an event a piece", EVENT.len()), ("16 KiB a piece", 16 << 10)] {
        let mut rest = Bytes::from([events.as_str(), LAST].concat());
        group.throughput(Throughput::Bytes(rest.len() as u64));
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            pieces.push(rest.split_to(piece.min(rest.len())));
        }
        let pieces: Arc<[Bytes]> = pieces.into();
        for (name, content_type) in
            [("scan", "text/event-stream"), ("baseline, not read", "application/octet-stream")]
        {
            let pieces = pieces.clone();
            let service = usage.layer(service_fn(move |_: Request<()>| {
                ready(Ok::<_, Infallible>(answer(content_type, &pieces)))
            }));
            group.bench_function(BenchmarkId::new(name, shape), |b| {
                b.to_async(&runtime).iter(|| {
                    let sending = service.clone().oneshot(Request::new(()));
                    async {
                        let mut body = sending.await.expect("an answer").into_body();
                        while let Some(frame) = body.frame().await {
                            black_box(frame.expect("a piece"));
                        }
                    }
                });
            });
        }
    }
    group.finish();
}

/// A body of pieces that are all there.
struct Pieces {
    pieces: Arc<[Bytes]>,
    next: usize,
}

fn answer(content_type: &'static str, pieces: &Arc<[Bytes]>) -> Response<Pieces> {
    let mut response = Response::new(Pieces { pieces: pieces.clone(), next: 0 });
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.pieces.get(self.next).cloned();
        self.next += 1;
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }
}

const SIZE: usize = 1 << 20;
const EVENT: &str = concat!(
    r#"data: {"id":"chatcmpl-0198c0de","object":"chat.completion.chunk","created":1767225600,"#,
    r#""model":"vendor/small-8b","choices":[{"index":0,"delta":{"content":" a \"word\""},"#,
    r#""finish_reason":null}]}"#,
    "\n\n"
);
const LAST: &str = concat!(
    r#"data: {"id":"chatcmpl-0198c0de","object":"chat.completion.chunk","choices":[],"#,
    r#""usage":{"prompt_tokens":1200,"completion_tokens":4500,"total_tokens":5700}}"#,
    "\n\ndata: [DONE]\n\n"
);
