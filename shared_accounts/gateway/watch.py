"""Three greenlets per worker: every live exchange's deadlines each second, its lease each half minute, and the tally.

Each second, too, it is asked whether the owner of an account has withdrawn it and does not let what runs on it finish.

A timer per read would cost 9 % of a stream's CPU; a watchdog costs nothing that can be measured. Deadlines do not
wait for PostgreSQL, hence the second one, which extends leases and settles what could not be settled while the
database was away. Whatever is left when the worker is told to stop is ended before the master's SIGKILL.
"""

from __future__ import annotations

import logging
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

import gevent

from shared_accounts.accounts import withdrawal
from shared_accounts.accounts.tally import Tally
from shared_accounts.errors import DatabaseUnavailable
from shared_accounts.gateway import books, report

if TYPE_CHECKING:
    from shared_accounts.gateway.exchange import Exchange

log = logging.getLogger(__name__)

_TICK_SECONDS = 1.0
_TALLY_SECONDS = 0.25
_MOST_UNSETTLED = 10_000


class Watch:
    """The live exchanges of this worker."""

    def __init__(self, tally: Tally, *, lease_seconds: float, heartbeat_seconds: float) -> None:
        self._tally = tally
        self._lease = lease_seconds
        self._heartbeat = heartbeat_seconds
        self._greenlets: dict[Callable[[], None], gevent.Greenlet[..., None]] = {}
        self._unsettled: deque[Exchange] = deque()
        self._stopping = False
        self.live: set[Exchange] = set()

    def add(self, exchange: Exchange) -> None:
        """Begin to watch; the greenlets start with the first exchange, so after any fork, and again if one died."""
        self.live.add(exchange)
        for duty in (self._keep_deadlines, self._keep_books, self._keep_tally):
            if not self._greenlets.get(duty):
                self._greenlets[duty] = gevent.spawn(duty)
        if self._stopping:
            exchange.abort("interrupted")

    def discard(self, exchange: Exchange) -> None:
        """Stop watching; twice is harmless."""
        self.live.discard(exchange)

    def settle_later(self, exchange: Exchange) -> None:
        """Settle as soon as PostgreSQL is back; what is too much to remember is left to the reaper."""
        if len(self._unsettled) < _MOST_UNSETTLED:
            self._unsettled.append(exchange)
        else:
            log.error("exchange left to the reaper", extra={"exchange_id": exchange.id})

    def interrupt(self) -> None:
        """End every live exchange with an error event, and those still to come: the worker is about to stop."""
        self._stopping = True
        for exchange in list(self.live):
            exchange.abort("interrupted")

    def _keep_deadlines(self) -> None:
        while True:
            gevent.sleep(_TICK_SECONDS)
            now = monotonic()
            for exchange in list(self.live):
                exchange.check(now)
            report.live(self.live, self._unsettled)

    def _keep_books(self) -> None:
        beat = monotonic()
        while True:
            gevent.sleep(_TICK_SECONDS)
            if monotonic() - beat >= self._heartbeat:
                beat = monotonic()
                self._extend()
            self._cut_off()
            # One at a time: as long as PostgreSQL is away, one attempt a second is enough.
            while self._unsettled and self._unsettled[0].settle():
                self._unsettled.popleft()

    def _keep_tally(self) -> None:
        while True:
            gevent.sleep(_TALLY_SECONDS)
            with suppress(DatabaseUnavailable):
                self._tally.write()

    def _cut_off(self) -> None:
        """End what runs on accounts whose owners do not let it finish, whichever worker was told."""
        serving = {one: one.candidate.id for one in self.live if one.candidate is not None}
        gone: set[int] = set()
        if serving:
            with suppress(DatabaseUnavailable):
                gone = withdrawal.cut_off(set(serving.values()))
        for exchange, account_id in serving.items():
            if account_id in gone and not exchange.serving:
                exchange.lose("withdrawn")
            elif account_id in gone and not exchange.meter.done:
                exchange.abort("withdrawn")

    def _extend(self) -> None:
        ids = [exchange.id for exchange in (*self.live, *self._unsettled) if exchange.opened]
        if not ids:
            return
        try:
            books.extend(ids, self._lease)
        except DatabaseUnavailable:
            log.warning("leases not extended", extra={"exchanges": len(ids)})


def _nobody() -> None:
    """Be told nothing."""


class ClientWatch:
    """Notices that the client has gone while the upstream is silent; needs no greenlet of its own.

    A write would notice too, but only the second one after the client has gone, and a silent upstream gives
    us nothing to write. It works on the bare socket below gevent's, since the hub, where it is called, must not wait.
    """

    def __init__(self, client: Any, gone: Callable[[], None]) -> None:
        self._socket: socket.socket = client._sock  # noqa: SLF001
        self._gone = gone
        self._watcher = gevent.get_hub().loop.io(client.fileno(), 1)
        self._watcher.start(self._readable)

    def stop(self) -> None:
        """Stop watching; twice is harmless.

        Whom it would have told is forgotten: a circle is left to the garbage collector, for 4 % of a chat.
        """
        self._watcher.stop()
        self._watcher.close()
        self._gone = _nobody

    def hang_up(self) -> None:
        """Cut the client off; whoever is writing to it sees a broken pipe."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _readable(self) -> None:
        try:
            gone = not self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            gone = True
        self._watcher.stop()  # either it is over, or the next request is already here, pipelined
        if gone:
            self._gone()
