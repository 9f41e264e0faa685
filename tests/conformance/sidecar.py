"""The server under test as a child process in a folder of its own, and its admin API."""

import json
import os
import queue
import secrets
import subprocess
import tempfile
import threading
import urllib.error
import urllib.request

START_SECONDS = 30
STOP_SECONDS = 30


class Sidecar:
    """A running server. `variables` go into its environment, beside the usual ones."""

    def __init__(self, program, **variables):
        self._folder = tempfile.TemporaryDirectory(prefix="sidecar-conformance-")
        self.token = secrets.token_urlsafe(32)
        self._output = []
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "SIDECAR_PORT": "0",
            "SIDECAR_METRICS_PORT": "0",
            "SIDECAR_DB_PATH": os.path.join(self._folder.name, "sidecar.redb"),
            "SIDECAR_ENCRYPTION_KEY": secrets.token_hex(32),
            "SIDECAR_ADMIN_TOKEN": self.token,
            # Nothing here is worth waiting for: what rests, rests longer.
            "SIDECAR_QUEUE_TIMEOUT": "1",
            "LOG_FORMAT": "json",
            **variables,
        }
        self._process = subprocess.Popen(
            [os.path.abspath(program)],
            cwd=self._folder.name,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        listening = queue.Queue()
        threading.Thread(target=self._read, args=(listening,), daemon=True).start()
        try:
            address = listening.get(timeout=START_SECONDS)
        except queue.Empty:
            address = None
        if address is None:
            self.stop()
            raise SystemExit("the server does not start:\n" + self.log())
        self.url = f"http://{address}"

    def stop(self):
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        self._folder.cleanup()

    def kill(self):
        self._process.kill()
        self._process.wait()

    def signal(self, number):
        self._process.send_signal(number)

    def log(self):
        """The last of what the server has said."""
        return "".join(self._output[-50:])

    def admin(self, method, path, body=None):
        """One call of the admin API; the JSON of the answer."""
        request = urllib.request.Request(
            f"{self.url}/api/admin{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "authorization": f"Bearer {self.token}",
                "content-type": "application/json",
            },
        )
        # No proxy of the environment stands between this and the server.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=20) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read()!r}") from None

    def _read(self, listening):
        """Reads all that the server says, and tells where it listens; `None` if it ended."""
        for line in self._process.stderr:
            self._output.append(line)
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict) and event.get("message") == "listening":
                listening.put(event["addr"])
        listening.put(None)
