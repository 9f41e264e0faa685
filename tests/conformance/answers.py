"""What a provider of each protocol answers: whole documents, and the events of streams."""

import array
import base64
import json

WORDS = ["Hello", " there", ",", " world."]
TEXT = "".join(WORDS)
TOOL = "weather"
# The arguments of a call, in the pieces that a stream sends them in.
PIECES = ['{"city": ', '"Z\u00fcrich"}']
ARGUMENTS = {"city": "Z\u00fcrich"}
VECTOR = [0.5, -0.25, 0.125]
USAGE = {"prompt_tokens": 7, "completion_tokens": 4, "total_tokens": 11}
# A model that says its usage with its last choice, as some do that cannot be asked for it.
SAYS_USAGE = "says-usage"


def document(path, body):
    """The whole answer to a request at `path`; `None` if nothing is there."""
    match path.removeprefix("/v1"):
        case "/chat/completions":
            return _chat(body)
        case "/completions":
            return _completion(body)
        case "/responses":
            return _response(body, "completed")
        case "/messages":
            return _message(body)
        case "/embeddings":
            return _embeddings(body)
    return None


def events(path, body):
    """The events of a streamed answer: those up to the first word, and those after it."""
    match path.removeprefix("/v1"):
        case "/chat/completions":
            return _split(_chat_events(body))
        case "/completions":
            return _split(_completion_events(body))
        case "/responses":
            return _split(_response_events(body, "completed"))
        case "/messages":
            return _split(_message_events(body))
    return None


def unfinished(body, status):
    """The events of a response that ends as `status` says: `failed` or `incomplete`."""
    return [frame for frame, _ in _response_events(body, status)]


def error(status):
    """The body of an answer with `status`."""
    return {
        "error": {
            "message": f"scripted {status}",
            "type": "invalid_request_error" if status < 429 else "scripted_error",
            "param": "temperature" if status == 400 else None,
            "code": f"scripted_{status}",
        }
    }


def failure(path):
    """The event by which a provider says that it fails, in the words of its family."""
    if path.endswith("/messages"):
        error = {"type": "overloaded_error", "message": "scripted failure"}
        return _named({"type": "error", "error": error})
    error = {"message": "scripted failure", "type": "server_error", "param": None, "code": None}
    if path.endswith("/responses"):
        return _named({"type": "error", "error": error, "sequence_number": 9})
    return _data({"error": error})


def fault():
    """The event by which a provider of OpenAI's protocol refuses what a caller has asked for."""
    message = "scripted: the prompt is too long"
    code = "context_length_exceeded"
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    return _data({"error": error})


def careless(path, body):
    """A stream of chunks as careless providers write it: all that is there, badly."""
    opening, rest = events(path, body)
    frames = [frame for frame in opening + rest if "[DONE]" not in frame]
    # Comments, lines without data, other line ends, events of no name that are not apart.
    written = [": PROCESSING\n\n", "data:\n\n", "event: chunk\nid: 1\nretry: 5\n" + frames[0]]
    written += [frames[1].replace("\n\n", "\r\n\r\n"), frames[2].replace("\n\n", "\n")]
    written += [frame.replace("data: ", "data:") for frame in frames[3:]]
    # Neither the last line end nor `[DONE]`.
    written[-1] = written[-1].rstrip("\n")
    return written


def _split(events):
    """Pairs of a frame and whether it has text, cut behind the first that has."""
    first = next(index for index, (_, has_text) in enumerate(events) if has_text)
    frames = [frame for frame, _ in events]
    return frames[: first + 1], frames[first + 1 :]


def _data(value):
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


def _named(event):
    return f"event: {event['type']}\n{_data(event)}"


def _head(kind, body):
    return {"id": "cmpl-1", "object": kind, "created": 1, "model": body["model"]}


def _chat(body):
    message = {"role": "assistant", "content": TEXT, "refusal": None}
    reason = "stop"
    if body.get("tools"):
        function = {"name": TOOL, "arguments": "".join(PIECES)}
        call = {"id": "call_1", "type": "function", "function": function}
        message |= {"content": None, "tool_calls": [call]}
        reason = "tool_calls"
    choice = {"index": 0, "message": message, "finish_reason": reason, "logprobs": None}
    return _head("chat.completion", body) | {"choices": [choice], "usage": USAGE}


def _chat_events(body):
    asked = bool((body.get("stream_options") or {}).get("include_usage"))
    choices = range(body.get("n") or 1)

    def chunk(choices, usage=None):
        data = _head("chat.completion.chunk", body) | {"choices": choices}
        if asked or usage:
            data["usage"] = usage
        return _data(data)

    def each(delta, reason=None, usage=None):
        one = {"delta": delta, "finish_reason": reason, "logprobs": None}
        return [chunk([{"index": index, **one}], usage) for index in choices]

    def call(**fields):
        return {"tool_calls": [{"index": 0, **fields}]}

    frames = [(frame, False) for frame in each({"role": "assistant", "content": ""})]
    if body.get("tools"):
        function = {"name": TOOL, "arguments": ""}
        begun = call(id="call_1", type="function", function=function)
        deltas = [begun] + [call(function={"arguments": piece}) for piece in PIECES]
        reason = "tool_calls"
    else:
        deltas = [{"content": word} for word in WORDS]
        reason = "stop"
    frames += [(frame, True) for delta in deltas for frame in each(delta)]
    usage = USAGE if body["model"] == SAYS_USAGE else None
    frames += [(frame, False) for frame in each({}, reason, usage)]
    if asked:
        frames.append((chunk([], USAGE), False))
    return frames + [("data: [DONE]\n\n", False)]


def _completion(body):
    choice = {"index": 0, "text": TEXT, "finish_reason": "stop", "logprobs": None}
    return _head("text_completion", body) | {"choices": [choice], "usage": USAGE}


def _completion_events(body):
    def chunk(text, reason=None):
        choice = {"index": 0, "text": text, "finish_reason": reason, "logprobs": None}
        return _data(_head("text_completion", body) | {"choices": [choice]})

    frames = [(chunk(word), True) for word in WORDS]
    return frames + [(chunk("", "stop"), False), ("data: [DONE]\n\n", False)]


def _response(body, status):
    """As far as it is known when its status is `status`."""
    is_whole = status == "completed"
    failed = {"code": "server_error", "message": "scripted failure"}
    usage = {
        "input_tokens": 7,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 4,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 11,
    }
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": status,
        "error": failed if status == "failed" else None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": None,
        "metadata": {},
        "model": body["model"],
        "output": [_output(body, "completed")] if is_whole else [],
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": body.get("tools") or [],
        "top_p": 1.0,
        "usage": usage if is_whole else None,
    }


def _output(body, status):
    if body.get("tools"):
        arguments = "".join(PIECES) if status == "completed" else ""
        call = {"id": "fc_1", "type": "function_call", "call_id": "call_1", "name": TOOL}
        return call | {"arguments": arguments, "status": status}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "status": status}
    return message | {"content": [_part(TEXT)] if status == "completed" else []}


def _part(text):
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _response_events(body, status):
    place = {"output_index": 0}
    events = [
        {"type": "response.created", "response": _response(body, "in_progress")},
        {"type": "response.in_progress", "response": _response(body, "in_progress")},
        {"type": "response.output_item.added", "item": _output(body, "in_progress")} | place,
    ]
    if body.get("tools"):
        place |= {"item_id": "fc_1"}
        kind = "response.function_call_arguments"
        events += [{"type": f"{kind}.delta", "delta": piece} | place for piece in PIECES]
        done = {"type": f"{kind}.done", "name": TOOL, "arguments": "".join(PIECES)}
        events.append(done | place)
    else:
        place |= {"item_id": "msg_1", "content_index": 0}
        kind = "response.output_text"
        events.append({"type": "response.content_part.added", "part": _part("")} | place)
        events += [
            {"type": f"{kind}.delta", "delta": word, "logprobs": []} | place for word in WORDS
        ]
        events += [
            {"type": f"{kind}.done", "text": TEXT, "logprobs": []} | place,
            {"type": "response.content_part.done", "part": _part(TEXT)} | place,
        ]
    item = {"type": "response.output_item.done", "output_index": 0}
    events.append(item | {"item": _output(body, "completed")})
    events.append({"type": f"response.{status}", "response": _response(body, status)})
    return [
        (_named(event | {"sequence_number": number}), event["type"].endswith(".delta"))
        for number, event in enumerate(events)
    ]


def _message(body, **fields):
    """Without `fields` the whole of it."""
    content, reason = {"type": "text", "text": TEXT}, "end_turn"
    if body.get("tools"):
        content = {"type": "tool_use", "id": "toolu_1", "name": TOOL, "input": ARGUMENTS}
        reason = "tool_use"
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [content],
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": {"input_tokens": 7, "output_tokens": 4},
    } | fields


def _message_events(body):
    usage = {"input_tokens": 7, "output_tokens": 1}
    message = _message(body, content=[], stop_reason=None, usage=usage)
    if body.get("tools"):
        block = {"type": "tool_use", "id": "toolu_1", "name": TOOL, "input": {}}
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in PIECES]
        reason = "tool_use"
    else:
        block = {"type": "text", "text": ""}
        deltas = [{"type": "text_delta", "text": word} for word in WORDS]
        reason = "end_turn"
    end = {"stop_reason": reason, "stop_sequence": None}
    events = [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "ping"},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": end, "usage": {"output_tokens": 4}},
        {"type": "message_stop"},
    ]
    return [(_named(event), event["type"] == "content_block_delta") for event in events]


def _embeddings(body):
    inputs = body["input"] if isinstance(body["input"], list) else [body["input"]]
    packed = base64.b64encode(array.array("f", VECTOR).tobytes()).decode()
    vector = packed if body.get("encoding_format") == "base64" else VECTOR
    rows = [{"object": "embedding", "index": i, "embedding": vector} for i in range(len(inputs))]
    usage = {"prompt_tokens": 3, "total_tokens": 3}
    return {"object": "list", "model": body["model"], "data": rows, "usage": usage}
