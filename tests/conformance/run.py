#!/usr/bin/env python3
"""Drives the official OpenAI and Anthropic SDKs, and LangChain, against the real server and
scripted providers.

    pip install -r requirements.txt
    python run.py --server target/release/sidecar-server

Prints a line for each check and closes with `N passed, M failed`; exits 1 if any failed. With
words after the options it makes only the checks whose names have one of them. With `--serve` it
makes none, needs no packages, and obeys another program, see serve.py.
"""

import argparse
import faulthandler
import os
import threading
import traceback

import serve
from bench import Bench
from expect import equal

# The longest that all checks may take together.
ALL_SECONDS = 300


def clients():
    """The modules with checks, by the name of the client."""
    # Not for those who only want to serve: these need packages.
    import anthropic_checks
    import langchain_checks
    import openai_checks

    return {
        "openai": openai_checks,
        "anthropic": anthropic_checks,
        "langchain": langchain_checks,
    }


def run(bench, words):
    passed = failed = 0
    for name, module in clients().items():
        client = module.client(bench)
        for check_name, check in module.checks():
            full_name = f"{name}: {check_name}"
            if words and not any(word in full_name for word in words):
                continue
            try:
                bench.reset()
                check(bench, client)
                equal(bench.leaks(), [])
            except Exception:
                failed += 1
                print(f"failed {full_name}\n{traceback.format_exc()}", flush=True)
            else:
                passed += 1
                print(f"ok {full_name}", flush=True)
    if failed:
        print(f"the server said last:\n{bench.sidecar.log()}")
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


def _end_in_time(bench):
    """Ends the run, and the servers with it, when it takes too long."""

    def give_up():
        faulthandler.dump_traceback()
        print(f"not done within {ALL_SECONDS} s", flush=True)
        bench.kill()
        os._exit(1)

    watchdog = threading.Timer(ALL_SECONDS, give_up)
    watchdog.daemon = True
    watchdog.start()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", required=True, help="path of the sidecar-server program")
    parser.add_argument("--serve", action="store_true", help="obey the lines of standard input")
    parser.add_argument("words", nargs="*", help="parts of the names of the checks to make")
    options = parser.parse_args()
    # No proxy stands between the clients and the server, and nobody else hears of the calls.
    os.environ.update(NO_PROXY="*", no_proxy="*", LANGSMITH_TRACING="false")
    with Bench(options.server) as bench:
        _end_in_time(bench)
        if options.serve:
            return serve.serve(bench)
        return run(bench, options.words)


if __name__ == "__main__":
    raise SystemExit(main())
