"""One request on its way through: opened once, closed once, whatever the exit.

Invariant: every exchange that was opened is closed exactly once: finished, broken, timed out, hung up or
interrupted alike. The one place that closes is `close`, called by the response's `call_on_close`; a generator's
`finally` is none, since a generator that was never started never runs it. After the first byte nothing is
retried, and nothing here holds a database connection while bytes flow.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

from shared_accounts.accounts import standing
from shared_accounts.accounts.selection import Candidate
from shared_accounts.errors import DatabaseUnavailable
from shared_accounts.gateway import books
from shared_accounts.gateway.allowance import Allowance
from shared_accounts.gateway.calls import Call
from shared_accounts.gateway.ending import LAST_WORDS, Timing, closing
from shared_accounts.gateway.sse import Meter
from shared_accounts.gateway.voices import Voice
from shared_accounts.gateway.watch import ClientWatch
from shared_accounts.gateway.wording import Wording
from shared_accounts.outbound.line import Line
from shared_accounts.outbound.wire import Answer, Unreachable

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
        self.late = False
        """Whether the attempt under way was cut off for not answering in time."""
        self.cause: str | None = None
        """Why it was ended from outside, if it was."""
        self.outcome, self.status, self.error_code = "failed", None, None  # type: str, int | None, str | None
        self.timing = Timing()
        self._gateway = gateway
        self._opening = opening
        self._line: Line | None = None
        self._client: ClientWatch | None = None
        self._ended = 0.0
        self._closing: books.Closing | None = None
        self._total_deadline, self._deadline = gateway.deadlines(self.timing.started)
        gateway.watch.add(self)

    def hold(self, line: Line, wording: Wording) -> None:
        """Remember the connection to shut if this exchange must end; an exchange already ended shuts it at once."""
        self._line = line
        self.timing.first_byte, self.late = None, False
        self.meter, self.voice = wording.meter(), wording.voice()
        self._deadline = self._gateway.deadlines(monotonic())[1]
        if self.cause:
            line.shut()
        else:
            self.sent = True

    def watch_client(self, client: Any) -> None:
        """End the exchange as soon as this client hangs up."""
        if client is not None and hasattr(client, "_sock"):
            self._client = ClientWatch(client, lambda: self.abort("client_left"))

    def abort(self, cause: str) -> None:
        """End from outside: whoever is reading the upstream sees it close. The first cause stands."""
        if self.cause is None:
            self.cause, self._ended = cause, monotonic()
        if self._line is not None:
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
        elif now > self._deadline and self._line is not None:
            self.late = True
            self._line.shut()

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
        now = monotonic()
        self.timing.first_byte = self.timing.first_byte or now
        self._deadline = now + self._gateway.settings.upstream_gap_timeout
        return data

    def relay(self) -> Iterator[bytes]:
        """Pass a stream on as its bytes arrive; a stream that fails ends with an error event and no `[DONE]`."""
        self.outcome = "client_left"  # what stands if nobody reads us to the end
        allowance = Allowance(self._opening, self.candidate, self.call)
        if first := self.voice.feed(self.body):
            yield first
        try:
            while not (self.meter.done or self.meter.error or self.cause) and (data := self.read()):
                passed = self.meter.feed(data)
                if not (self.meter.finished or allowance.covers(self.meter.completion_estimate())):
                    self.abort("outgrown")
                elif said := self.voice.feed(passed):
                    yield said
            if not self.cause and (rest := self.voice.feed(self.meter.flush())):
                yield rest
        except Unreachable:
            self.cause = self.cause or "broken"
        if last := self._end():
            yield last

    def finish(self, outcome: str, *, status: int | None = None, error_code: str | None = None) -> None:
        """State how it ended, for the line that `close` will write."""
        self.outcome, self.status, self.error_code = outcome, status, error_code

    def close(self) -> None:
        """Settle and write the line, once, or leave it to the watch when PostgreSQL is away; twice is harmless."""
        if self._closing is not None:
            return
        self._closing = closing(self, self._opening.rule)
        if self._client is not None:
            self._client.stop()
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
                self._count(self.candidate, self._closing)
        if self.outcome == "served" and self.candidate is not None and self.candidate.strikes:
            with suppress(DatabaseUnavailable):
                standing.clear(self.candidate.id, self.id)
        return True

    def _count(self, candidate: Candidate, closing: books.Closing) -> None:
        tokens = closing.tokens.prompt + closing.tokens.completion if closing.tokens else 0
        user_id, group = self._opening.caller.user_id, self._opening.rule.group
        self._gateway.tally.add(candidate.id, group, user_id, tokens=tokens, cost=closing.cost)

    def _end(self) -> bytes:
        """Return what the client should still get: an error event, the end its dialect lacks, or nothing."""
        if self.cause == "client_left" and not self.meter.done:
            return b""
        if not self.meter.done and (self.meter.error or self.cause or not self.meter.finished):
            words = LAST_WORDS[self.cause or "broken"]
            self.finish(self.cause or "broken", status=200, error_code=words.code)
            for_length = self.cause == "outgrown"
            return b"" if self.meter.error else self.voice.fail(words, self.body, for_length=for_length)
        self.finish("served", status=200)
        return self.voice.end(was_said=self.meter.done)
