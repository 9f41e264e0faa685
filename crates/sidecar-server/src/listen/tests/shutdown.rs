//! The end of serving, and serving on several runtimes.

use super::*;

// ----- shutdown -----

#[tokio::test]
async fn shutdown_lets_an_answer_finish_and_refuses_new_connections() {
    let (frames, body) = script(None);
    let mut server = start(Limits::default(), answer_once(body));
    let mut silent = server.connect().await;
    let mut client = server.connect().await;
    send(&mut client, GET).await;
    frames.send("first".into()).unwrap();
    read_until(&mut client, "first\r\n").await;

    server.stop();
    assert_eq!(read_to_end(&mut silent).await, "");
    within(async { while TcpStream::connect(server.addr).await.is_ok() {} }).await;

    frames.send("last".into()).unwrap();
    drop(frames);
    assert_eq!(read_to_end(&mut client).await, "4\r\nlast\r\n0\r\n\r\n");
    assert_eq!(server.drained().await, Drained { cut: 0 });
}

#[tokio::test]
async fn shutdown_closes_an_idle_connection() {
    let mut server = start(Limits { drain: LONG, ..Limits::default() }, echo());
    let mut client = server.connect().await;
    send(&mut client, GET).await;
    read_until(&mut client, "\r\n\r\n/").await;
    server.stop();
    assert_eq!(read_to_end(&mut client).await, "");
    assert_eq!(server.drained().await, Drained { cut: 0 });
}

#[tokio::test]
async fn shutdown_cuts_what_does_not_finish_in_time() {
    let (events, mut seen) = unbounded_channel();
    let mut server = start(Limits { drain: SHORT, ..Limits::default() }, hang(events));
    let mut client = server.connect().await;
    send(&mut client, GET).await;
    assert_eq!(next(&mut seen).await, Event::Started);
    server.stop();
    assert_eq!(server.drained().await, Drained { cut: 1 });
    // Without waiting for it: the handler is dropped before the server is done.
    assert_eq!(seen.try_recv(), Ok(Event::Dropped));
    assert_eq!(read_to_end(&mut client).await, "");
}

// ----- several runtimes -----

#[tokio::test]
async fn a_connection_goes_where_there_are_the_fewest() {
    let workers = Workers::of(2).unwrap();
    let limits = Limits { connections: 4, ..Limits::default() };
    let server = start_on(workers.handles(), limits, thread_name());
    let mut clients = Vec::new();
    for thread in ["sidecar-0", "sidecar-1", "sidecar-0", "sidecar-1"] {
        clients.push(server.connect_to(thread).await);
    }
    // It stays there with all its requests.
    send(&mut clients[1], GET).await;
    read_until(&mut clients[1], "\r\n\r\nsidecar-1").await;
    // Each of these waits until the one before has left, so that its place is counted by then.
    for left in [1, 3, 3] {
        clients.remove(left);
        clients.push(server.connect_to("sidecar-1").await);
    }
    clients.remove(0);
    server.connect_to("sidecar-0").await;
}

#[tokio::test]
async fn shutdown_lets_answers_finish_on_every_runtime() {
    let workers = Workers::of(2).unwrap();
    let (scripts, bodies): (Vec<_>, Vec<_>) = [script(None), script(None)].into_iter().unzip();
    let mut server = start_on(workers.handles(), Limits::default(), answer_in_turn(bodies));
    let mut clients = Vec::new();
    for frames in &scripts {
        let mut client = server.connect().await;
        send(&mut client, GET).await;
        frames.send("first".into()).unwrap();
        read_until(&mut client, "first\r\n").await;
        clients.push(client);
    }
    server.stop();
    within(async { while TcpStream::connect(server.addr).await.is_ok() {} }).await;
    for (frames, mut client) in scripts.into_iter().zip(clients) {
        frames.send("last".into()).unwrap();
        drop(frames);
        assert_eq!(read_to_end(&mut client).await, "4\r\nlast\r\n0\r\n\r\n");
    }
    assert_eq!(server.drained().await, Drained { cut: 0 });
}

#[tokio::test]
async fn shutdown_cuts_what_does_not_finish_on_any_runtime() {
    let workers = Workers::of(2).unwrap();
    let (events, mut seen) = unbounded_channel();
    let limits = Limits { drain: SHORT, ..Limits::default() };
    let mut server = start_on(workers.handles(), limits, hang(events));
    let mut clients = [server.connect().await, server.connect().await];
    for client in &mut clients {
        send(client, GET).await;
        assert_eq!(next(&mut seen).await, Event::Started);
    }
    server.stop();
    assert_eq!(server.drained().await, Drained { cut: 2 });
    // Without waiting for them: the handlers are dropped before the server is done.
    assert_eq!([seen.try_recv(), seen.try_recv()], [Ok(Event::Dropped), Ok(Event::Dropped)]);
    for client in &mut clients {
        assert_eq!(read_to_end(client).await, "");
    }
}

#[tokio::test]
#[should_panic(expected = "no place to serve at")]
async fn there_has_to_be_a_place() {
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let none = std::iter::once((Handle::current(), echo())).skip(1);
    serve_on(listener, none, Limits::default(), pending()).await;
}
