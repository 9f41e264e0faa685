//! What a good provider answers, in the families it may be asked in.

use serde_json::{Value, json};

use super::upstream::Seen;

/// The answer to a request that a provider can serve.
pub(super) fn good(seen: &Seen) -> Vec<u8> {
    let path = seen.target.split('?').next().unwrap_or_default();
    let request = seen.json();
    let streamed = request["stream"] == true;
    if path.ends_with("/chat/completions") {
        let asked = request["stream_options"]["include_usage"] == true;
        if streamed { events(chat_events(&request, asked)) } else { document(&chat(&request)) }
    } else if path.ends_with("/messages") {
        if streamed { events(message_events(&request)) } else { document(&message(&request)) }
    } else if path.ends_with("/embeddings") {
        document(&json!({
            "object": "list",
            "model": request["model"],
            "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -0.25]}],
            "usage": {"prompt_tokens": 3, "total_tokens": 3},
        }))
    } else if path.ends_with("/models") {
        document(&json!({"object": "list", "data": [{"id": "meta/llama-3", "object": "model"}]}))
    } else {
        let body = error("no such path", "invalid_request_error", None, "not_found");
        answer(404, &[JSON], &body.to_string())
    }
}

/// An error that repeats the credential of the request wherever an error has room for it.
pub(super) fn echo(status: u16, seen: &Seen) -> Vec<u8> {
    let key = seen.header("authorization");
    let body = error(&format!("{key} asked for too much"), key, Some(key), key).to_string();
    let headers = [JSON, ("x-echo", key), ("x-request-id", key), ("openai-organization", key)];
    answer(status, &headers, &body)
}

/// The body of an OpenAI error.
pub(super) fn error(message: &str, kind: &str, param: Option<&str>, code: &str) -> Value {
    json!({"error": {"message": message, "type": kind, "param": param, "code": code}})
}

/// A whole answer with a known length.
pub(super) fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 {status} Scripted\r\n");
    for (name, value) in headers {
        answer.push_str(&format!("{name}: {value}\r\n"));
    }
    answer.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    answer.into_bytes()
}

/// One chunk of a chunked body.
pub(super) fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

fn document(value: &Value) -> Vec<u8> {
    answer(200, &[JSON], &value.to_string())
}

fn events(events: Vec<String>) -> Vec<u8> {
    let chunks: String = events.iter().map(|event| chunk(event)).collect();
    format!("{STREAM_HEAD}{chunks}{LAST_CHUNK}").into_bytes()
}

fn chat(request: &Value) -> Value {
    let message = json!({"role": "assistant", "content": "Hello"});
    json!({
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": request["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8},
    })
}

fn chat_events(request: &Value, with_usage: bool) -> Vec<String> {
    let event = |choices: Value, usage: Value| {
        let event = json!({
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": request["model"],
            "choices": choices,
            "usage": usage,
        });
        format!("data: {event}\n\n")
    };
    let delta = json!({"role": "assistant", "content": "Hello"});
    let mut events = vec![
        event(json!([{"index": 0, "delta": delta, "finish_reason": null}]), Value::Null),
        event(json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]), Value::Null),
    ];
    if with_usage {
        let usage = json!({"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8});
        events.push(event(json!([]), usage));
    }
    events.push("data: [DONE]\n\n".to_owned());
    events
}

fn message(request: &Value) -> Value {
    json!({
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": request["model"],
        "content": [{"type": "text", "text": "Hello"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 7, "output_tokens": 1},
    })
}

fn message_events(request: &Value) -> Vec<String> {
    let mut start = message(request);
    start["content"] = json!([]);
    start["stop_reason"] = Value::Null;
    let text = json!({"type": "text_delta", "text": "Hello"});
    let delta = json!({"stop_reason": "end_turn"});
    let usage = json!({"output_tokens": 1});
    [
        json!({"type": "message_start", "message": start}),
        json!({"type": "content_block_delta", "index": 0, "delta": text}),
        json!({"type": "message_delta", "delta": delta, "usage": usage}),
        json!({"type": "message_stop"}),
    ]
    .iter()
    .map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap()))
    .collect()
}

/// The head of a stream of events.
pub(super) const STREAM_HEAD: &str = "HTTP/1.1 200 Scripted\r\n\
    content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
/// The end of a chunked body.
pub(super) const LAST_CHUNK: &str = "0\r\n\r\n";
const JSON: (&str, &str) = ("content-type", "application/json");
