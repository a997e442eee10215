"""Hand a stream on as its bytes arrive, and end it so that nobody takes half an answer for a whole one.

While the upstream says nothing, a comment now and then keeps proxies and impatient clients from hanging up
(server-sent events: a line that begins with a colon says nothing).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import gevent

from shared_accounts.gateway.allowance import Allowance
from shared_accounts.gateway.ending import LAST_WORDS
from shared_accounts.outbound.line import Silence
from shared_accounts.outbound.wire import Unreachable

if TYPE_CHECKING:
    from shared_accounts.gateway.exchange import Exchange


def relay(exchange: Exchange, allowance: Allowance) -> Iterator[bytes]:
    """Yield what the client gets; a stream that fails ends with an error event and no clean end."""
    exchange.outcome = "client_left"  # what stands if nobody reads us to the end
    if first := exchange.voice.feed(exchange.body):
        yield first
    try:
        yield from _pieces(exchange, allowance)
        if not exchange.cause and (rest := exchange.voice.feed(exchange.meter.flush())):
            yield rest
    except Unreachable:
        exchange.cause = exchange.cause or "broken"
    if last := _end(exchange):
        yield last


def _pieces(exchange: Exchange, allowance: Allowance) -> Iterator[bytes]:
    meter, voice = exchange.meter, exchange.voice
    while not (meter.done or meter.error or exchange.cause):
        try:
            data = exchange.read()
        except Silence:
            if not exchange.cause:
                yield exchange.voice.silence
            continue
        if not data:
            return
        passed = meter.feed(data)
        if not (meter.finished or allowance.covers(meter.completion_estimate())):
            exchange.abort("outgrown")
        elif said := voice.feed(passed):
            yield said


def drain(exchange: Exchange, seconds: float) -> None:
    """Hear an upstream out, for its usage and for so long; nobody is listening any more."""
    with suppress(Unreachable, gevent.Timeout), gevent.Timeout(seconds):
        while not (exchange.meter.done or exchange.meter.error):
            try:
                data = exchange.read()
            except Silence:
                continue
            if not data:
                return
            exchange.meter.feed(data)


def _end(exchange: Exchange) -> bytes:
    """Return what the client should still get: an error event, the end its dialect lacks, or nothing."""
    meter, cause = exchange.meter, exchange.cause
    if cause == "client_left" and not meter.done:
        return b""
    if not meter.done and (meter.error or cause or not meter.finished):
        words = LAST_WORDS[cause or "broken"]
        exchange.finish(cause or "broken", status=200, error_code=words.code)
        return b"" if meter.error else exchange.voice.fail(words, exchange.body, for_length=cause == "outgrown")
    exchange.finish("served", status=200)
    return exchange.voice.end(was_said=meter.done)
