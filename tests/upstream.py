"""The party we do not own, played for real: a scripted HTTP/1.1 server on raw sockets, a thread per connection.

    upstream = Upstream()
    upstream.plays(refuses(429, retry_after=7), answers("Hello"))   # one act per request; the last one repeats
    ... upstream.url, upstream.requests[0].headers, upstream.requests[0].gone.wait(2) ...
    upstream.stop()

An act is a function that takes a `Turn` and says whether the connection may serve another request. Whatever the
gateway does is recorded: each request with its headers and body, on which connection it came, and when the gateway
let go of that connection.
"""

from __future__ import annotations

import json
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

Act = Callable[["Turn"], bool]

USAGE = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}
ID = "chatcmpl-1"
_PATIENCE = 60.0


@dataclass(eq=False)
class Request:
    """What the gateway sent, and what became of the connection it was sent on."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes
    connection: int
    at: float = field(default_factory=time.monotonic)
    gone: threading.Event = field(default_factory=threading.Event)
    """Set when the gateway has closed the connection before the act was over."""
    gone_at: float = 0.0

    @property
    def names(self) -> set[str]:
        return {name.lower() for name, _ in self.headers}

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        return next((value for found, value in self.headers if found.lower() == name.lower()), None)


class _GoneError(OSError):
    """The gateway has hung up."""


class Turn:
    """One request, and the means to answer it."""

    def __init__(self, request: Request, connection: socket.socket) -> None:
        self.request = request
        self._connection = connection
        self._chunked = False

    def begin(self, status: int, headers: Iterable[tuple[str, str]], *, length: int | None, chunked: bool) -> None:
        """Send the head; with neither length nor chunks the body ends with the connection."""
        self._chunked = chunked
        lines = [f"HTTP/1.1 {status} Whatever", *(f"{name}: {value}" for name, value in headers)]
        if length is not None:
            lines.append(f"content-length: {length}")
        if chunked:
            lines.append("transfer-encoding: chunked")
        self.raw("\r\n".join(lines).encode() + b"\r\n\r\n")

    def write(self, data: bytes) -> None:
        """Send a piece of the body."""
        self.raw(b"%x\r\n%s\r\n" % (len(data), data) if self._chunked else data)

    def end(self) -> None:
        """End a chunked body."""
        if self._chunked:
            self.raw(b"0\r\n\r\n")

    def raw(self, data: bytes) -> None:
        """Send bytes as they are."""
        try:
            self._connection.sendall(data)
        except OSError as error:
            self._note_gone()
            raise _GoneError from error

    def wait(self, seconds: float) -> None:
        """Do nothing for a while, but notice when the gateway hangs up."""
        if not select.select([self._connection], [], [], seconds)[0]:
            return
        try:
            alive = bool(self._connection.recv(1, socket.MSG_PEEK if not _is_tls(self._connection) else 0))
        except OSError:
            alive = False
        if not alive:
            self._note_gone()
            raise _GoneError
        time.sleep(seconds)  # it sent something out of turn; the act goes on all the same

    def reset(self) -> None:
        """Break the connection as a crash does."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._connection.close()

    def _note_gone(self) -> None:
        self.request.gone_at = time.monotonic()
        self.request.gone.set()


class Upstream:
    """A server on a port of its own; `url` is what an account's `base_url` would be."""

    def __init__(self, *acts: Act, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self._acts = list(acts) or [answers()]
        self._tls = tls
        self._lock = threading.Condition()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, name=f"upstream:{self.port}", daemon=True).start()

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/v1" if self._tls else f"http://127.0.0.1:{self.port}/v1"

    def plays(self, *acts: Act) -> None:
        """From now on answer with these acts, one per request; the last one repeats."""
        with self._lock:
            self._acts = list(acts)

    def wait_for(self, count: int, seconds: float = 20.0) -> None:
        """Return once so many requests have arrived."""
        with self._lock:
            assert self._lock.wait_for(lambda: len(self.requests) >= count, seconds), f"{len(self.requests)} requests"

    def hang_up(self) -> None:
        """Close every connection that is open now."""
        with self._lock:
            still_open = list(self._open)
        for connection in still_open:
            _shut(connection)

    def stop(self) -> None:
        """Listen no more and close every connection; twice is harmless."""
        _shut(self._listener)
        self._listener.close()
        self.hang_up()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                self._open.add(connection)
                number = self.connections
            threading.Thread(target=self._serve, args=(connection, number), daemon=True).start()

    def _serve(self, raw: socket.socket, number: int) -> None:
        connection = raw
        try:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls:
                connection = self._tls.wrap_socket(raw, server_side=True)
                with self._lock:
                    self._open = self._open - {raw} | {connection}
            with connection.makefile("rb") as reader:
                while request := _read(reader, number):
                    if not self._next_act(request)(Turn(request, connection)):
                        return
        except (OSError, ValueError):
            return  # the gateway hung up, or `stop` did
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def _next_act(self, request: Request) -> Act:
        with self._lock:
            self.requests.append(request)
            self._lock.notify_all()
            return self._acts.pop(0) if len(self._acts) > 1 else self._acts[0]


def plays(  # the general act; the others are made of it
    pieces: Sequence[bytes | float],
    *,
    status: int = 200,
    headers: Iterable[tuple[str, str]] = (("content-type", "text/event-stream"),),
    framing: str = "chunked",
    ending: str = "keep",
) -> Act:
    """Send these pieces, a number being a pause; then `keep` the connection, `close`, `reset` or `hang`."""

    def act(turn: Turn) -> bool:
        length = sum(len(piece) for piece in pieces if isinstance(piece, bytes)) if framing == "length" else None
        turn.begin(status, headers, length=length, chunked=framing == "chunked")
        for piece in pieces:
            turn.wait(piece) if isinstance(piece, float) else turn.write(piece)
        if ending == "keep":
            turn.end()
        elif ending == "hang":
            turn.wait(_PATIENCE)
        elif ending == "reset":
            turn.wait(0.05)  # what was sent should be read before it is lost
            turn.reset()
        return ending == "keep" and framing != "close"

    return act


def answers(text: str = "Hello", *, usage: dict[str, Any] | None = USAGE, delay: float = 0.0, **more: Any) -> Act:
    """Answer with one JSON completion, or stream the same words when asked to stream."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    body = {"id": ID, "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], **more}
    whole = json.dumps({**body, **({"usage": usage} if usage else {})}).encode()
    streaming = streams(*text.split(), usage=usage, delay=delay)

    def act(turn: Turn) -> bool:
        if turn.request.method == "POST" and turn.request.json.get("stream"):
            return streaming(turn)
        turn.wait(delay)
        return says(whole)(turn)

    return act


def says(body: bytes, *, status: int = 200, headers: Iterable[tuple[str, str]] = (), framing: str = "length") -> Act:
    """Answer with this body, as JSON unless the headers say otherwise."""
    named = [("content-type", "application/json"), *headers] if "content-type" not in dict(headers) else headers
    return plays([body], status=status, headers=named, framing=framing)


def refuses(status: int, message: str = "no", *, retry_after: str | int | None = None, **error: Any) -> Act:
    """Refuse in OpenAI's shape."""
    body = {"error": {"message": message, "type": "refused", "param": None, "code": None, **error}}
    headers = [] if retry_after is None else [("retry-after", str(retry_after))]
    return says(json.dumps(body).encode(), status=status, headers=headers)


def redirects(location: str) -> Act:
    return plays([], status=307, headers=[("location", location)], framing="length")


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    """One frame of a streamed completion, without its `data:`."""
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    body = {"id": ID, "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices, **more}
    return json.dumps(body).encode()


def event(frame: bytes, eol: bytes = b"\n") -> bytes:
    return b"data: " + frame + eol + eol


def usage_chunk(usage: dict[str, Any] = USAGE) -> bytes:
    body = {"id": ID, "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": usage}
    return json.dumps(body).encode()


DONE = b"data: [DONE]\n\n"


def streams(
    *words: str,
    usage: dict[str, Any] | None = USAGE,
    unasked: bool = False,
    delay: float = 0.0,
    framing: str = "chunked",
    done: bool = True,
    ending: str = "keep",
    **more: Any,
) -> Act:
    """Stream these words; usage comes if it was asked for, or `unasked`, or never when there is none."""

    def act(turn: Turn) -> bool:
        asked = bool((turn.request.json.get("stream_options") or {}).get("include_usage"))
        pieces: list[bytes | float] = [event(chunk({"role": "assistant", "content": ""}, **more))]
        for word in words:
            pieces += [delay, event(chunk({"content": f"{word} "}, **more))] if delay else [event(_word(word, more))]
        pieces.append(event(chunk({}, "stop", **more)))
        if usage and (asked or unasked):
            pieces.append(event(usage_chunk(usage)))
        if done:
            pieces.append(DONE)
        return plays(pieces, framing=framing, ending=ending)(turn)

    return act


def calls_a_tool(name: str, arguments: str) -> Act:
    """Stream a tool call whose arguments come in pieces."""
    first = {"index": 0, "id": "call_1", "type": "function", "function": {"name": name, "arguments": ""}}
    pieces = [event(chunk({"role": "assistant", "content": None, "tool_calls": [first]}))]
    for start in range(0, len(arguments), 3):
        part = {"index": 0, "function": {"arguments": arguments[start : start + 3]}}
        pieces.append(event(chunk({"tool_calls": [part]})))
    return plays([*pieces, event(chunk({}, "tool_calls")), event(usage_chunk()), DONE])


def breaks(after: int = 3, *, how: str = "reset", framing: str = "chunked") -> Act:
    """Stream so many words, then break off: `reset`, `close` in the middle of the body, or `end` it too soon."""
    pieces = [event(chunk({"content": f"word{number} "})) for number in range(after)]
    return plays(pieces, framing=framing, ending="keep" if how == "end" else how)


def stalls(*pieces: bytes) -> Act:
    """Send a streaming answer's head and these pieces, then nothing, until the gateway hangs up."""
    return plays(pieces, ending="hang")


def stalls_before_the_head(turn: Turn) -> bool:
    turn.wait(_PATIENCE)
    return False


def drips(every: float, piece: bytes | None = None) -> Act:
    """Send an event now and then, for ever."""
    return plays([event(chunk({"content": "drip "})) if piece is None else piece, every] * 200)


def split(data: bytes, *sizes: int, pause: float = 0.0) -> list[bytes | float]:
    """Cut bytes into pieces of these sizes, the last one repeating, with a pause between them."""
    pieces: list[bytes | float] = []
    rest = list(sizes)
    while data:
        size = rest.pop(0) if len(rest) > 1 else rest[0]
        pieces += [data[:size], pause] if pause else [data[:size]]
        data = data[size:]
    return pieces


def _word(word: str, more: dict[str, Any]) -> bytes:
    return chunk({"content": f"{word} "}, **more)


def _read(reader: Any, connection: int) -> Request | None:
    line = reader.readline().decode("latin-1").split()
    if len(line) != len(("method", "path", "version")):
        return None
    headers: list[tuple[str, str]] = []
    while (header := reader.readline().decode("latin-1").rstrip("\r\n")) != "":
        name, _, value = header.partition(":")
        headers.append((name, value.strip()))
    length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
    return Request(line[0], line[1], headers, reader.read(length), connection)


def _is_tls(connection: socket.socket) -> bool:
    return isinstance(connection, ssl.SSLSocket)


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
