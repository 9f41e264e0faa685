//! Connections that wait, in memory and over real sockets.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri, Version};
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::yield_now;
use tokio::time::{advance, timeout};
use tower::Service;

use super::super::HttpsClient;
use super::super::tls_server::TlsServer;
use super::{Idle, MOST_AGE, MOST_EARLY, MOST_WAITING, Origin, Waiting, origin};
use crate::dispatch::PreferHttp2;
use crate::settings::Settings;
use crate::shared::Shared;
use crate::url::BaseUrl;

/// Reached only if something hangs.
const PATIENCE: Duration = Duration::from_secs(10);

fn nth(n: usize) -> Origin {
    origin(&Uri::try_from(format!("https://{n}.example/v1")).unwrap()).unwrap()
}

/// Keeps one end of a connection to `nth(n)`, and gives the other one.
fn keep(waiting: &Arc<Waiting<DuplexStream>>, n: usize, speaks_first: bool) -> DuplexStream {
    let (stream, theirs) = duplex(2 * MOST_EARLY);
    waiting.keep(nth(n), Idle { stream, speaks_first, early: Vec::new() });
    theirs
}

async fn until_wanted<T>(waiting: &Waiting<T>, origin: &Origin) {
    let wanted = async {
        while !waiting.wants(origin) {
            yield_now().await;
        }
    };
    timeout(PATIENCE, wanted).await.unwrap();
}

#[tokio::test]
async fn a_connection_is_handed_out_once_and_only_for_its_origin() {
    let waiting = Arc::default();
    let mut theirs = keep(&waiting, 1, false);
    assert!(waiting.take(&nth(2)).is_none());
    let mut ours = waiting.take(&nth(1)).unwrap();
    assert!(waiting.take(&nth(1)).is_none());
    ours.write_all(b"ask").await.unwrap();
    theirs.write_all(b"yes").await.unwrap();
    let mut text = [0; 3];
    theirs.read_exact(&mut text).await.unwrap();
    assert_eq!(&text, b"ask");
    ours.read_exact(&mut text).await.unwrap();
    assert_eq!(&text, b"yes");
}

#[tokio::test]
async fn what_has_been_closed_is_not_handed_out() {
    for is_told in [false, true] {
        let waiting = Arc::default();
        drop(keep(&waiting, 1, true));
        if is_told {
            yield_now().await;
            assert!(waiting.wants(&nth(1)));
        }
        assert!(waiting.take(&nth(1)).is_none());
    }
}

#[tokio::test]
async fn http1_servers_do_not_speak_first() {
    let waiting = Arc::default();
    let mut theirs = keep(&waiting, 1, false);
    theirs.write_all(b"HTTP/1.1 408 Request Timeout\r\n\r\n").await.unwrap();
    assert!(waiting.take(&nth(1)).is_none());
}

#[tokio::test]
async fn what_is_said_early_is_not_lost() {
    let waiting = Arc::default();
    let mut theirs = keep(&waiting, 1, true);
    theirs.write_all(b"sett").await.unwrap();
    yield_now().await;
    theirs.write_all(b"ings").await.unwrap();
    let mut ours = waiting.take(&nth(1)).unwrap();
    theirs.write_all(b"ack").await.unwrap();
    let mut text = [0; 11];
    ours.read_exact(&mut text).await.unwrap();
    assert_eq!(&text, b"settingsack");
}

#[tokio::test]
async fn not_everything_that_is_said_early_is_kept() {
    let waiting = Arc::default();
    let mut theirs = keep(&waiting, 1, true);
    theirs.write_all(&[0; MOST_EARLY + 1]).await.unwrap();
    assert!(waiting.take(&nth(1)).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_nobody_needs_is_closed() {
    let waiting = Arc::default();
    let mut theirs = keep(&waiting, 1, false);
    yield_now().await;
    advance(MOST_AGE - Duration::from_secs(1)).await;
    assert!(!waiting.wants(&nth(1)));
    advance(Duration::from_secs(1)).await;
    assert_eq!(theirs.read(&mut [0]).await.unwrap(), 0);
    assert!(waiting.wants(&nth(1)) && waiting.take(&nth(1)).is_none());
}

#[tokio::test]
async fn one_waits_for_an_origin_and_so_many_in_all() {
    let waiting = Arc::default();
    let mut others: Vec<_> = (0..MOST_WAITING).map(|n| keep(&waiting, n, false)).collect();
    let mut again = keep(&waiting, 0, false);
    assert_eq!(again.read(&mut [0]).await.unwrap(), 0);
    assert!(!waiting.wants(&nth(MOST_WAITING)));
    let mut beyond = keep(&waiting, MOST_WAITING, false);
    assert_eq!(beyond.read(&mut [0]).await.unwrap(), 0);
    others.pop();
    until_wanted(&waiting, &nth(MOST_WAITING)).await;
}

#[tokio::test]
async fn the_first_request_takes_the_connection_that_waits() {
    for http2 in [false, true] {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let client = HttpsClient::new().unwrap();
        client.prewarm(&BaseUrl::parse(&url).unwrap(), http2).await;
        let (stream, _) = listener.accept().await.unwrap();
        let sending = client.clone().call(request(&url, http2));
        let both = async { tokio::join!(sending, answer(stream)) };
        // Nobody would answer on another connection.
        let (response, _) = timeout(PATIENCE, both).await.unwrap();
        response.unwrap();
    }
}

#[tokio::test]
async fn so_does_the_first_one_of_http2() {
    let server = TlsServer::start(&["h2"]).await;
    let (client, url) = (server.client(), server.base_url());
    let ((), accepted) = tokio::join!(client.prewarm(&url, true), server.accept());
    tokio::spawn(async move {
        let mut connection = h2::server::handshake(accepted.unwrap()).await.unwrap();
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            respond.send_response(Response::new(()), true).unwrap();
        }
    });
    for _ in 0..3 {
        let sending = client.clone().call(request(url.as_str(), true));
        // Nobody would answer on another connection.
        let response = timeout(PATIENCE, sending).await.unwrap().unwrap();
        assert_eq!(response.version(), Version::HTTP_2);
    }
}

#[tokio::test]
async fn a_connection_that_was_closed_while_it_waited_is_replaced() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let client = HttpsClient::new().unwrap();
    client.prewarm(&BaseUrl::parse(&url).unwrap(), false).await;
    drop(listener.accept().await.unwrap());
    let origin = origin(&Uri::try_from(&url).unwrap()).unwrap();
    until_wanted(&client.clients.http1.connector.waiting, &origin).await;
    let serving = async { answer(listener.accept().await.unwrap().0).await };
    let both = async { tokio::join!(client.clone().call(request(&url, false)), serving) };
    let (response, _) = timeout(PATIENCE, both).await.unwrap();
    response.unwrap();
}

#[tokio::test]
async fn an_address_that_is_not_allowed_is_not_connected_ahead_either() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let settings = Settings { upstream_private: false, ..Settings::default() };
    let client = HttpsClient::following(Shared::new(settings)).unwrap();
    client.prewarm(&BaseUrl::parse(&url).unwrap(), false).await;
    let origin = origin(&Uri::try_from(&url).unwrap()).unwrap();
    assert!(client.clients.http1.connector.waiting.wants(&origin));
}

/// Answers one request of HTTP/1.1.
async fn answer(mut stream: TcpStream) -> TcpStream {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n{}") {
        assert!(stream.read_buf(&mut text).await.unwrap() > 0);
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    stream
}

fn request(url: &str, http2: bool) -> Request<Full<Bytes>> {
    let mut request = Request::post(format!("{url}/x")).body(Full::from("{}")).unwrap();
    if http2 {
        request.extensions_mut().insert(PreferHttp2);
    }
    request
}
