"""A thin HTTP/1.1 client with kept connections: the only way out of this service.

It is thin because every request passes here twice over: urllib3 costs 0.34 ms of CPU per exchange, this 0.17
(llhttp does the parsing). It never follows a redirect, reads no proxy variables and asks for no compression.
Reads have no timers of their own; whoever waits sets a deadline, or has a watchdog that calls `abort`.
"""

from __future__ import annotations

import socket
import ssl
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from time import monotonic

from geventhttpclient.response import HTTPParseError, HTTPResponse

from shared_accounts.outbound.addresses import AddressRefused, Guard, Origin
from shared_accounts.outbound.line import Line

_LONGEST_IDLE_SECONDS = 60.0
_LONGEST_HEAD = 256 * 1024
_INTERIM = 200


class Unreachable(Exception):
    """No answer came: refused, unresolved, timed out, or broken off; `timed_out` tells the one from the others."""

    def __init__(self, reason: str, *, timed_out: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.timed_out = timed_out


class Answer(HTTPResponse):
    """One answer on its way: its head is here, its body comes by `read`."""

    def __init__(self, line: Line) -> None:
        super().__init__("POST")
        self._line = line
        self._parts: list[bytes] = []

    def _on_body(self, buf: bytearray) -> None:
        self._parts.append(bytes(buf))

    @property
    def status(self) -> int:
        """The HTTP status."""
        return int(self.get_code())

    def header(self, name: str) -> str | None:
        """Return the value of a header; the first one when it came twice."""
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

    def receive_head(self) -> None:
        """Read until the final head is complete; raises `Unreachable` when it never is."""
        left = _LONGEST_HEAD
        while not self.headers_complete or self.status < _INTERIM:
            left -= self._feed()
            if left < 0:
                self._line.close()
                raise Unreachable("the answer's head is too long")

    def close(self) -> None:
        """Let go of the connection; it is kept only if the answer was read to its end."""
        if not self.message_complete:
            self._line.close()

    def finish(self) -> None:
        """Let go of the connection of an answer that has said all it has to say: often its last bytes are here."""
        while not self.message_complete and (data := self._line.receive_now()):
            try:
                self.feed(data)
            except HTTPParseError:
                break
        self._line.release(reusable=not self.should_close())

    def _feed(self) -> int:
        """Parse what arrives next; returns how many bytes that was."""
        try:
            data = self._line.receive()
        except OSError as error:
            self._line.close()
            late = isinstance(error, TimeoutError)
            raise Unreachable("timed out" if late else "the connection broke", timed_out=late) from error
        try:
            self.feed(data)  # nothing means the end, which some answers need to be complete
        except HTTPParseError as error:
            self._line.close()
            raise Unreachable("the answer is not HTTP" if data else "the connection closed early") from error
        if not data and not self.message_complete:
            self._line.close()
            raise Unreachable("the connection closed early")
        return len(data)


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

    def exchange(
        self, origin: Origin, request: bytes, timeout: float | None, *, hold: Callable[[Line], None] = lambda _: None
    ) -> Answer:
        """Send a request and read the answer's head, once more if a kept connection had gone stale.

        `hold` is told each line before it is used, so that its owner can `shut` it from another greenlet.
        """
        line = self.connect(origin)
        try:
            return _converse(line, request, timeout, hold)
        except Unreachable as error:
            if error.timed_out or not line.went_stale:
                raise
        return _converse(Line(self._dial(origin), self._idle[origin]), request, timeout, hold)

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


def _converse(line: Line, request: bytes, timeout: float | None, hold: Callable[[Line], None]) -> Answer:
    hold(line)
    answer = Answer(line)
    try:
        line.send(request, timeout)
    except OSError as error:
        line.close()
        raise Unreachable("the connection broke", timed_out=isinstance(error, TimeoutError)) from error
    answer.receive_head()
    return answer


def request_head(method: str, origin: Origin, path: str, headers: Mapping[str, str]) -> bytes:
    """Render a request's head up to, but not including, its length and the empty line."""
    lines = [f"{method} {path} HTTP/1.1", f"host: {origin.authority}", "user-agent: shared_accounts"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n"
