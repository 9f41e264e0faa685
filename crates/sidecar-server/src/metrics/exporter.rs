//! [`Exporter`].

use std::convert::Infallible;
use std::future::pending;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use sidecar_core::Sidecar;
use sidecar_core::clock::Instant;
use sidecar_core::metrics::{DB_SIZE, Exposition, UPTIME};
use tokio::task::spawn_blocking;
use tower::service_fn;

use super::Recorder;
use crate::listen::{self, Limits, Listener};

/// Answers `GET /metrics`, and nothing else. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Exporter {
    recorder: Recorder,
    sidecar: Sidecar,
    db_path: PathBuf,
    started: Instant,
}

impl Exporter {
    /// Shows what `recorder` counts, how `sidecar` is, and how large the file at `db_path` is.
    pub fn new(recorder: Recorder, sidecar: Sidecar, db_path: PathBuf) -> Self {
        let started = sidecar.pools().clock().now();
        Self { recorder, sidecar, db_path, started }
    }

    /// Serves on `listener` until it is dropped.
    pub async fn run(self, listener: Listener) {
        let recorder = self.recorder.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let exporter = self.clone();
            let (head, _) = request.into_parts();
            async move { Ok::<_, Infallible>(exporter.answer(&head.method, head.uri.path()).await) }
        });
        // It is asked by few and now and then, and each answer is some work.
        let limits = Limits { connections: MOST_CONNECTIONS, ..Limits::default() };
        tokio::select! {
            _ = listen::serve(listener, service, limits, pending()) => {}
            () = recorder.keep_up() => {}
        }
    }

    async fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if path != "/metrics" {
            return plain(StatusCode::NOT_FOUND, "metrics are at /metrics\n".into());
        }
        if !matches!(*method, Method::GET | Method::HEAD) {
            let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".into());
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        let exporter = self.clone();
        match spawn_blocking(move || exporter.render()).await {
            Ok(text) => plain(StatusCode::OK, text.into()),
            Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "internal error\n".into()),
        }
    }

    fn render(&self) -> String {
        let mut own = Exposition::default();
        self.sidecar.expose(&mut own);
        // There is none if the store is kept in memory.
        if let Ok(file) = std::fs::metadata(&self.db_path) {
            own.single(&DB_SIZE, file.len());
        }
        let uptime = self.sidecar.pools().clock().now() - self.started;
        own.single(&UPTIME, uptime.as_secs_f64());
        self.recorder.0.render() + own.as_str()
    }
}

impl Recorder {
    /// What histograms are told is kept as it came until somebody asks for them, or until this
    /// sums it up: nobody may ever ask.
    async fn keep_up(self) {
        loop {
            tokio::time::sleep(UPKEEP).await;
            let handle = self.0.clone();
            if spawn_blocking(move || handle.run_upkeep()).await.is_err() {
                tracing::error!("the metrics could not be summed up");
            }
        }
    }
}

fn plain(status: StatusCode, text: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(TEXT_FORMAT));
    headers.insert(NOSNIFF, HeaderValue::from_static("nosniff"));
    response
}

const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
const NOSNIFF: HeaderName = http::header::X_CONTENT_TYPE_OPTIONS;
const MOST_CONNECTIONS: usize = 16;
const UPKEEP: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use sidecar_core::clock::Clock;

    use super::*;

    async fn exporter() -> Exporter {
        let recorder = super::super::builder().unwrap().build_recorder();
        let sidecar = Sidecar::builder().clock(Clock::simulated()).open().await.unwrap();
        Exporter::new(Recorder(recorder.handle()), sidecar, "/nowhere".into())
    }

    async fn ask(method: Method, path: &str) -> (StatusCode, String) {
        let answer = exporter().await.answer(&method, path).await;
        assert_eq!(answer.headers()[CONTENT_TYPE], TEXT_FORMAT);
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn the_metrics_are_at_one_path_and_nothing_else_is() {
        let (status, text) = ask(Method::GET, "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert!(text.contains("\nsidecar_store_up 1\n"), "{text}");
        assert!(text.contains("# TYPE sidecar_uptime_seconds gauge\n"), "{text}");
        for (method, path, expected) in [
            (Method::POST, "/metrics", StatusCode::METHOD_NOT_ALLOWED),
            (Method::GET, "/", StatusCode::NOT_FOUND),
            (Method::GET, "/metrics/", StatusCode::NOT_FOUND),
            (Method::GET, "/api/admin/backends", StatusCode::NOT_FOUND),
        ] {
            assert_eq!(ask(method, path).await.0, expected, "{path}");
        }
    }
}
