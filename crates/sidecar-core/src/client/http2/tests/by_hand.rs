//! A provider of which every frame is written here.

use super::*;

/// The frames of a connection, by hand: no library closes one under the requests of others.
mod frames {
    use super::*;

    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const RESET: u8 = 3;
    const SETTINGS: u8 = 4;
    const GO_AWAY: u8 = 7;
    const END_STREAM: u8 = 1;
    const END_HEADERS: u8 = 4;
    const PREFACE: usize = 24;
    const OK: u8 = 0x88;
    const NO_CONTENT: u8 = 0x89;

    /// Says its settings, and hears the other side out.
    pub(super) async fn greet(stream: &mut TlsStream<TcpStream>) {
        stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
        stream.read_exact(&mut [0; PREFACE]).await.unwrap();
    }

    /// Reads until a frame of this kind comes, and gives the number of its stream.
    async fn next(stream: &mut TlsStream<TcpStream>, kind: u8) -> u8 {
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await.unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            stream.read_exact(&mut vec![0; length as usize]).await.unwrap();
            if head[3] == kind {
                return head[8];
            }
        }
    }

    pub(super) async fn next_request(stream: &mut TlsStream<TcpStream>) -> u8 {
        next(stream, HEADERS).await
    }

    pub(super) async fn next_reset(stream: &mut TlsStream<TcpStream>) -> u8 {
        next(stream, RESET).await
    }

    /// A 200 without a body.
    pub(super) async fn answer(stream: &mut TlsStream<TcpStream>, id: u8) {
        stream.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, id, &[OK])).await.unwrap();
    }

    /// How an answer comes.
    #[derive(Clone, Copy, Debug)]
    pub(super) enum Shape {
        /// A 204.
        NoContent,
        /// A length, and nothing more, as for HEAD.
        Length,
        /// The end by itself.
        Empty,
        Whole,
        /// Followed by the wish that no more of the request be sent.
        WholeThenReset,
        Half,
        /// The same with a length that is not kept to.
        HalfOfLength,
        /// Nothing at all after the head.
        Nothing,
        /// Reset with an error.
        Failed,
    }

    /// Answers in this shape, with a reset without an error where it is cut short.
    pub(super) async fn answer_in(stream: &mut TlsStream<TcpStream>, id: u8, shape: Shape) {
        // `content-length: 4`, as a literal.
        let (ok, four) = (&[OK][..], &[OK, 0x0f, 0x0d, 1, b'4'][..]);
        let half = frame(DATA, 0, id, b"ha");
        let no_error = frame(RESET, 0, id, &[0; 4]);
        let head = |fields| frame(HEADERS, END_HEADERS, id, fields);
        let frames = match shape {
            Shape::NoContent => frame(HEADERS, END_HEADERS | END_STREAM, id, &[NO_CONTENT]),
            Shape::Length => frame(HEADERS, END_HEADERS | END_STREAM, id, four),
            Shape::Empty => [head(ok), frame(DATA, END_STREAM, id, b"")].concat(),
            Shape::Whole => [head(ok), half, frame(DATA, END_STREAM, id, b"lf")].concat(),
            Shape::WholeThenReset => {
                [head(ok), half, frame(DATA, END_STREAM, id, b"lf"), no_error].concat()
            }
            Shape::Half => [head(ok), half, no_error].concat(),
            Shape::HalfOfLength => [head(four), half, no_error].concat(),
            Shape::Nothing => [head(ok), no_error].concat(),
            Shape::Failed => [head(ok), half, frame(RESET, 0, id, &[0, 0, 0, 2])].concat(),
        };
        stream.write_all(&frames).await.unwrap();
    }

    /// From now on so many streams at a time.
    pub(super) async fn allow_streams(stream: &mut TlsStream<TcpStream>, most: u8) {
        stream.write_all(&frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, most])).await.unwrap();
    }

    fn frame(kind: u8, flags: u8, id: u8, payload: &[u8]) -> Vec<u8> {
        let head = [0, 0, payload.len() as u8, kind, flags, 0, 0, 0, id];
        [&head, payload].concat()
    }

    /// No streams beyond `last`, for `reason`.
    pub(super) async fn go_away(stream: &mut TlsStream<TcpStream>, last: u8, reason: u8) {
        let payload = [0, 0, 0, last, 0, 0, 0, reason];
        stream.write_all(&frame(GO_AWAY, 0, 0, &payload)).await.unwrap();
    }
}

#[tokio::test]
async fn a_request_that_a_closing_connection_does_not_come_to_is_sent_on_another_one() {
    let server = TlsServer::start(&["h2"]).await;
    let (client, url) = (server.client(), url_of(&server));
    let serving = async {
        let mut first = server.accept().await.unwrap();
        frames::greet(&mut first).await;
        let id = frames::next_request(&mut first).await;
        frames::answer(&mut first, id).await;
        frames::next_request(&mut first).await;
        frames::go_away(&mut first, id, 0).await;
        let mut second = server.accept().await.unwrap();
        frames::greet(&mut second).await;
        let id = frames::next_request(&mut second).await;
        frames::answer(&mut second, id).await;
        (first, second)
    };
    let sending = async {
        for _ in 0..2 {
            assert_eq!(send(&client, &url).await.unwrap().version(), Version::HTTP_2);
        }
    };
    both(sending, serving).await;
}

#[tokio::test]
async fn a_connection_that_breaks_down_is_an_error_at_once() {
    let server = TlsServer::start(&["h2"]).await;
    let (client, url) = (server.client(), url_of(&server));
    let serving = async {
        let mut stream = server.accept().await.unwrap();
        frames::greet(&mut stream).await;
        frames::next_request(&mut stream).await;
        frames::go_away(&mut stream, 0, 2).await;
        stream
    };
    let (response, _) = both(send(&client, &url), serving).await;
    let error = response.unwrap_err();
    assert!(may_be_seen(&error));
}

/// The body that a client gets of an answer in this shape, and whether its connection still serves.
async fn body_of(method: Method, shape: frames::Shape) -> Result<Bytes, BodyError> {
    let server = TlsServer::start(&["h2"]).await;
    let (client, url) = (server.client(), url_of(&server));
    let serving = async {
        let mut stream = server.accept().await.unwrap();
        frames::greet(&mut stream).await;
        let id = frames::next_request(&mut stream).await;
        frames::answer_in(&mut stream, id, shape).await;
        let id = frames::next_request(&mut stream).await;
        frames::answer(&mut stream, id).await;
        stream
    };
    let sending = async {
        let request = Request::builder().method(method).uri(&url).body(Full::default()).unwrap();
        let response = send_by_http2(&client, request).await.unwrap();
        let body = response.into_body().collect().await;
        assert_eq!(send(&client, &url).await.unwrap().status(), StatusCode::OK);
        body
    };
    both(sending, serving).await.0.map(|body| body.to_bytes())
}

#[tokio::test]
async fn a_stream_that_is_reset_in_the_middle_of_a_body_is_an_error_whatever_the_reason() {
    use frames::Shape;
    for shape in [Shape::Half, Shape::HalfOfLength, Shape::Nothing, Shape::Failed] {
        let error = body_of(Method::POST, shape).await.unwrap_err();
        assert!(matches!(error, BodyError::Http2(_)), "{shape:?}: {error:?}");
    }
}

#[tokio::test]
async fn a_body_that_comes_to_its_end_is_none() {
    use frames::Shape;
    for (method, shape, text) in [
        (Method::POST, Shape::Whole, "half"),
        (Method::POST, Shape::WholeThenReset, "half"),
        (Method::POST, Shape::Empty, ""),
        (Method::POST, Shape::NoContent, ""),
        (Method::HEAD, Shape::Length, ""),
    ] {
        let body = body_of(method, shape).await;
        assert_eq!(body.unwrap(), text, "{shape:?}");
    }
}

#[tokio::test]
async fn an_answer_without_a_body_is_at_its_end_at_once() {
    let server = TlsServer::start(&["h2"]).await;
    let (client, url) = (server.client(), url_of(&server));
    let serving = async {
        let mut stream = server.accept().await.unwrap();
        frames::greet(&mut stream).await;
        let id = frames::next_request(&mut stream).await;
        frames::answer_in(&mut stream, id, frames::Shape::NoContent).await;
        stream
    };
    let (response, _) = both(send(&client, &url), serving).await;
    let body = response.unwrap().into_body();
    assert!(body.is_end_stream() && body.size_hint().exact() == Some(0));
}

#[tokio::test]
async fn a_provider_that_answers_and_takes_no_more_of_a_request_does_not_keep_its_stream() {
    let server = TlsServer::start(&["h2"]).await;
    let (client, url) = (server.client(), url_of(&server));
    let serving = async {
        let mut stream = server.accept().await.unwrap();
        frames::greet(&mut stream).await;
        frames::allow_streams(&mut stream, 1).await;
        let id = frames::next_request(&mut stream).await;
        // No window is ever opened.
        frames::answer_in(&mut stream, id, frames::Shape::Whole).await;
        assert_eq!(frames::next_reset(&mut stream).await, id);
        let id = frames::next_request(&mut stream).await;
        frames::answer(&mut stream, id).await;
        stream
    };
    let sending = async {
        let request = Request::post(&url).body(Full::from(vec![b'x'; 1 << 20])).unwrap();
        let body = send_by_http2(&client, request).await.unwrap().into_body();
        assert_eq!(body.collect().await.unwrap().to_bytes(), "half");
        assert_eq!(send(&client, &url).await.unwrap().version(), Version::HTTP_2);
    };
    both(sending, serving).await;
}

#[tokio::test]
async fn a_provider_may_take_back_what_it_allowed() {
    let server = TlsServer::start(&["h2"]).await;
    let (client, url) = (server.client(), url_of(&server));
    let serving = async {
        let mut first = server.accept().await.unwrap();
        frames::greet(&mut first).await;
        let id = frames::next_request(&mut first).await;
        frames::allow_streams(&mut first, 0).await;
        frames::answer(&mut first, id).await;
        let mut second = server.accept().await.unwrap();
        assert!(!is_http2(&second));
        answer_http1(&mut second).await;
        first
    };
    let sending = async {
        assert_eq!(send(&client, &url).await.unwrap().version(), Version::HTTP_2);
        assert_eq!(send(&client, &url).await.unwrap().version(), Version::HTTP_11);
    };
    both(sending, serving).await;
}
