use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::request::Builder;
use http_body::Frame;
use http_body_util::Full;
use tokio::time::Sleep;

use super::*;
use crate::callers::{CallerPatch, Callers};

/// A body whose frames come after so many seconds each.
struct Slow {
    frames: VecDeque<(u64, io::Result<Bytes>)>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Slow {
    fn new(frames: impl IntoIterator<Item = (u64, io::Result<Bytes>)>) -> Self {
        Self { frames: frames.into_iter().collect(), pause: None }
    }
}

impl Body for Slow {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Some((seconds, _)) = self.frames.front() else { return Poll::Ready(None) };
        let seconds = *seconds;
        if seconds > 0 {
            let pause = self
                .pause
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(Duration::from_secs(seconds))));
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        let frame = self.frames.pop_front().map(|(_, frame)| frame.map(Frame::data));
        Poll::Ready(frame)
    }
}

const CHAT: &str = "/v1/chat/completions";
const BODY: &str = r#"{"model":"m","stream":true}"#;

fn json(path: &str) -> Builder {
    Request::post(path).header("content-type", "application/json")
}

fn form() -> Builder {
    Request::post("/v1/audio/transcriptions")
        .header("content-type", "multipart/form-data; boundary=xyz")
}

async fn call(request: Builder, body: &'static str) -> Result<Call, Error> {
    let request = request.body(Full::from(body)).unwrap();
    read(request, &Settings::default(), &Clock::simulated()).await
}

async fn code(request: Builder, body: &'static str) -> &'static str {
    call(request, body).await.map(|_| "").unwrap_or_else(|error| error.code())
}

async fn slow(frames: Vec<(u64, io::Result<Bytes>)>) -> (Result<Call, Error>, Duration) {
    let clock = Clock::simulated();
    let start = clock.now();
    let request = json(CHAT).body(Slow::new(frames)).unwrap();
    let read = read(request, &Settings::default(), &clock).await;
    (read, clock.now() - start)
}

#[tokio::test(start_paused = true)]
async fn a_request_becomes_a_call() {
    let call = call(json("/chat/completions?a=1&b"), BODY).await.unwrap();
    let head = call.head();
    assert_eq!((&head.method, &*head.path), (&Method::POST, CHAT));
    assert_eq!(head.query.as_deref(), Some("a=1&b"));
    assert_eq!(head.headers["content-type"], "application/json");
    assert_eq!(head.family, Family::OpenAi);
    assert_eq!(head.model.as_deref(), Some("m"));
    assert_eq!(head.model_place, ModelPlace::Json(9..12));
    assert!(head.stream);
    assert_eq!((head.usage_asked, &head.stream_options), (false, &None));
    assert_eq!(head.body_end, Some(BODY.len() - 1));
    assert_eq!(head.caller, Caller::anonymous());
    assert_eq!((head.pinned.as_deref(), head.deadline), (None, None));
    assert_eq!(head.queue_until - head.received, Settings::default().queue_timeout);
    assert_eq!(call.body(), BODY);
    assert!(head.id.starts_with("req_") && head.id.len() == 36, "{}", head.id);
}

#[tokio::test(start_paused = true)]
async fn the_edge_may_name_request_and_caller() {
    let request = json(CHAT)
        .header("x-agent-id", "other")
        .extension(RequestId("req_7".into()))
        .extension(Caller("coo".into()));
    let call = call(request, BODY).await.unwrap();
    assert_eq!((&*call.head().id, &*call.head().caller.0), ("req_7", "coo"));
}

#[tokio::test(start_paused = true)]
async fn an_agent_may_name_itself_in_a_short_visible_text() {
    let longest = "a".repeat(64);
    let long = "a".repeat(65);
    for (id, caller) in [
        ("coo", "coo"),
        (&*longest, &*longest),
        (&*long, "anonymous"),
        ("", "anonymous"),
        ("a b", "anonymous"),
        ("\u{e9}", "anonymous"),
    ] {
        let value = http::HeaderValue::from_bytes(id.as_bytes()).unwrap();
        let call = call(json(CHAT).header("x-agent-id", value), BODY).await.unwrap();
        assert_eq!(&*call.head().caller.0, caller, "{id}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_is_the_callers_patience() {
    let request = json(CHAT).header("x-sidecar-deadline-ms", "1500");
    let call = call(request, BODY).await.unwrap();
    let head = call.head();
    let deadline = head.deadline.unwrap();
    assert_eq!(deadline - head.received, Duration::from_millis(1500));
    assert_eq!(head.queue_until, deadline);

    let request = json(CHAT).header("x-sidecar-deadline-ms", "86400000");
    let call = self::call(request, BODY).await.unwrap();
    let head = call.head();
    assert_eq!(head.queue_until - head.received, Settings::default().queue_timeout);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_counts_from_the_arrival_of_the_request() {
    let request = json(CHAT)
        .header("x-sidecar-deadline-ms", "15000")
        .body(Slow::new([(10, Ok(BODY.into()))]))
        .unwrap();
    let call = read(request, &Settings::default(), &Clock::simulated()).await.unwrap();
    let left = call.head().deadline.unwrap() - call.head().received;
    assert!((4_900..=5_000).contains(&left.as_millis()), "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn bad_headers_are_refused() {
    for deadline in ["", "0", "-1", "+1", "1.5", "1s", "86400001", "99999999999999999999", "1, 2"] {
        let request = json(CHAT).header("x-sidecar-deadline-ms", deadline);
        assert_eq!(code(request, BODY).await, "invalid_request", "{deadline}");
    }
    let twice =
        json(CHAT).header("x-sidecar-deadline-ms", "1").header("x-sidecar-deadline-ms", "1");
    assert_eq!(code(twice, BODY).await, "invalid_request");
    for coding in ["gzip", "identity, br", ""] {
        let request = json(CHAT).header("content-encoding", coding);
        assert_eq!(code(request, BODY).await, "invalid_request", "{coding}");
    }
    assert_eq!(code(json(CHAT).header("content-encoding", "Identity"), BODY).await, "");
}

#[tokio::test(start_paused = true)]
async fn delivery_is_what_the_header_says_else_the_callers_setting() {
    let patch: CallerPatch =
        serde_json::from_str(r#"{"name":"agents","delivery":"complete"}"#).unwrap();
    let (record, _) = patch.create("id", Clock::simulated().wall()).unwrap();
    let callers = Callers::default();
    callers.replace([record]);
    let agents = callers.find("agents").unwrap();
    for (header, of_nobody, of_agents) in [
        (None, Delivery::Stream, Delivery::Complete),
        (Some("complete"), Delivery::Complete, Delivery::Complete),
        (Some("Stream"), Delivery::Stream, Delivery::Stream),
    ] {
        let request = || match header {
            Some(header) => json(CHAT).header("x-sidecar-delivery", header),
            None => json(CHAT),
        };
        assert_eq!(call(request(), BODY).await.unwrap().head().delivery, of_nobody, "{header:?}");
        let request = request().extension(agents.clone());
        assert_eq!(call(request, BODY).await.unwrap().head().delivery, of_agents, "{header:?}");
    }
    for header in ["", "whole", "complete,stream"] {
        let error = call(json(CHAT).header("x-sidecar-delivery", header), BODY).await.unwrap_err();
        assert!(error.to_string().contains("x-sidecar-delivery"), "{error}");
        assert_eq!(error.status(), http::StatusCode::BAD_REQUEST, "{header}");
    }
    let twice =
        json(CHAT).header("x-sidecar-delivery", "stream").header("x-sidecar-delivery", "stream");
    assert_eq!(code(twice, BODY).await, "invalid_request");
}

#[tokio::test(start_paused = true)]
async fn a_pin_is_any_text() {
    let utf8 = http::HeaderValue::from_bytes("n\u{e9} 1".as_bytes()).unwrap();
    let pinned = call(json(CHAT).header("x-sidecar-provider", utf8), BODY).await.unwrap();
    assert_eq!(pinned.head().pinned.as_deref(), Some("n\u{e9} 1"));
    let blank = call(json(CHAT).header("x-sidecar-provider", " "), BODY).await.unwrap();
    assert_eq!(blank.head().pinned, None);
    let bad = http::HeaderValue::from_bytes(b"\xff").unwrap();
    assert_eq!(code(json(CHAT).header("x-sidecar-provider", bad), BODY).await, "invalid_request");
}

#[tokio::test(start_paused = true)]
async fn other_paths_and_methods_are_unknown() {
    assert_eq!(code(json("/api/admin/backends"), BODY).await, "unknown_path");
    assert_eq!(code(json("/v1/../x"), BODY).await, "unknown_path");
    assert_eq!(code(json("*"), BODY).await, "unknown_path");
    assert_eq!(code(json(CHAT).method(Method::TRACE), BODY).await, "unknown_path");
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_body_needs_no_model() {
    for method in [Method::GET, Method::HEAD, Method::DELETE] {
        let call = call(Request::builder().method(method).uri(CHAT), "").await.unwrap();
        assert_eq!((&call.head().model, &call.head().model_place), (&None, &ModelPlace::None));
    }
    assert_eq!(code(json(CHAT), "").await, "missing_model");
    assert_eq!(code(json(CHAT), "{}").await, "missing_model");
    assert_eq!(code(json(CHAT).method(Method::GET), "{}").await, "missing_model");
    assert_eq!(code(json("/v1/responses/r/cancel"), "").await, "");
    assert_eq!(code(json("/v1/files"), "{}").await, "");
}

#[tokio::test(start_paused = true)]
async fn the_content_type_says_how_a_body_is_read() {
    let typed = |value: &'static str| Request::post(CHAT).header("content-type", value);
    for json in ["application/json; charset=utf-8", "APPLICATION/JSON", "text/json", "a/b+json"] {
        assert_eq!(code(typed(json), BODY).await, "", "{json}");
        assert_eq!(code(typed(json), "nonsense").await, "invalid_body", "{json}");
    }
    assert_eq!(code(Request::post(CHAT), BODY).await, "");
    assert_eq!(code(Request::post(CHAT), "\n {").await, "invalid_body");
    assert_eq!(code(Request::post(CHAT), "model=m").await, "invalid_body");
    for other in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""] {
        assert_eq!(code(typed(other), BODY).await, "invalid_body", "{other}");
    }
    let blob = Request::post("/v1/blobs").header("content-type", "application/octet-stream");
    let call = call(blob, "\0\x01").await.unwrap();
    assert_eq!((&call.head().model, call.body()), (&None, &Bytes::from_static(b"\0\x01")));
}

#[tokio::test(start_paused = true)]
async fn a_call_knows_what_was_asked_of_its_stream_and_where() {
    let body = r#"{"stream_options": {"include_usage":true} ,"model":"m","stream":true}"#;
    let call = call(json(CHAT), body).await.unwrap();
    let head = call.head();
    assert!(head.usage_asked);
    let options = head.stream_options.clone().unwrap();
    assert_eq!(call.body()[options], *br#"{"include_usage":true}"#);
    assert_eq!(call.body()[head.body_end.unwrap()..], *b"}");

    let twice = r#"{"model":"m","stream_options":{},"stream_options":{}}"#;
    assert_eq!(code(json(CHAT), twice).await, "invalid_body_duplicate_field");
    let form = "--xyz\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nw\r\n--xyz--";
    let call = self::call(self::form(), form).await.unwrap();
    assert_eq!((call.head().stream_options.clone(), call.head().body_end), (None, None));
}

#[tokio::test(start_paused = true)]
async fn a_form_is_read_like_json() {
    let body = "--xyz\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nwhisper\r\n--xyz--";
    let call = call(form(), body).await.unwrap();
    assert_eq!(call.head().model.as_deref(), Some("whisper"));
    let ModelPlace::Multipart(span) = call.head().model_place.clone() else {
        panic!("{:?}", call.head().model_place)
    };
    assert_eq!(call.body()[span], *b"whisper");
    assert_eq!(code(form(), "--xyz--").await, "missing_model");
    assert_eq!(code(form(), "nonsense").await, "invalid_body");
    let unbounded = Request::post(CHAT).header("content-type", "multipart/form-data");
    assert_eq!(code(unbounded, body).await, "invalid_body");
}

#[tokio::test(start_paused = true)]
async fn gemini_names_its_model_in_the_path() {
    let path = "/v1beta/models/g-1:streamGenerateContent?alt=sse&key=needle&access_token=needle";
    let call = call(json(path), "{\"contents\":[]}").await.unwrap();
    let head = call.head();
    assert_eq!((head.family, head.model.as_deref()), (Family::Gemini, Some("g-1")));
    let ModelPlace::Path(span) = head.model_place.clone() else { panic!("{head:?}") };
    assert_eq!(&head.path[span], "g-1");
    assert!(head.stream);
    assert_eq!(head.query.as_deref(), Some("alt=sse"));
    assert!(!format!("{head:?}").contains("needle"));
}

#[tokio::test(start_paused = true)]
async fn a_debug_print_shows_no_credential() {
    let request = json(CHAT)
        .header("authorization", "Bearer needle")
        .header("x-api-key", "needle")
        .header("x-goog-api-key", "needle")
        .header("cookie", "a=needle")
        .header("cookie", "b=needle");
    let call = call(request, BODY).await.unwrap();
    assert_eq!(call.head().headers["authorization"], "Bearer needle");
    assert!(!format!("{call:?}").contains("needle"));
}

#[tokio::test(start_paused = true)]
async fn a_body_over_the_cap_is_refused_however_it_comes() {
    let clock = Clock::simulated();
    let settings = Settings { max_body_bytes: 12, ..Settings::default() };
    let blobs = || Request::post("/v1/blobs").header("content-type", "x/y");
    let too_large =
        |result: Result<Call, Error>| matches!(result, Err(Error::BodyTooLarge { limit: 12 }));

    let declared =
        blobs().header("content-length", "13").body(Slow::new([(9_999, Ok(Bytes::new()))]));
    assert!(too_large(read(declared.unwrap(), &settings, &clock).await));
    let whole = blobs().body(Full::from("0123456789abc")).unwrap();
    assert!(too_large(read(whole, &settings, &clock).await));
    // Chunked, and a length that lies.
    for request in [blobs(), blobs().header("content-length", "1")] {
        let frames = ["012345", "6789ab", "c"].map(|text| (0, Ok(text.into())));
        let request = request.body(Slow::new(frames)).unwrap();
        assert!(too_large(read(request, &settings, &clock).await));
    }
    let frames = ["012345", "6789ab", ""].map(|text| (0, Ok(text.into())));
    let call = read(blobs().body(Slow::new(frames)).unwrap(), &settings, &clock).await.unwrap();
    assert_eq!(call.body(), "0123456789ab");
}

#[tokio::test(start_paused = true)]
async fn a_body_in_one_frame_is_not_copied() {
    let body = Bytes::from(BODY.to_owned());
    let request = json(CHAT).body(Full::new(body.clone())).unwrap();
    let call = read(request, &Settings::default(), &Clock::simulated()).await.unwrap();
    assert_eq!(call.body().as_ptr(), body.as_ptr());
}

/// `body` with its blank filled with so many bytes that it counts as large.
fn large(body: &str) -> Bytes {
    body.replace('@', &"x".repeat(MOST_AT_ONCE)).into()
}

#[tokio::test(start_paused = true)]
async fn a_large_body_says_the_same_as_a_small_one() {
    let open = "--xyz\r\ncontent-disposition: form-data; name=";
    let named = r#"{"a":"@","model":"m","stream":true,"max_tokens":7}"#;
    let file = format!("{open}\"file\"; filename=\"f\"\r\n\r\n@\r\n");
    let audio = format!("{file}{open}\"model\"\r\n\r\nw\r\n--xyz--");
    let blob = Request::post("/v1/blobs").header("content-type", "x/y");
    let gemini = json("/v1beta/models/g:streamGenerateContent");
    for (request, body, expected) in [
        (json(CHAT), named, "m"),
        (Request::post(CHAT), named, "m"),
        (form(), &*audio, "w"),
        (gemini, r#"{"model":"m","a":"@"}"#, "g"),
        (blob, "@", ""),
        (json(CHAT), r#"{"model":"m","a":"@""#, "invalid_body"),
        (json(CHAT), r#"{"model":"m","a":"@","model":"n"}"#, "invalid_body_duplicate_field"),
        (json(CHAT), r#"{"a":"@"}"#, "missing_model"),
        (json(CHAT).method(Method::GET), r#"{"a":"@"}"#, "missing_model"),
        (form(), &*file, "invalid_body"),
        (Request::post(CHAT).header("content-type", "x/y"), "@", "invalid_body"),
    ] {
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let mut said = Vec::new();
        for body in [Bytes::from(body.to_owned()), large(body)] {
            let request = Request::from_parts(parts.clone(), Full::new(body.clone()));
            let read = read(request, &Settings::default(), &Clock::simulated()).await;
            said.push(match read {
                Ok(call) => {
                    assert_eq!(call.body().as_ptr(), body.as_ptr());
                    let head = call.head();
                    let model = head.model.as_deref().unwrap_or_default().to_owned();
                    if let ModelPlace::Json(span) = &head.model_place {
                        assert_eq!(body[span.clone()], *br#""m""#);
                    }
                    (model, head.stream, head.max_tokens)
                }
                Err(error) => (error.code().to_owned(), false, None),
            });
        }
        assert_eq!(said[0].0, expected, "{parts:?}");
        assert_eq!(said[0], said[1], "{parts:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_body_waits_for_its_turn_and_a_small_one_does_not() {
    let (settings, clock) = (Settings::default(), Clock::simulated());
    let read = |body: Bytes| read(json(CHAT).body(Full::new(body)).unwrap(), &settings, &clock);
    let turns = SCANS.acquire_many(most_scans() as u32).await.unwrap();
    let mut waiting = pin!(read(large(r#"{"model":"m","a":"@"}"#)));
    tokio::select! {
        biased;
        _ = &mut waiting => panic!("it is read where it came in"),
        call = read(BODY.into()) => assert_eq!(call.unwrap().body(), BODY),
    }
    drop(turns);
    assert_eq!(waiting.await.unwrap().head().model.as_deref(), Some("m"));
}

#[tokio::test(start_paused = true)]
async fn callers_who_leave_give_their_turns_back() {
    for _ in 0..2 * most_scans() {
        let request = json(CHAT).body(Full::new(large(r#"{"model":"m","a":"@"}"#))).unwrap();
        let (settings, clock) = (Settings::default(), Clock::simulated());
        tokio::select! {
            biased;
            _ = read(request, &settings, &clock) => {}
            () = std::future::ready(()) => {}
        }
    }
    drop(SCANS.acquire_many(most_scans() as u32).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_silent_body_is_given_up() {
    let (read, took) = slow(vec![(3_600, Ok(BODY.into()))]).await;
    assert!(matches!(read, Err(Error::BodyUnreadable)));
    assert_eq!(took.as_secs(), 30);

    let large = Bytes::from(vec![b' '; 1 << 20]);
    let (read, took) = slow(vec![(0, Ok(large)), (3_600, Ok(BODY.into()))]).await;
    assert!(matches!(read, Err(Error::BodyUnreadable)));
    assert_eq!(took.as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_dripping_body_is_given_up() {
    let drops = (0..100).map(|_| (20, Ok(Bytes::from_static(b" ")))).collect();
    let (read, took) = slow(drops).await;
    assert!(matches!(read, Err(Error::BodyUnreadable)));
    assert_eq!(took.as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_that_moves_is_read() {
    let mut frames: Vec<_> = (0..100).map(|_| (2, Ok(Bytes::from(vec![b' '; 4 << 10])))).collect();
    frames.push((2, Ok(BODY.into())));
    let (read, took) = slow(frames).await;
    assert_eq!(read.unwrap().head().model.as_deref(), Some("m"));
    assert!(took.as_secs() >= 202);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_cut_is_refused() {
    let cut = io::Error::from(io::ErrorKind::UnexpectedEof);
    let (read, _) = slow(vec![(0, Ok(BODY.into())), (0, Err(cut))]).await;
    assert!(matches!(read, Err(Error::BodyUnreadable)));
}
