"""gunicorn's gevent worker, less what it does over and over for each answer.

Measured on a Flask route that answers a constant, in turns with gunicorn's own: 0.22 → 0.16 ms of CPU per answer.

Not a part of the application: gunicorn's master loads this module before it forks, and before anything is patched.
"""

from __future__ import annotations

import socket
import time
from typing import Any

from gevent.socket import socket as GeventSocket  # noqa: N812 - a class under a function's name
from gunicorn import util
from gunicorn.http import wsgi
from gunicorn.workers.ggevent import GeventWorker

# What nearly every answer has, and none of them says how the connection is used.
_PLAIN = frozenset({
    "Content-Type", "Cache-Control", "X-Content-Type-Options", "x-request-id", "openai-version", "openai-processing-ms",
})  # fmt: skip


class Worker(GeventWorker):  # type: ignore[misc]
    """Serves on `PromptSocket`s, with `Answer`s; what gunicorn asks itself again for each request it is told once."""

    def init_process(self) -> None:
        """Begin to serve."""
        # `wsgi.create`, which asks for these three, has no other door.
        wsgi.Response, util.http_date = Answer, _Clock(util.http_date)
        same = wsgi.base_environ(self.cfg)
        wsgi.base_environ = lambda _: dict(same)
        # A setting that is an attribute is found at once; else two functions of gunicorn's look for it.
        self.cfg.__dict__.update({name: setting.get() for name, setting in self.cfg.settings.items()})
        super().init_process()

    def handle(self, listener: socket.socket, client: GeventSocket, addr: Any) -> None:
        """Serve a connection."""
        client.__class__ = PromptSocket
        super().handle(listener, client, addr)


class PromptSocket(GeventSocket):
    """Sends first, and only loops when the kernel did not take all; gevent asks for its buffer's size each time."""

    __slots__ = ()

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send all of it."""
        try:
            sent = self._sock.send(data, flags)  # type: ignore[attr-defined]
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            super().sendall(memoryview(data)[sent:], flags)


class Answer(wsgi.Response):  # type: ignore[misc]
    """Sends its head together with the first piece of its body: one packet and one system call instead of two."""

    _head = b""

    def process_headers(self, headers: list[tuple[str, str]]) -> None:
        """Take an answer's headers; gunicorn's six looks are for those that are not always the same."""
        for header in headers:
            name, value = header
            if name in _PLAIN and value.isascii() and value.isprintable():
                self.headers.append(header)
            else:
                super().process_headers((header,))

    def write(self, data: bytes) -> None:
        """Write a piece of the body; what follows the head of one that has no length needs no look."""
        if self.chunked and self.headers_sent and data:
            self.sent += len(data)
            self.sock.sendall(b"%X\r\n%b\r\n" % (len(data), data))
        else:
            super().write(data)

    def send_headers(self) -> None:
        """Write the head, which waits for what follows it."""
        if not (self.headers_sent or self._head):
            lines = [*self.default_headers(), *map("%s: %s\r\n".__mod__, self.headers), "\r\n"]
            self._head = "".join(lines).encode("latin-1")

    def sendfile(self, respiter: Any) -> bool:
        """Send a file; the kernel does, so the head must have gone."""
        self.send_headers()
        self._send(b"")
        return bool(super().sendfile(respiter))

    def close(self) -> None:
        """End the answer, which may have consisted of nothing but its head."""
        self.send_headers()
        self._send(b"0\r\n\r\n" if self.chunked else b"")

    def _emit_body(self, data: bytes) -> None:
        self._send(b"%X\r\n%b\r\n" % (len(data), data) if self.chunked else data)

    def _send(self, data: bytes) -> None:
        head, self._head = self._head, b""
        self.headers_sent = True
        if head or data:
            self.sock.sendall(head + data)


class _Clock:
    """The time as headers have it, written once a second."""

    def __init__(self, write: Any) -> None:
        self._write = write
        self._second, self._written = 0, ""

    def __call__(self, timestamp: float | None = None) -> str:
        second = int(time.time() if timestamp is None else timestamp)
        if second != self._second:
            self._second, self._written = second, self._write(second)
        return self._written
