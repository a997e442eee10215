"""One request on its way through: opened once, closed once, whatever the exit.

Invariant: every exchange that was opened is closed exactly once: finished, broken, timed out, hung up or
interrupted alike. The one place that closes is `close`, called by the response's `call_on_close`; a generator's
`finally` is none, since a generator that was never started never runs it. After the first byte nothing is
retried, and nothing here holds a database connection while bytes flow.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from time import monotonic
from typing import TYPE_CHECKING, Any

import gevent
import orjson

from shared_accounts.accounts import standing
from shared_accounts.accounts.selection import Candidate
from shared_accounts.errors import DatabaseUnavailable
from shared_accounts.gateway import books, upstream
from shared_accounts.gateway.chat import ChatRequest
from shared_accounts.gateway.sse import DONE, Meter
from shared_accounts.gateway.upstream import UpstreamRefused
from shared_accounts.gateway.watch import ClientWatch
from shared_accounts.outbound.line import Line
from shared_accounts.outbound.wire import Answer, Unreachable
from shared_accounts.quotas import pricing
from shared_accounts.quotas.pricing import Tokens

if TYPE_CHECKING:
    from shared_accounts.gateway.gateway import Gateway

log = logging.getLogger(__name__)

_CLOSE_ATTEMPTS = 6
_LONGEST_ANSWER = 64 * 1024 * 1024
_LAST_WORDS = {
    "broken": ("The upstream broke off.", "upstream_error"),
    "timed_out": ("The upstream fell silent for too long.", "upstream_timeout"),
    "interrupted": ("The server is restarting; send the request again.", "server_restarting"),
}


class Exchange:
    """One chat, from the first attempt to the settled line."""

    def __init__(self, gateway: Gateway, exchange_id: str, chat: ChatRequest) -> None:
        self.id = exchange_id
        self.chat = chat
        self.attempts: list[dict[str, Any]] = []
        self.candidate: Candidate | None = None
        self.answer: Answer | None = None
        self.body = b""
        """A whole JSON answer, or the first events of a stream."""
        self.meter = Meter(show_usage=chat.show_usage)
        self.cause: str | None = None
        """Why it was ended from outside, if it was."""
        self._gateway = gateway
        self._line: Line | None = None
        self._client: ClientWatch | None = None
        self._outcome = "failed"
        self._error_code: str | None = None
        self._status: int | None = None
        self._started = monotonic()
        self._first_byte: float | None = None
        self.late = False
        """Whether the attempt under way was cut off for not answering in time."""
        self._closed = False
        self._total_deadline = self._started + gateway.settings.upstream_total_timeout
        self._deadline = self._started + gateway.settings.upstream_first_byte_timeout
        gateway.watch.add(self)

    def hold(self, line: Line) -> None:
        """Remember the connection to shut if this exchange must end; an exchange already ended shuts it at once."""
        self._line = line
        self._first_byte, self.late = None, False
        self.meter = Meter(show_usage=self.chat.show_usage)
        self._deadline = monotonic() + self._gateway.settings.upstream_first_byte_timeout
        if self.cause:
            line.shut()

    def watch_client(self, client: Any) -> None:
        """End the exchange as soon as this client hangs up."""
        if client is not None and hasattr(client, "_sock"):
            self._client = ClientWatch(client, lambda: self.abort("client_left"))

    def abort(self, cause: str) -> None:
        """End from outside: whoever is reading the upstream sees it close. The first cause stands."""
        self.cause = self.cause or cause
        if self._line is not None:
            self._line.shut()

    def check(self, now: float) -> None:
        """End the exchange past its whole deadline or a gap's; past the first byte's, only the attempt under way."""
        if now > self._total_deadline:
            self.abort("timed_out")
        elif now > self._deadline and self._first_byte is not None:
            self.abort("timed_out")
        elif now > self._deadline and self._line is not None:
            self.late = True
            self._line.shut()

    def note(self, candidate: Candidate, result: str, started: float) -> None:
        """Record an attempt: which account, what came of it, how long it took."""
        took = round((monotonic() - started) * 1000)
        self.attempts.append({"account_id": candidate.id, "result": result, "ms": took})

    def read_first_events(self) -> UpstreamRefused | None:
        """Read until a first event is here; a stream that begins with an error, or not at all, is a refusal."""
        body = b""
        while not (self.meter.events or self.meter.done):
            data = self._read()
            if not data:
                return UpstreamRefused(upstream.FAULT, "the stream was empty", status=200)
            body += self.meter.feed(data)
        self.body = body
        return upstream.refused_by_error(self.meter.error) if self.meter.error else None

    def read_whole(self) -> UpstreamRefused | None:
        """Read a JSON answer to its end; one that is no JSON, or an error, is a refusal."""
        body = bytearray()
        while piece := self._read():
            body += piece
            if len(body) > _LONGEST_ANSWER:
                return UpstreamRefused(upstream.FAULT, "the answer is too long", status=200)
        self.body = bytes(body)
        frame = upstream.parsed(self.body)
        if frame is None:
            return UpstreamRefused(upstream.FAULT, "answered no JSON", status=200)
        self.meter.read_whole(frame, len(body))
        return upstream.refused_by_error(frame) if frame.get("error") else None

    def relay(self) -> Iterator[bytes]:
        """Pass a stream on as its bytes arrive; a stream that fails ends with an error event and no `[DONE]`."""
        self._outcome = "client_left"  # what stands if nobody reads us to the end
        if self.body:
            yield self.body
        try:
            while not (self.meter.done or self.meter.error) and (data := self._read()):
                if passed := self.meter.feed(data):
                    yield passed
        except Unreachable:
            self.cause = self.cause or "broken"
        yield from self._end()

    def finish(self, outcome: str, *, status: int | None = None, error_code: str | None = None) -> None:
        """State how it ended, for the line that `close` will write."""
        self._outcome, self._status, self._error_code = outcome, status, error_code

    def close(self) -> None:
        """Settle and write the line, once; a second call changes nothing."""
        if self._closed:
            return
        self._closed = True
        if self._client is not None:
            self._client.stop()
        if self.answer is not None:
            self.answer.close()
        try:
            self._settle(self._closing())
        finally:
            self._gateway.watch.discard(self)
            self._gateway.release(self)

    def _read(self) -> bytes:
        data = self.answer.read() if self.answer else b""
        now = monotonic()
        self._first_byte = self._first_byte or now
        self._deadline = now + self._gateway.settings.upstream_gap_timeout
        return data

    def _end(self) -> Iterator[bytes]:
        if self.meter.error:
            return self._fail("broken", passed_on=True)
        if self.cause == "client_left":
            return iter(())
        if self.cause or not (self.meter.done or self.meter.finished):
            return self._fail(self.cause or "broken", passed_on=False)
        self.finish("served", status=200)
        # Some upstreams end after the finish reason without saying so.
        return iter([b"".join((self.meter.flush(), b"" if self.meter.done else DONE))])

    def _fail(self, cause: str, *, passed_on: bool) -> Iterator[bytes]:
        message, code = _LAST_WORDS[cause]
        self.finish(cause, status=200, error_code=code)
        error = {"error": {"message": message, "type": "server_error", "param": None, "code": code}}
        return iter(() if passed_on else (b"data: " + orjson.dumps(error) + b"\n\n",))

    def _closing(self) -> books.Closing:
        outcome = self._outcome if self._outcome == "served" else self.cause or self._outcome
        basis, tokens = self._bill(outcome)
        cost = pricing.cost(tokens, self._gateway.settings.reference_allowance_tokens) if tokens else 0
        return books.Closing(
            outcome=outcome,
            basis=basis,
            cost=cost,
            http_status=self._status,
            error_code=self._error_code,
            tokens=tokens,
            attempts=self.attempts,
            first_byte_ms=self._ms(self._first_byte),
            total_ms=self._ms(monotonic()),
        )

    def _bill(self, outcome: str) -> tuple[str, Tokens | None]:
        if outcome == "failed":
            return "released", None
        if self.meter.tokens:
            return "measured", self.meter.tokens
        estimate = Tokens(self.chat.prompt_tokens, self.meter.completion_estimate())
        return ("estimated" if outcome == "served" else "partial"), estimate

    def _settle(self, closing: books.Closing) -> None:
        """Write the closing; PostgreSQL may be away for some seconds, then the reaper takes over."""
        for attempt in range(_CLOSE_ATTEMPTS):
            try:
                books.close_line(self.id, closing)
                if closing.outcome == "served" and self.candidate and self.candidate.strikes:
                    standing.clear(self.candidate.id)
            except DatabaseUnavailable:
                gevent.sleep(0.25 * 2**attempt)
            else:
                return
        log.error("exchange left to the reaper", extra={"exchange_id": self.id})

    def _ms(self, moment: float | None) -> int | None:
        return None if moment is None else round((moment - self._started) * 1000)
