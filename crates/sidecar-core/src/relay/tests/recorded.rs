//! Streams in the shapes that vendors send them, shortened.

use crate::relay::grammar::Grammar;

/// A stream that is whole.
#[derive(Clone, Copy, Debug)]
pub(in crate::relay) struct Recorded {
    pub(in crate::relay) vendor: &'static str,
    pub(in crate::relay) grammar: Grammar,
    pub(in crate::relay) text: &'static str,
}

pub(in crate::relay) const OPENAI: &str = concat!(
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,",
    "\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",",
    "\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n",
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,",
    "\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"an \\\"error\\\": ",
    "{}\\n\\ndata: [DONE]\"},\"finish_reason\":null}],\"usage\":null}\n\n",
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,",
    "\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],",
    "\"usage\":null}\n\n",
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,",
    "\"model\":\"m-1\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3,",
    "\"total_tokens\":12,\"prompt_tokens_details\":{\"cached_tokens\":0}}}\n\n",
    "data: [DONE]\n\n",
);

pub(in crate::relay) const RESPONSES: &str = concat!(
    "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,",
    "\"response\":{\"id\":\"resp_1\",\"status\":\"in_progress\",\"error\":null}}\n\n",
    "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",",
    "\"sequence_number\":1,\"delta\":\"an \\\"error\\\"\"}\n\n",
    "event: response.completed\ndata: {\"type\":\"response.completed\",\"sequence_number\":2,",
    "\"response\":{\"id\":\"resp_1\",\"status\":\"completed\",\"error\":null,",
    "\"usage\":{\"input_tokens\":1,\"output_tokens\":2}}}\n\n",
);

pub(in crate::relay) const ANTHROPIC: &str = concat!(
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",",
    "\"usage\":{\"input_tokens\":5,\"output_tokens\":1}}}\n\n",
    "event: ping\ndata: {\"type\": \"ping\"}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,",
    "\"delta\":{\"type\":\"text_delta\",\"text\":\"message_stop\"}}\n\n",
    "event: message_delta\ndata: {\"type\":\"message_delta\",",
    "\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":7}}\n\n",
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
);

pub(in crate::relay) const GEMINI: &str = concat!(
    "data: {\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"Hel\"}],",
    "\"role\": \"model\"}}],\"usageMetadata\": {\"promptTokenCount\": 4}}\r\n\r\n",
    "data: {\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"lo\"}]},",
    "\"finishReason\": \"STOP\"}],\"usageMetadata\": {\"promptTokenCount\": 4,",
    "\"candidatesTokenCount\": 2}}\r\n\r\n",
);

/// Streams that pass as they are: what is to be left out or put in is tested apart.
pub(in crate::relay) const ALL: &[Recorded] = &[
    chat("openai", OPENAI),
    chat(
        "openai completions",
        "data: {\"id\":\"cmpl-1\",\"object\":\"text_completion\",\"choices\":[{\"text\":\"a\",\
         \"index\":0,\"finish_reason\":null}]}\n\ndata: {\"id\":\"cmpl-1\",\"choices\":[{\
         \"text\":\"\",\"index\":0,\"finish_reason\":\"length\"}]}\n\ndata: [DONE]\n\n",
    ),
    chat(
        "azure",
        "data: {\"choices\":[],\"created\":0,\"id\":\"\",\"model\":\"\",\"object\":\"\",\
         \"prompt_filter_results\":[{\"prompt_index\":0,\"content_filter_results\":{}}]}\n\n\
         data: {\"choices\":[{\"content_filter_result\":{\"error\":{\"code\":\
         \"content_filter_error\",\"message\":\"The contents are not filtered\"}},\
         \"delta\":{\"content\":\"a\"},\"finish_reason\":null,\"index\":0}],\"id\":\"c\"}\n\n\
         data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\",\"index\":0}],\
         \"id\":\"c\"}\n\ndata: [DONE]\n\n",
    ),
    chat(
        "deepseek",
        ": keep-alive\n\n: keep-alive\n\ndata: {\"id\":\"d\",\"choices\":[{\"index\":0,\
         \"delta\":{\"content\":null,\"reasoning_content\":\"hm\"},\"finish_reason\":null}]}\n\n\
         : keep-alive\n\ndata: {\"id\":\"d\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\
         \"\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":5,\
         \"completion_tokens\":2,\"prompt_cache_hit_tokens\":1}}\n\ndata: [DONE]\n\n",
    ),
    chat(
        "groq",
        "data: {\"id\":\"g\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"},\
         \"finish_reason\":null}],\"x_groq\":{\"id\":\"req_1\"}}\n\ndata: {\"id\":\"g\",\
         \"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}],\"x_groq\":{\
         \"id\":\"req_1\",\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}}\n\n\
         data: [DONE]\n\n",
    ),
    chat(
        "openrouter",
        ": OPENROUTER PROCESSING\n\ndata: {\"id\":\"o\",\"choices\":[{\"index\":0,\"delta\":{\
         \"content\":\"a\"},\"finish_reason\":null,\"native_finish_reason\":null}]}\n\n\
         data: {\"id\":\"o\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\"},\
         \"finish_reason\":\"stop\",\"native_finish_reason\":\"STOP\"}]}\n\n\
         data: {\"id\":\"o\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\"},\
         \"finish_reason\":null}],\"usage\":{\"total_tokens\":7,\"cost\":0.01}}\n\n\
         data: [DONE]\n\n",
    ),
    chat(
        "two choices, CRLF",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\r\n\r\n\
         data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"b\"}}]}\r\n\r\n\
         data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\r\n\r\n\
         data: {\"choices\":[{\"index\":1,\"delta\":{},\"finish_reason\":\"stop\"}]}\r\n\r\n\
         data: [DONE]\n\n",
    ),
    Recorded { vendor: "openai responses", grammar: Grammar::Responses, text: RESPONSES },
    Recorded { vendor: "anthropic", grammar: Grammar::Anthropic, text: ANTHROPIC },
    Recorded { vendor: "gemini", grammar: Grammar::Gemini, text: GEMINI },
    Recorded {
        vendor: "gemini, blocked",
        grammar: Grammar::Gemini,
        text: "data: {\"promptFeedback\": {\"blockReason\": \"PROHIBITED_CONTENT\"}}\r\n\r\n",
    },
    Recorded {
        vendor: "openai images",
        grammar: Grammar::Other,
        text: "event: image_generation.partial_image\ndata: {\"type\":\
               \"image_generation.partial_image\",\"b64_json\":\"AAAA\"}\n\n\
               event: image_generation.completed\ndata: {\"type\":\
               \"image_generation.completed\",\"b64_json\":\"AAAA\",\"usage\":{}}\n\n",
    },
    Recorded {
        vendor: "openai runs",
        grammar: Grammar::Other,
        text: "event: thread.run.created\ndata: {\"id\":\"run_1\"}\n\nevent: done\n\
               data: [DONE]\n\n",
    },
];

const fn chat(vendor: &'static str, text: &'static str) -> Recorded {
    Recorded { vendor, grammar: Grammar::Chat, text }
}
