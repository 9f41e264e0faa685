"""The official Anthropic SDK: every answer, stream and error that it can be given."""

import asyncio
import json

import anthropic
import httpx2

import answers
import provider as scripted
from bench import CALL_SECONDS, CALLER_KEY, HASTY, PROMPT, WRONG_KEY, key_of
from expect import equal, pieces, raises, true

ASK = {"model": "claude", "max_tokens": 64, "messages": PROMPT}
TOOLS = [
    {
        "name": answers.TOOL,
        "description": "Tells the weather.",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
    }
]


def client(bench):
    options = {"event_hooks": {"request": [bench.count]}, "trust_env": False}
    return anthropic.Anthropic(
        base_url=bench.sidecar.url,
        api_key=CALLER_KEY,
        timeout=CALL_SECONDS,
        http_client=anthropic.DefaultHttpxClient(**options),
    )


def send(client, **options):
    return client.messages.create(**{**ASK, **options})


def message(bench, client):
    answer = send(client)
    true(answer._request_id, "no request-id")
    equal(answer.content[0].text, answers.TEXT)
    equal((answer.usage.input_tokens, answer.usage.output_tokens), (7, 4))
    [request] = bench["claude"].requests
    equal(request["path"], "/v1/messages")
    equal(request["body"]["model"], "claude-native")
    equal(request["headers"]["x-api-key"], key_of("claude"))
    true("anthropic-version" in request["headers"], "no anthropic-version")


def message_tools(_bench, client):
    answer = send(client, tools=TOOLS)
    equal((answer.content[0].name, answer.content[0].input), (answers.TOOL, answers.ARGUMENTS))
    equal(answer.stop_reason, "tool_use")


def stream(_bench, client):
    events = list(send(client, stream=True))
    equal((events[0].type, events[-1].type), ("message_start", "message_stop"))
    equal("".join(map(_text_of, events)), answers.TEXT)


def stream_helper(_bench, client):
    with client.messages.stream(**ASK) as stream:
        equal("".join(stream.text_stream), answers.TEXT)
        answer = stream.get_final_message()
    equal((answer.stop_reason, answer.usage.output_tokens), ("end_turn", 4))


def stream_helper_tools(_bench, client):
    with client.messages.stream(**ASK, tools=TOOLS) as stream:
        [block] = stream.get_final_message().content
    equal((block.name, block.input), (answers.TOOL, answers.ARGUMENTS))


def stream_async(bench, _client):
    """The other half of the SDK has a reader of its own."""

    async def read():
        async with anthropic.AsyncAnthropic(
            base_url=bench.sidecar.url,
            api_key=CALLER_KEY,
            timeout=CALL_SECONDS,
            http_client=anthropic.DefaultAsyncHttpxClient(trust_env=False),
        ) as client:
            async with client.messages.stream(**ASK) as stream:
                equal(await stream.get_final_text(), answers.TEXT)
            bench["claude"].behaviour = scripted.CUT
            try:
                async with client.messages.stream(**ASK) as stream:
                    await stream.get_final_text()
            except anthropic.APIError as error:
                equal(error.body["error"]["type"], "api_error")
            else:
                raise AssertionError("a cut stream passes for a whole one")

    asyncio.run(read())


def upset_stream(stream, behaviour):
    """A stream that does not come to its end: an error of the SDK's own after what has come."""

    def check(bench, client):
        bench["claude"].behaviour = behaviour
        texts, error = pieces(*stream(client))
        equal(texts, answers.WORDS[:1])
        if behaviour == scripted.CUT_LONG:
            # There the connection ends, and the SDK passes that on as it is.
            true(isinstance(error, (anthropic.APIError, httpx2.HTTPError)), f"{error!r}")
        else:
            true(isinstance(error, anthropic.APIError), f"{error!r}")
            equal(error.body["error"]["type"], "api_error")
            true("scripted" not in error.message, "the provider's words")
        equal((len(bench["claude"].requests), bench.sent), (1, 1))

    return check


def exhaustion(behaviour, stream=False):
    """Nothing left: one request of the SDK, though it retries 503 by default."""

    def check(bench, client):
        bench["claude"].behaviour = behaviour
        error = raises(anthropic.InternalServerError, lambda: send(client, stream=stream))
        equal(error.status_code, 503)
        _is_of_the_family(error, "overloaded_error")
        true("scripted" not in error.message, "the provider's words")
        headers = error.response.headers
        equal(headers["x-should-retry"], "false")
        equal(headers["x-sidecar-reason"], "AllPoolsExhausted")
        true(int(headers["retry-after"]) >= 120, "retry-after is under 120 s")
        equal(bench.sent, 1)

    return check


def refusal(kind, send, error_type="invalid_request_error", says=""):
    """A request that is refused here and goes nowhere."""

    def check(bench, client):
        error = raises(kind, lambda: send(bench, client.with_options(max_retries=0)))
        _is_of_the_family(error, error_type)
        true(says in error.message, f"the message is {error.message!r}")
        equal([name for name, provider in bench.providers.items() if provider.requests], [])
        equal(bench.sent, 1)

    return check


def refusals():
    """The refusals of the table of errors that need nobody but the caller."""
    bad = anthropic.BadRequestError

    def post(content):
        options = {"headers": {"content-type": "application/json"}}

        def send(_bench, client):
            client.post("/v1/messages", cast_to=object, content=content.encode(), options=options)

        return send

    yield "not_json", refusal(bad, post(json.dumps(ASK)[:-1]), says="JSON")
    yield "no_model", refusal(bad, post('{"max_tokens": 1}'), says="model")

    def headed(name, value):
        return lambda _, client: send(client, extra_headers={name: value})

    bad_deadline = headed("x-sidecar-deadline-ms", "soon")
    yield "bad_deadline", refusal(bad, bad_deadline, says="deadline-ms")

    def nowhere(stream):
        return lambda _, client: send(client, model="nowhere", stream=stream)

    missing = (anthropic.NotFoundError, "not_found_error")
    for name, stream in (("unknown_model", False), ("unknown_model_stream", True)):
        yield name, refusal(missing[0], nowhere(stream), missing[1], says="nowhere")

    def wrong_family(_bench, client):
        send(client, model="llama")

    yield "wrong_family", refusal(missing[0], wrong_family, missing[1])

    def keyed(key):
        return lambda bench, client: send(client.with_options(api_key=key(bench)))

    unauthorised = (anthropic.AuthenticationError, "authentication_error")
    yield "wrong_key", refusal(unauthorised[0], keyed(lambda _: WRONG_KEY), unauthorised[1])

    def no_key(bench, client):
        send(client.with_options(base_url=bench.closed.url))

    yield "no_key", refusal(unauthorised[0], no_key, unauthorised[1])
    disabled = keyed(lambda bench: bench.caller(enabled=False))
    denied = anthropic.PermissionDeniedError
    yield "caller_disabled", refusal(denied, disabled, "permission_error")
    narrow = keyed(lambda bench: bench.caller(models=["gpt"]))
    yield "model_not_allowed", refusal(missing[0], narrow, missing[1], says="claude")


def body_too_large(bench, client):
    """More than the buffers on the way hold, so that it is still being sent when it is refused."""
    with bench.setting("max_body_bytes", 1024):
        prompt = [{"role": "user", "content": "x" * 8_000_000}]
        once = client.with_options(max_retries=0)
        error = raises(anthropic.RequestTooLargeError, lambda: send(once, messages=prompt))
    _is_of_the_family(error, "request_too_large")


def caller_limit(bench, client):
    """A limit that time lifts: the SDK is told how long to wait."""
    limited = client.with_options(api_key=bench.caller(rpm=1), max_retries=0)
    send(limited)
    error = raises(anthropic.RateLimitError, lambda: send(limited))
    _is_of_the_family(error, "rate_limit_error")
    true(1 <= int(error.response.headers["retry-after"]) <= 60, "retry-after is not in a minute")


def caller_limit_for_good(bench, client):
    """A limit that no retry gets past: the SDK does not try."""
    headers = {"x-sidecar-task": "task-1"}
    limited = client.with_options(api_key=bench.caller(max_rounds=1), default_headers=headers)
    send(limited)
    error = raises(anthropic.RateLimitError, lambda: send(limited))
    equal(error.response.headers["x-should-retry"], "false")
    equal(bench.sent, 2)


def callers_fault(bench, client):
    """The provider refuses what the caller has asked for, and says why."""
    bench["claude"].behaviour = 400
    error = raises(anthropic.BadRequestError, lambda: send(client))
    _is_of_the_family(error, "invalid_request_error")
    true("scripted 400" in error.message, "the provider's message is lost")
    equal(len(bench["claude"].requests), 1)


def overloaded(bench, client):
    """Nobody may wait for the next slot."""
    once = client.with_options(max_retries=0)
    with bench.setting("queue_max_depth", 0):
        send(once, model="slow-claude")
        error = raises(anthropic.InternalServerError, lambda: send(once, model="slow-claude"))
    equal((error.status_code, error.response.headers["retry-after"]), (503, "1"))
    _is_of_the_family(error, "overloaded_error", says="too many requests")


def upstream_timeout(bench, client):
    bench["claude"].behaviour = scripted.HANG
    once = client.with_options(max_retries=0, default_headers=HASTY)
    error = raises(anthropic.InternalServerError, lambda: send(once))
    equal(error.status_code, 504)
    _is_of_the_family(error, "timeout_error", says="in time")


def queue_timeout(bench, client):
    once = client.with_options(max_retries=0)

    def send_anyway(headers):
        try:
            send(once, extra_headers=headers)
        except anthropic.APIError:
            pass

    with bench.queued("claude", send_anyway):
        hasty = once.with_options(default_headers=HASTY)
        late = raises(anthropic.InternalServerError, lambda: send(hasty))
    equal(late.status_code, 503)
    _is_of_the_family(late, "overloaded_error", says="no provider slot")


def event_pieces(client):
    return send(client, stream=True), _text_of


def helped_pieces(client):
    def read():
        with client.messages.stream(**ASK) as stream:
            yield from stream.text_stream
            stream.get_final_message()

    return read(), lambda text: text


def checks():
    """Every check by its name, in order."""
    plain = (message, message_tools, stream, stream_helper, stream_helper_tools, stream_async)
    yield from ((check.__name__, check) for check in plain)
    for kind, pieces_of in {"stream": event_pieces, "stream_helper": helped_pieces}.items():
        for behaviour in scripted.CUTS:
            yield f"{kind}_{behaviour}", upset_stream(pieces_of, behaviour)
    for behaviour in (401, 402, 403, 429):
        yield f"exhaustion_{behaviour}", exhaustion(behaviour)
    yield "exhaustion_stream", exhaustion(429, stream=True)
    yield from refusals()
    errors = (
        body_too_large,
        caller_limit,
        caller_limit_for_good,
        callers_fault,
        overloaded,
        upstream_timeout,
        queue_timeout,
    )
    yield from ((check.__name__, check) for check in errors)


def _is_of_the_family(error, error_type, says=""):
    """Whether an error has the shape of Anthropic's."""
    equal((error.body["type"], error.body["error"]["type"]), ("error", error_type))
    true(says in error.body["error"]["message"], f"the message is {error.message!r}")
    headers = error.response.headers
    true(error.request_id, "no request-id")
    equal(headers["x-request-id"], error.request_id)


def _text_of(event):
    return getattr(event.delta, "text", "") if event.type == "content_block_delta" else ""
