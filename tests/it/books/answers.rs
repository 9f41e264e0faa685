//! What a provider answers.

use serde_json::{Value, json};

use super::asked::{Asked, Fate, Kind, TOLD_AT_FIRST};

/// What a provider does after its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// Waits for the next request.
    Keep,
    Close,
    /// Waits until the other side has left.
    Hold,
}

/// A stream of events in three parts.
struct Events {
    /// The text, and before it what comes before it.
    text: String,
    /// Why it ends, and what it used if that is said.
    usage: String,
    end: String,
}

/// The bytes of the answer to `asked`. `fails` says that it is one of a provider that fails.
pub(super) fn answer(asked: &Asked, fails: bool, says_usage: bool) -> (String, Then) {
    match asked.fate {
        Fate::Fault => return (document(400, "", &error()), Then::Keep),
        Fate::Limited if fails => {
            return (document(429, "retry-after: 1\r\n", &error()), Then::Keep);
        }
        Fate::Broken if fails => return (document(500, "", &error()), Then::Keep),
        Fate::Closed if fails => return (String::new(), Then::Close),
        Fate::Torn if fails => return ("HTTP/1.1 200 Scripted\r\ncontent-".into(), Then::Close),
        _ => {}
    }
    if !asked.kind.is_stream() {
        return (document(200, "", &whole(asked, says_usage)), Then::Keep);
    }
    let Events { text, usage, end } = match asked.kind {
        Kind::MessageStream => message_events(asked),
        _ => chat_events(asked, says_usage),
    };
    match asked.fate {
        Fate::CutEarly => (stream(&[&text]), Then::Close),
        Fate::Left => (stream(&[&text]), Then::Hold),
        Fate::CutLate => (stream(&[&text, &usage]), Then::Close),
        _ => (stream(&[&text, &usage, &end]) + LAST_CHUNK, Then::Keep),
    }
}

fn error() -> Value {
    json!({"error": {"message": "no", "type": "scripted", "code": "scripted"}})
}

/// A good answer that is no stream.
fn whole(asked: &Asked, says_usage: bool) -> Value {
    let usage = if says_usage { usage(asked) } else { Value::Null };
    match asked.kind {
        Kind::Embedding => json!({
            "object": "list",
            "model": asked.model(),
            "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -0.25]}],
            "usage": usage,
        }),
        Kind::Message | Kind::MessageStream => message(asked, usage),
        Kind::Chat | Kind::Stream | Kind::StreamAsked => {
            let message = json!({"role": "assistant", "content": asked.text()});
            json!({
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": 1,
                "model": asked.model(),
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": usage,
            })
        }
    }
}

/// What it says that it used, in its own dialect.
fn usage(asked: &Asked) -> Value {
    let tokens = asked.tokens();
    let (prompt, completion) = (tokens.prompt, tokens.completion);
    match asked.kind {
        Kind::Embedding => json!({"prompt_tokens": prompt, "total_tokens": prompt}),
        Kind::Message | Kind::MessageStream => json!({
            "input_tokens": prompt - tokens.cached - tokens.cache_write,
            "cache_read_input_tokens": tokens.cached,
            "cache_creation_input_tokens": tokens.cache_write,
            "output_tokens": completion,
        }),
        Kind::Chat | Kind::Stream | Kind::StreamAsked => json!({
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": tokens.cached},
            "completion_tokens_details": {"reasoning_tokens": tokens.reasoning},
        }),
    }
}

fn message(asked: &Asked, usage: Value) -> Value {
    json!({
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": asked.model(),
        "content": [{"type": "text", "text": asked.text()}],
        "stop_reason": "end_turn",
        "usage": usage,
    })
}

fn chat_events(asked: &Asked, says_usage: bool) -> Events {
    let event = |choices: Value, usage: Value| {
        let event = json!({
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": asked.model(),
            "choices": choices,
            "usage": usage,
        });
        format!("data: {event}\n\n")
    };
    let delta = json!({"role": "assistant", "content": asked.text()});
    let text = event(json!([{"index": 0, "delta": delta, "finish_reason": null}]), Value::Null);
    let stop = json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]);
    let mut last = event(stop, Value::Null);
    if says_usage {
        last += &event(json!([]), usage(asked));
    }
    Events { text, usage: last, end: "data: [DONE]\n\n".to_owned() }
}

fn message_events(asked: &Asked) -> Events {
    let event = |event: Value| {
        format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default())
    };
    let mut usage = usage(asked);
    let last_usage = json!({"output_tokens": usage["output_tokens"].take()});
    usage["output_tokens"] = TOLD_AT_FIRST.into();
    let mut start = message(asked, usage);
    start["content"] = json!([]);
    start["stop_reason"] = Value::Null;
    let delta = json!({"type": "text_delta", "text": asked.text()});
    let first = event(json!({"type": "message_start", "message": start}));
    let text = event(json!({"type": "content_block_delta", "index": 0, "delta": delta}));
    let stop = json!({"stop_reason": "end_turn"});
    Events {
        text: first + &text,
        usage: event(json!({"type": "message_delta", "delta": stop, "usage": last_usage})),
        end: event(json!({"type": "message_stop"})),
    }
}

/// An answer whose length is known. `fields` are whole lines of its head.
fn document(status: u16, fields: &str, body: &Value) -> String {
    let body = body.to_string();
    let length = body.len();
    format!(
        "HTTP/1.1 {status} Scripted\r\ncontent-type: application/json\r\n\
         {fields}content-length: {length}\r\n\r\n{body}"
    )
}

/// The head and the first parts of a stream, each a chunk of its own.
fn stream(parts: &[&str]) -> String {
    let chunk = |part: &&str| format!("{:x}\r\n{part}\r\n", part.len());
    STREAM_HEAD.to_owned() + &parts.iter().map(chunk).collect::<String>()
}

const STREAM_HEAD: &str = "HTTP/1.1 200 Scripted\r\n\
    content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const LAST_CHUNK: &str = "0\r\n\r\n";
