"""Read an answer until it is certain that the upstream serves: a first event, or the whole JSON.

Until then nothing has reached the client, so what goes wrong is a refusal and another account may be tried.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared_accounts.gateway import upstream
from shared_accounts.gateway.upstream import UpstreamRefused

if TYPE_CHECKING:
    from shared_accounts.gateway.exchange import Exchange

_LONGEST_ANSWER = 64 * 1024 * 1024


def first_events(exchange: Exchange) -> UpstreamRefused | None:
    """Read until a first event is here; a stream that begins with an error, or not at all, is a refusal."""
    body = b""
    while not (exchange.meter.events or exchange.meter.done):
        data = exchange.read()
        if not data:
            break
        body += exchange.meter.feed(data)
    if exchange.meter.error:
        return upstream.refused_by_error(exchange.meter.error)
    if exchange.meter.is_empty:
        return UpstreamRefused(upstream.FAULT, "the stream was empty", status=200)
    exchange.body = body
    return None


def whole(exchange: Exchange) -> UpstreamRefused | None:
    """Read a JSON answer to its end; one that is no JSON, or an error, is a refusal."""
    body = bytearray()
    while piece := exchange.read():
        body += piece
        if len(body) > _LONGEST_ANSWER:
            return UpstreamRefused(upstream.FAULT, "the answer is too long", status=200)
    exchange.body = bytes(body)
    frame = upstream.parsed(exchange.body)
    if frame is None and exchange.call.is_chat:
        return UpstreamRefused(upstream.FAULT, "answered no JSON", status=200)
    exchange.meter.read_whole(frame or {}, len(body))
    error = exchange.meter.error or frame
    return upstream.refused_by_error(error) if error and error.get("error") else None
