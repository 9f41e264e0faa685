#!/usr/bin/env python3
"""Drives the official OpenAI and Anthropic SDKs against the real server and scripted providers.

    pip install -r requirements.txt
    python run.py --server target/release/sidecar-server

Prints a line for each check and closes with `N passed, M failed`; exits 1 if any failed.
"""

import argparse
import faulthandler
import json
import os
import threading
import traceback

import anthropic
import openai

import provider as scripted
from provider import Provider, Refusing
from sidecar import Sidecar

# The longest that one call of an SDK may wait, and the longest that all checks may take together.
CALL_SECONDS = 20
ALL_SECONDS = 300

CALLER_KEY = "sk-caller-credential-needle"
PROMPT = [{"role": "user", "content": "Say hello."}]


class Bench:
    """The server with two providers of one model, one in each pool, and an Anthropic one."""

    def __init__(self, sidecar):
        self.sidecar = sidecar
        self.primary, self.fallback, self.claude = Provider(), Provider(), Provider()
        self.refusing = Refusing()
        self.sent = 0
        self._add("primary", self.primary.origin + "/v1", {"llama": {"native_id": "meta/llama"}})
        models = {"llama": {"native_id": "vendor-llama"}}
        self._add("fallback", self.fallback.origin, models, pool="fallback")
        models = {"claude": {"native_id": "claude-native"}}
        self._add("claude", self.claude.origin, models, api="anthropic-messages")

        def count(_request):
            self.sent += 1

        options = {"event_hooks": {"request": [count]}, "trust_env": False}
        self.openai = openai.OpenAI(
            base_url=sidecar.url + "/v1",
            api_key=CALLER_KEY,
            timeout=CALL_SECONDS,
            http_client=openai.DefaultHttpxClient(**options),
        )
        self.anthropic = anthropic.Anthropic(
            base_url=sidecar.url,
            api_key=CALLER_KEY,
            timeout=CALL_SECONDS,
            http_client=anthropic.DefaultHttpxClient(**options),
        )

    def reset(self):
        """Good providers without cooldowns, nothing seen."""
        for provider in (self.primary, self.fallback, self.claude):
            provider.reset()
        self.move_primary(self.primary.origin + "/v1")
        for name in ("primary", "fallback", "claude"):
            self.sidecar.admin("POST", f"/backends/{name}/reset")
        self.sent = 0

    def move_primary(self, base_url):
        # The key goes with it: a stored one is bound to its origin.
        change = {"api_base_url": base_url, "api_key": _key("primary")}
        self.sidecar.admin("PUT", "/backends/primary", change)

    def chat(self, **options):
        """The raw response, for its headers."""
        create = self.openai.chat.completions.with_raw_response.create
        return create(model="llama", messages=PROMPT, **options)

    def _add(self, name, base_url, models, **fields):
        new = {
            "name": name,
            "api_base_url": base_url,
            "api_key": _key(name),
            "model_mappings": models,
            # More than this script sends, so that no check waits for a slot.
            "rpm_limit": 100_000,
            **fields,
        }
        self.sidecar.admin("POST", "/backends", new)


def chat(bench):
    raw = bench.chat()
    completion = raw.parse()
    equal(completion.choices[0].message.content, scripted.TEXT)
    equal(completion.choices[0].finish_reason, "stop")
    equal(completion.usage.total_tokens, 11)
    equal(raw.headers["x-sidecar-provider"], "primary")
    equal(raw.headers["x-sidecar-attempts"], "1")
    true(raw.headers["x-request-id"], "no x-request-id")
    [request] = bench.primary.requests
    equal(request["path"], "/v1/chat/completions")
    equal(request["body"]["model"], "meta/llama")
    equal(request["headers"]["authorization"], f"Bearer {_key('primary')}")


def chat_stream(bench):
    chunks = list(bench.chat(stream=True).parse())
    equal(_text(chunks), scripted.TEXT)
    equal(chunks[-1].choices[0].finish_reason, "stop")
    equal([chunk.usage for chunk in chunks if chunk.usage], [])


def chat_stream_with_usage(bench):
    chunks = list(bench.chat(stream=True, stream_options={"include_usage": True}).parse())
    equal(_text(chunks), scripted.TEXT)
    equal(chunks[-1].choices, [])
    equal(chunks[-1].usage.total_tokens, 11)


def embeddings(bench):
    answer = bench.openai.embeddings.create(model="llama", input=["one", "two"])
    equal([row.embedding for row in answer.data], [scripted.VECTOR] * 2)
    equal(bench.primary.requests[0]["path"], "/v1/embeddings")


def models(bench):
    equal(sorted(model.id for model in bench.openai.models.list()), ["claude", "llama"])
    model = bench.openai.models.retrieve("llama")
    equal((model.id, model.object), ("llama", "model"))
    error = raises(openai.NotFoundError, lambda: bench.openai.models.retrieve("nowhere"))
    equal(error.code, "model_not_found")
    equal(bench.primary.requests, [])


def unknown_model(bench):
    create = bench.openai.chat.completions.create
    error = raises(openai.NotFoundError, lambda: create(model="nowhere", messages=PROMPT))
    equal(error.code, "model_not_found")
    equal(error.type, "invalid_request_error")
    true("nowhere" in error.message, "the message does not name the model")
    equal(bench.sent, 1)


def callers_fault(bench):
    bench.primary.behaviour = 400
    error = raises(openai.BadRequestError, lambda: bench.chat(temperature=9))
    equal((error.param, error.code), ("temperature", "scripted_400"))
    true("scripted 400" in error.message, "the provider's message is lost")
    equal((len(bench.primary.requests), len(bench.fallback.requests)), (1, 0))


def failover(behaviour, stream):
    """The primary fails before it has begun to answer: the caller sees the fallback's answer."""

    def check(bench):
        if behaviour == "refused":
            bench.move_primary(bench.refusing.origin + "/v1")
        else:
            bench.primary.behaviour = behaviour
        raw = bench.chat(stream=stream)
        answer = raw.parse()
        text = _text(list(answer)) if stream else answer.choices[0].message.content
        equal(text, scripted.TEXT)
        equal(raw.headers["x-sidecar-provider"], "fallback")
        equal(len(bench.fallback.requests), 1)
        equal(bench.fallback.requests[0]["body"]["model"], "vendor-llama")
        equal(bench.sent, 1)

    return check


def exhaustion(behaviour):
    """Nothing left: one request of the SDK, though it retries 503 by default."""

    def check(bench):
        bench.primary.behaviour = bench.fallback.behaviour = behaviour
        error = raises(openai.InternalServerError, bench.chat)
        equal((error.status_code, error.code), (503, "all_pools_exhausted"))
        equal(error.message.count("scripted"), 0)
        headers = error.response.headers
        equal(headers["x-should-retry"], "false")
        equal(headers["x-sidecar-reason"], "AllPoolsExhausted")
        true(int(headers["retry-after"]) >= 120, "retry-after is under 120 s")
        equal(error.request_id, headers["x-request-id"])
        equal(bench.sent, 1)

    return check


def cut_stream(bench):
    """A stream that was cut is an error for the caller, and nobody is asked again."""
    bench.primary.behaviour = scripted.CUT
    seen = []

    def read():
        for chunk in bench.chat(stream=True).parse():
            seen.append(chunk)

    raises(openai.APIError, read)
    equal(_text(seen), scripted.WORDS[0])
    equal((len(bench.primary.requests), len(bench.fallback.requests), bench.sent), (1, 0, 1))


def anthropic_message(bench):
    message = bench.anthropic.messages.create(model="claude", max_tokens=64, messages=PROMPT)
    equal(message.content[0].text, scripted.TEXT)
    equal((message.usage.input_tokens, message.usage.output_tokens), (7, 4))
    [request] = bench.claude.requests
    equal(request["path"], "/v1/messages")
    equal(request["body"]["model"], "claude-native")
    equal(request["headers"]["x-api-key"], _key("claude"))
    true("anthropic-version" in request["headers"], "no anthropic-version")


def anthropic_stream(bench):
    ask = {"model": "claude", "max_tokens": 64, "messages": PROMPT}
    with bench.anthropic.messages.stream(**ask) as stream:
        equal("".join(stream.text_stream), scripted.TEXT)
        message = stream.get_final_message()
    equal((message.stop_reason, message.usage.output_tokens), ("end_turn", 4))


def anthropic_unknown_model(bench):
    create = bench.anthropic.messages.create
    ask = {"model": "nowhere", "max_tokens": 64, "messages": PROMPT}
    error = raises(anthropic.NotFoundError, lambda: create(**ask))
    equal(error.body["type"], "error")
    true("nowhere" in error.body["error"]["message"], "the message does not name the model")
    equal(bench.sent, 1)


def anthropic_exhaustion(bench):
    bench.claude.behaviour = 401
    create = bench.anthropic.messages.create
    ask = {"model": "claude", "max_tokens": 64, "messages": PROMPT}
    error = raises(anthropic.InternalServerError, lambda: create(**ask))
    equal((error.status_code, error.body["type"]), (503, "error"))
    equal(bench.sent, 1)


def checks():
    """Every check by its name, in order."""
    yield from (
        (check.__name__, check)
        for check in (chat, chat_stream, chat_stream_with_usage, embeddings, models)
    )
    yield "unknown_model", unknown_model
    yield "callers_fault", callers_fault
    for behaviour in (429, 500, 503, scripted.RESET, "refused"):
        yield f"failover_{behaviour}", failover(behaviour, stream=False)
        yield f"failover_{behaviour}_stream", failover(behaviour, stream=True)
    for behaviour in (401, 402, 403, 429):
        yield f"exhaustion_{behaviour}", exhaustion(behaviour)
    yield "cut_stream", cut_stream
    yield from (
        (check.__name__, check)
        for check in (
            anthropic_message,
            anthropic_stream,
            anthropic_unknown_model,
            anthropic_exhaustion,
        )
    )


def equal(found, expected):
    true(found == expected, f"found {found!r}, expected {expected!r}")


def true(condition, otherwise):
    # Not `assert`, which `python -O` leaves out.
    if not condition:
        raise AssertionError(otherwise)


def raises(kind, act):
    """The exception of `kind` that `act` raises."""
    try:
        act()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def no_credential_of_the_caller(bench):
    for provider in (bench.primary, bench.fallback, bench.claude):
        true(CALLER_KEY not in json.dumps(provider.requests), "a provider saw the caller's key")


def _text(chunks):
    contents = (chunk.choices[0].delta.content for chunk in chunks if chunk.choices)
    return "".join(content or "" for content in contents)


def _key(name):
    return f"sk-{name}-0123456789abcdef"


def _end_in_time(sidecar):
    """Ends the run, and the server with it, when it takes too long."""

    def give_up():
        faulthandler.dump_traceback()
        print(f"not done within {ALL_SECONDS} s", flush=True)
        sidecar.kill()
        os._exit(1)

    watchdog = threading.Timer(ALL_SECONDS, give_up)
    watchdog.daemon = True
    watchdog.start()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", required=True, help="path of the sidecar-server program")
    options = parser.parse_args()
    passed = failed = 0
    with Sidecar(options.server) as sidecar:
        _end_in_time(sidecar)
        bench = Bench(sidecar)
        for name, check in checks():
            try:
                bench.reset()
                check(bench)
                no_credential_of_the_caller(bench)
            except Exception:
                failed += 1
                print(f"failed {name}\n{traceback.format_exc()}", flush=True)
            else:
                passed += 1
                print(f"ok {name}", flush=True)
        if failed:
            print(f"the server said last:\n{sidecar.log()}")
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
