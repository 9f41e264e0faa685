//! Clients of every kind: quick, slow, gone, and many.

use super::*;

// ----- requests -----

#[tokio::test]
async fn a_request_knows_its_peer() {
    let service = service_fn(|request: Request<Incoming>| async move {
        let Peer(peer) = request.extensions().get::<Peer>().copied().unwrap();
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(peer.to_string())))
    });
    let server = start(Limits::default(), service);
    let mut client = server.connect().await;
    let own = client.local_addr().unwrap().to_string();
    send(&mut client, GET).await;
    read_until(&mut client, &own).await;
}

#[tokio::test]
async fn too_many_headers_are_refused() {
    let server = start(Limits::default(), echo());
    for (headers, answer) in [(64, "HTTP/1.1 200 "), (65, "HTTP/1.1 431 ")] {
        let mut client = server.connect().await;
        let head = format!("GET / HTTP/1.1\r\n{}\r\n", "x-one: more\r\n".repeat(headers));
        send(&mut client, &head).await;
        read_until(&mut client, answer).await;
    }
}

#[tokio::test]
async fn too_long_a_head_is_refused() {
    let server = start(Limits::default(), echo());
    let mut client = server.connect().await;
    let long = "x".repeat(Limits::default().max_header_size);
    send(&mut client, &format!("GET / HTTP/1.1\r\nx-long: {long}\r\n\r\n")).await;
    assert!(read_to_end(&mut client).await.starts_with("HTTP/1.1 431 "));
}

#[tokio::test]
async fn an_answer_is_read_even_if_the_body_was_not() {
    let service = service_fn(|_: Request<Incoming>| async {
        let mut response = Response::new(Full::<Bytes>::from("no"));
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        Ok::<_, Infallible>(response)
    });
    let server = start(Limits { linger: LONG, ..Limits::default() }, service);
    let mut client = server.connect().await;
    let body = "x".repeat(8 * 1024 * 1024);
    let head = format!("POST / HTTP/1.1\r\ncontent-length: {}\r\n\r\n", body.len());
    send(&mut client, &head).await;
    send(&mut client, &body).await;
    assert!(read_to_end(&mut client).await.starts_with("HTTP/1.1 401 "));
}

// ----- slow clients -----

#[tokio::test]
async fn a_silent_client_is_cut() {
    let server = start(Limits { header_timeout: SHORT, ..Limits::default() }, echo());
    let mut client = server.connect().await;
    assert_eq!(read_to_end(&mut client).await, "");
}

#[tokio::test]
async fn a_dripping_head_is_cut() {
    let server = start(Limits { header_timeout: SHORT, ..Limits::default() }, echo());
    let mut client = server.connect().await;
    send(&mut client, "GET / HTTP/1.1\r\nx-long: ").await;
    let (mut reader, mut writer) = client.into_split();
    let drip = async {
        let mut ticks = tokio::time::interval(SHORT / 10);
        // Fails soon after the connection has been cut.
        while writer.write_all(b"x").await.is_ok() {
            ticks.tick().await;
        }
    };
    let mut text = Vec::new();
    // The end may be a reset, as the last drops went unread.
    let ((), _) = within(async { tokio::join!(drip, reader.read_to_end(&mut text)) }).await;
    assert!(text.is_empty(), "{}", String::from_utf8_lossy(&text));
}

#[tokio::test]
async fn an_idle_connection_has_its_own_limit() {
    let limits = Limits { header_timeout: LONG, idle_timeout: SHORT, ..Limits::default() };
    let server = start(limits, echo());
    let mut client = server.connect().await;
    send(&mut client, GET).await;
    read_until(&mut client, "\r\n\r\n/").await;
    assert_eq!(read_to_end(&mut client).await, "");
}

#[tokio::test]
async fn an_idle_connection_outlives_the_header_timeout_but_a_head_on_it_does_not() {
    let limits = Limits { header_timeout: SHORT, idle_timeout: LONG, ..Limits::default() };
    let server = start(limits, echo());
    let mut client = server.connect().await;
    send(&mut client, GET).await;
    read_until(&mut client, "\r\n\r\n/").await;

    // When a client that came later has been cut, the header timeout is over for this one too.
    let mut silent = server.connect().await;
    assert_eq!(read_to_end(&mut silent).await, "");
    send(&mut client, GET).await;
    read_until(&mut client, "\r\n\r\n/").await;

    send(&mut client, "GET / HTTP/1.1\r\n").await;
    assert_eq!(read_to_end(&mut client).await, "");
}

#[tokio::test]
async fn an_idle_connection_is_cut_though_the_header_timeout_came_first() {
    let limits = Limits { header_timeout: SHORT, idle_timeout: SHORT * 3, ..Limits::default() };
    let server = start(limits, echo());
    let mut client = server.connect().await;
    send(&mut client, GET).await;
    read_until(&mut client, "\r\n\r\n/").await;
    assert_eq!(read_to_end(&mut client).await, "");
}

#[tokio::test]
async fn a_client_that_stops_reading_is_cut() {
    let (events, mut seen) = unbounded_channel();
    let limits = Limits { write_stall: SHORT, ..Limits::default() };
    let server = start(limits, answer_once(Endless { _guard: Guard(events) }));
    let mut client = server.connect().await;
    send(&mut client, GET).await;
    assert_eq!(next(&mut seen).await, Event::Dropped);

    // It is told so, in place of an end that would look like the body's own.
    let mut text = Vec::new();
    let error = within(client.read_to_end(&mut text)).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    // What its own kernel had buffered, and a part of what the server's had.
    assert!(text.len() < 1024 * 1024, "{}", text.len());
}

// ----- clients that leave -----

#[tokio::test]
async fn a_request_is_dropped_when_its_client_closes() {
    a_request_is_dropped("", drop).await;
}

#[tokio::test]
async fn a_request_is_dropped_when_its_client_resets() {
    a_request_is_dropped("", reset).await;
}

#[cfg(any(target_os = "linux", target_os = "android"))]
#[tokio::test]
async fn a_request_with_a_byte_too_many_is_dropped_when_its_client_leaves() {
    a_request_is_dropped("G", drop).await;
    a_request_is_dropped("G", reset).await;
}

#[cfg(any(target_os = "linux", target_os = "android"))]
#[tokio::test]
async fn a_request_with_another_behind_it_is_dropped_when_its_client_leaves() {
    a_request_is_dropped(GET, drop).await;
    a_request_is_dropped(GET, reset).await;
}

#[cfg(any(target_os = "linux", target_os = "android"))]
#[tokio::test]
async fn a_request_is_dropped_when_its_client_sends_a_late_byte_and_leaves() {
    let (events, mut seen) = unbounded_channel();
    let server = start(Limits::default(), hang(events));
    let mut client = server.connect().await;
    send(&mut client, GET).await;
    assert_eq!(next(&mut seen).await, Event::Started);
    send(&mut client, "G").await;
    drop(client);
    assert_eq!(next(&mut seen).await, Event::Dropped);
}

#[tokio::test]
async fn a_request_is_dropped_when_its_client_closes_the_sending_half() {
    let (events, mut seen) = unbounded_channel();
    let server = start(Limits::default(), hang(events));
    let mut client = server.connect().await;
    send(&mut client, GET).await;
    assert_eq!(next(&mut seen).await, Event::Started);
    client.shutdown().await.unwrap();
    assert_eq!(next(&mut seen).await, Event::Dropped);
    assert_eq!(read_to_end(&mut client).await, "");
}

#[cfg(any(target_os = "linux", target_os = "android"))]
#[tokio::test]
async fn a_quiet_stream_is_dropped_when_its_client_leaves() {
    for leave in [drop as fn(TcpStream), reset] {
        let (events, mut seen) = unbounded_channel();
        let (frames, body) = script(Some(Guard(events)));
        let server = start(Limits::default(), answer_once(body));
        let mut client = server.connect().await;
        send(&mut client, &GET.repeat(2)).await;
        frames.send("first".into()).unwrap();
        read_until(&mut client, "first").await;
        leave(client);
        assert_eq!(next(&mut seen).await, Event::Dropped);
    }
}

/// `tail` is what the client sends beside its request, `leave` is how it leaves.
async fn a_request_is_dropped(tail: &str, leave: fn(TcpStream)) {
    let (events, mut seen) = unbounded_channel();
    let server = start(Limits::default(), hang(events));
    let mut client = server.connect().await;
    send(&mut client, &format!("{GET}{tail}")).await;
    assert_eq!(next(&mut seen).await, Event::Started);
    leave(client);
    assert_eq!(next(&mut seen).await, Event::Dropped);
}

fn reset(client: TcpStream) {
    client.set_zero_linger().unwrap();
}

// ----- many clients -----

#[tokio::test]
async fn a_connection_over_the_cap_waits_until_another_closes() {
    let (paths, mut seen) = unbounded_channel();
    let service = service_fn(move |request: Request<Incoming>| {
        let path = request.uri().path().to_owned();
        paths.send(path.clone()).unwrap();
        async move { Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(path))) }
    });
    let server = start(Limits { connections: 1, ..Limits::default() }, service);

    let mut first = server.connect().await;
    send(&mut first, &get("/first")).await;
    read_until(&mut first, "\r\n\r\n/first").await;
    let mut second = server.connect().await;
    send(&mut second, &get("/second")).await;
    send(&mut first, &get("/again")).await;
    read_until(&mut first, "\r\n\r\n/again").await;
    assert_eq!(next(&mut seen).await, "/first");
    assert_eq!(next(&mut seen).await, "/again");
    assert!(seen.try_recv().is_err());

    drop(first);
    read_until(&mut second, "\r\n\r\n/second").await;
}
