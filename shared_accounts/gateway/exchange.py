"""One request on its way through: opened once, closed once, whatever the exit.

Invariant: every exchange that was opened is closed exactly once: finished, broken, timed out, hung up or interrupted
alike. The one place that closes is `close`, called by the response's `call_on_close`; a generator's `finally` is none,
since one that was never started never runs it. After the first byte nothing is retried, and nothing here holds a
database connection while bytes flow.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

import gevent

from shared_accounts.accounts import standing
from shared_accounts.accounts.selection import Candidate
from shared_accounts.errors import DatabaseUnavailable
from shared_accounts.gateway import books, report
from shared_accounts.gateway.allowance import Allowance
from shared_accounts.gateway.calls import Call
from shared_accounts.gateway.ending import Timing, closing
from shared_accounts.gateway.relay import drain, relay
from shared_accounts.gateway.sse import Meter
from shared_accounts.gateway.voices import Voice
from shared_accounts.gateway.watch import ClientWatch
from shared_accounts.gateway.wording import Wording
from shared_accounts.outbound.line import Line
from shared_accounts.outbound.wire import Answer

if TYPE_CHECKING:
    from shared_accounts.gateway.gateway import Gateway

_LAST_WORDS_SECONDS = 1.0
_MOST_PASSED_OVER = 16


class Exchange:
    """One call, from the first attempt to the settled line."""

    def __init__(self, gateway: Gateway, opening: books.Opening, call: Call) -> None:
        self.id = opening.id
        self.call = call
        self.passed_over: list[dict[str, Any]] = []
        self.attempts: list[dict[str, Any]] = []
        self.candidate: Candidate | None = None
        self.answer: Answer | None = None
        self.body, self.content_type = b"", "application/json"
        """A whole answer, or the first events of a stream."""
        self.meter, self.voice = Meter(show_usage=call.show_usage), Voice(call)
        self.opened = False
        """Whether the books may know it."""
        self.sent = False
        """Whether an upstream that has not refused may be working for it."""
        self.serving = False
        """Whether the client may have got a part of the answer: nothing is retried from here on."""
        self.lost: str | None = None
        """Why we gave the attempt under way up, if we did: it is `late`, or its account is `withdrawn`."""
        self.drained = False
        """Whether its upstream was heard out after the client had left."""
        self.cause: str | None = None
        """Why it was ended from outside, if it was."""
        self.outcome, self.status, self.error_code = "failed", None, None  # type: str, int | None, str | None
        self.timing = Timing()
        self._gateway = gateway
        self._opening = opening
        self._line: Line | None = None
        self._client: ClientWatch | None = None
        self._ended, self._heard = 0.0, monotonic()
        self._closing: books.Closing | None = None
        self._total_deadline, self._deadline = gateway.deadlines(self.timing.started)
        gateway.watch.add(self)

    def hold(self, line: Line, wording: Wording) -> None:
        """Remember the connection to shut if this exchange must end; an exchange already ended shuts it at once."""
        self._line = line
        self.timing.first_byte, self.lost = None, None
        self.meter, self.voice = wording.meter(), wording.voice()
        self._deadline = self._gateway.deadlines(monotonic())[1]
        self.sent = self.sent or not self.cause
        if self.cause:
            line.shut()

    def watch_client(self, client: Any) -> None:
        """End the exchange as soon as this client hangs up."""
        if client is not None and hasattr(client, "_sock"):
            self._client = ClientWatch(client, lambda: self.abort("client_left"))

    def abort(self, cause: str) -> None:
        """End from outside: whoever is reading the upstream sees it close. The first cause stands."""
        if self.cause is None:
            self.cause, self._ended = cause, monotonic()
        if self._line is not None:
            (self._line.stir if cause == "client_left" and self._may_drain else self._line.shut)()

    def lose(self, why: str) -> None:
        """End the attempt under way, whose answer has not begun: another account may serve."""
        if self._line is not None:
            self.lost = why
            self._line.shut()

    def check(self, now: float) -> None:
        """End the exchange past its whole deadline or a gap's; before the first byte, only the attempt under way.

        A client that does not even read our last words is hung up on, or it would keep its reservation for ever.
        """
        if self._closing is not None:
            return
        if self.cause:
            if self._client is not None and now > self._ended + _LAST_WORDS_SECONDS:
                self._client.hang_up()
        elif now > self._total_deadline or (now > self._deadline and self.serving):
            self.abort("timed_out")
        elif now > self._deadline:
            self.lose("late")
        elif self._line is not None and self.serving and now > self._heard + self._gateway.settings.keep_alive_seconds:
            self._heard = now
            self._line.stir()

    def pass_over(self, candidate: Candidate, why: str) -> None:
        """Record an account that was not tried, and why; the first few are enough."""
        if len(self.passed_over) < _MOST_PASSED_OVER:
            self.passed_over.append({"account_id": candidate.id, "why": why})

    def note(self, candidate: Candidate, result: str, started: float) -> None:
        """Record an attempt: which account, what came of it, how long it took."""
        took = round((monotonic() - started) * 1000)
        self.attempts.append({"account_id": candidate.id, "result": result, "ms": took})

    def read(self) -> bytes:
        """Return what the upstream sends next, nothing at its end; raises `Unreachable` when it breaks off."""
        data = self.answer.read() if self.answer else b""
        self._heard = now = monotonic()
        self.timing.first_byte = self.timing.first_byte or now
        self._deadline = now + self._gateway.settings.upstream_gap_timeout
        return data

    def relay(self) -> Iterator[bytes]:
        """Pass a stream on as its bytes arrive."""
        return relay(self, Allowance(self._opening, self.candidate, self.call))

    def finish(self, outcome: str, *, status: int | None = None, error_code: str | None = None) -> None:
        """State how it ended, for the line that `close` will write."""
        self.outcome, self.status, self.error_code = outcome, status, error_code

    def close(self) -> None:
        """Settle and write the line, once, or leave it to the watch when PostgreSQL is away; twice is harmless.

        Of a client who left, the operator may want the usage: then the upstream is heard out first, for so long.
        """
        if self._closing is not None or self.drained:
            return
        if self._client is not None:
            self._client.stop()
        if self.outcome == "client_left" and self._may_drain:
            self.drained = True
            gevent.spawn(self._drain)
        else:
            self._close()

    @property
    def _may_drain(self) -> bool:
        wanted = self._gateway.settings.disconnect_drain_seconds > 0 and self.call.stream and self.serving
        return wanted and not (self.meter.done or self.meter.error)

    def _drain(self) -> None:
        try:
            drain(self, self._gateway.settings.disconnect_drain_seconds)
        finally:
            self._close()

    def _close(self) -> None:
        self._closing = report.closed(self._opening, closing(self, self._opening))
        if self.answer is not None and not self.meter.done:
            self.answer.close()
        try:
            settled = self.settle()
        finally:
            self._gateway.release(self)
            self._gateway.watch.discard(self)
        if self.answer is not None and self.meter.done:
            self.answer.finish()
        if not settled:
            self._gateway.watch.settle_later(self)

    def settle(self) -> bool:
        """Write how it ended; returns False when PostgreSQL is away. Twice is harmless."""
        if self.opened and self._closing is not None:
            try:
                closed = books.close_line(self.id, self._closing)
            except DatabaseUnavailable:
                return False
            if closed and self.candidate is not None:
                self._gateway.count(self.candidate, self._opening, self._closing)
        if self.outcome == "served" and self.candidate is not None and self.candidate.strikes:
            with suppress(DatabaseUnavailable):
                standing.clear(self.candidate.id, self.id)
        return True
