//! Lines that are too long to be held.

use super::*;

/// A line of data that is longer than is held.
fn long_line(field: &str) -> String {
    format!("data: {{\"choices\":[{{\"index\":0,\"text\":\"{}\"{field}}}]}}\n", "x".repeat(200_000))
}

#[test]
fn a_long_line_passes_in_pieces_and_may_finish_a_stream() {
    for (field, is_finish) in
        [(",\"finish_reason\":\"stop\"", true), (",\"finish_reason\":null", false)]
    {
        let text = format!("{CHUNK}{}\n", long_line(field));
        for size in [1_000, 65_536, 65_537, 150_000, text.len()] {
            let events = as_it_is(Grammar::Chat);
            let (passed, then) = run(events, text.as_bytes().chunks(size), Ending::Clean);
            assert!(passed.starts_with(&text), "in pieces of {size}");
            assert_eq!(then == Then::End, is_finish, "in pieces of {size}");
        }
    }
}

#[test]
fn nothing_follows_a_long_line_that_is_cut() {
    let line = long_line(",\"finish_reason\":\"stop\"");
    let candidate = "data: {\"candidates\":[{\"finishReason\":\"STOP\"}]}\n\n";
    let stop = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n";
    for (grammar, before) in GRAMMARS.iter().map(|grammar| (*grammar, "")).chain([
        // Not even if the answer had come to its proper end before.
        (Grammar::Chat, FINISH),
        (Grammar::Gemini, candidate),
        (Grammar::Anthropic, stop),
    ]) {
        // At its last character nothing but its end is missing, and that cannot be known.
        for cut_off in [1, 2, 100_000] {
            let front = [before, &line[..line.len() - cut_off]].concat();
            for (ending, cut) in [
                (Ending::Clean, Cut::Broken),
                (Ending::Broken, Cut::Broken),
                (Ending::Silent, Cut::Stalled),
            ] {
                let context = format!("{grammar:?} {before} {ending:?} {cut_off}");
                let pieces = front.as_bytes().chunks(10_000);
                let (passed, then) = run(as_it_is(grammar), pieces, ending);
                assert_eq!(then, Then::Cut(cut), "{context}");
                assert!(passed == front, "{context}: {}", &passed[front.len()..]);
            }
        }
    }
}

#[test]
fn a_long_line_that_is_whole_or_does_not_pass_keeps_no_error_back() {
    for line in [long_line(""), format!("id: {}", "x".repeat(200_000))] {
        let text = format!("{CHUNK}{line}");
        let (passed, then) = run(as_it_is(Grammar::Chat), [text.as_bytes()], Ending::Broken);
        assert_eq!(then, Then::Cut(Cut::Broken));
        assert!(passed.ends_with(&format!("}}\n\n{}", Cut::Broken.event(Grammar::Chat, 0))));
    }
}

#[test]
fn a_long_line_that_may_not_pass_does_not() {
    for line in [format!("id: {}\n", "x".repeat(200_000)), "event: x".repeat(50_000) + "\n"] {
        let text = format!("{CHUNK}{line}\n{FINISH}{DONE_EVENT}");
        for size in [1_000, 70_000, text.len()] {
            let events = as_it_is(Grammar::Chat);
            let passed = run(events, text.as_bytes().chunks(size), Ending::Clean);
            assert_eq!(passed, (format!("{CHUNK}{FINISH}{DONE_EVENT}"), Then::Settle));
        }
    }
}

#[test]
fn the_last_event_may_be_long() {
    let output = "x".repeat(200_000);
    for (name, kind) in [("event: response.completed\n", "x"), ("", "response.completed")] {
        let text = format!(
            "{name}data: {{\"type\": \"{kind}\",\"response\":{{\"output\":\"{output}\"}}}}\n\n"
        );
        for size in [1_000, 70_000, text.len()] {
            let events = as_it_is(Grammar::Responses);
            let (passed, then) = run(events, text.as_bytes().chunks(size), Ending::Clean);
            assert!(passed == text && then == Then::Settle, "{name} in pieces of {size}");
        }
    }
}
