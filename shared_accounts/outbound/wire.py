"""A thin HTTP/1.1 client with kept connections: the only way out of this service.

It is thin because every request passes here twice over: urllib3 costs 0.34 ms of CPU per exchange, this 0.17
(llhttp does the parsing). It never follows a redirect, reads no proxy variables and asks for no compression.
Reads have no timers of their own; whoever waits sets a deadline, or has a watchdog that calls `abort`.
"""

from __future__ import annotations

import select
import socket
import ssl
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from time import monotonic

from gevent import monkey
from geventhttpclient.response import HTTPParseError, HTTPResponse

from shared_accounts.outbound.addresses import AddressRefused, Guard, Origin

_READ_BYTES = 65536
_IDLE_PER_ORIGIN = 512
_LONGEST_IDLE_SECONDS = 60.0
_INTERIM = 200
_poll = monkey.get_original("select", "poll")  # a poll that never waits needs no cooperation


class Unreachable(Exception):
    """No answer came: refused, unresolved, timed out, or broken off; `timed_out` tells the one from the others."""

    def __init__(self, reason: str, *, timed_out: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.timed_out = timed_out


class Answer(HTTPResponse):  # type: ignore[misc]
    """One answer on its way: its head is here, its body comes by `read`."""

    def __init__(self, line: Line) -> None:
        super().__init__("POST")
        self._line = line
        self._parts: list[bytes] = []

    def _on_body(self, data: bytes) -> None:
        self._parts.append(bytes(data))

    @property
    def status(self) -> int:
        """The HTTP status."""
        return int(self.get_code())

    def header(self, name: str) -> str | None:
        """The value of a header; the first one when it came twice."""
        value = self.get(name)
        return value[0] if isinstance(value, list) else value

    def read(self) -> bytes:
        """Return the next piece of the body as it arrives, nothing at its end; raises `Unreachable` if it breaks."""
        while not self._parts and not self.message_complete:
            self._feed()
        data = b"".join(self._parts)
        self._parts.clear()
        if self.message_complete:
            self._line.release(reusable=not self.should_close())
        return data

    def read_all(self, limit: int) -> bytes:
        """Return the whole body; raises `Unreachable` when it breaks or is longer than `limit`."""
        body = bytearray()
        while piece := self.read():
            body += piece
            if len(body) > limit:
                self._line.close()
                raise Unreachable("the answer is too long")
        return bytes(body)

    def abort(self) -> None:
        """Hang up, from any greenlet; a read that is waiting ends with `Unreachable`."""
        self._line.shut()

    def receive_head(self) -> None:
        """Read until the final head is complete; raises `Unreachable` when it never is."""
        while not self.headers_complete or self.status < _INTERIM:
            self._feed()

    def close(self) -> None:
        """Let go of the connection; it is kept only if the answer was read to its end."""
        if not self.message_complete:
            self._line.close()

    def _feed(self) -> None:
        try:
            data = self._line.receive()
            self.feed(data)
        except TimeoutError as error:
            self._line.close()
            raise Unreachable("timed out", timed_out=True) from error
        except (OSError, HTTPParseError) as error:
            self._line.close()
            raise Unreachable("the connection broke") from error
        if not data and not self.message_complete:
            self._line.close()
            raise Unreachable("the connection closed early")


class Line:
    """One connection, and whether it has been used before."""

    __slots__ = ("_idle", "_socket", "fresh", "idle_since", "silent")

    def __init__(self, connected: socket.socket, idle: deque[Line]) -> None:
        self._socket: socket.socket | None = connected
        self._idle = idle
        self.fresh = True
        self.silent = True
        self.idle_since = 0.0

    def send(self, data: bytes, timeout: float | None) -> None:
        """Send a request."""
        if self._socket is None:
            raise OSError("closed")
        self.silent = True
        self._socket.settimeout(timeout)
        self._socket.sendall(data)

    def receive(self) -> bytes:
        """Return what has arrived, waiting for at least a byte; nothing at the end."""
        if self._socket is None:
            return b""
        data = self._socket.recv(_READ_BYTES)
        self.silent = self.silent and not data
        return data

    def release(self, *, reusable: bool) -> None:
        """Keep the connection for the next request, or close it; twice is harmless."""
        if self._socket is None or self in self._idle:
            return
        if reusable and len(self._idle) < _IDLE_PER_ORIGIN:
            self.fresh = False
            self.idle_since = monotonic()
            self._idle.append(self)
        else:
            self.close()

    def is_dead(self) -> bool:
        """Tell whether an idle connection was closed, or spoke out of turn, since its last answer."""
        if self._socket is None:
            return True
        poll = _poll()
        poll.register(self._socket.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def shut(self) -> None:
        """End the conversation at once; whoever is reading sees the end."""
        if self._socket is not None:
            try:
                self._socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self) -> None:
        """Close; twice is harmless."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class Wire:
    """Kept connections to every origin, checked by the guard when they are made."""

    def __init__(self, guard: Guard, *, connect_timeout: float) -> None:
        self._guard = guard
        self._connect_timeout = connect_timeout
        self._idle: dict[Origin, deque[Line]] = defaultdict(deque)
        self._swept = monotonic()
        self._tls = ssl.create_default_context()
        self._tls.set_alpn_protocols(["http/1.1"])

    def connect(self, origin: Origin) -> Line:
        """Return a kept connection, else a new one; raises `Unreachable`."""
        idle = self._idle[origin]
        while idle:
            line = idle.pop()
            if not line.is_dead():
                return line
            line.close()
        if monotonic() - self._swept > _LONGEST_IDLE_SECONDS:
            self.sweep(_LONGEST_IDLE_SECONDS)
        return Line(self._dial(origin), idle)

    def sweep(self, longest_idle: float = 0.0) -> None:
        """Close the connections that nobody has used for so many seconds."""
        self._swept = now = monotonic()
        for idle in list(self._idle.values()):
            while idle and now - idle[0].idle_since >= longest_idle:
                idle.popleft().close()

    def begin(self, line: Line, request: bytes, timeout: float | None) -> Answer:
        """Send a request on a line; the answer's head has not been read yet."""
        try:
            line.send(request, timeout)
        except OSError as error:
            line.close()
            raise Unreachable("the connection broke", timed_out=isinstance(error, TimeoutError)) from error
        return Answer(line)

    def exchange(
        self, origin: Origin, request: bytes, timeout: float | None, *, hold: Callable[[Line], None] = lambda _: None
    ) -> Answer:
        """Send a request and read the answer's head, once more if a kept connection had gone stale.

        `hold` is told each line before it is used, so that its owner can `shut` it from another greenlet.
        """
        while True:
            line = self.connect(origin)
            hold(line)
            try:
                answer = self.begin(line, request, timeout)
                answer.receive_head()
            except Unreachable as error:
                line.close()
                # Only a kept connection that never said a word can have been closed before it heard us.
                if line.fresh or not line.silent or error.timed_out:
                    raise
            else:
                return answer

    def _dial(self, origin: Origin) -> socket.socket:
        try:
            raw = self._first_that_answers(origin)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return self._tls.wrap_socket(raw, server_hostname=origin.host) if origin.scheme == "https" else raw
        except AddressRefused as error:
            raise Unreachable("the host is not one we may connect to") from error
        except OSError as error:
            raise Unreachable("no connection could be made", timed_out=isinstance(error, TimeoutError)) from error

    def _first_that_answers(self, origin: Origin) -> socket.socket:
        failure = OSError("no address")
        for address in self._guard.addresses(origin):
            try:
                return socket.create_connection(address, self._connect_timeout)
            except OSError as error:
                failure = error
        raise failure


def request_head(method: str, origin: Origin, path: str, headers: Mapping[str, str]) -> bytes:
    """Render a request's head up to, but not including, its length and the empty line."""
    lines = [f"{method} {path} HTTP/1.1", f"host: {origin.authority}", "user-agent: shared_accounts"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n"
