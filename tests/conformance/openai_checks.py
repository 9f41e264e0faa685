"""The official OpenAI SDK: every answer, stream and error that it can be given."""

import asyncio
import json

import openai

import answers
import provider as scripted
from bench import CALL_SECONDS, CALLER_KEY, HASTY, PROMPT, WRONG_KEY, key_of
from expect import equal, pieces, raises, true

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": answers.TOOL,
            "description": "Tells the weather.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]
RESPONSE_TOOLS = [{"type": "function", **TOOLS[0]["function"], "strict": False}]
# What a stream is cut by, and the code of the error that says so. Inside of a line that is too
# long to be held there is no place for one: there the connection ends, as that of a provider would.
CODES = {
    scripted.CUT: "stream_cut",
    scripted.CUT_LINE: "stream_cut",
    scripted.CUT_LONG: None,
    scripted.END: "stream_cut",
    scripted.STALL: "stream_stalled",
    scripted.FAIL: "stream_cut",
}
COMPLETE = {"x-sidecar-delivery": "complete"}


def client(bench):
    options = {"event_hooks": {"request": [bench.count]}, "trust_env": False}
    return openai.OpenAI(
        base_url=bench.sidecar.url + "/v1",
        api_key=CALLER_KEY,
        timeout=CALL_SECONDS,
        http_client=openai.DefaultHttpxClient(**options),
    )


def chat(client, **options):
    """The raw response, for its headers."""
    create = client.chat.completions.with_raw_response.create
    return create(**{"model": "llama", "messages": PROMPT, **options})


def whole_chat(bench, client):
    raw = chat(client)
    completion = raw.parse()
    equal(completion.choices[0].message.content, answers.TEXT)
    equal(completion.choices[0].finish_reason, "stop")
    equal(completion.usage.total_tokens, 11)
    equal(raw.headers["x-sidecar-provider"], "primary")
    equal(raw.headers["x-sidecar-attempts"], "1")
    true(raw.headers["x-request-id"], "no x-request-id")
    [request] = bench["primary"].requests
    equal(request["path"], "/v1/chat/completions")
    equal(request["body"]["model"], "meta/llama")
    equal(request["headers"]["authorization"], f"Bearer {key_of('primary')}")


def chat_tools(_bench, client):
    [call] = chat(client, tools=TOOLS).parse().choices[0].message.tool_calls
    equal((call.id, call.function.name), ("call_1", answers.TOOL))
    equal(json.loads(call.function.arguments), answers.ARGUMENTS)


def chat_stream(_bench, client):
    chunks = list(chat(client, stream=True).parse())
    equal(_text(chunks), answers.TEXT)
    equal(chunks[-1].choices[0].finish_reason, "stop")
    equal([chunk.usage for chunk in chunks if chunk.usage], [])


def chat_stream_tools(_bench, client):
    chunks = list(chat(client, stream=True, tools=TOOLS).parse())
    calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
    equal((calls[0].id, calls[0].function.name), ("call_1", answers.TOOL))
    arguments = "".join(call.function.arguments for call in calls)
    equal(json.loads(arguments), answers.ARGUMENTS)
    equal(chunks[-1].choices[0].finish_reason, "tool_calls")


def chat_stream_of_choices(_bench, client):
    chunks = list(chat(client, stream=True, n=2).parse())
    for index in range(2):
        own = [chunk for chunk in chunks if chunk.choices[0].index == index]
        equal((_text(own), own[-1].choices[0].finish_reason), (answers.TEXT, "stop"))


def chat_stream_usage(model):
    """The usage that the caller has asked for, by whatever way the provider says it."""

    def check(_bench, client):
        asked = {"stream_options": {"include_usage": True}}
        chunks = list(chat(client, model=model, stream=True, **asked).parse())
        equal(_text(chunks), answers.TEXT)
        equal(chunks[-1].choices, [])
        equal(chunks[-1].usage.total_tokens, 11)

    return check


def chat_stream_usage_not_asked(bench, client):
    chunks = list(chat(client, model="asks", stream=True).parse())
    equal(_text(chunks), answers.TEXT)
    true(all(chunk.choices for chunk in chunks), "a chunk that nobody has asked for")
    equal(bench["quirky"].requests[0]["body"]["stream_options"], {"include_usage": True})


def chat_stream_helper(_bench, client):
    with client.chat.completions.stream(model="llama", messages=PROMPT, tools=TOOLS) as stream:
        message = stream.get_final_completion().choices[0].message
    equal(json.loads(message.tool_calls[0].function.arguments), answers.ARGUMENTS)
    with client.chat.completions.stream(model="llama", messages=PROMPT) as stream:
        equal(stream.get_final_completion().choices[0].message.content, answers.TEXT)


def chat_stream_async(bench, _client):
    """The other half of the SDK has a reader of its own."""

    async def read():
        async with openai.AsyncOpenAI(
            base_url=bench.sidecar.url + "/v1",
            api_key=CALLER_KEY,
            timeout=CALL_SECONDS,
            http_client=openai.DefaultAsyncHttpxClient(trust_env=False),
        ) as client:
            create = client.chat.completions.create
            ask = {"model": "llama", "messages": PROMPT, "stream": True}
            equal(_text([chunk async for chunk in await create(**ask)]), answers.TEXT)
            bench["primary"].behaviour = scripted.CUT
            try:
                async for _ in await create(**ask):
                    pass
            except openai.APIError as error:
                equal(error.code, "stream_cut")
            else:
                raise AssertionError("a cut stream passes for a whole one")

    asyncio.run(read())


def careless_stream(stream):
    """A stream that the SDK cannot read as the provider writes it."""

    def check(bench, client):
        bench["primary"].behaviour = scripted.CARELESS
        texts, error = pieces(*stream(client))
        equal(("".join(texts), error), (answers.TEXT, None))

    return check


def completion(_bench, client):
    answer = client.completions.create(model="llama", prompt="Say hello.")
    equal((answer.choices[0].text, answer.usage.total_tokens), (answers.TEXT, 11))


def responses(bench, client):
    answer = client.responses.create(model="gpt", input="Say hello.")
    equal((answer.output_text, answer.status), (answers.TEXT, "completed"))
    equal(answer.usage.total_tokens, 11)
    [request] = bench["gpt"].requests
    equal((request["path"], request["body"]["model"]), ("/v1/responses", "gpt-native"))


def responses_tools(_bench, client):
    answer = client.responses.create(model="gpt", input="Weather?", tools=RESPONSE_TOOLS)
    [call] = answer.output
    equal((call.name, json.loads(call.arguments)), (answers.TOOL, answers.ARGUMENTS))


def responses_stream_helper(_bench, client):
    with client.responses.stream(model="gpt", input="Say hello.") as stream:
        equal(stream.get_final_response().output_text, answers.TEXT)
    ask = {"model": "gpt", "input": "Weather?", "tools": RESPONSE_TOOLS}
    with client.responses.stream(**ask) as stream:
        [call] = stream.get_final_response().output
    equal((call.name, json.loads(call.arguments)), (answers.TOOL, answers.ARGUMENTS))


def responses_stream_ending(status):
    """A response that ends before it is complete, and says so itself."""

    def check(bench, client):
        bench["gpt"].behaviour = status
        stream = client.responses.create(model="gpt", input="Say hello.", stream=True)
        events = list(stream)
        equal(events[-1].type, f"response.{status}")
        equal(events[-1].response.status, status)

    return check


def embeddings(bench, client):
    answer = client.embeddings.create(model="llama", input=["one", "two"])
    equal([row.embedding for row in answer.data], [answers.VECTOR] * 2)
    equal(bench["primary"].requests[0]["path"], "/v1/embeddings")


def models(bench, client):
    served = {model.id for model in client.models.list()}
    equal({"llama", "gpt", "claude"} - served, set())
    model = client.models.retrieve("llama")
    equal((model.id, model.object), ("llama", "model"))
    error = raises(openai.NotFoundError, lambda: client.models.retrieve("nowhere"))
    equal(error.code, "model_not_found")
    equal(bench["primary"].requests, [])


def upset_stream(name, stream, behaviour):
    """A stream that does not come to its end: an error of the SDK's own after what has come."""

    def check(bench, client):
        bench[name].behaviour = behaviour
        texts, error = pieces(*stream(client))
        true(isinstance(error, openai.APIError), f"{error!r} after {texts!r}")
        equal(texts[:1], answers.WORDS[:1])
        # Of a response the error is an event like others, and the end of the body is what raises.
        said, code = texts[1:] or [error.code], CODES[behaviour]
        equal(said, [code])
        true("scripted" not in error.message, "the provider's words")
        equal((len(bench[name].requests), len(bench["fallback"].requests)), (1, 0))
        equal(bench.sent, 1)

    return check


def upset_document(bench, client):
    """A document that is cut behind what is held of it cannot be taken back."""
    bench["primary"].behaviour = scripted.CUT_LONG
    once = client.with_options(max_retries=0)
    raises(openai.APIConnectionError, lambda: chat(once).parse())
    equal(bench.sent, 1)


def failover(behaviour, stream):
    """The primary fails before it has begun to answer: the caller sees the fallback's answer."""

    def check(bench, client):
        if behaviour == "refused":
            bench.move_primary(bench.refusing.origin + "/v1")
        else:
            bench["primary"].behaviour = behaviour
        raw = chat(client, stream=stream)
        answer = raw.parse()
        text = _text(list(answer)) if stream else answer.choices[0].message.content
        equal(text, answers.TEXT)
        equal(raw.headers["x-sidecar-provider"], "fallback")
        equal(len(bench["fallback"].requests), 1)
        equal(bench["fallback"].requests[0]["body"]["model"], "vendor-llama")
        equal(bench.sent, 1)

    return check


def complete(behaviour):
    """Who wants it whole gets the fallback's whole answer, and nothing of the half one."""

    def check(bench, client):
        bench["primary"].behaviour = behaviour
        raw = chat(client, stream=True, extra_headers=COMPLETE)
        equal(_text(list(raw.parse())), answers.TEXT)
        equal(raw.headers["x-sidecar-provider"], "fallback")
        equal((len(bench["primary"].requests), len(bench["fallback"].requests)), (1, 1))
        equal(bench.sent, 1)

    return check


def complete_exhaustion(bench, client):
    """While nothing has been sent, an error has its status also for those."""
    bench["primary"].behaviour = bench["fallback"].behaviour = scripted.CUT
    error = raises(
        openai.InternalServerError, lambda: chat(client, stream=True, extra_headers=COMPLETE)
    )
    equal((error.status_code, error.code), (503, "all_pools_exhausted"))
    equal(bench.sent, 1)


def exhaustion(behaviour, stream=False):
    """Nothing left: one request of the SDK, though it retries 503 by default."""

    def check(bench, client):
        bench["primary"].behaviour = bench["fallback"].behaviour = behaviour
        error = raises(openai.InternalServerError, lambda: chat(client, stream=stream))
        equal((error.status_code, error.code), (503, "all_pools_exhausted"))
        equal(error.type, "server_error")
        equal(error.message.count("scripted"), 0)
        headers = error.response.headers
        equal(headers["x-should-retry"], "false")
        equal(headers["x-sidecar-reason"], "AllPoolsExhausted")
        true(int(headers["retry-after"]) >= 120, "retry-after is under 120 s")
        equal(error.request_id, headers["x-request-id"])
        equal(bench.sent, 1)

    return check


def refusal(kind, code, send, error_type="invalid_request_error", says=""):
    """A request that is refused here and goes nowhere."""

    def check(bench, client):
        error = raises(kind, lambda: send(bench, client.with_options(max_retries=0)))
        equal((error.code, error.type), (code, error_type))
        true(says in error.message, f"the message is {error.message!r}")
        true(error.request_id, "no x-request-id")
        equal(error.request_id, error.response.headers["x-request-id"])
        equal([name for name, provider in bench.providers.items() if provider.requests], [])
        equal(bench.sent, 1)

    return check


def refusals():
    """The refusals of the table of errors that need nobody but the caller."""
    bad = openai.BadRequestError

    def post(content, **headers):
        headers = {"content-type": "application/json", **headers}
        options = {"headers": headers}

        def send(_bench, client):
            path = "/chat/completions"
            client.post(path, cast_to=object, content=content.encode(), options=options)

        return send

    body = json.dumps({"model": "llama", "messages": PROMPT})
    twice = body[:-1] + ', "model": "small"}'
    yield "not_json", refusal(bad, "invalid_body", post(body[:-1]))
    yield "no_model", refusal(bad, "missing_model", post('{"messages": []}'))
    yield "bad_model", refusal(bad, "invalid_body_model", post('{"model": 7}'))
    yield "two_models", refusal(bad, "invalid_body_duplicate_field", post(twice))

    def headed(name, value):
        return lambda _, client: chat(client, extra_headers={name: value})

    bad_deadline = headed("x-sidecar-deadline-ms", "soon")
    yield "bad_deadline", refusal(bad, "invalid_request", bad_deadline, says="deadline-ms")
    elsewhere = headed("x-sidecar-provider", "nobody")
    missing = openai.NotFoundError
    yield "unknown_provider", refusal(missing, "model_not_found", elsewhere)

    def nowhere(stream):
        return lambda _, client: chat(client, model="nowhere", stream=stream)

    unknown = {"says": "nowhere"}
    yield "unknown_model", refusal(missing, "model_not_found", nowhere(False), **unknown)
    yield "unknown_model_stream", refusal(missing, "model_not_found", nowhere(True), **unknown)

    def wrong_family(_bench, client):
        client.responses.create(model="llama", input="Say hello.")

    yield "wrong_family", refusal(missing, "model_not_found", wrong_family)

    def keyed(key):
        return lambda bench, client: chat(client.with_options(api_key=key(bench)))

    wrong = keyed(lambda _: WRONG_KEY)
    unauthorised = {"code": "invalid_api_key", "error_type": "authentication_error"}
    yield "wrong_key", refusal(openai.AuthenticationError, send=wrong, **unauthorised)

    def no_key(bench, client):
        chat(client.with_options(base_url=bench.closed.url + "/v1"))

    yield "no_key", refusal(openai.AuthenticationError, send=no_key, **unauthorised)
    disabled = keyed(lambda bench: bench.caller(enabled=False))
    denied = {"code": "caller_disabled", "error_type": "permission_error"}
    yield "caller_disabled", refusal(openai.PermissionDeniedError, send=disabled, **denied)
    narrow = keyed(lambda bench: bench.caller(models=["gpt"]))
    yield "model_not_allowed", refusal(missing, "model_not_found", narrow, **{"says": "llama"})


def body_too_large(bench, client):
    """More than the buffers on the way hold, so that it is still being sent when it is refused."""
    with bench.setting("max_body_bytes", 1024):
        prompt = [{"role": "user", "content": "x" * 8_000_000}]
        once = client.with_options(max_retries=0)
        error = raises(openai.APIStatusError, lambda: chat(once, messages=prompt))
    equal((error.status_code, error.code), (413, "body_too_large"))
    equal(error.type, "invalid_request_error")


def caller_limit(bench, client):
    """A limit that time lifts: the SDK is told how long to wait."""
    limited = client.with_options(api_key=bench.caller(rpm=1), max_retries=0)
    chat(limited)
    error = raises(openai.RateLimitError, lambda: chat(limited))
    equal((error.code, error.type), ("caller_limit", "rate_limit_error"))
    true(1 <= int(error.response.headers["retry-after"]) <= 60, "retry-after is not in a minute")
    true("x-should-retry" not in error.response.headers, "it is not worth trying again")


def caller_limit_for_good(bench, client):
    """A limit that no retry gets past: the SDK does not try."""
    headers = {"x-sidecar-task": "task-1"}
    limited = client.with_options(api_key=bench.caller(max_rounds=1), default_headers=headers)
    chat(limited)
    error = raises(openai.RateLimitError, lambda: chat(limited))
    equal((error.code, error.response.headers["x-should-retry"]), ("caller_limit", "false"))
    true("retry-after" in error.response.headers, "no retry-after")
    equal(bench.sent, 2)


def callers_fault(status, kind):
    """The provider refuses what the caller has asked for, and says why."""

    def check(bench, client):
        bench["primary"].behaviour = status
        error = raises(kind, lambda: chat(client, temperature=9))
        equal((error.status_code, error.code), (status, f"scripted_{status}"))
        equal(error.param, "temperature" if status == 400 else None)
        true(f"scripted {status}" in error.message, "the provider's message is lost")
        equal((len(bench["primary"].requests), len(bench["fallback"].requests)), (1, 0))

    return check


def callers_fault_in_stream(bench, client):
    """The same of a provider that has begun a stream for it."""
    bench["primary"].behaviour = scripted.FAULT
    error = raises(openai.BadRequestError, lambda: chat(client, stream=True))
    equal(error.code, "context_length_exceeded")
    true("too long" in error.message, "the provider's message is lost")


def overloaded(bench, client):
    """Nobody may wait for the next slot."""
    once = client.with_options(max_retries=0)
    with bench.setting("queue_max_depth", 0):
        chat(once, model="slow")
        error = raises(openai.InternalServerError, lambda: chat(once, model="slow"))
    equal((error.status_code, error.code), (503, "overloaded"))
    equal((error.type, error.response.headers["retry-after"]), ("server_error", "1"))


def upstream_timeout(bench, client):
    bench["lone"].behaviour = scripted.HANG
    once = client.with_options(max_retries=0, default_headers=HASTY)
    error = raises(openai.InternalServerError, lambda: chat(once, model="small"))
    equal((error.status_code, error.code), (504, "upstream_timeout"))
    equal(error.type, "server_error")


def queue_timeout(bench, client):
    once = client.with_options(max_retries=0)

    def send(headers):
        try:
            chat(once, model="small", extra_headers=headers)
        except openai.APIError:
            pass

    with bench.queued("lone", send):
        hasty = once.with_options(default_headers=HASTY)
        late = raises(openai.InternalServerError, lambda: chat(hasty, model="small"))
    equal((late.status_code, late.code), (503, "queue_timeout"))
    equal(late.type, "server_error")


def chat_pieces(client, **options):
    stream = chat(client, stream=True, **options).parse()
    return stream, lambda chunk: _text([chunk])


def chat_tool_pieces(client):
    """The first piece of the arguments stands for the first word."""
    stream = chat(client, stream=True, tools=TOOLS).parse()

    def text_of(chunk):
        calls = chunk.choices[0].delta.tool_calls if chunk.choices else None
        return answers.WORDS[0] if calls else ""

    return stream, text_of


def completion_pieces(client):
    stream = client.completions.create(model="llama", prompt="Say hello.", stream=True)
    return stream, lambda chunk: chunk.choices[0].text if chunk.choices else ""


def response_pieces(client):
    stream = client.responses.create(model="gpt", input="Say hello.", stream=True)
    return stream, _text_of_event


def helped_response_pieces(client):
    def read():
        with client.responses.stream(model="gpt", input="Say hello.") as stream:
            yield from stream
            stream.get_final_response()

    return read(), _text_of_event


def whole_stream(stream):
    def check(_bench, client):
        equal(pieces(*stream(client)), (answers.WORDS, None))

    return check


def checks():
    """Every check by its name, in order."""
    plain = (
        whole_chat,
        chat_tools,
        chat_stream,
        chat_stream_tools,
        chat_stream_of_choices,
        chat_stream_usage_not_asked,
        chat_stream_helper,
        chat_stream_async,
        completion,
        responses,
        responses_tools,
        responses_stream_helper,
        embeddings,
        models,
    )
    yield from ((check.__name__, check) for check in plain)
    for model in ("llama", "asks", "says"):
        yield f"chat_stream_usage_{model}", chat_stream_usage(model)
    yield "completion_stream", whole_stream(completion_pieces)
    yield "responses_stream", whole_stream(response_pieces)
    for status in (scripted.INCOMPLETE, scripted.FAILED):
        yield f"responses_stream_{status}", responses_stream_ending(status)
    yield "careless_chat_stream", careless_stream(chat_pieces)
    yield "careless_completion_stream", careless_stream(completion_pieces)
    streams = {
        "chat": ("primary", chat_pieces),
        "tools": ("primary", chat_tool_pieces),
        "completion": ("primary", completion_pieces),
        "responses": ("gpt", response_pieces),
        "responses_helper": ("gpt", helped_response_pieces),
    }
    for kind, (name, stream) in streams.items():
        for behaviour in scripted.CUTS:
            yield f"{kind}_stream_{behaviour}", upset_stream(name, stream, behaviour)
    yield "document_cut", failover(scripted.CUT, stream=False)
    yield "document_cut_late", upset_document
    for behaviour in (429, 500, 503, scripted.RESET, "refused"):
        yield f"failover_{behaviour}", failover(behaviour, stream=False)
        yield f"failover_{behaviour}_stream", failover(behaviour, stream=True)
    for behaviour in scripted.CUTS:
        yield f"complete_{behaviour}", complete(behaviour)
    yield "complete_exhaustion", complete_exhaustion
    for behaviour in (401, 402, 403, 429):
        yield f"exhaustion_{behaviour}", exhaustion(behaviour)
    yield "exhaustion_stream", exhaustion(429, stream=True)
    yield from refusals()
    yield "body_too_large", body_too_large
    yield "caller_limit", caller_limit
    yield "caller_limit_for_good", caller_limit_for_good
    yield "callers_fault_400", callers_fault(400, openai.BadRequestError)
    yield "callers_fault_422", callers_fault(422, openai.UnprocessableEntityError)
    yield "callers_fault_in_stream", callers_fault_in_stream
    yield "overloaded", overloaded
    yield "upstream_timeout", upstream_timeout
    yield "queue_timeout", queue_timeout


def _text_of_event(event):
    return event.code if event.type == "error" else getattr(event, "delta", "")


def _text(chunks):
    contents = (choice.delta.content for chunk in chunks for choice in chunk.choices)
    return "".join(content or "" for content in contents)
