"""A chat's stream as a Responses stream, event by event (OpenAI Responses API, streaming events). Pure.

Every stream has one last event: `response.completed`, `response.incomplete` or `response.failed`. There is no `[DONE]`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

import orjson

from shared_accounts.gateway.dialects.responses_items import Event
from shared_accounts.gateway.dialects.responses_output import Output
from shared_accounts.gateway.sse import DONE

_DONE = DONE.removeprefix(b"data:").strip()
_ENDS = re.compile(rb"\n\n|\r\n\r\n|\r\r")


class Stream:
    """Translates one stream; after its last event it says nothing more."""

    def __init__(self, *, model: str) -> None:
        self._output = Output(model=model)
        self._number = 0
        self._over = False

    def feed(self, events: bytes) -> bytes:
        """Take whole chat events, return the events they come to; comments pass, what cannot be read does not.

        An error event of the upstream's ends the stream as `fail` does.
        """
        return b"".join(self._translated(event) for event in _ENDS.split(events) if not self._over)

    def end(self) -> bytes:
        """Close what is open and complete the response; nothing if it is over already."""
        return b"" if self._over else self._last(self._output.end())

    def fail(self, message: str, *, type: str, code: str) -> bytes:  # noqa: A002 - OpenAI's word
        """Say why it ended too soon; nothing if it is over already.

        Two events say so: OpenAI's SDKs raise at an `error` that has an `error` within, and hand `response.failed`
        on without a word; others know the latter only.
        """
        if self._over:
            return b""
        told = {"code": code, "message": message, "param": None}
        error = {"type": "error", **told, "error": {"type": type, **told}}
        # What is the server's fault has one code there; the event before says which.
        *begun, failed = self._output.fail({"code": type if type == "server_error" else code, "message": message})
        return self._last([*begun, error, failed])

    def _translated(self, event: bytes) -> bytes:
        payload = b"\n".join(line[5:].strip() for line in event.splitlines() if line.startswith(b"data:"))
        if not payload:
            return event + b"\n\n" if event.startswith(b":") else b""
        chunk = None if payload == _DONE else _read(payload)
        if chunk is None:
            return b""
        return self._broken(chunk["error"]) if chunk.get("error") else self._written(self._output.take(chunk))

    def _broken(self, error: object) -> bytes:
        told = error if isinstance(error, dict) else {"message": error}
        message, kind, code = told.get("message"), told.get("type"), told.get("code")
        return self.fail(
            message if isinstance(message, str) else "The upstream broke off.",
            type=kind if isinstance(kind, str) else "server_error",
            code=str(code or "upstream_error"),
        )

    def _last(self, events: Iterable[Event]) -> bytes:
        self._over = True
        return self._written(events)

    def _written(self, events: Iterable[Event]) -> bytes:
        return b"".join(map(self._numbered, events))

    def _numbered(self, event: Event) -> bytes:
        kind, number = event["type"], self._number
        self._number += 1
        return b"event: %s\ndata: %s\n\n" % (kind.encode(), _write({"type": kind, "sequence_number": number, **event}))


def _read(payload: bytes) -> dict[str, Any] | None:
    """Read a chunk; some upstreams cut a character in two, and only the slower parser puts up with the halves."""
    try:
        chunk = orjson.loads(payload)
    except orjson.JSONDecodeError:
        try:
            chunk = json.loads(payload)
        except (ValueError, RecursionError):
            return None
    return chunk if isinstance(chunk, dict) else None


def _write(event: Event) -> bytes:
    """Write an event; halves of a character go out as they came, and are whole again where the text is."""
    try:
        return orjson.dumps(event)
    except orjson.JSONEncodeError:
        return json.dumps(event).encode()
