//! Recorded shapes of every dialect, whole, cut and in pieces.

use http::HeaderValue;
use proptest::prelude::*;

use super::*;

/// An answer as a vendor gives it, and what it says.
struct Golden {
    name: &'static str,
    is_stream: bool,
    text: String,
    tokens: Tokens,
    cost: Option<u128>,
}

const NONE: Tokens = Tokens {
    prompt: 0,
    completion: 0,
    cached: 0,
    cache_write: 0,
    cache_write_long: 0,
    reasoning: 0,
};

fn sse(events: &[&str]) -> String {
    events.iter().map(|event| format!("data: {event}\n\n")).collect()
}

fn scanner(is_stream: bool) -> Scanner {
    let value = if is_stream { "text/event-stream; charset=utf-8" } else { "application/json" };
    Scanner::of(&HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(value))]))
}

fn whole(is_stream: bool, text: &str) -> Used {
    let mut scanner = scanner(is_stream);
    scanner.feed(text.as_bytes());
    scanner.finish(true, true, 400)
}

/// As if the answer had ended here.
fn cut(is_stream: bool, text: &str) -> Used {
    let mut scanner = scanner(is_stream);
    scanner.feed(text.as_bytes());
    scanner.finish(false, true, 400)
}

fn exact(tokens: Tokens) -> Used {
    Used { tokens, ..Used::default() }
}

fn estimated(prompt: u64, completion: u64) -> Used {
    let tokens = Tokens { prompt, completion, ..NONE };
    Used { tokens, is_estimated: true, ..Used::default() }
}

fn documents() -> Vec<Golden> {
    let golden = |name, text: &str, tokens| Golden {
        name,
        is_stream: false,
        text: text.to_owned(),
        tokens,
        cost: None,
    };
    vec![
        golden(
            "openai chat",
            r#"{"id":"chatcmpl-1","object":"chat.completion","choices":[{"index":0,"message":
               {"role":"assistant","content":"Hello there"},"finish_reason":"stop"}],"usage":
               {"prompt_tokens":19,"completion_tokens":10,"total_tokens":29,
               "prompt_tokens_details":{"cached_tokens":4,"audio_tokens":0,
               "cache_write_tokens":3},"completion_tokens_details":{"reasoning_tokens":6,
               "audio_tokens":0,"accepted_prediction_tokens":0}},"service_tier":"default"}"#,
            Tokens { prompt: 19, completion: 10, cached: 4, cache_write: 3, reasoning: 6, ..NONE },
        ),
        golden(
            "openai completions",
            r#"{"id":"cmpl-1","object":"text_completion","choices":[{"text":"Hi","index":0,
               "finish_reason":"length"}],"usage":{"prompt_tokens":5,"completion_tokens":7,
               "total_tokens":12}}"#,
            Tokens { prompt: 5, completion: 7, ..NONE },
        ),
        golden(
            "openai embeddings",
            r#"{"object":"list","data":[{"object":"embedding","embedding":[0.1],"index":0}],
               "model":"e","usage":{"prompt_tokens":8,"total_tokens":8}}"#,
            Tokens { prompt: 8, ..NONE },
        ),
        golden(
            "mistral embeddings",
            r#"{"id":"1","object":"list","data":[],"usage":{"prompt_tokens":15,"total_tokens":15,
               "completion_tokens":0,"request_count":1}}"#,
            Tokens { prompt: 15, ..NONE },
        ),
        golden(
            "embeddings that name the total only",
            r#"{"data":[{"embedding":[0.1]}],"usage":{"total_tokens":10}}"#,
            Tokens { prompt: 10, ..NONE },
        ),
        golden(
            "responses",
            r#"{"id":"resp_1","object":"response","status":"completed","output":[{"type":"message",
               "content":[{"type":"output_text","text":"Hi"}]}],"text":{"format":{"type":"text"}},
               "usage":{"input_tokens":36,"input_tokens_details":{"cached_tokens":12,
               "cache_write_tokens":2},"output_tokens":87,"output_tokens_details":
               {"reasoning_tokens":64},"total_tokens":123},"user":null,"metadata":{}}"#,
            Tokens {
                prompt: 36,
                completion: 87,
                cached: 12,
                cache_write: 2,
                reasoning: 64,
                ..NONE
            },
        ),
        golden(
            "deepseek",
            r#"{"choices":[{"message":{"content":"Hi","reasoning_content":"Hm"},"index":0,
               "finish_reason":"stop"}],"usage":{"prompt_tokens":20,"completion_tokens":9,
               "total_tokens":29,"prompt_cache_hit_tokens":16,"prompt_cache_miss_tokens":4,
               "completion_tokens_details":{"reasoning_tokens":5}}}"#,
            Tokens { prompt: 20, completion: 9, cached: 16, reasoning: 5, ..NONE },
        ),
        golden(
            "groq",
            r#"{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}],"usage":
               {"queue_time":0.06,"prompt_tokens":18,"prompt_time":0.0007,"completion_tokens":11,
               "completion_time":0.02,"total_tokens":29,"total_time":0.0207},"x_groq":
               {"id":"req_1"}}"#,
            Tokens { prompt: 18, completion: 11, ..NONE },
        ),
        golden(
            "mistral",
            r#"{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}],"usage":
               {"prompt_tokens":14,"completion_tokens":3,"total_tokens":17,"num_cached_tokens":8,
               "prompt_tokens_details":null}}"#,
            Tokens { prompt: 14, completion: 3, cached: 8, ..NONE },
        ),
        golden(
            "together",
            r#"{"choices":[{"message":{"content":"Hi"},"finish_reason":"eos"}],"usage":
               {"prompt_tokens":22,"completion_tokens":6,"total_tokens":28,"cached_tokens":10}}"#,
            Tokens { prompt: 22, completion: 6, cached: 10, ..NONE },
        ),
        golden(
            "gemini",
            r#"{"candidates":[{"content":{"parts":[{"text":"Hi"}],"role":"model"},
               "finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":8,
               "candidatesTokenCount":3,"thoughtsTokenCount":20,"toolUsePromptTokenCount":5,
               "cachedContentTokenCount":4,"totalTokenCount":36,"promptTokensDetails":
               [{"modality":"TEXT","tokenCount":8}]},"modelVersion":"gemini"}"#,
            Tokens { prompt: 13, completion: 23, cached: 4, reasoning: 20, ..NONE },
        ),
        golden(
            "gemini embeddings",
            r#"{"embeddings":[{"values":[0.1,0.2]}],"usageMetadata":{"promptTokenCount":6}}"#,
            Tokens { prompt: 6, ..NONE },
        ),
        golden(
            "gemini, streamed as one array",
            r#"[{"candidates":[{"content":{"parts":[{"text":"H"}]}}],"usageMetadata":
               {"promptTokenCount":8,"candidatesTokenCount":1,"totalTokenCount":9}},
               {"candidates":[{"content":{"parts":[{"text":"i"}]},"finishReason":"STOP"}],
               "usageMetadata":{"promptTokenCount":8,"candidatesTokenCount":4,
               "totalTokenCount":12}}]"#,
            Tokens { prompt: 8, completion: 4, ..NONE },
        ),
        golden(
            "anthropic",
            r#"{"id":"msg_1","type":"message","role":"assistant","content":[{"type":"text",
               "text":"Hi"}],"stop_reason":"end_turn","usage":{"input_tokens":10,
               "cache_creation_input_tokens":30,"cache_read_input_tokens":200,"cache_creation":
               {"ephemeral_5m_input_tokens":20,"ephemeral_1h_input_tokens":10},
               "output_tokens":42,"service_tier":"standard"}}"#,
            Tokens {
                prompt: 240,
                completion: 42,
                cached: 200,
                cache_write: 30,
                cache_write_long: 10,
                reasoning: 0,
            },
        ),
        golden(
            "anthropic, with the split of the cache only",
            r#"{"type":"message","content":[],"usage":{"input_tokens":10,"cache_creation":
               {"ephemeral_5m_input_tokens":20,"ephemeral_1h_input_tokens":0},
               "output_tokens":1}}"#,
            Tokens { prompt: 30, completion: 1, cache_write: 20, ..NONE },
        ),
        Golden {
            cost: Some(95_000_000),
            ..golden(
                "openrouter",
                r#"{"id":"gen-1","provider":"X","choices":[{"message":{"content":"Hi",
                   "reasoning":"Hm"},"finish_reason":"stop","native_finish_reason":"stop"}],
                   "usage":{"prompt_tokens":10,"completion_tokens":60,"total_tokens":70,
                   "cost":0.000095,"is_byok":false,"cost_details":{"upstream_inference_cost":null,
                   "upstream_inference_prompt_cost":5e-06},"prompt_tokens_details":
                   {"cached_tokens":2,"cache_write_tokens":1,"audio_tokens":0},
                   "completion_tokens_details":{"reasoning_tokens":51}}}"#,
                Tokens {
                    prompt: 10,
                    completion: 60,
                    cached: 2,
                    cache_write: 1,
                    reasoning: 51,
                    ..NONE
                },
            )
        },
        Golden {
            cost: Some(158_500),
            ..golden(
                "xai",
                r#"{"choices":[{"message":{"content":"Hi","reasoning_content":"Hm"},
                   "finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":2,
                   "total_tokens":354,"completion_tokens_details":{"reasoning_tokens":340},
                   "num_sources_used":0,"cost_in_usd_ticks":1585}}"#,
                Tokens { prompt: 12, completion: 342, reasoning: 340, ..NONE },
            )
        },
        Golden {
            cost: Some(6_013_000_000),
            ..golden(
                "perplexity",
                r#"{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}],"usage":
                   {"prompt_tokens":3,"completion_tokens":9,"total_tokens":12,
                   "search_context_size":"low","cost":{"input_tokens_cost":3e-06,
                   "output_tokens_cost":1e-05,"request_cost":0.006,"total_cost":0.006013}}}"#,
                Tokens { prompt: 3, completion: 9, ..NONE },
            )
        },
        golden(
            "a gateway that adds the other names with zeros",
            r#"{"choices":[{"message":{"content":"Hi"}}],"usage":{"prompt_tokens":7,
               "completion_tokens":2,"total_tokens":9,"input_tokens":0,"output_tokens":0,
               "input_tokens_details":null}}"#,
            Tokens { prompt: 7, completion: 2, ..NONE },
        ),
    ]
}

fn streams() -> Vec<Golden> {
    let golden =
        |name, text: String, tokens| Golden { name, is_stream: true, text, tokens, cost: None };
    vec![
        golden(
            "openai chat with include_usage",
            sse(&[
                r#"{"id":"1","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}"#,
                r#"{"id":"1","choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":null}],"usage":null}"#,
                r#"{"id":"1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}"#,
                r#"{"id":"1","choices":[],"usage":{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":6}}}"#,
                "[DONE]",
            ]),
            Tokens { prompt: 19, completion: 10, cached: 4, reasoning: 6, ..NONE },
        ),
        golden(
            "azure",
            sse(&[
                r#"{"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0,"content_filter_results":{"hate":{"filtered":false,"severity":"safe"}}}]}"#,
                r#"{"choices":[{"delta":{"content":"Hi"},"finish_reason":null,"index":0}],"usage":null}"#,
                r#"{"choices":[{"delta":{},"finish_reason":"stop","index":0}],"usage":null}"#,
                r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}"#,
                "[DONE]",
            ]),
            Tokens { prompt: 9, completion: 2, ..NONE },
        ),
        golden(
            "responses",
            [
                r#"{"type":"response.created","response":{"id":"r","status":"in_progress","output":[],"usage":null}}"#,
                r#"{"type":"response.output_text.delta","item_id":"m","output_index":0,"delta":"Hello"}"#,
                r#"{"type":"response.output_text.done","item_id":"m","text":"Hello"}"#,
                r#"{"type":"response.completed","response":{"id":"r","status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":"Hello"}]}],"usage":{"input_tokens":36,"input_tokens_details":{"cached_tokens":12},"output_tokens":87,"output_tokens_details":{"reasoning_tokens":64},"total_tokens":123}}}"#,
            ]
            .map(|data| format!("event: {}\ndata: {data}\n\n", data.split('"').nth(3).unwrap()))
            .concat(),
            Tokens { prompt: 36, completion: 87, cached: 12, reasoning: 64, ..NONE },
        ),
        golden(
            "deepseek",
            ": keep-alive\n\n".to_owned()
                + &sse(&[
                    r#"{"choices":[{"index":0,"delta":{"content":null,"reasoning_content":"Hm"},"finish_reason":null}],"usage":null}"#,
                    r#"{"choices":[{"index":0,"delta":{"content":"Hi","reasoning_content":null},"finish_reason":null}],"usage":null}"#,
                    r#"{"choices":[{"index":0,"delta":{"content":""},"finish_reason":"stop"}],"usage":{"prompt_tokens":20,"completion_tokens":9,"total_tokens":29,"prompt_cache_hit_tokens":16,"prompt_cache_miss_tokens":4,"completion_tokens_details":{"reasoning_tokens":5}}}"#,
                    "[DONE]",
                ]),
            Tokens { prompt: 20, completion: 9, cached: 16, reasoning: 5, ..NONE },
        ),
        golden(
            "groq, older",
            sse(&[
                r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"x_groq":{"id":"req_1"}}"#,
                r#"{"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}"#,
                r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"x_groq":{"id":"req_1","usage":{"queue_time":0.06,"prompt_tokens":18,"prompt_time":0.0007,"completion_tokens":11,"total_tokens":29}}}"#,
                "[DONE]",
            ]),
            Tokens { prompt: 18, completion: 11, ..NONE },
        ),
        golden(
            "groq, newer",
            sse(&[
                r#"{"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}],"x_groq":{"id":"req_1"}}"#,
                r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"x_groq":{"id":"req_1","usage":{"prompt_tokens":18,"completion_tokens":11,"total_tokens":29}},"usage":{"prompt_tokens":18,"completion_tokens":11,"total_tokens":29}}"#,
                "[DONE]",
            ]),
            Tokens { prompt: 18, completion: 11, ..NONE },
        ),
        golden(
            "mistral",
            sse(&[
                r#"{"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}"#,
                r#"{"choices":[{"index":0,"delta":{"content":""},"finish_reason":"stop"}],"usage":{"prompt_tokens":14,"total_tokens":17,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":8}}}"#,
                "[DONE]",
            ]),
            Tokens { prompt: 14, completion: 3, cached: 8, ..NONE },
        ),
        Golden {
            cost: Some(95_000_000),
            ..golden(
                "openrouter",
                ": OPENROUTER PROCESSING\n\n".to_owned()
                    + &sse(&[
                        r#"{"choices":[{"index":0,"delta":{"content":"","reasoning":"Hm","reasoning_details":[{"type":"reasoning.text","text":"Hm"}]},"finish_reason":null}]}"#,
                        r#"{"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}]}"#,
                        r#"{"choices":[{"index":0,"delta":{"content":""},"finish_reason":null}],"usage":{"prompt_tokens":10,"completion_tokens":60,"total_tokens":70,"cost":0.000095,"completion_tokens_details":{"reasoning_tokens":51}}}"#,
                        "[DONE]",
                    ]),
                Tokens { prompt: 10, completion: 60, reasoning: 51, ..NONE },
            )
        },
        golden(
            "together",
            sse(&[
                r#"{"choices":[{"index":0,"text":"Hi","delta":{"content":"Hi"},"finish_reason":null}],"usage":null}"#,
                r#"{"choices":[{"index":0,"text":"","delta":{"content":""},"finish_reason":"eos"}],"usage":{"prompt_tokens":22,"completion_tokens":6,"total_tokens":28,"cached_tokens":10}}"#,
                "[DONE]",
            ]),
            Tokens { prompt: 22, completion: 6, cached: 10, ..NONE },
        ),
        golden(
            "moonshot, inside the choice",
            sse(&[
                r#"{"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}"#,
                r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop","usage":{"prompt_tokens":19,"completion_tokens":13,"total_tokens":32,"cached_tokens":12}}]}"#,
                "[DONE]",
            ]),
            Tokens { prompt: 19, completion: 13, cached: 12, ..NONE },
        ),
        golden(
            "perplexity, counting upwards",
            sse(&[
                r#"{"choices":[{"delta":{"content":"H"},"finish_reason":null}],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}"#,
                r#"{"choices":[{"delta":{"content":"i"},"finish_reason":null}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}"#,
                r#"{"choices":[{"delta":{"content":"!"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":3,"total_tokens":6}}"#,
            ]),
            Tokens { prompt: 3, completion: 3, ..NONE },
        ),
        golden(
            "gemini, counting upwards",
            sse(&[
                r#"{"candidates":[{"content":{"parts":[{"text":"Hm","thought":true}],"role":"model"}}],"usageMetadata":{"promptTokenCount":8,"thoughtsTokenCount":10,"totalTokenCount":18}}"#,
                r#"{"candidates":[{"content":{"parts":[{"text":"Hi"}],"role":"model"},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":8,"candidatesTokenCount":4,"thoughtsTokenCount":20,"toolUsePromptTokenCount":5,"totalTokenCount":37}}"#,
            ]),
            Tokens { prompt: 13, completion: 24, reasoning: 20, ..NONE },
        ),
        golden(
            "gemini through its openai endpoint",
            sse(&[
                r#"{"choices":[{"delta":{"content":"H"},"index":0}],"usage":{"prompt_tokens":8,"completion_tokens":1,"total_tokens":9}}"#,
                r#"{"choices":[{"delta":{"content":"i"},"finish_reason":"stop","index":0}],"usage":{"prompt_tokens":8,"completion_tokens":4,"total_tokens":32}}"#,
                "[DONE]",
            ]),
            Tokens { prompt: 8, completion: 24, ..NONE },
        ),
        Golden {
            cost: Some(158_500),
            ..golden(
                "xai",
                sse(&[
                    r#"{"choices":[{"index":0,"delta":{"content":"Hi"}}]}"#,
                    r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
                    r#"{"choices":[],"usage":{"prompt_tokens":12,"completion_tokens":2,"total_tokens":354,"completion_tokens_details":{"reasoning_tokens":340},"cost_in_usd_ticks":1585}}"#,
                    "[DONE]",
                ]),
                Tokens { prompt: 12, completion: 342, reasoning: 340, ..NONE },
            )
        },
        golden(
            "anthropic",
            [
                r#"{"type":"message_start","message":{"id":"msg_1","role":"assistant","content":[],"stop_reason":null,"usage":{"input_tokens":10,"cache_creation_input_tokens":30,"cache_read_input_tokens":200,"cache_creation":{"ephemeral_5m_input_tokens":20,"ephemeral_1h_input_tokens":10},"output_tokens":1}}}"#,
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
                r#"{"type":"ping"}"#,
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}"#,
                r#"{"type":"content_block_stop","index":0}"#,
                r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":42}}"#,
                r#"{"type":"message_stop"}"#,
            ]
            .map(|data| format!("event: {}\ndata: {data}\n\n", data.split('"').nth(3).unwrap()))
            .concat(),
            Tokens {
                prompt: 240,
                completion: 42,
                cached: 200,
                cache_write: 30,
                cache_write_long: 10,
                reasoning: 0,
            },
        ),
        golden(
            "anthropic, with all of it said again",
            sse(&[
                r#"{"type":"message_start","message":{"usage":{"input_tokens":0,"output_tokens":0}}}"#,
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}"#,
                r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":25,"cache_read_input_tokens":5,"output_tokens":9}}"#,
                r#"{"type":"message_stop"}"#,
            ]),
            Tokens { prompt: 30, completion: 9, cached: 5, ..NONE },
        ),
        golden(
            "anthropic, with zeros for what has been said",
            sse(&[
                r#"{"type":"message_start","message":{"usage":{"input_tokens":25,"cache_read_input_tokens":5,"output_tokens":1}}}"#,
                r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":0,"output_tokens":9}}"#,
            ]),
            Tokens { prompt: 30, completion: 9, cached: 5, ..NONE },
        ),
        golden(
            "zeros until the last",
            sse(&[
                r#"{"choices":[{"delta":{"content":"Hi"}}],"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}"#,
                r#"{"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":4,"completion_tokens":1,"total_tokens":5}}"#,
            ]),
            Tokens { prompt: 4, completion: 1, ..NONE },
        ),
    ]
}

#[test]
fn every_dialect_is_read_exactly() {
    for golden in documents().iter().chain(&streams()) {
        let expected = Used { cost: golden.cost, ..exact(golden.tokens) };
        assert_eq!(whole(golden.is_stream, &golden.text), expected, "{}", golden.name);
    }
}

#[test]
fn line_ends_and_the_space_after_the_colon_do_not_matter() {
    for golden in streams() {
        let expected = Used { cost: golden.cost, ..exact(golden.tokens) };
        let crlf = golden.text.replace('\n', "\r\n");
        let tight = golden.text.replace("data: ", "data:");
        for text in [crlf, tight] {
            assert_eq!(whole(true, &text), expected, "{}", golden.name);
        }
    }
}

#[test]
fn white_space_around_colons_and_commas_does_not_matter() {
    for golden in documents().iter().chain(&streams()) {
        let expected = Used { cost: golden.cost, ..exact(golden.tokens) };
        for (tight, wide) in [("\":", "\" :\t"), ("\",\"", "\" , \"")] {
            let text = golden.text.replace(tight, wide);
            assert_eq!(whole(golden.is_stream, &text), expected, "{}", golden.name);
        }
    }
}

#[test]
fn an_event_in_several_data_lines_is_one() {
    let stream = "data: {\"choices\":[],\ndata: \"usage\":{\"prompt_tokens\":3,\n\
                  data: \"completion_tokens\":1}}\n\n";
    let tokens = Tokens { prompt: 3, completion: 1, ..NONE };
    assert_eq!(whole(true, stream), exact(tokens));
}

#[test]
fn a_stream_that_says_all_before_it_is_left_is_booked_exactly() {
    for golden in streams() {
        let last = golden.text.trim_end().rfind("\n\n").unwrap();
        let ends_with_mark = golden.text.contains("[DONE]") || golden.text.contains("message_stop");
        let text = if ends_with_mark { &golden.text[..last] } else { golden.text.as_str() };
        let expected = Used { cost: golden.cost, ..exact(golden.tokens) };
        assert_eq!(cut(true, text), expected, "{}", golden.name);
    }
}

#[test]
fn without_usage_the_tokens_are_estimated_from_the_lengths() {
    let document = r#"{"choices":[{"message":{"content":"12345678"},"finish_reason":"stop"}]}"#;
    assert_eq!(whole(false, document), estimated(100, 2));
    let stream = sse(&[
        r#"{"choices":[{"delta":{"role":"assistant","content":"1234"}}]}"#,
        r#"{"choices":[{"delta":{"reasoning_content":"5678"}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":"{\"a\":1}"}}]}}]}"#,
        r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#,
        "[DONE]",
    ]);
    assert_eq!(whole(true, &stream), estimated(100, 4));
}

#[test]
fn text_is_measured_in_every_family() {
    for (text, completion) in [
        // The whole text is told again when a part is done.
        (
            sse(&[
                r#"{"type":"response.output_text.delta","delta":"12345678"}"#,
                r#"{"delta":"1234","type":"response.function_call_arguments.delta"}"#,
                r#"{"type":"response.output_text.done","text":"12345678"}"#,
            ]),
            3,
        ),
        (
            sse(&[
                r#"{"type":"content_block_delta","delta":{"type":"thinking_delta","thinking":"1234"}}"#,
                r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"1234"}}"#,
                r#"{"type":"content_block_delta","delta":{"type":"input_json_delta","partial_json":"{\"a\":"}}"#,
            ]),
            4,
        ),
        (sse(&[r#"{"candidates":[{"content":{"parts":[{"text":"1234"},{"text":"5678"}]}}]}"#]), 2),
        (sse(&[r#"{"choices":[{"text":"12345678"}]}"#]), 2),
        // Both names and the details say the same.
        (
            sse(&[
                r#"{"choices":[{"delta":{"content":"","reasoning":"1234","reasoning_content":"1234","reasoning_details":[{"text":"1234"}]}}]}"#,
            ]),
            1,
        ),
    ] {
        assert_eq!(whole(true, &text), estimated(100, completion), "{text}");
    }
}

#[test]
fn escapes_count_about_as_much_as_what_they_stand_for() {
    let text = sse(&[r#"{"choices":[{"delta":{"content":"a\"\n\u4f60"}}]}"#]);
    // One byte each for the letter, the quote and the line feed, four for the character.
    assert_eq!(whole(true, &text), estimated(100, 2));
}

#[test]
fn a_cut_stream_is_booked_with_what_was_seen() {
    let nothing_said = sse(&[r#"{"choices":[{"delta":{"content":"12345678"}}]}"#]);
    assert_eq!(cut(true, &nothing_said), estimated(100, 2));

    let input_said = sse(&[
        r#"{"type":"message_start","message":{"usage":{"input_tokens":10,"cache_read_input_tokens":5,"output_tokens":1}}}"#,
        r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"12345678"}}"#,
    ]);
    let tokens = Tokens { prompt: 15, completion: 3, cached: 5, ..NONE };
    assert_eq!(cut(true, &input_said), Used { is_estimated: true, ..exact(tokens) });

    let counting = sse(&[
        r#"{"choices":[{"delta":{"content":"1234"}}],"usage":{"prompt_tokens":3,"completion_tokens":7}}"#,
        r#"{"choices":[{"delta":{"content":"5678"}}]}"#,
    ]);
    let tokens = Tokens { prompt: 3, completion: 8, ..NONE };
    assert_eq!(cut(true, &counting), Used { is_estimated: true, ..exact(tokens) });
}

#[test]
fn an_event_or_a_document_that_is_cut_counts_as_far_as_it_came() {
    assert_eq!(
        cut(true, "data: {\"choices\":[{\"delta\":{\"content\":\"12345678"),
        estimated(100, 2)
    );
    assert_eq!(cut(false, "{\"choices\":[{\"message\":{\"content\":\"1234"), estimated(100, 1));
    let said_first = "{\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":9},\"choices\":[{\"mes";
    assert_eq!(cut(false, said_first), exact(Tokens { prompt: 3, completion: 9, ..NONE }));
}

#[test]
fn an_answer_that_is_not_charged_for_is_not_estimated() {
    let mut scanner = scanner(false);
    scanner.feed(br#"{"error":{"message":"no","content":"12345678"}}"#);
    assert_eq!(scanner.finish(true, false, 400), Used::default());
}

#[test]
fn audio_and_empty_answers_use_no_tokens() {
    let audio = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("audio/mpeg"))]);
    let mut scanner = Scanner::of(&audio);
    scanner.feed(br#"{"usage":{"prompt_tokens":5}}"#);
    assert_eq!(scanner.finish(true, true, 400), Used::default());
    assert_eq!(whole(false, ""), Used::default());
    // A stream that was left before anything came is not the same.
    assert_eq!(cut(true, ""), estimated(100, 0));
}

#[test]
fn only_what_stands_where_vendors_put_it_is_a_usage() {
    for document in [
        // Text that mentions one.
        r#"{"choices":[{"text":"\"usage\":{\"prompt_tokens\":9}"}]}"#,
        // What a model wrote as the arguments of a tool.
        r#"{"content":[{"type":"tool_use","input":{"usage":{"input_tokens":9}}}]}"#,
        r#"{"candidates":[{"content":{"parts":[{"functionCall":{"args":{"usageMetadata":{"promptTokenCount":9}}}}]}}]}"#,
        r#"{"choices":[{"message":{"content":null,"usage":{"prompt_tokens":9}}}]}"#,
        // Another object's.
        r#"{"metadata":{"usage":{"prompt_tokens":9}}}"#,
        r#"{"usage":"prompt_tokens","prompt_tokens":9}"#,
        r#"{"usage":[{"prompt_tokens":9}]}"#,
    ] {
        let used = whole(false, document);
        assert!(used.is_estimated && used.tokens.prompt == 100, "{document} {used:?}");
        assert!(!used.is_suspect, "{document}");
    }
}

#[test]
fn impossible_numbers_are_refused_and_estimated() {
    for usage in [
        r#"{"prompt_tokens":-1,"completion_tokens":1}"#,
        r#"{"prompt_tokens":1e30,"completion_tokens":1}"#,
        r#"{"prompt_tokens":1.5,"completion_tokens":1}"#,
        r#"{"prompt_tokens":100000001,"completion_tokens":1}"#,
        r#"{"prompt_tokens":1,"completion_tokens":100000001}"#,
        r#"{"prompt_tokens":"1","completion_tokens":1}"#,
        r#"{"prompt_tokens":1,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":5}}"#,
        r#"{"prompt_tokens":9,"completion_tokens":1,"completion_tokens_details":{"reasoning_tokens":5}}"#,
        r#"{"prompt_tokens":9,"completion_tokens":1,"cost":-0.1}"#,
        r#"{"prompt_tokens":9,"completion_tokens":1,"cost":1e9}"#,
        r#"{"prompt_tokens":9,"prompt_tokens":1}"#,
        r#"{"input_tokens":99999999,"cache_read_input_tokens":99999999,"output_tokens":1}"#,
        r#"{"promptTokenCount":5,"cachedContentTokenCount":6}"#,
    ] {
        let document = format!(r#"{{"choices":[{{"text":"12345678"}}],"usage":{usage}}}"#);
        let expected = Used { is_suspect: true, ..estimated(100, 2) };
        assert_eq!(whole(false, &document), expected, "{usage}");
    }
}

#[test]
fn a_good_number_after_an_impossible_one_counts_and_the_other_way_round_it_is_suspect() {
    let good = r#"{"choices":[{"delta":{"content":"1234"}}],"usage":{"prompt_tokens":3,"completion_tokens":7}}"#;
    let bad = r#"{"choices":[{"delta":{"content":"5678"}}],"usage":{"prompt_tokens":3,"completion_tokens":-7}}"#;
    let tokens = |completion| Tokens { prompt: 3, completion, ..NONE };
    assert_eq!(whole(true, &sse(&[bad, good])), exact(tokens(7)));
    let suspect = Used { is_suspect: true, is_estimated: true, ..exact(tokens(8)) };
    assert_eq!(whole(true, &sse(&[good, bad])), suspect);
}

#[test]
fn a_usage_of_any_place_and_length_is_found_within_a_bounded_memory() {
    let filler = "x".repeat(300_000);
    let usage = r#""usage":{"prompt_tokens":3,"completion_tokens":9}"#;
    let tokens = Tokens { prompt: 3, completion: 9, ..NONE };
    for document in [
        format!(r#"{{{usage},"choices":[{{"message":{{"content":"{filler}"}}}}]}}"#),
        format!(r#"{{"choices":[{{"message":{{"content":"{filler}"}}}}],{usage}}}"#),
    ] {
        assert_eq!(whole(false, &document), exact(tokens));
        assert_eq!(whole(true, &sse(&[&document])), exact(tokens));
    }
    let endless = format!(r#"{{"usage":{{"prompt_tokens":1,"x":"{filler}"}}}}"#);
    assert_eq!(whole(false, &endless), Used { is_suspect: true, ..estimated(100, 0) });
    let mut scanner = scanner(true);
    scanner.feed(b"data: {\"usage\":");
    for _ in 0..100 {
        scanner.feed(&[b'{'; 10_000]);
    }
    scanner.feed(format!("\n\ndata: {{{usage}}}\n\n").as_bytes());
    assert_eq!(scanner.finish(true, true, 400), exact(tokens));
}

#[test]
fn what_is_no_json_is_passed_over() {
    let stream = format!(
        "garbage\n\ndata: {{\"choices\":[{{\n\ndata: }}]\"\n\nevent: x\nid: {{\nretry: 3\n\n{}",
        sse(&[r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":9}}"#])
    );
    let tokens = Tokens { prompt: 3, completion: 9, ..NONE };
    assert_eq!(whole(true, &stream), exact(tokens));
}

fn in_pieces(golden: &Golden, cuts: Vec<usize>, is_whole: bool) -> Used {
    let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % (golden.text.len() + 1)).collect();
    cuts.extend([0, golden.text.len()]);
    cuts.sort_unstable();
    let mut scanner = scanner(golden.is_stream);
    for cut in cuts.windows(2) {
        scanner.feed(&golden.text.as_bytes()[cut[0]..cut[1]]);
    }
    scanner.finish(is_whole, true, 400)
}

proptest! {
    #[test]
    fn any_split_of_any_dialect_reads_the_same(
        index in any::<prop::sample::Index>(),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        let mut all = documents();
        all.extend(streams());
        let golden = index.get(&all);
        let expected = Used { cost: golden.cost, ..exact(golden.tokens) };
        prop_assert_eq!(in_pieces(golden, cuts, true), expected, "{}", golden.name);
    }

    #[test]
    fn any_split_of_a_cut_answer_reads_the_same(
        index in any::<prop::sample::Index>(),
        end in any::<usize>(),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        let mut all = documents();
        all.extend(streams());
        let mut golden = all.swap_remove(index.index(all.len()));
        golden.text.truncate(end % (golden.text.len() + 1));
        let expected = cut(golden.is_stream, &golden.text);
        prop_assert_eq!(in_pieces(&golden, cuts, false), expected, "{}", golden.name);
    }

    #[test]
    fn any_split_of_any_text_reads_the_same(
        parts in prop::collection::vec(prop::sample::select(PARTS), 0..40),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
        is_stream: bool,
        is_whole: bool,
    ) {
        let start = if is_stream { "data: {" } else { "{" };
        let text = start.to_owned() + &parts.concat();
        let golden = Golden { name: "any text", is_stream, text, tokens: NONE, cost: None };
        let expected = in_pieces(&golden, Vec::new(), is_whole);
        let bytes = (0..golden.text.len()).collect();
        prop_assert_eq!(in_pieces(&golden, bytes, is_whole), expected, "{}", golden.text);
        prop_assert_eq!(in_pieces(&golden, cuts, is_whole), expected, "{}", golden.text);
    }

    #[test]
    fn no_bytes_make_it_panic(
        pieces in prop::collection::vec(any::<Vec<u8>>(), 0..8),
        json in "[\\[\\]{},:\"\\\\usagechoicontext0-9 \n]{0,200}",
    ) {
        for is_stream in [true, false] {
            let mut scanner = scanner(is_stream);
            for piece in pieces.iter().map(Vec::as_slice).chain([json.as_bytes()]) {
                scanner.feed(piece);
            }
            scanner.finish(true, true, 400);
        }
    }
}

/// What JSON and event streams are made of, to be put together in any way.
const PARTS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "[{",
    "}]",
    ":",
    ",",
    "\"",
    "\\",
    "\\\"",
    "\\u00e9",
    "\u{e9}",
    " ",
    "\r",
    "\n",
    "\n\n",
    "\n\ndata: {",
    "\ndata:",
    "da",
    "ta:",
    "[DONE]",
    "null",
    "12.5",
    "\"usage\"",
    "\"usage\":{",
    "\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":9}",
    "\"x_groq\":{",
    "\"choices\":[{",
    "\"type\":",
    "\"response.x\"",
    "\"message_stop\"",
    "\"finish_reason\":\"stop\"",
    "\"delta\":{",
    "\"delta\":\"0123456789012345678901234567890123456789\"",
    "\"content\":\"",
    "\"content\" : \"12345678\"",
    "\"reasoning_content\":\"abcdefgh\"",
    "\"text\":\"abcd",
    "\"arg\\u0075ments\":\"abcdefgh\"",
];
