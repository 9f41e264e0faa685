"""A scripted provider: speaks the OpenAI and Anthropic protocols, and fails on demand."""

import array
import base64
import json
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WORDS = ["Hello", ", ", "world", "."]
TEXT = "".join(WORDS)
VECTOR = [0.5, -0.25, 0.125]
OPENAI_USAGE = {"prompt_tokens": 7, "completion_tokens": 4, "total_tokens": 11}

# What a provider may do instead of a good answer, beside any status of 400 and above.
RESET = "reset"  # reads the request, then resets the connection
CUT = "cut"  # ends a stream after its first word without ending the body


class Provider:
    """One provider on a port of its own. `behaviour` may be changed at any time: `None` for good
    answers, an HTTP status, `RESET` or `CUT`."""

    def __init__(self):
        self.behaviour = None
        self.requests = []
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.provider = self
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def origin(self):
        return f"http://127.0.0.1:{self._server.server_port}"

    def reset(self):
        """Good again, with nothing seen yet."""
        self.behaviour = None
        self.requests.clear()


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
        provider.requests.append({"path": self.path, "headers": headers, "body": body})
        behaviour = provider.behaviour
        if behaviour == RESET:
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.close_connection = True
        elif isinstance(behaviour, int):
            self._json(behaviour, _error(behaviour))
        elif self.path.endswith("/chat/completions"):
            self._chat(body, cut=behaviour == CUT)
        elif self.path.endswith("/embeddings"):
            self._json(200, _embeddings(body))
        elif self.path.endswith("/messages"):
            self._messages(body)
        else:
            self._json(404, _error(404))

    def _chat(self, body, cut):
        if not body.get("stream"):
            message = {"role": "assistant", "content": TEXT}
            choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
            whole = _completion("chat.completion", body, choices=[choice], usage=OPENAI_USAGE)
            self._json(200, whole)
            return
        asked = bool((body.get("stream_options") or {}).get("include_usage"))

        def chunk(choices, usage=None):
            extra = {"usage": usage} if asked else {}
            data = _completion("chat.completion.chunk", body, choices=choices, **extra)
            return f"data: {json.dumps(data)}\n\n"

        def delta(delta, finish_reason=None):
            return [{"index": 0, "delta": delta, "finish_reason": finish_reason}]

        frames = [chunk(delta({"role": "assistant", "content": ""}))]
        frames += [chunk(delta({"content": word})) for word in WORDS]
        if cut:
            self._stream(frames[:2], whole=False)
            return
        frames.append(chunk(delta({}, "stop")))
        if asked:
            frames.append(chunk([], OPENAI_USAGE))
        self._stream(frames + ["data: [DONE]\n\n"])

    def _messages(self, body):
        message = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": body["model"],
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 7, "output_tokens": 1},
        }
        if not body.get("stream"):
            message["content"] = [{"type": "text", "text": TEXT}]
            message["stop_reason"] = "end_turn"
            message["usage"] = {"input_tokens": 7, "output_tokens": 4}
            self._json(200, message)
            return
        block = {"type": "text", "text": ""}
        events = [
            {"type": "message_start", "message": message},
            {"type": "content_block_start", "index": 0, "content_block": block},
        ]
        for word in WORDS:
            delta = {"type": "text_delta", "text": word}
            events.append({"type": "content_block_delta", "index": 0, "delta": delta})
        events += [
            {"type": "content_block_stop", "index": 0},
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn", "stop_sequence": None},
                "usage": {"output_tokens": 4},
            },
            {"type": "message_stop"},
        ]
        self._stream(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in events)

    def _json(self, status, value):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, frames, whole=True):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for frame in frames:
            data = frame.encode()
            self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        if whole:
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.close_connection = True


def _completion(kind, body, **fields):
    return {"id": "cmpl-1", "object": kind, "created": 1, "model": body["model"], **fields}


def _embeddings(body):
    inputs = body["input"] if isinstance(body["input"], list) else [body["input"]]
    packed = base64.b64encode(array.array("f", VECTOR).tobytes()).decode()
    vector = packed if body.get("encoding_format") == "base64" else VECTOR
    rows = [{"object": "embedding", "index": i, "embedding": vector} for i in range(len(inputs))]
    usage = {"prompt_tokens": 3, "total_tokens": 3}
    return {"object": "list", "model": body["model"], "data": rows, "usage": usage}


def _error(status):
    error = {
        "message": f"scripted {status}",
        "type": "invalid_request_error" if status < 429 else "scripted_error",
        "param": "temperature" if status == 400 else None,
        "code": f"scripted_{status}",
    }
    return {"error": error}
