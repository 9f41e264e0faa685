"""A scripted provider: speaks the OpenAI and Anthropic protocols, and fails on demand."""

import json
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import answers

# What a provider may do instead of a good answer, beside any status of 400 and above.
RESET = "reset"  # reads the request, then resets the connection
HANG = "hang"  # reads the request, and says nothing
FAULT = "fault"  # begins a stream with an error that is the caller's own fault
CARELESS = "careless"  # writes a stream of chunks badly
INCOMPLETE = "incomplete"  # ends a response early, and says so
FAILED = "failed"  # ends a response by saying that it has failed
# What it may do after the first word of a stream.
CUT = "cut"  # ends the connection without ending the body
CUT_LINE = "cut-line"  # the same in the middle of a line
CUT_LONG = "cut-long"  # the same in the middle of a line of more than 64 KiB
END = "end"  # ends the body as if that were all
STALL = "stall"  # says nothing more
FAIL = "fail"  # says that it has failed

CUTS = (CUT, CUT_LINE, CUT_LONG, END, STALL, FAIL)
# The longest that a hanging provider hangs if nobody ends it.
HANG_SECONDS = 30
LONG = 200_000


class Provider:
    """One provider on a port of its own. `behaviour` may be changed at any time: `None` for good
    answers, an HTTP status, or one of the words above. `headers` go with what has a status."""

    def __init__(self):
        self.behaviour = None
        self.headers = {}
        self.requests = []
        self._freed = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.provider = self
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def origin(self):
        return f"http://127.0.0.1:{self._server.server_port}"

    def reset(self):
        """Good again, with nothing seen yet; what hangs is let go."""
        self.behaviour = None
        self.headers = {}
        self.requests.clear()
        self._freed.set()
        self._freed = threading.Event()

    def hang(self):
        self._freed.wait(HANG_SECONDS)


class Refusing:
    """A port that refuses connections for as long as this lives: bound, never listening."""

    def __init__(self):
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.origin = f"http://127.0.0.1:{self._socket.getsockname()[1]}"


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def shutdown_request(self, request):
        # Without the usual shutdown, which would send a FIN ahead of the reset.
        self.close_request(request)

    def handle_error(self, request, client_address):
        """A peer that left is none of our errors."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def log_message(self, *_):
        pass

    def do_GET(self):
        self._answer({})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self._answer(json.loads(body))

    def _answer(self, body):
        provider = self.server.provider
        headers = {name.lower(): value for name, value in self.headers.items()}
        path = self.path.partition("?")[0]
        provider.requests.append({"path": path, "headers": headers, "body": body})
        behaviour = provider.behaviour
        if behaviour == RESET:
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.close_connection = True
        elif behaviour == HANG:
            provider.hang()
            self.close_connection = True
        elif isinstance(behaviour, int):
            self._json(behaviour, answers.error(behaviour), provider.headers)
        elif body.get("stream") and (events := answers.events(path, body)):
            self._events(path, body, behaviour, *events)
        elif whole := answers.document(path, body):
            self._document(whole, behaviour)
        else:
            self._json(404, answers.error(404))

    def _events(self, path, body, behaviour, opening, rest):
        """A stream of `opening`, which ends with the first word, and of `rest`."""
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        self._send(*_frames(path, body, behaviour, opening, rest))
        if behaviour == STALL:
            self.server.provider.hang()
        if behaviour in (CUT, CUT_LINE, CUT_LONG, STALL):
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")

    def _document(self, whole, behaviour):
        data = json.dumps(whole).encode()
        if behaviour == CUT_LONG:
            # Of a document, too, not more than the front is held back to be judged.
            data = data[:-1] + b', "filler": "' + b"x" * LONG + b'"}'
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        if behaviour in (CUT, CUT_LONG):
            data = data[: len(data) // 2]
            self.close_connection = True
        self.wfile.write(data)

    def _json(self, status, value, headers={}):
        data = json.dumps(value).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _send(self, *frames):
        for frame in frames:
            data = frame.encode()
            self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))


def _frames(path, body, behaviour, opening, rest):
    """The frames that `behaviour` makes of a stream."""
    if behaviour == FAULT:
        return [answers.fault()]
    if behaviour == CARELESS:
        return answers.careless(path, body)
    if behaviour in (INCOMPLETE, FAILED):
        return answers.unfinished(body, behaviour)
    if behaviour in (CUT, END, STALL):
        return opening
    if behaviour == FAIL:
        return [*opening, answers.failure(path), *rest]
    if behaviour == CUT_LINE:
        return [*opening, rest[0][: len(rest[0]) // 2]]
    if behaviour == CUT_LONG:
        # A piece of the answer grows long.
        piece = answers.PIECES[0] if body.get("tools") else answers.WORDS[1]
        front, _, _ = rest[0].partition(json.dumps(piece, ensure_ascii=False))
        return [*opening, front + '"' + "x" * LONG]
    return [*opening, *rest]
