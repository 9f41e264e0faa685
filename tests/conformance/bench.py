"""What is checked: the server with scripted providers, and the ways to upset it."""

import threading
import time
from contextlib import contextmanager

from provider import HANG, Provider, Refusing
from sidecar import Sidecar

# What a caller shows who has no key of ours.
CALLER_KEY = "sk-caller-credential-needle"
# It looks like one of ours, and is none.
WRONG_KEY = "sk-sc-wrong-credential-needle"
# Of those who wait no longer than this.
HASTY = {"x-sidecar-deadline-ms": "300"}
PROMPT = [{"role": "user", "content": "Say hello."}]
# The longest that one call of a client may wait.
CALL_SECONDS = 20

# By name: the fields of each provider, and the models it serves with their mappings.
PROVIDERS = {
    "primary": ({}, {"llama": {"native_id": "meta/llama"}}),
    "fallback": ({"pool": "fallback"}, {"llama": {"native_id": "vendor-llama"}}),
    "lone": ({}, {"small": {}}),
    "quirky": (
        {},
        {
            "asks": {"stream_usage": "inject"},
            "says": {"native_id": "says-usage", "stream_usage": "forbid"},
        },
    ),
    "gpt": ({"api": "openai-responses"}, {"gpt": {"native_id": "gpt-native"}}),
    "claude": ({"api": "anthropic-messages"}, {"claude": {"native_id": "claude-native"}}),
    # One request a second.
    "slow": ({"rpm_limit": 60, "limit_shape": "smooth", "burst": 1}, {"slow": {}}),
    "slow-claude": (
        {"api": "anthropic-messages", "rpm_limit": 60, "limit_shape": "smooth", "burst": 1},
        {"slow-claude": {}},
    ),
}


class Bench:
    """Two servers: one with `PROVIDERS` that anybody may call, and one that asks for a key."""

    def __init__(self, program):
        # Long enough for `queued`, and still shorter than what rests of itself.
        self.sidecar = Sidecar(program, SIDECAR_QUEUE_TIMEOUT="3")
        self.closed = Sidecar(program, SIDECAR_ALLOW_ANONYMOUS="false")
        self.refusing = Refusing()
        self.providers = {name: Provider() for name in PROVIDERS}
        # How many requests the client of a check has sent; its hooks count.
        self.sent = 0
        self._callers = 0
        for name, (fields, models) in PROVIDERS.items():
            new = {
                "name": name,
                "api_base_url": self.base_url(name),
                "api_key": key_of(name),
                "model_mappings": models,
                # More than is ever sent, so that no check waits for a slot.
                "rpm_limit": 100_000,
                # The shortest there is, so that silence is noticed soon.
                "idle_timeout_seconds": 1,
                **fields,
            }
            self.sidecar.admin("POST", "/backends", new)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sidecar.stop()
        self.closed.stop()

    def __getitem__(self, name):
        """The provider of this name."""
        return self.providers[name]

    def base_url(self, name):
        # One with a path of its own, the others without.
        return self[name].origin + ("/v1" if name == "primary" else "")

    def kill(self):
        self.sidecar.kill()
        self.closed.kill()

    def count(self, _request):
        """A hook of HTTP clients."""
        self.sent += 1

    def reset(self):
        """Good providers without cooldowns, nothing seen."""
        for provider in self.providers.values():
            provider.reset()
        self.move_primary(self.base_url("primary"))
        for name in PROVIDERS:
            self.sidecar.admin("POST", f"/backends/{name}/reset")
        self.sent = 0

    def move_primary(self, base_url):
        # The key goes with it: a stored one is bound to its origin.
        change = {"api_base_url": base_url, "api_key": key_of("primary")}
        self.sidecar.admin("PUT", "/backends/primary", change)

    def caller(self, **limits):
        """The key of a new caller."""
        self._callers += 1
        new = {"name": f"caller-{self._callers}", **limits}
        return self.sidecar.admin("POST", "/callers", new)["key"]

    @contextmanager
    def setting(self, key, value):
        """Another value of a setting, for a while."""
        self.sidecar.admin("PUT", f"/config/{key}", {"value": value})
        try:
            yield
        finally:
            self.sidecar.admin("DELETE", f"/config/{key}")

    @contextmanager
    def queued(self, name, send):
        """Somebody waits for the provider `name` already. `send` sends it a request with these
        headers, and swallows what becomes of it. Only who is as `HASTY` gives up before."""
        provider = self[name]
        # After a rest one request tries the provider, and the others wait for what it learns.
        provider.behaviour, provider.headers = 429, {"retry-after": "1"}
        send(HASTY)
        wait_for(lambda: self.status(name) != "cooling")
        provider.reset()
        provider.behaviour = HANG
        threads = [threading.Thread(target=send, args=({},)) for _ in range(2)]
        threads[0].start()
        wait_for(lambda: provider.requests)
        threads[1].start()
        # Nothing tells from outside that it waits; it does as soon as its request is read.
        time.sleep(0.2)
        try:
            yield
        finally:
            provider.reset()
            for thread in threads:
                thread.join()

    def status(self, name):
        return self.sidecar.admin("GET", f"/backends/{name}")["status"]

    def leaks(self):
        """The names of the providers that have seen a credential of a caller."""
        needles = (CALLER_KEY, "sk-sc-")
        return [
            name
            for name, provider in self.providers.items()
            if any(needle in str(provider.requests) for needle in needles)
        ]


def key_of(name):
    return f"sk-{name}-0123456789abcdef"


def wait_for(condition):
    until = time.monotonic() + CALL_SECONDS
    while not condition():
        if time.monotonic() > until:
            raise AssertionError("what has to happen does not")
        time.sleep(0.02)
