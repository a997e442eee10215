"""Read an answer until it is certain that the upstream serves: a first event, or the whole of it.

Until then nothing has reached the client, so what goes wrong is a refusal and another account may be tried.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import orjson

from shared_accounts.gateway import upstream
from shared_accounts.gateway.upstream import UpstreamRefused

if TYPE_CHECKING:
    from shared_accounts.gateway.exchange import Exchange

_LONGEST_ANSWER = 64 * 1024 * 1024
_OTHERWISE = "application/octet-stream"
_HARMLESS = re.compile(
    r"(?:application/json|text/(?!x?html|xml|\w*script)[\w.+-]+|audio/[\w.+-]+|image/(?!svg)[\w.+-]+)"
    r"""(?:\s*;\s*[\w-]+="?[\w.:/+-]+"?)*""",
    re.ASCII | re.IGNORECASE,
)
"""What an answer that is no chat's may call itself: nothing that a browser would run."""


def first_events(exchange: Exchange) -> UpstreamRefused | None:
    """Read until a first event is here; a stream that begins with an error, or not at all, is a refusal.

    What is no chat's may come whole instead.
    """
    if exchange.answer is None or not upstream.is_stream(exchange.answer):
        return _instead_of_events(exchange)
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
    """Read an answer to its end; an error, or none of the kind that was asked for, is a refusal."""
    body = bytearray()
    while piece := exchange.read():
        body += piece
        if len(body) > _LONGEST_ANSWER:
            return UpstreamRefused(upstream.FAULT, "the answer is too long", status=200)
    exchange.body = bytes(body)
    if not exchange.call.is_chat:
        return _something_else(exchange)
    frame = upstream.parsed(exchange.body)
    if frame is None:
        return UpstreamRefused(upstream.FAULT, "answered no JSON", status=200)
    exchange.meter.read_whole(frame, len(body))
    error = exchange.meter.error or frame
    return upstream.refused_by_error(error) if error.get("error") else None


def _something_else(exchange: Exchange) -> UpstreamRefused | None:
    """Take a whole answer that is no chat's: JSON, also a list of objects, or where it may be anything, anything.

    A page in a browser's language comes from upstreams that show one wherever they have nothing.
    """
    said = (exchange.answer.header("content-type") if exchange.answer else None) or _OTHERWISE
    frames = upstream.frames(exchange.body)
    if not frames and (exchange.call.needs_json or said.lower().startswith("text/html")):
        return UpstreamRefused(upstream.LACKS, "answered 200 with something else", status=200)
    for frame in frames or [{}]:
        exchange.meter.read_whole(frame, len(exchange.body))
    exchange.content_type = said if _HARMLESS.fullmatch(said) else _OTHERWISE
    error = next((frame for frame in frames if frame.get("error")), None)
    return upstream.refused_by_error(error) if error else None


def _instead_of_events(exchange: Exchange) -> UpstreamRefused | None:
    """Take a whole answer where a stream was asked for; Gemini's clients, who read nothing else, get it as events."""
    if refused := whole(exchange):
        return refused
    if exchange.call.must_speak:
        frames = upstream.frames(exchange.body)
        exchange.body = b"".join(b"data: " + orjson.dumps(frame) + b"\r\n\r\n" for frame in frames)
    else:
        exchange.call = replace(exchange.call, stream=False)
    return None
