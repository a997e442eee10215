"""One greenlet per worker that watches every live exchange: deadlines each second, leases each half minute.

A timer per read would cost 9 % of a stream's CPU; one watchdog costs nothing that can be measured. It also
ends what is left when the worker is told to stop, before the master's SIGKILL.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

import gevent

from shared_accounts.errors import DatabaseUnavailable
from shared_accounts.gateway import books

if TYPE_CHECKING:
    from shared_accounts.gateway.exchange import Exchange

log = logging.getLogger(__name__)

_TICK_SECONDS = 1.0


class Watch:
    """The live exchanges of this worker."""

    def __init__(self, *, lease_seconds: float, heartbeat_seconds: float) -> None:
        self._lease = lease_seconds
        self._heartbeat = heartbeat_seconds
        self._greenlet: gevent.Greenlet[..., None] | None = None
        self.live: set[Exchange] = set()

    def add(self, exchange: Exchange) -> None:
        """Begin to watch; the greenlet starts with the first exchange, so after any fork."""
        self.live.add(exchange)
        if self._greenlet is None:
            self._greenlet = gevent.spawn(self._run)

    def discard(self, exchange: Exchange) -> None:
        """Stop watching; twice is harmless."""
        self.live.discard(exchange)

    def interrupt(self) -> None:
        """End every live exchange with an error event: the worker is about to stop."""
        for exchange in list(self.live):
            exchange.abort("interrupted")

    def _run(self) -> None:
        beat = monotonic()
        while True:
            gevent.sleep(_TICK_SECONDS)
            now = monotonic()
            for exchange in list(self.live):
                exchange.check(now)
            if now - beat >= self._heartbeat:
                beat = now
                self._extend()

    def _extend(self) -> None:
        ids = [exchange.id for exchange in self.live]
        if not ids:
            return
        try:
            books.extend(ids, self._lease)
        except DatabaseUnavailable:
            log.warning("leases not extended", extra={"exchanges": len(ids)})


class ClientWatch:
    """Notices that the client has gone while the upstream is silent; needs no greenlet of its own.

    A write would notice too, but only the second one after the client has gone, and a silent upstream gives
    us nothing to write.
    """

    def __init__(self, client: Any, gone: Callable[[], None]) -> None:
        self._client = client
        self._gone = gone
        self._watcher = gevent.get_hub().loop.io(client.fileno(), 1)
        self._watcher.start(self._readable)

    def stop(self) -> None:
        """Stop watching; twice is harmless."""
        self._watcher.stop()
        self._watcher.close()

    def _readable(self) -> None:
        # This runs in the hub, which must not wait: so the bare socket below gevent's, and a peek.
        try:
            gone = not self._client._sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)  # noqa: SLF001
        except BlockingIOError:
            return
        except OSError:
            gone = True
        self._watcher.stop()  # either it is over, or the next request is already here, pipelined
        if gone:
            self._gone()
