//! A running server.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::client::{Answer, json_body, open, request, send};
use super::process::Exit;
use super::{ADMIN_TOKEN, Process, eventually, within};

/// A server that listens.
pub(crate) struct Server {
    process: Process,
    addr: SocketAddr,
}

impl Server {
    /// Waits until `process` says where it listens.
    pub(crate) async fn listening(mut process: Process) -> Self {
        let started = eventually("the server to listen", async || {
            // Asked first: what has ended has said all it had to say, or nearly so.
            let ended = process.has_ended();
            let addr = listening_address(&process.stderr());
            (addr.is_some() || ended).then_some(addr)
        })
        .await;
        match started {
            Some(addr) => Self { process, addr },
            None => panic!("the server ended at once:\n{}", process.wait().await.output()),
        }
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The same as a URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The process behind it.
    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Asks it to end and waits until it has.
    pub(crate) async fn stop(mut self) -> Exit {
        self.process.terminate();
        self.process.wait().await
    }

    /// One call; the whole answer.
    pub(crate) async fn call(&self, request: Request<Full<Bytes>>) -> Answer {
        within("an answer", send(self.addr, request)).await
    }

    /// One call; the body still to come.
    pub(crate) async fn open(&self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        within("an answer", open(self.addr, request)).await.unwrap()
    }

    /// A POST of `body` to the proxied `path`.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call(request("POST", path).body(json_body(body)).unwrap()).await
    }

    /// One call of the admin API; `null` is no body.
    pub(crate) async fn admin(&self, method: &str, path: &str, body: Value) -> Answer {
        let request = request(method, &format!("/api/admin{path}"))
            .header("authorization", format!("Bearer {ADMIN_TOKEN}"));
        let body = if body.is_null() { Full::default() } else { json_body(&body) };
        self.call(request.body(body).unwrap()).await
    }

    /// Adds a provider; what the server says of it.
    pub(crate) async fn add(&self, provider: Value) -> Value {
        let answer = self.admin("POST", "/backends", provider).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()
    }

    /// Changes a provider.
    pub(crate) async fn change(&self, name: &str, change: Value) {
        let answer = self.admin("PUT", &format!("/backends/{name}"), change).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// All providers.
    pub(crate) async fn providers(&self) -> Vec<Value> {
        let answer = self.admin("GET", "/backends", json!(null)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["backends"].as_array().unwrap().clone()
    }

    /// The names of all providers.
    pub(crate) async fn names(&self) -> Vec<String> {
        let providers = self.providers().await;
        providers.iter().map(|provider| provider["name"].as_str().unwrap().to_owned()).collect()
    }
}

/// The address in the log line that says that the server listens.
fn listening_address(log: &str) -> Option<SocketAddr> {
    log.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|event| event["message"] == "listening")
        .find_map(|event| event["addr"].as_str()?.parse().ok())
}
