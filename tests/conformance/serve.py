"""The servers and providers for a program in another language, which tells what is to happen.

Its first line is `{"url", "closed", "key", "wrongKey"}`: the server that anybody may call, the one
that asks for a key, and what to show. Then it reads commands, each a line `[NAME, ...ARGUMENTS]`,
and answers each with a line: the result, or `{"error"}`. It ends with its standard input.
"""

import json
import sys

from bench import CALLER_KEY, WRONG_KEY


def serve(bench):
    commands = {
        "reset": bench.reset,
        "behave": lambda name, behaviour: setattr(bench[name], "behaviour", behaviour),
        "seen": lambda name: len(bench[name].requests),
        "leaks": bench.leaks,
        "caller": lambda limits: bench.caller(**limits),
        "set": lambda key, value: bench.sidecar.admin("PUT", f"/config/{key}", {"value": value}),
        "unset": lambda key: bench.sidecar.admin("DELETE", f"/config/{key}"),
    }
    urls = {"url": bench.sidecar.url, "closed": bench.closed.url}
    _say(urls | {"key": CALLER_KEY, "wrongKey": WRONG_KEY})
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        try:
            _say(commands[name](*arguments))
        except Exception as error:  # Whoever asked is to know, whatever it is.
            _say({"error": repr(error)})
    return 0


def _say(value):
    print(json.dumps(value), flush=True)
