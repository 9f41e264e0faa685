//! What a provider that keeps to the rules is sent, and how.

use super::*;

#[tokio::test]
async fn who_speaks_http2_gets_it_on_one_connection() {
    let server = Server::start(|_| Reply::Echo).await;
    for _ in 0..20 {
        server.echo().await;
    }
    assert_eq!(server.seen(), (1, 20));
    assert_eq!(server.seen_http1(), (0, 0));
}

#[tokio::test]
async fn who_does_not_speak_it_gets_http1() {
    let server = TlsServer::start(&["http/1.1"]).await;
    let (client, url) = (server.client(), url_of(&server));
    let serving = async {
        let mut stream = server.accept().await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        answer_http1(&mut stream).await;
        answer_http1(&mut stream).await
    };
    let sending = async {
        for _ in 0..2 {
            let response = send(&client, &url).await.unwrap();
            assert_eq!(response.version(), Version::HTTP_11);
        }
    };
    let ((), seen) = both(sending, serving).await;
    assert!(seen.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{seen}");
    assert_eq!(seen.matches("host: ").count(), 1, "{seen}");
    assert!(seen.contains(&format!("host: {}\r\n", server.authority())), "{seen}");
}

#[tokio::test]
async fn nobody_gets_it_who_was_not_to() {
    let server = TlsServer::start(&["h2", "http/1.1"]).await;
    let (client, url) = (server.client(), url_of(&server));
    let serving = async {
        let mut stream = server.accept().await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), None);
        answer_http1(&mut stream).await
    };
    let (response, seen) = both(client.clone().call(request(&url)), serving).await;
    assert_eq!(response.unwrap().version(), Version::HTTP_11);
    assert!(seen.contains("host: other.example\r\n"), "{seen}");
}

#[tokio::test]
async fn nobody_gets_it_without_tls() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/v1/chat/completions", listener.local_addr().unwrap());
    let client = HttpsClient::new().unwrap();
    let serving = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        answer_http1(&mut stream).await
    };
    let (response, seen) = both(send(&client, &url), serving).await;
    assert_eq!(response.unwrap().version(), Version::HTTP_11);
    assert!(seen.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{seen}");
}

#[tokio::test]
async fn a_refused_request_is_sent_once_more() {
    let server = Server::start(|nth| match nth {
        0 => Reply::Reset(Reason::REFUSED_STREAM),
        _ => Reply::Echo,
    })
    .await;
    server.echo().await;
    assert_eq!(server.seen().1, 2);
}

#[tokio::test]
async fn a_request_that_is_refused_twice_was_never_sent() {
    let server = Server::start(|_| Reply::Reset(Reason::REFUSED_STREAM)).await;
    let error = server.send().await.unwrap_err();
    assert!(was_refused(&error) && !error.is_connect());
    assert_eq!(server.seen().1, 2);
}

#[tokio::test]
async fn any_other_reset_is_an_error_at_once() {
    for reason in [Reason::INTERNAL_ERROR, Reason::CANCEL, Reason::ENHANCE_YOUR_CALM] {
        let server = Server::start(move |_| Reply::Reset(reason)).await;
        let error = server.send().await.unwrap_err();
        assert!(may_be_seen(&error));
        assert_eq!(server.seen(), (1, 1));
    }
}

#[tokio::test]
async fn a_connection_that_is_cut_after_an_answer_is_not_taken_for_a_stale_one() {
    let server = Server::start(|nth| if nth == 0 { Reply::Echo } else { Reply::Cut }).await;
    server.echo().await;
    let error = server.send().await.unwrap_err();
    assert!(may_be_seen(&error));
    assert_eq!(server.seen(), (1, 2));
}

#[tokio::test]
async fn requests_beyond_the_streams_of_a_connection_go_by_http1_at_once() {
    let others = Arc::new(Barrier::new(STREAMS as usize + 1));
    let held = others.clone();
    let script = move |nth| match nth {
        1..=2 => Reply::EchoWith(held.clone()),
        _ => Reply::Echo,
    };
    let server = Arc::new(Server::start(script).await);
    server.echo().await;
    let holding = server.clone();
    let holding = tokio::spawn(async move { holding.echo_many(STREAMS as usize).await });
    server.until_seen(3).await;
    assert_eq!(timeout(PATIENCE, server.echo_many(10)).await.unwrap(), 0);
    assert_eq!(server.seen_http1().1, 10);
    others.wait().await;
    assert_eq!(holding.await.unwrap(), STREAMS as usize);
    // The streams are free again.
    server.echo().await;
    assert_eq!(server.seen(), (1, 4));
}

#[tokio::test]
async fn no_more_share_a_connection_than_its_window_is_made_for() {
    let others = Arc::new(Barrier::new(MOST_STREAMS + 1));
    let held = others.clone();
    let script = move |nth| if nth == 0 { Reply::Echo } else { Reply::EchoWith(held.clone()) };
    let server = Arc::new(Server::taking(1_000, script).await);
    server.echo().await;
    let all = server.clone();
    let all = tokio::spawn(async move { all.echo_many(MOST_STREAMS + 5).await });
    timeout(PATIENCE, others.wait()).await.unwrap();
    assert_eq!(timeout(PATIENCE, all).await.unwrap().unwrap(), MOST_STREAMS);
    assert_eq!(server.seen_http1().1, 5);
}

#[tokio::test]
async fn requests_that_come_while_the_first_one_connects_do_not_wait_for_it() {
    let server = Arc::new(Server::start(|_| Reply::Echo).await);
    let by_http2 = timeout(PATIENCE, server.echo_many(10)).await.unwrap();
    assert!(by_http2 >= 1);
    assert_eq!(server.seen(), (1, by_http2));
    assert_eq!(server.seen_http1().1, 10 - by_http2);
}

#[tokio::test]
async fn a_request_that_is_dropped_for_want_of_a_stream_is_never_sent() {
    let others = Arc::new(Barrier::new(STREAMS as usize + 1));
    let held = others.clone();
    let script = move |nth| match nth {
        1..=2 => Reply::EchoWith(held.clone()),
        _ => Reply::Echo,
    };
    let server = Arc::new(Server::start(script).await);
    server.echo().await;
    let holding = server.clone();
    let holding = tokio::spawn(async move { holding.echo_many(STREAMS as usize).await });
    server.until_seen(3).await;
    {
        let mut dropped = pin!(send(&server.client, &server.url));
        assert!(dropped.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    others.wait().await;
    holding.await.unwrap();
    for _ in 0..5 {
        server.echo().await;
    }
    assert_eq!(server.seen(), (1, 8));
    assert_eq!(server.seen_http1().1, 0);
}

#[tokio::test]
async fn who_leaves_frees_a_stream() {
    let others = Arc::new(Barrier::new(STREAMS as usize + 1));
    let server = Server::start(move |nth| match nth {
        1..=2 => Reply::Send(64 << 20),
        4..=5 => Reply::EchoWith(others.clone()),
        _ => Reply::Echo,
    })
    .await;
    server.echo().await;
    drop((server.send().await.unwrap(), server.send().await.unwrap()));
    server.echo().await;
    {
        let mut both = pin!(async { tokio::join!(server.send(), server.send()) });
        tokio::select! {
            _ = &mut both => panic!("nobody has answered"),
            () = server.until_seen(6) => {}
        }
    }
    server.echo().await;
    assert_eq!(server.seen(), (1, 7));
}

#[tokio::test]
async fn an_answer_that_nobody_reads_holds_no_other_up() {
    let server = Server::start(|nth| match nth {
        0 => Reply::Send(64 << 20),
        _ => Reply::Send(1 << 20),
    })
    .await;
    let stalled = server.send().await.unwrap();
    timeout(PATIENCE, server.seen.sent.notified()).await.unwrap();
    for _ in 0..3 {
        let response = server.send().await.unwrap();
        assert_eq!(response.version(), Version::HTTP_2);
        let body = timeout(PATIENCE, response.into_body().collect()).await.unwrap();
        assert_eq!(body.unwrap().to_bytes().len(), 1 << 20);
    }
    // It has not been lost meanwhile.
    let body = timeout(PATIENCE, stalled.into_body().collect()).await.unwrap();
    assert_eq!(body.unwrap().to_bytes().len(), 64 << 20);
}

#[tokio::test]
async fn a_large_body_is_sent_as_the_provider_takes_it() {
    let server = Server::start(|_| Reply::Echo).await;
    let text = Bytes::from("0123456789abcdef".repeat(1 << 16));
    let request = Request::post(&server.url).body(Full::from(text.clone())).unwrap();
    let both = async {
        let response = send_by_http2(&server.client, request).await.unwrap();
        response.into_body().collect().await.unwrap().to_bytes()
    };
    assert_eq!(timeout(PATIENCE, both).await.unwrap(), text);
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_request_is_whole_and_leaves_nothing_behind() {
    let server = Server::start(|nth| if nth % 2 == 1 { Reply::Early } else { Reply::Echo }).await;
    server.echo().await;
    for _ in 0..5 {
        let body = Full::from(vec![b'x'; 4 << 20]);
        let request = Request::post(&server.url).body(body).unwrap();
        let response = send_by_http2(&server.client, request).await.unwrap();
        let body = timeout(PATIENCE, response.into_body().collect()).await.unwrap();
        assert_eq!(body.unwrap().to_bytes(), "{}");
        server.echo().await;
    }
    assert_eq!(server.seen(), (1, 11));
}

#[tokio::test]
async fn headers_of_http1_alone_are_left_out() {
    let server = Server::start(|_| Reply::Echo).await;
    let mut request = request(&server.url);
    for name in ["connection", "keep-alive", "te", "transfer-encoding"] {
        request.headers_mut().insert(name, "x".parse().unwrap());
    }
    send_by_http2(&server.client, request).await.unwrap();
}

#[tokio::test]
async fn a_connection_that_nobody_needs_is_closed() {
    let server = Server::start(|_| Reply::Echo).await;
    server.echo().await;
    let clock = Clock::system();
    let started = clock.now();
    pause();
    server.seen.ended.notified().await;
    let waited = clock.now() - started;
    resume();
    assert!(waited >= KEPT - Duration::from_secs(1) && waited < 2 * KEPT, "{waited:?}");
    server.echo().await;
    assert_eq!(server.seen(), (2, 2));
}

#[tokio::test]
async fn a_connection_without_a_sign_of_life_is_given_up() {
    let held = Arc::new(Notify::new());
    let notify = held.clone();
    let server = Server::start(move |_| {
        notify.notify_one();
        Reply::Freeze
    })
    .await;
    let mut sending = pin!(send(&server.client, &server.url));
    tokio::select! {
        _ = &mut sending => panic!("nobody has answered"),
        () = held.notified() => {}
    }
    let clock = Clock::system();
    let started = clock.now();
    pause();
    let error = sending.await.unwrap_err();
    assert!(may_be_seen(&error));
    let waited = clock.now() - started;
    assert!(waited > SILENCE && waited < Duration::from_secs(30), "{waited:?}");
}
