#!/usr/bin/env python3
"""Holds the real server against its own description: that the document is OpenAPI 3.1, and that
every answer to thousands of good and bad requests is one that it describes.

    pip install -r requirements-schema.txt
    python schema.py --server target/release/sidecar-server

Prints what Schemathesis finds, and exits 1 if that is anything. The requests are the same in every
run. Needs Linux, where a process may send from any address of 127.0.0.0/8.
"""

import argparse
import faulthandler
import itertools
import json
import os
import tempfile
import threading
import urllib.request
from contextlib import chdir

import openapi_spec_validator
import schemathesis.cli
import urllib3.util.connection

from provider import Provider
from sidecar import Sidecar

# The longest that all may take.
ALL_SECONDS = 150
SEED = 1
EXAMPLES = 50
FEW_EXAMPLES = 5
PROVIDERS = ("one", "two")
CALLER = "agents"
DOCUMENT = "/api/admin/openapi.json"

# Everything is checked, but for what stands here and in `EXCEPTIONS`, with its reason.
CONFIG = f"""
seed = {SEED}

[cache]
enabled = false

[generation]
max-examples = {EXAMPLES}
# Who shows what is checked by `ignored_auth`. Made-up tokens beside it would only be guesses.
with-security-parameters = false
database = "none"

[dictionaries]
providers = {{ values = {json.dumps(PROVIDERS)} }}
callers = {{ values = ["{CALLER}"] }}

[phases.coverage]
# All but TRACE, which is refused with 400 before anything looks at the path: an echo of credentials
# is of use to nobody but a thief.
unexpected-methods = ["GET", "PUT", "POST", "DELETE", "OPTIONS", "PATCH", "QUERY"]

[checks]
# 412 is what a well-formed `If-Match` of something else deserves.
positive_data_acceptance.expected-statuses = [
    "2xx", "3xx", "401", "403", "404", "409", "412", "429", "503",
]
# 412 and 413 refuse as well as 400.
negative_data_rejection.expected-statuses = [
    "400", "401", "403", "404", "405", "408", "409", "412", "413", "429",
]
"""

# What fits the schema may be refused all the same.
MAY_REFUSE = "checks.positive_data_acceptance.enabled = false\n"
FEW = f"generation.max-examples = {FEW_EXAMPLES}\nphases.stateful.enabled = false\n"
# What holds for some operations only.
EXCEPTIONS = (
    # No schema can say which addresses a key may be sent to, nor how long a JSON text may be.
    (("POST /api/admin/backends", "PUT /api/admin/backends/{id}"), MAY_REFUSE),
    # Nor which times are still to come.
    (("POST /api/admin/callers", "PUT /api/admin/callers/{id}"), MAY_REFUSE),
    # Nor that the type of a value depends on the key in the path.
    (("PUT /api/admin/config/{id}",), MAY_REFUSE),
    # Nor what an earlier answer has given as a cursor.
    (("GET /api/admin/backends", "GET /api/admin/callers", "GET /api/admin/config"), MAY_REFUSE),
    # Nor that 1.0, which is an integer in JSON Schema, is none here.
    (
        ("POST /api/admin/callers/{id}/roll",),
        MAY_REFUSE + 'parameters."path.id" = { dictionary = "callers", probability = 0.5 }\n',
    ),
    # Nor which models a provider maps. Only those are asked that answer: one that was made up
    # leads somewhere else.
    (
        ("POST /api/admin/backends/{id}/test",),
        MAY_REFUSE
        + "phases.stateful.enabled = false\n"
        + 'parameters."path.id" = { dictionary = "providers" }\n',
    ),
    # What is there is worth a look.
    (
        ("GET /api/admin/backends/{id}",),
        'parameters."path.id" = { dictionary = "providers", probability = 0.5 }\n',
    ),
    (
        ("GET /api/admin/callers/{id}",),
        'parameters."path.id" = { dictionary = "callers", probability = 0.5 }\n',
    ),
    # It says with 503 that all providers were switched off or removed, as some requests do.
    (
        ("GET /ready",),
        'checks.not_a_server_error.expected-statuses = ["2xx", "4xx", "503"]\n',
    ),
    # Other methods are passed on to providers, which may know more than is described.
    (
        ("GET /v1/models", "GET /models", "GET /v1/models/{id}", "GET /models/{id}"),
        "phases.coverage.unexpected-methods = []\n",
    ),
    # Each try is a guess at the token, and no more than a hundred a minute are looked at.
    (("POST /api/admin/session",), FEW),
    # Each one is a copy on the disk.
    (("POST /api/admin/backup",), FEW),
)


def prepare(sidecar, providers):
    """Something to tell of: two providers, a caller, and some usage."""
    for name, provider in zip(PROVIDERS, providers):
        new = {
            "name": name,
            "api_base_url": provider.origin,
            "api_key": f"sk-{name}-0123456789abcdef",
            "model_mappings": {"llama": {"native_id": "meta/llama"}},
            # So that tests and probes are never without a slot.
            "rpm_limit": 100_000,
        }
        sidecar.admin("POST", "/backends", new)
    key = sidecar.admin("POST", "/callers", {"name": CALLER})["key"]
    chat = {"model": "llama", "messages": [{"role": "user", "content": "Say hello."}]}
    for behaviour in (None, None, 500, None):
        providers[0].behaviour = behaviour
        request = urllib.request.Request(
            f"{sidecar.url}/v1/chat/completions",
            data=json.dumps(chat).encode(),
            headers={"authorization": f"Bearer {key}", "content-type": "application/json"},
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        opener.open(request, timeout=20).read()


def config(document):
    """The configuration for the operations that there are."""
    known = {
        f"{method.upper()} {path}"
        for path, item in document["paths"].items()
        for method in item
    }
    parts = [CONFIG]
    for labels, text in EXCEPTIONS:
        for label in filter(known.__contains__, labels):
            parts.append(f"[[operations]]\ninclude-name = {json.dumps(label)}\n{text}")
    return "\n".join(parts)


def spread_addresses():
    """Lets every connection come from another address. Wrong tokens are what `ignored_auth` is
    about, and after ten from one address within a minute the answer is 429 in place of 401."""
    numbers = itertools.cycle(range(2, 250))
    connect = urllib3.util.connection.create_connection

    def connect_from(address, *arguments, source_address=None, **options):
        source_address = (f"127.0.1.{next(numbers)}", 0)
        return connect(address, *arguments, source_address=source_address, **options)

    urllib3.util.connection.create_connection = connect_from


def run(sidecar, token):
    document = sidecar.admin("GET", DOCUMENT.removeprefix("/api/admin"))
    openapi_spec_validator.validate(document)
    print(f"{DOCUMENT} is OpenAPI {document['openapi']}", flush=True)
    arguments = [
        "--config-file=schemathesis.toml",
        "run",
        f"--header=Authorization: Bearer {token}",
        # One connection for each request, see `spread_addresses`.
        "--header=Connection: close",
        "--request-timeout=10",
        "--continue-on-failure",
        "--no-color",
        sidecar.url + DOCUMENT,
    ]
    spread_addresses()
    # Whatever it writes goes to a folder of its own.
    with tempfile.TemporaryDirectory(prefix="sidecar-schema-") as folder, chdir(folder):
        with open("schemathesis.toml", "w", encoding="utf-8") as file:
            file.write(config(document))
        try:
            schemathesis.cli.schemathesis.main(args=arguments, prog_name="schemathesis")
        except SystemExit as end:
            return end.code
    return 0


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
    # No proxy stands between this and the server.
    os.environ.update(NO_PROXY="*", no_proxy="*")
    providers = [Provider() for _ in PROVIDERS]
    sidecar = Sidecar(options.server)
    try:
        _end_in_time(sidecar)
        prepare(sidecar, providers)
        return run(sidecar, sidecar.token)
    finally:
        sidecar.stop()


if __name__ == "__main__":
    raise SystemExit(main())
