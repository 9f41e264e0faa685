//! The yardsticks: reverse proxies of hyper and nothing else.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::Deserialize;
use subtle::ConstantTimeEq as _;
use tokio::net::TcpListener;

use crate::Failure;

type OutBody = Either<Incoming, Full<Bytes>>;
type HttpClient = Client<HttpConnector, OutBody>;

/// What any gateway has to know of a request.
#[derive(Deserialize)]
struct Asked<'a> {
    model: &'a str,
    #[serde(default)]
    stream: bool,
}

struct Proxy {
    client: HttpClient,
    /// Three names of one provider, taken in turn.
    providers: [HeaderValue; 3],
    authority: String,
    next: AtomicUsize,
    is_floor: bool,
}

/// Passes on until the process is ended; with `is_floor` the key, the model and the turn are seen
/// to.
pub(crate) async fn run(
    listener: TcpListener,
    to: SocketAddr,
    is_floor: bool,
) -> Result<(), Failure> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let host = HeaderValue::from_str(&to.to_string())?;
    let proxy: &'static Proxy = Box::leak(Box::new(Proxy {
        client: Client::builder(TokioExecutor::new()).build(connector),
        providers: [host.clone(), host.clone(), host],
        authority: to.to_string(),
        next: AtomicUsize::new(0),
        is_floor,
    }));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let service = service_fn(move |request| proxy.pass(request));
        let serving = http1::Builder::new();
        tokio::spawn(serving.serve_connection(TokioIo::new(stream), service));
    }
}

impl Proxy {
    async fn pass(&self, request: Request<Incoming>) -> Result<Response<OutBody>, Failure> {
        let (mut head, body) = request.into_parts();
        let body = if self.is_floor {
            let shown = head.headers.remove(AUTHORIZATION);
            let token = shown.as_ref().and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
            if !token.is_some_and(|token| bool::from(token.ct_eq(KEY.as_bytes()))) {
                return refusal(StatusCode::UNAUTHORIZED);
            }
            let body = body.collect().await?.to_bytes();
            let Ok(asked) = serde_json::from_slice::<Asked<'_>>(&body) else {
                return refusal(StatusCode::BAD_REQUEST);
            };
            std::hint::black_box((asked.model, asked.stream));
            Either::Right(Full::new(body))
        } else {
            Either::Left(body)
        };
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.providers.len();
        head.headers.insert(HOST, self.providers[turn].clone());
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        head.uri = Uri::try_from(format!("http://{}{path}", self.authority))?;
        let answer = self.client.request(Request::from_parts(head, body)).await?;
        Ok(answer.map(Either::Left))
    }
}

fn refusal(status: StatusCode) -> Result<Response<OutBody>, Failure> {
    Ok(Response::builder().status(status).body(Either::Right(Full::default()))?)
}

/// What a caller of the floor has to show.
pub(crate) const KEY: &str = "sk-sc-0123456789abcdef0123456789abcdef";
