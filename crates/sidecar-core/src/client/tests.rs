//! Connections that a server gives up, and answers that are none, over real sockets.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{advance, pause, resume, timeout};
use tower::Service;

use super::watched::PATIENCE as CONNECT_PATIENCE;
use super::{AT_ONCE, HttpsClient, SendError};

const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
/// More requests than it takes to meet a kept connection.
const MANY: usize = 1_000;
/// Reached only if something hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the server does with a request that it has read.
#[derive(Clone)]
enum Reply {
    /// Answers well, and keeps the connection.
    Answer,
    /// Sends this and closes.
    Last(Bytes),
    /// Closes without a word.
    Close,
    /// The same, and stops listening.
    Leave,
    /// Says nothing until the client goes, or until it is told to close.
    Hold,
}

/// A server that replies by a script.
#[derive(Clone)]
struct Server {
    url: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    seen: AtomicUsize,
    held: Notify,
    let_go: Notify,
    close: Notify,
    stop: Notify,
    stopped: Notify,
}

impl Server {
    /// `script` gets the number of the request on its connection, from 0.
    async fn start(script: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/v1/chat/completions", listener.local_addr().unwrap());
        let server = Self { url, shared: Arc::default() };
        let (script, shared) = (Arc::new(script), server.shared.clone());
        tokio::spawn(async move {
            loop {
                let stream = tokio::select! {
                    accepted = listener.accept() => accepted.unwrap().0,
                    () = shared.stop.notified() => break,
                };
                tokio::spawn(serve(stream, script.clone(), shared.clone()));
            }
            drop(listener);
            shared.stopped.notify_one();
        });
        server
    }

    /// How many requests it has read.
    fn seen(&self) -> usize {
        self.shared.seen.load(Ordering::SeqCst)
    }
}

async fn serve(mut stream: TcpStream, script: Arc<impl Fn(usize) -> Reply>, shared: Arc<Shared>) {
    for nth in 0.. {
        if !read_request(&mut stream).await {
            return;
        }
        shared.seen.fetch_add(1, Ordering::SeqCst);
        match script(nth) {
            Reply::Answer => stream.write_all(ANSWER.as_bytes()).await.unwrap(),
            Reply::Last(bytes) => {
                // A client that has seen enough may be gone already.
                let _ = stream.write_all(&bytes).await;
                return;
            }
            Reply::Close => return,
            Reply::Leave => {
                shared.stop.notify_one();
                shared.stopped.notified().await;
                return;
            }
            Reply::Hold => {
                shared.held.notify_one();
                tokio::select! {
                    left = stream.read_u8() => assert!(left.is_err()),
                    () = shared.close.notified() => {}
                }
                shared.let_go.notify_one();
                return;
            }
        }
    }
}

/// Whether there was another one.
async fn read_request(stream: &mut TcpStream) -> bool {
    let mut text: Vec<u8> = Vec::new();
    loop {
        if let Some(end) = memchr::memmem::find(&text, b"\r\n\r\n") {
            let head = std::str::from_utf8(&text[..end]).unwrap();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if text.len() == end + 4 + length.unwrap().parse::<usize>().unwrap() {
                return true;
            }
        }
        if !stream.read_buf(&mut text).await.is_ok_and(|read| read > 0) {
            return false;
        }
    }
}

async fn send(client: &HttpsClient, server: &Server) -> Result<StatusCode, SendError> {
    let request = Request::post(&server.url).body(Full::from("{}")).unwrap();
    let response = client.clone().call(request).await?;
    let status = response.status();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "{}");
    Ok(status)
}

/// Sends until one fails, and says how many were sent.
async fn send_until_one_fails(client: &HttpsClient, server: &Server) -> (SendError, usize) {
    for sent in 1..MANY {
        if let Err(error) = send(client, server).await {
            return (error, sent);
        }
    }
    panic!("no connection was used twice");
}

#[tokio::test]
async fn a_server_that_closes_after_every_answer_costs_no_error() {
    let server = Server::start(|_| Reply::Last(ANSWER.into())).await;
    let client = HttpsClient::new().unwrap();
    for _ in 0..200 {
        assert_eq!(send(&client, &server).await.unwrap(), StatusCode::OK);
    }
    assert_eq!(server.seen(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_does_it_with_many_requests_at_a_time() {
    let server = Server::start(|_| Reply::Last(ANSWER.into())).await;
    let client = HttpsClient::new().unwrap();
    let mut tasks = JoinSet::new();
    for _ in 0..20 {
        let (client, server) = (client.clone(), server.clone());
        tasks.spawn(async move {
            for _ in 0..10 {
                assert_eq!(send(&client, &server).await.unwrap(), StatusCode::OK);
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(server.seen(), 200);
}

#[tokio::test]
async fn a_request_that_meets_a_stale_connection_is_sent_once_more() {
    let server = Server::start(|nth| if nth == 0 { Reply::Answer } else { Reply::Close }).await;
    let client = HttpsClient::new().unwrap();
    let mut sent = 0;
    while server.seen() == sent {
        assert!(sent < MANY, "no connection was used twice");
        assert_eq!(send(&client, &server).await.unwrap(), StatusCode::OK);
        sent += 1;
    }
    assert_eq!(server.seen(), sent + 1);
}

#[tokio::test]
async fn a_request_is_never_sent_a_third_time() {
    let ill = AtomicBool::new(false);
    let server = Server::start(move |nth| {
        if nth > 0 {
            ill.store(true, Ordering::SeqCst);
        }
        if ill.load(Ordering::SeqCst) { Reply::Close } else { Reply::Answer }
    })
    .await;
    let client = HttpsClient::new().unwrap();
    let (error, sent) = send_until_one_fails(&client, &server).await;
    assert!(matches!(error, SendError::Failed(_)), "{error:?}");
    assert_eq!(server.seen(), sent + 1);
}

#[tokio::test]
async fn what_may_have_been_seen_stays_so_when_the_second_try_reaches_nobody() {
    let server = Server::start(|nth| if nth == 0 { Reply::Answer } else { Reply::Leave }).await;
    let client = HttpsClient::new().unwrap();
    let (error, sent) = send_until_one_fails(&client, &server).await;
    assert!(matches!(error, SendError::Failed(_)), "{error:?}");
    assert_eq!(server.seen(), sent);
}

#[tokio::test]
async fn a_new_connection_that_is_closed_is_an_error_at_once() {
    let server = Server::start(|_| Reply::Close).await;
    let error = send(&HttpsClient::new().unwrap(), &server).await.unwrap_err();
    assert!(matches!(error, SendError::Failed(_)), "{error:?}");
    assert_eq!(server.seen(), 1);
}

#[tokio::test]
async fn an_answer_that_has_begun_is_not_asked_for_again() {
    let half = Bytes::from("HTTP/1.1 200 OK\r\ncontent-le");
    let server = Server::start(move |nth| match nth {
        0 => Reply::Answer,
        _ => Reply::Last(half.clone()),
    })
    .await;
    let client = HttpsClient::new().unwrap();
    let (_, sent) = send_until_one_fails(&client, &server).await;
    assert_eq!(server.seen(), sent);
}

#[tokio::test]
async fn a_connection_that_is_cut_while_the_provider_works_is_not_a_stale_one() {
    let server = Server::start(|nth| if nth == 0 { Reply::Answer } else { Reply::Hold }).await;
    let client = HttpsClient::new().unwrap();
    for sent in 1.. {
        assert!(sent < MANY, "no connection was used twice");
        let mut sending = pin!(send(&client, &server));
        tokio::select! {
            answer = &mut sending => {
                answer.unwrap();
                continue;
            }
            () = server.shared.held.notified() => {}
        }
        pause();
        advance(AT_ONCE).await;
        resume();
        server.shared.close.notify_one();
        sending.await.unwrap_err();
        assert_eq!(server.seen(), sent);
        return;
    }
}

#[tokio::test]
async fn a_dropped_request_closes_its_connection_also_on_the_second_try() {
    let ill = AtomicBool::new(false);
    let server = Server::start(move |nth| {
        if ill.load(Ordering::SeqCst) {
            Reply::Hold
        } else if nth > 0 {
            ill.store(true, Ordering::SeqCst);
            Reply::Close
        } else {
            Reply::Answer
        }
    })
    .await;
    let client = HttpsClient::new().unwrap();
    for sent in 0.. {
        assert!(sent < MANY, "no connection was used twice");
        tokio::select! {
            answer = send(&client, &server) => {
                answer.unwrap();
            }
            () = server.shared.held.notified() => break,
        }
    }
    timeout(PATIENCE, server.shared.let_go.notified()).await.unwrap();
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_given_up_as_a_failed_connection() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("https://{}/v1/chat/completions", listener.local_addr().unwrap());
    let request = Request::post(url).body(Full::from("{}")).unwrap();
    let mut sending = pin!(HttpsClient::new().unwrap().call(request));
    let mut stream = tokio::select! {
        _ = &mut sending => panic!("nobody has answered"),
        accepted = listener.accept() => accepted.unwrap().0,
    };
    // The client has begun to talk, and its timer runs.
    tokio::select! {
        _ = &mut sending => panic!("nobody has answered"),
        byte = stream.read_u8() => assert!(byte.is_ok()),
    }
    pause();
    advance(CONNECT_PATIENCE).await;
    resume();
    let error = timeout(PATIENCE, sending).await.unwrap().unwrap_err();
    assert!(error.is_connect());
}

#[tokio::test]
async fn a_head_that_is_none_is_an_error() {
    for head in [
        format!("HTTP/1.1 200 OK\r\nx-large: {}\r\n\r\n{{}}", "a".repeat(1 << 20)),
        format!("HTTP/1.1 200 OK\r\n{}\r\n{{}}", "x-many: 1\r\n".repeat(101)),
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-folded: a\r\n b\r\n\r\n{}".to_owned(),
        "HTTP/1.1 two hundred\r\n\r\n{}".to_owned(),
        "220 mail.example ESMTP\r\n".to_owned(),
    ] {
        let start: String = head.chars().take(40).collect();
        let server = Server::start(move |_| Reply::Last(head.clone().into())).await;
        let client = HttpsClient::new().unwrap();
        assert!(send(&client, &server).await.is_err(), "{start}");
        assert_eq!(server.seen(), 1, "{start}");
    }
}

#[tokio::test]
async fn a_flood_of_informational_answers_is_passed_over() {
    let flood = ["HTTP/1.1 103 Early Hints\r\n\r\n".repeat(10_000).as_str(), ANSWER].concat();
    let server = Server::start(move |_| Reply::Last(flood.clone().into())).await;
    let answer = send(&HttpsClient::new().unwrap(), &server).await;
    assert_eq!(answer.unwrap(), StatusCode::OK);
}
