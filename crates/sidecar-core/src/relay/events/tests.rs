//! What comes out for what goes in, and that it does not depend on how it is cut.

mod long;

use memchr::memmem;
use proptest::prelude::*;

use super::*;
use crate::provider::StreamUsage;
use crate::relay::tests::recorded::{ALL, ANTHROPIC, GEMINI, OPENAI, RESPONSES};

const GRAMMARS: &[Grammar] =
    &[Grammar::Chat, Grammar::Other, Grammar::Responses, Grammar::Anthropic, Grammar::Gemini];

fn as_it_is(grammar: Grammar) -> Events {
    Events::new(grammar, View::AsItIs)
}

/// What comes of `pieces` and then of `ending`, if it comes to that.
fn run<'t>(
    mut events: Events,
    pieces: impl IntoIterator<Item = &'t [u8]>,
    ending: Ending,
) -> (String, Then) {
    let mut text = Vec::new();
    for piece in pieces {
        let Step { frame, then } = events.feed(Bytes::copy_from_slice(piece));
        text.extend_from_slice(&frame);
        if then != Then::More {
            return (String::from_utf8_lossy(&text).into_owned(), then);
        }
    }
    let Step { frame, then } = events.end(ending);
    text.extend_from_slice(&frame);
    (String::from_utf8_lossy(&text).into_owned(), then)
}

fn run_chat(text: &str) -> (String, Then) {
    run(as_it_is(Grammar::Chat), [text.as_bytes()], Ending::Clean)
}

/// `text` cut at `cuts`.
fn pieces<'t>(text: &'t [u8], cuts: &[usize]) -> Vec<&'t [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
    cuts.extend([0, text.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect()
}

const CHUNK: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";
const FINISH: &str = "data: {\"choices\":[{\"index\":0,\"finish_reason\":\"stop\"}]}\n\n";
const DONE_EVENT: &str = "data: [DONE]\n\n";

// What passes.

#[test]
fn whole_streams_pass_as_they_are() {
    for recorded in ALL {
        let events = as_it_is(recorded.grammar);
        let (text, then) = run(events, [recorded.text.as_bytes()], Ending::Clean);
        assert_eq!(text, recorded.text, "{}", recorded.vendor);
        assert!(matches!(then, Then::Settle | Then::End), "{}", recorded.vendor);
    }
}

#[test]
fn a_frame_of_whole_lines_is_not_copied() {
    for recorded in ALL {
        let mut events = as_it_is(recorded.grammar);
        let mut rest = Bytes::from(recorded.text.as_bytes().to_vec());
        while let Some(end) = memmem::find(&rest, b"\n") {
            let chunk = rest.split_to(end + 1);
            let frame = events.feed(chunk.clone()).frame;
            if chunk.starts_with(b"data: [DONE]") {
                // What ends a stream of chunks is written by ourselves if a part is missing.
                break;
            }
            assert_eq!((frame.as_ptr(), &frame), (chunk.as_ptr(), &chunk));
        }
        let chunk = Bytes::from(recorded.text.as_bytes().to_vec());
        let frame = as_it_is(recorded.grammar).feed(chunk.clone()).frame;
        assert_eq!((frame.as_ptr(), frame), (chunk.as_ptr(), chunk), "{}", recorded.vendor);
    }
}

#[test]
fn of_a_chat_only_data_and_comments_pass() {
    let text = "retry: 100\n\nid: 1\nevent: message\ndata: {\"choices\":[]}\nid: 2\n\n\
        event: ping\n\nevent: ping\ndata:\n\n\n\n: hold on\n\nid\n\n data: x\n\n\
        data: {\"choices\":[]}\nretry: 5\n\nnonsense\n\ndata: [DONE]\n\n";
    let expected =
        "data: {\"choices\":[]}\n\n: hold on\n\ndata: {\"choices\":[]}\n\ndata: [DONE]\n\n";
    assert_eq!(run_chat(text), (expected.to_owned(), Then::Settle));
    let crlf = text.replace('\n', "\r\n");
    let expected = "data: {\"choices\":[]}\r\n\r\n: hold on\r\n\r\ndata: {\"choices\":[]}\r\n\r\n\
        data: [DONE]\n\n";
    assert_eq!(run_chat(&crlf), (expected.to_owned(), Then::Settle));
}

#[test]
fn other_families_keep_every_line() {
    let text = "id: 1\nretry: 5\nevent: ping\n\n\n: x\ndata:\n\ndata: nonsense\n\n";
    for grammar in [Grammar::Other, Grammar::Responses, Grammar::Anthropic, Grammar::Gemini] {
        let (passed, _) = run(as_it_is(grammar), [text.as_bytes()], Ending::Clean);
        assert!(passed.starts_with(text), "{grammar:?} {passed}");
    }
}

#[test]
fn events_without_a_blank_line_between_them_get_one() {
    let text = "data: {\"choices\":[]}\ndata: {\"choices\":[]}\n: x\ndata: {}\ndata: [DONE]\n";
    let expected = "data: {\"choices\":[]}\n\ndata: {\"choices\":[]}\n: x\n\ndata: {}\n\n\
        data: [DONE]\n\n";
    assert_eq!(run_chat(text), (expected.to_owned(), Then::Settle));
}

#[test]
fn malformed_data_passes_as_it_is() {
    let text = "data: {\"choices\":[\ndata: ]}\n\ndata: {x\n\ndata: \u{e9}\n\ndata: [DONE]\n\n";
    assert_eq!(run_chat(text), (text.to_owned(), Then::Settle));
}

// How a whole stream ends.

#[test]
fn nothing_passes_after_done() {
    for rest in ["data: x\n\n", "data: [DONE]\n\n", ": x\n", "x", "\n\n", "\r\n"] {
        let text = format!("{FINISH}{DONE_EVENT}{rest}");
        assert_eq!(run_chat(&text), (format!("{FINISH}{DONE_EVENT}"), Then::Settle));
    }
    for done in ["data:[DONE]\n", "data: [DONE]\r\n\r\n", "data: [DONE] x\n\n", "data: [DONE]"] {
        let text = format!("{CHUNK}{done}");
        assert_eq!(run_chat(&text), (format!("{CHUNK}{DONE_EVENT}"), Then::Settle), "{done}");
    }
}

#[test]
fn a_done_that_is_missing_is_added() {
    let whole = format!("{CHUNK}{FINISH}{DONE_EVENT}");
    for text in [
        format!("{CHUNK}{FINISH}"),
        format!("{CHUNK}{}\n", FINISH.trim_end()),
        format!("{CHUNK}{}", FINISH.trim_end()),
        format!("{CHUNK}{FINISH}data: {{\"cho"),
    ] {
        for ending in [Ending::Clean, Ending::Silent] {
            let events = as_it_is(Grammar::Chat);
            let (passed, then) = run(events, [text.as_bytes()], ending);
            if ending == Ending::Clean || text.ends_with('\n') {
                assert_eq!((&passed, then), (&whole, Then::End), "{text}");
            }
        }
    }
}

#[test]
fn a_finish_is_waited_for_no_longer_than_is_worth_it() {
    let mut events = as_it_is(Grammar::Chat);
    assert_eq!(events.patience(), Duration::MAX);
    events.feed(CHUNK.into());
    assert_eq!(events.patience(), Duration::MAX);
    events.feed(FINISH.into());
    assert_eq!(events.patience(), LINGERING);

    let mut events = as_it_is(Grammar::Anthropic);
    events.feed("event: message_stop\ndata: {\"type\":\"message_stop\"}\n".into());
    assert_eq!(events.patience(), SETTLING);
    assert_eq!(events.feed("\n".into()).then, Then::Settle);
}

#[test]
fn the_last_event_ends_a_stream_whatever_comes_then() {
    for (grammar, text) in [(Grammar::Responses, RESPONSES), (Grammar::Anthropic, ANTHROPIC)] {
        // With its blank line it ends the stream by itself, without it at the end of the body.
        assert_eq!(
            run(as_it_is(grammar), [format!("{text}data: [DONE]\n\n").as_bytes()], Ending::Clean),
            (text.to_owned(), Then::Settle)
        );
        for text_without in [&text[..text.len() - 1], &text[..text.len() - 2]] {
            for ending in [Ending::Clean, Ending::Broken, Ending::Silent] {
                let (passed, then) = run(as_it_is(grammar), [text_without.as_bytes()], ending);
                let is_line = text_without.ends_with('\n') || ending == Ending::Clean;
                assert_eq!(then == Then::End, is_line, "{grammar:?} {ending:?}");
                assert_eq!(passed == text, is_line, "{grammar:?} {ending:?}");
            }
        }
    }
    for kind in ["response.failed", "response.incomplete"] {
        let text = format!(
            "data: {{\"type\":\"{kind}\",\"response\":{{\"error\":{{\"code\":\"server_error\",\
             \"message\":\"x\"}}}}}}\n\n"
        );
        let passed = run(as_it_is(Grammar::Responses), [text.as_bytes()], Ending::Clean);
        assert_eq!(passed, (text.clone(), Then::Settle));
    }
}

// How a cut stream ends.

#[test]
fn a_stream_cut_anywhere_gets_one_error_and_no_proper_end() {
    for recorded in ALL {
        let (grammar, whole) = (recorded.grammar, recorded.text);
        for at in 0..whole.len() {
            for ending in [Ending::Clean, Ending::Broken, Ending::Silent] {
                let context = format!("{} {ending:?} at {at}", recorded.vendor);
                let front = &whole[..at];
                let (passed, then) = run(as_it_is(grammar), [front.as_bytes()], ending);
                let Then::Cut(cut) = then else {
                    // Everything that counts had come.
                    let done = if grammar == Grammar::Chat { DONE_EVENT } else { "" };
                    let content = passed.strip_suffix(done).unwrap();
                    assert!(whole.starts_with(content.trim_end()), "{context}: {passed}");
                    assert!(ending != Ending::Broken || at + 30 > whole.len(), "{context}");
                    continue;
                };
                let expected = if ending == Ending::Silent { Cut::Stalled } else { Cut::Broken };
                assert_eq!(cut, expected, "{context}");
                let start = passed.rfind("event: error\n").or(passed.rfind("data: ")).unwrap();
                let (lines, event) = passed.split_at(start);
                let data = event.split_once("data: ").unwrap().1;
                let error: serde_json::Value = serde_json::from_str(data).unwrap();
                assert!(error.to_string().contains(" end"), "{context}: {passed}");
                assert!(passed.ends_with("}\n\n") && !event.contains("[DONE]"), "{context}");
                // Only whole lines pass, and what is open is ended.
                assert!(lines.is_empty() || lines.ends_with('\n'), "{context}: {passed}");
                assert!(front.starts_with(lines.trim_end()), "{context}: {passed}");
                let open = lines.rsplit("\n\n").next().unwrap_or_default();
                assert!(!open.contains("data:") || open.ends_with("\r\n\r\n"), "{context}");
            }
        }
    }
}

#[test]
fn a_responses_error_has_the_next_number() {
    let front = &RESPONSES[..RESPONSES.rfind("event:").unwrap()];
    let (passed, _) = run(as_it_is(Grammar::Responses), [front.as_bytes()], Ending::Broken);
    assert!(passed.contains("\"param\":null,\"sequence_number\":2,\"error\":{"), "{passed}");
}

#[test]
fn an_error_of_the_provider_is_said_in_our_words() {
    let openai = "{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"error\"}],\
        \"error\":{\"code\":502,\"message\":\"needle sk-needle\"}}";
    for (grammar, text) in [
        (Grammar::Chat, format!("{CHUNK}data: {openai}\n\n{DONE_EVENT}")),
        (Grammar::Chat, format!("{CHUNK}event: error\ndata: {{\"needle\":1}}\n\n{DONE_EVENT}")),
        (Grammar::Chat, format!("{CHUNK}data: [{{\"error\":{{\"message\":\"needle\"}}}}]\n\n")),
        (Grammar::Chat, format!("{CHUNK}data: {{\"error\":\"needle\"}}")),
        (Grammar::Other, format!("data: {{}}\n\nevent: error\ndata: {openai}\n\n")),
        (
            Grammar::Responses,
            "event: error\ndata: {\"type\":\"error\",\"code\":\"needle\",\"message\":\"needle\",\
             \"sequence_number\":3}\n\n"
                .to_owned(),
        ),
        (
            Grammar::Anthropic,
            "event: ping\ndata: {\"type\":\"ping\"}\n\nevent: error\ndata: {\"type\":\"error\",\
             \"error\":{\"type\":\"overloaded_error\",\"message\":\"needle\"}}\n\n"
                .to_owned(),
        ),
        (
            Grammar::Gemini,
            "data: {\"error\": {\"code\": 503,\"message\": \"needle\",\"status\": \"UNAVAILABLE\"}}\
             \r\n\r\n"
                .to_owned(),
        ),
    ] {
        let (passed, then) = run(as_it_is(grammar), [text.as_bytes()], Ending::Clean);
        assert_eq!(then, Then::Cut(Cut::Failed), "{text}");
        assert!(!passed.contains("needle") && !passed.contains("[DONE]"), "{passed}");
        let expected = Cut::Failed.event(grammar, 0);
        let before = passed.strip_suffix(&expected).unwrap();
        assert!(!before.contains("event: error"), "{passed}");
    }
}

// What the caller sees of usage.

#[test]
fn a_usage_chunk_that_was_injected_is_taken_out() {
    let view = || View::of(Grammar::Chat, StreamUsage::Inject, false);
    let usage = OPENAI.rfind("data: {").unwrap()..OPENAI.rfind("data: [DONE]").unwrap();
    let expected = [&OPENAI[..usage.start], &OPENAI[usage.end..]].concat();
    for size in [1, 7, 100, OPENAI.len()] {
        let events = Events::new(Grammar::Chat, view());
        let passed = run(events, OPENAI.as_bytes().chunks(size), Ending::Clean);
        assert_eq!(passed, (expected.clone(), Then::Settle), "in pieces of {size}");
    }
}

#[test]
fn a_usage_chunk_that_was_asked_for_is_made() {
    let finish = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\
        \"model\":\"m\",\"choices\":[{\"index\":0,\"finish_reason\":\"stop\"}],\
        \"usage\":{\"total_tokens\":3}}\n\n";
    let made = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\
        \"model\":\"m\",\"choices\":[],\"usage\":{\"total_tokens\":3}}\n\n";
    let expected = format!("{CHUNK}{finish}{made}{DONE_EVENT}");
    for done in [DONE_EVENT, ""] {
        let view = View::of(Grammar::Chat, StreamUsage::Forbid, true);
        let text = format!("{CHUNK}{finish}{done}");
        let (passed, _) = run(Events::new(Grammar::Chat, view), [text.as_bytes()], Ending::Clean);
        assert_eq!(passed, expected);
    }
    // Never behind an error.
    let view = View::of(Grammar::Chat, StreamUsage::Forbid, true);
    let text = format!("{CHUNK}{finish}");
    let (passed, _) = run(Events::new(Grammar::Chat, view), [text.as_bytes()], Ending::Broken);
    assert!(!passed.contains("\"choices\":[]"));
}

// Long lines.

#[test]
fn memory_is_bounded_whatever_comes() {
    for (grammar, line) in
        [(Grammar::Chat, "data: x"), (Grammar::Chat, "id: x"), (Grammar::Gemini, "data: x")]
    {
        let mut events = as_it_is(grammar);
        events.feed(line.into());
        for _ in 0..1_000 {
            events.feed(Bytes::from_static(&[b'x'; 10_000]));
            assert!(events.line.capacity() <= 2 * MOST_HELD);
        }
        // Nor does a long line leave a large buffer behind.
        events.feed("\ndata: {".into());
        events.feed(Bytes::from_static(&[b'x'; 50_000]));
        events.feed("}\n".into());
        assert!(events.line.capacity() <= MOST_KEPT);
    }
}

// Whatever the pieces.

/// A part of a stream, of whichever family, well-formed or not.
fn part() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        4 => Just(CHUNK.trim_end().to_owned()),
        2 => Just(FINISH.trim_end().to_owned()),
        1 => Just("data: [DONE]".to_owned()),
        2 => Just("data: {\"choices\":[],\"usage\":{\"total_tokens\":1}}".to_owned()),
        1 => Just("data: {\"error\":{\"message\":\"x\"}}".to_owned()),
        1 => Just("event: message_stop".to_owned()),
        1 => Just("data: {\"type\":\"message_stop\"}".to_owned()),
        1 => Just("data: {\"type\":\"response.completed\",\"sequence_number\":9}".to_owned()),
        1 => Just("data: {\"candidates\":[{\"finishReason\":\"STOP\"}]}".to_owned()),
        1 => Just("event: error".to_owned()),
        1 => Just("event: ping".to_owned()),
        1 => Just("data:".to_owned()),
        2 => Just("id: 7".to_owned()),
        2 => Just(": comment".to_owned()),
        2 => Just(String::new()),
        1 => "[ -~]{0,12}",
        1 => (65_000..66_000_usize).prop_map(|length| format!("data: {}", "x".repeat(length))),
        1 => (65_000..66_000_usize).prop_map(|length| format!("id: {}", "x".repeat(length))),
    ];
    let end = prop_oneof![6 => Just("\n\n"), 3 => Just("\n"), 2 => Just("\r\n\r\n"), 1 => Just("")];
    (line, end).prop_map(|(line, end)| line + end)
}

fn any_ending() -> impl Strategy<Value = Ending> {
    prop_oneof![Just(Ending::Clean), Just(Ending::Broken), Just(Ending::Silent)]
}

proptest! {
    #[test]
    fn recorded_streams_come_out_the_same_however_they_are_cut(
        index in any::<prop::sample::Index>(),
        cuts in proptest::collection::vec(any::<usize>(), 0..12),
    ) {
        let recorded = index.get(ALL);
        let pieces = pieces(recorded.text.as_bytes(), &cuts);
        let (passed, then) = run(as_it_is(recorded.grammar), pieces, Ending::Clean);
        prop_assert_eq!(passed, recorded.text);
        prop_assert!(matches!(then, Then::Settle | Then::End));
    }

    #[test]
    fn any_stream_comes_out_the_same_however_it_is_cut(
        parts in proptest::collection::vec(part(), 0..8),
        cuts in proptest::collection::vec(any::<usize>(), 0..12),
        grammar in proptest::sample::select(GRAMMARS),
        stream_usage in proptest::sample::select(
            vec![StreamUsage::Native, StreamUsage::Inject, StreamUsage::Forbid]
        ),
        is_asked in any::<bool>(),
        ending in any_ending(),
    ) {
        let text = parts.concat();
        let events = || Events::new(grammar, View::of(grammar, stream_usage, is_asked));
        let whole = run(events(), [text.as_bytes()], ending);
        let in_pieces = run(events(), pieces(text.as_bytes(), &cuts), ending);
        prop_assert_eq!(&in_pieces, &whole);

        let (passed, then) = whole;
        prop_assert!(then != Then::More);
        let is_cut = matches!(then, Then::Cut(_));
        let last = text.rsplit('\n').next().unwrap_or_default();
        let is_half = last.len() > MOST_HELD && passed.ends_with(last);
        let is_told = passed.contains(" end\"") || passed.contains("of its answer\"");
        prop_assert_eq!(is_told, is_cut && !is_half);
        prop_assert!(is_cut || !is_half);
        if grammar == Grammar::Chat {
            // What a strict client reads: events of data and comments, each with its end.
            prop_assert!(!passed.starts_with('\n') && !passed.contains("\n\n\n"));
            let is_plain = |line: &str| {
                line.is_empty() || line.starts_with(':') || line.starts_with("data:")
            };
            prop_assert!(passed.lines().all(is_plain));
            prop_assert!(is_half || passed.ends_with("\n\n"));
            let done = passed.lines().filter(|line| *line == "data: [DONE]").count();
            prop_assert_eq!(done, usize::from(!is_cut));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(
        chunks in proptest::collection::vec(any::<Vec<u8>>(), 0..8),
        grammar in proptest::sample::select(GRAMMARS),
        ending in any_ending(),
    ) {
        run(as_it_is(grammar), chunks.iter().map(Vec::as_slice), ending);
    }

    #[test]
    fn gemini_passes_byte_for_byte(
        cuts in proptest::collection::vec(any::<usize>(), 0..6),
        junk in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let junk = String::from_utf8_lossy(&junk).replace('\n', " ");
        let text = format!(": {junk}\n\n{GEMINI}");
        let (passed, then) =
            run(as_it_is(Grammar::Gemini), pieces(text.as_bytes(), &cuts), Ending::Clean);
        prop_assert_eq!(passed, text);
        prop_assert_eq!(then, Then::End);
    }
}
