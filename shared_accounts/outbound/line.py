"""One connection in the hands of whoever is using it."""

from __future__ import annotations

import select
import socket
import ssl
from collections import deque
from contextlib import suppress
from time import monotonic

import gevent
from gevent import monkey

_READ_BYTES = 65536
_IDLE_PER_ORIGIN = 512
_poll = monkey.get_original("select", "poll")  # a poll that never waits needs no cooperation


class Silence(Exception):
    """Nothing has come for a while; the conversation goes on."""


class Line:
    """A connection, and one conversation on it.

    Invariant: keeping the connection for a next conversation makes a new `Line` of it, and leaves this one with
    nothing. So whoever still holds a line that was released can no longer end what is now somebody else's.
    """

    __slots__ = ("_arrival", "_ended", "_idle", "_kept", "_silent", "_socket", "idle_since")

    def __init__(self, connected: socket.socket, idle: deque[Line], *, kept: bool = False) -> None:
        self._socket: socket.socket | None = connected
        # To wait before trying saves, for each chunk of a stream, a try that finds nothing. TLS may have it already.
        self._arrival = None if isinstance(connected, ssl.SSLSocket) else getattr(connected, "_read_event", None)
        self._idle = idle
        self._kept = kept
        self._silent = True
        self._ended = False
        self.idle_since = monotonic() if kept else 0.0

    @property
    def went_stale(self) -> bool:
        """Whether it may have been closed before it heard us: kept from earlier, silent since, and not by our doing."""
        return self._kept and self._silent and not self._ended

    def send(self, data: bytes, timeout: float | None) -> None:
        """Send a request."""
        if self._socket is None or self._ended:
            raise OSError("closed")
        self._socket.settimeout(timeout)
        sent = self._socket.send(data)
        if sent < len(data):
            self._socket.sendall(data[sent:])

    def receive(self) -> bytes:
        """Return what has arrived, waiting for at least a byte; nothing at the end."""
        # After `shut` the kernel would still hand out what had arrived, and without TLS's help.
        if self._socket is None or self._ended:
            return b""
        if self._arrival is not None and self._socket.gettimeout() is None:
            gevent.get_hub().wait(self._arrival)
        data = self._socket.recv(_READ_BYTES)
        self._silent = self._silent and not data
        return data

    def receive_now(self) -> bytes:
        """Return what has arrived already, which may be nothing."""
        if self._socket is None or self._ended:
            return b""
        timeout = self._socket.gettimeout()
        self._socket.settimeout(0)
        try:
            return self._socket.recv(_READ_BYTES)
        except OSError:
            return b""
        finally:
            self._socket.settimeout(timeout)

    def release(self, *, reusable: bool) -> None:
        """Keep the connection for the next request, or close it; twice is harmless."""
        if not reusable or self._ended or len(self._idle) >= _IDLE_PER_ORIGIN:
            self.close()
        elif self._socket is not None:
            connected, self._socket = self._socket, None
            self._idle.append(Line(connected, self._idle, kept=True))

    def is_dead(self) -> bool:
        """Tell whether an idle connection was closed, or spoke out of turn, since its last answer."""
        if self._socket is None:
            return True
        poll = _poll()
        poll.register(self._socket.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def stir(self) -> None:
        """Have whoever waits for bytes here get `Silence` instead, from any greenlet; nothing is lost by it."""
        watcher = getattr(self._socket, "_read_event", None)  # gevent's; there is none without it
        if watcher is not None:
            gevent.get_hub().cancel_wait(watcher, Silence())

    def shut(self) -> None:
        """End the conversation at once, from any greenlet; whoever is reading sees the end."""
        self._ended = True
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close; twice is harmless."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
