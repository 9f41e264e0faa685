#!/usr/bin/env python3
"""Scrapes the real server with a real Prometheus and lets the alert rules fire.

    python prometheus.py --server target/release/sidecar-server

Needs `prometheus` and `promtool` in the PATH; everything else is in the standard library. Takes
less than a minute. Prints a line for each check; exits 1 at the first that fails.
"""

import argparse
import contextlib
import http.client
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.parse
import urllib.request

import provider as scripted
from provider import Provider
from sidecar import Sidecar

DEPLOY = os.path.join(os.path.dirname(__file__), "..", "..", "examples", "deploy")
ALL_SECONDS = 60
# How many names, paths and keys are made up, and by how many clients at a time. The scripted
# providers are slow to answer, so there are many.
MADE_UP = 10_000
CLIENTS = 64
# The rules as they are, but for how long something has to last.
FOR = "2s"
# Long enough that the alert fires before the rest of the providers is over.
REST_SECONDS = 10
AGENTS_AT_MOST = 201


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", required=True, help="the sidecar-server binary")
    options = parser.parse_args()
    running = []
    threading.Thread(target=give_up, args=(running,), daemon=True).start()

    check_files()
    port = free_port()
    environment = {
        "SIDECAR_METRICS_PORT": str(port),
        "SIDECAR_COOLDOWN_BASE": str(REST_SECONDS),
        "SIDECAR_COOLDOWN_MAX": str(REST_SECONDS),
    }
    with contextlib.ExitStack() as stack:
        sidecar = Sidecar(options.server, **environment)
        stack.callback(sidecar.stop)
        running.append(sidecar.kill)
        prometheus = Prometheus(port)
        stack.callback(prometheus.stop)
        running.append(prometheus.stop)
        bench = Bench(sidecar, port)
        check_metrics_under_load(bench)
        check_made_up(bench)
        check_agents(bench)
        check_dashboard(prometheus)
        check_outage_of_providers(bench, prometheus)
        check_outage_of_the_server(bench, prometheus)
    print("all passed")


def check_files():
    promtool("check", "rules", "alerts.yml")
    promtool("check", "config", "prometheus.yml")
    promtool("test", "rules", "alerts.test.yml")
    passed("the files that are handed out are valid, and the rules do what their tests say")


def check_metrics_under_load(bench):
    """A scrape amid good answers, streams, failovers and refusals has nothing to complain of."""
    stop = threading.Event()

    def load():
        while not stop.is_set():
            bench.chat("llama", stream=True)
            bench.chat("llama")
            bench.chat("nowhere/to/be/found")
            bench.request("GET", "/v1/models")

    clients = [threading.Thread(target=load) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        for behaviour in (None, 500, 429, 400, None):
            bench.primary.behaviour = behaviour
            time.sleep(0.3)
            promtool("check", "metrics", stdin=bench.scrape())
    finally:
        stop.set()
        for client in clients:
            client.join()
    bench.reset()
    seen = bench.families()
    described = documented_families()
    missing = sorted(described - seen)
    expect(not missing, f"families that are not there: {missing}")
    passed(f"promtool has nothing to say of {len(seen)} families, scraped under load")


def check_made_up(bench):
    """What callers make up, however much, makes no series."""
    wrong_key = {"authorization": "Bearer sk-sc-" + "0" * 36}
    bench.chat("made-up")
    bench.request("GET", "/v1/made-up")
    bench.request("GET", "/made-up")
    bench.request("POST", "/v1/chat/completions", b"{}", wrong_key)
    before = bench.series()

    def attack(client):
        for number in range(client, MADE_UP, CLIENTS):
            name = secrets.token_hex(8)
            bench.chat(f"model-{name}", headers={"authorization": f"Bearer key-{name}"})
            bench.request("GET", f"/{name}/{name}?{name}={name}")
            if number % 10 == 0:
                key = {"authorization": f"Bearer sk-sc-{secrets.token_urlsafe(27)[:36]}"}
                bench.request("POST", f"/v1/{name}", b"{}", key)

    in_parallel(CLIENTS, attack)
    # What the attempts at the made-up models cost is under names that were there.
    more = bench.series() - before
    expect(not more, f"series that callers made: {sorted(more)[:5]}")
    passed(f"{MADE_UP} models, paths and keys that were made up add no series")


def check_agents(bench):
    def introduce(client):
        for number in range(client, 2 * AGENTS_AT_MOST, CLIENTS):
            bench.chat("llama", headers={"x-agent-id": f"agent-{number}"})

    in_parallel(CLIENTS, introduce)
    names = [name for name in bench.series() if name.startswith("agent_heartbeat_status{")]
    expect(10 < len(names) <= AGENTS_AT_MOST, f"{len(names)} agents have series")
    passed(f"of {2 * AGENTS_AT_MOST} agents that named themselves {len(names)} have series")


def check_dashboard(prometheus):
    """Every query of the dashboard is one that Prometheus understands."""
    with open(os.path.join(DEPLOY, "sidecar.json"), encoding="utf-8") as file:
        dashboard = json.load(file)
    targets = (target for panel in dashboard["panels"] for target in panel.get("targets", []))
    queries = [target["expr"] for target in targets]
    empty = []
    for query in queries:
        query = query.replace("$__rate_interval", "10s")
        query = re.sub(r"\$\w+", ".*", query)
        if not prometheus.query(query):
            empty.append(query)
    # Nobody was refused by limits of their own.
    empty = [query for query in empty if "caller_refusals" not in query]
    expect(not empty, f"queries without an answer: {empty}")
    passed(f"{len(queries)} queries of the dashboard have answers")


def check_outage_of_providers(bench, prometheus):
    alert = "SidecarNoHealthyProvider"
    prometheus.wait_for(alert, "inactive", 5)
    bench.primary.behaviour = bench.any.behaviour = scripted.RESET
    deadline = time.monotonic() + 10
    while bench.healthy() > 0:
        expect(time.monotonic() < deadline, "the providers fail and do not rest")
        bench.chat("llama")
        bench.chat("another")
    prometheus.wait_for(alert, "firing", REST_SECONDS)
    bench.primary.behaviour = bench.any.behaviour = None
    prometheus.wait_for(alert, "inactive", 2 * REST_SECONDS)
    expect(bench.chat("llama") == 200, "the providers are back and do not answer")
    passed(f"{alert} fires when all providers are gone, and resolves when they are back")


def check_outage_of_the_server(bench, prometheus):
    alert = "SidecarDown"
    prometheus.wait_for(alert, "inactive", 5)
    bench.sidecar.signal(signal.SIGSTOP)
    try:
        prometheus.wait_for(alert, "firing", 10)
    finally:
        bench.sidecar.signal(signal.SIGCONT)
    prometheus.wait_for(alert, "inactive", 10)
    passed(f"{alert} fires when the server hangs, and resolves when it goes on")


class Bench:
    """The server with one provider of a model, and one of any model as its fallback."""

    def __init__(self, sidecar, metrics_port):
        self.sidecar = sidecar
        self.primary, self.any = Provider(), Provider()
        self._metrics_port = metrics_port
        self._local = threading.local()
        price = {"input": 1e-6, "output": 2e-6}
        self._add("primary", self.primary, {"llama": {"cost": price}})
        self._add("any", self.any, {"llama": {}, "*": {}}, pool="fallback")

    def reset(self):
        for name, provider in (("primary", self.primary), ("any", self.any)):
            provider.reset()
            self.sidecar.admin("POST", f"/backends/{name}/reset")

    def chat(self, model, stream=False, headers=None):
        body = {"model": model, "messages": [{"role": "user", "content": "hi"}], "stream": stream}
        return self.request("POST", "/v1/chat/completions", json.dumps(body).encode(), headers)

    def request(self, method, path, body=None, headers=None):
        """The status of one request, over the connection of this thread."""
        headers = {"content-type": "application/json", **(headers or {})}
        for is_last in (False, True):
            connection = getattr(self._local, "connection", None)
            if connection is None:
                address = urllib.parse.urlsplit(self.sidecar.url).netloc
                connection = http.client.HTTPConnection(address, timeout=20)
                self._local.connection = connection
            try:
                connection.request(method, path, body, headers)
                answer = connection.getresponse()
                answer.read()
                if answer.will_close:
                    self._local.connection = None
                return answer.status
            except (http.client.HTTPException, OSError):
                # The server may close a connection between two requests.
                connection.close()
                self._local.connection = None
                if is_last:
                    raise
        return None

    def scrape(self):
        with open_url(f"http://127.0.0.1:{self._metrics_port}/metrics") as answer:
            expect(
                answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8",
                f"content type {answer.headers['content-type']!r}",
            )
            return answer.read()

    def series(self):
        lines = self.scrape().decode().splitlines()
        return {line.rsplit(" ", 1)[0] for line in lines if line and not line.startswith("#")}

    def families(self):
        lines = self.scrape().decode().splitlines()
        return {line.split()[2] for line in lines if line.startswith("# TYPE ")}

    def healthy(self):
        prefix = re.compile(r'sidecar_pool_providers\{.*type="healthy".*\} (\d+)')
        found = map(prefix.fullmatch, self.scrape().decode().splitlines())
        return sum(int(match[1]) for match in found if match)

    def _add(self, name, provider, models, **fields):
        new = {
            "name": name,
            "api_base_url": provider.origin + "/v1",
            "api_key": f"sk-{name}-0123456789",
            "model_mappings": models,
            "rpm_limit": 1_000_000,
            **fields,
        }
        self.sidecar.admin("POST", "/backends", new)


class Prometheus:
    """A running Prometheus that scrapes every second."""

    def __init__(self, target_port):
        self._folder = tempfile.TemporaryDirectory(prefix="sidecar-prometheus-")
        folder, port = self._folder.name, free_port()
        with open(os.path.join(DEPLOY, "alerts.yml"), encoding="utf-8") as file:
            rules = re.sub(r"(?m)^(\s+for:) .*$", rf"\1 {FOR}", file.read())
        with open(os.path.join(DEPLOY, "prometheus.yml"), encoding="utf-8") as file:
            config = file.read().split("\nalerting:")[0].replace("15s", "1s")
        config = config.replace("127.0.0.1:9191", f"127.0.0.1:{target_port}")
        for name, text in (("alerts.yml", rules), ("prometheus.yml", config)):
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write(text)
        self._url = f"http://127.0.0.1:{port}"
        self._log = open(os.path.join(folder, "log"), "w+", encoding="utf-8")
        self._process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        deadline = time.monotonic() + 15
        while not self._is_ready():
            if time.monotonic() > deadline or self._process.poll() is not None:
                self._log.seek(0)
                log = self._log.read()
                self.stop()
                raise SystemExit("prometheus does not start:\n" + log)
            time.sleep(0.1)

    def stop(self):
        self._process.kill()
        self._process.wait()
        self._log.close()
        self._folder.cleanup()

    def query(self, query):
        return self._get("/api/v1/query?" + urllib.parse.urlencode({"query": query}))["result"]

    def state(self, alert):
        """`inactive`, `pending` or `firing`, as the rule says; what it says of any instance."""
        alerts = self._get("/api/v1/alerts")["alerts"]
        states = [each["state"] for each in alerts if each["labels"]["alertname"] == alert]
        return max(states, key=["inactive", "pending", "firing"].index, default="inactive")

    def wait_for(self, alert, state, seconds):
        deadline = time.monotonic() + seconds
        while (now := self.state(alert)) != state:
            expect(time.monotonic() < deadline, f"{alert} is {now} and not {state}")
            time.sleep(0.2)

    def _is_ready(self):
        try:
            with open_url(self._url + "/-/ready"):
                return True
        except OSError:
            return False

    def _get(self, path):
        with open_url(self._url + path) as answer:
            return json.load(answer)["data"]


def documented_families():
    """The families that the dashboard and the rules speak of, without suffixes of histograms; those
    that need an event which did not happen left out."""
    text = ""
    for name in ("sidecar.json", "alerts.yml"):
        with open(os.path.join(DEPLOY, name), encoding="utf-8") as file:
            text += file.read()
    names = re.findall(r"\b(?:sidecar|agent)_[a-z0-9_]+", text)
    families = {name.removesuffix("_bucket") for name in names}
    return families - {"agent_name", "sidecar_caller_refusals_total"}


def promtool(*arguments, stdin=None):
    done = subprocess.run(
        ["promtool", *arguments], cwd=DEPLOY, input=stdin, capture_output=True, check=False
    )
    output = (done.stdout + done.stderr).decode()
    # What `check metrics` finds it says, and is content.
    is_silent = arguments != ("check", "metrics") or not output.strip()
    expect(done.returncode == 0 and is_silent, f"promtool {' '.join(arguments)}:\n{output}")


def in_parallel(count, work):
    failures = []

    def run(number):
        try:
            work(number)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def open_url(url):
    # No proxy of the environment stands between this and the programs here.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return opener.open(url, timeout=10)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def expect(condition, message):
    if not condition:
        raise SystemExit("FAILED: " + message)


def passed(what):
    print("ok  ", what, flush=True)


def give_up(running):
    time.sleep(ALL_SECONDS)
    for kill in running:
        kill()
    print(f"FAILED: not done after {ALL_SECONDS} s", flush=True)
    os._exit(1)


if __name__ == "__main__":
    main()
