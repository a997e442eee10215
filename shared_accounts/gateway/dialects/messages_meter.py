"""Follow an upstream that speaks Messages natively, without holding it up. Pure.

Anthropic Messages API, "Streaming messages". Bytes pass untouched. Decoded are only the events that one of the marks
is in: the start, which has the prompt's tokens, the delta of the message, which has the reason to stop and the
running totals, the end and an error. Inside a JSON string a quote is escaped, so what a model says forges no mark.
"""

from __future__ import annotations

import re
from typing import Any

from shared_accounts.gateway import sse
from shared_accounts.gateway.sse import _EVENTS, _STALE, _last_end, _parsed
from shared_accounts.quotas.pricing import Tokens, plausible

DONE = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
"""The clean end of a native stream."""

_MARK = re.compile(rb'"type"\s*:\s*"(?:message_(?:start|delta|stop)|error)"|"error"\s*:\s*[{"]')
_CONTENT = b'"content_block_'
_LONGEST_ENVELOPE = 160
_INPUTS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


class Meter(sse.Meter):
    """The native stream's meter; `show_usage` changes nothing, since every Messages client sees the usage.

    `events` counts what belongs to content: an error right after `message_start` is still a refusal.
    """

    __slots__ = ("_totalled", "_usage")

    def __init__(self, *, show_usage: bool) -> None:
        super().__init__(show_usage=show_usage)
        self._usage: dict[str, Any] = {}
        self._totalled = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing has come; an answer without content that gives its reason to stop is one."""
        return not self.events and not self.finished

    @property
    def usage_is_final(self) -> bool:
        """Whether the usage seen is the total: it came with a delta of the message, and the end came."""
        return self._totalled and (self.done or self.finished) and self._since_usage <= _STALE

    def feed(self, data: bytes) -> bytes:
        """Take what arrived; returns the whole events in it."""
        if self._held:
            data, self._held = self._held + data, b""
        if not data.endswith(b"\n\n"):
            data = self._hold(data)
        if not data:
            return b""
        if mark := _MARK.search(data):
            plain = _last_end(data, mark.start())
            self._count(data[:plain])
            return data[:plain] + self._decode(data[plain:])
        self._count(data)
        return data

    def read_whole(self, answer: dict[str, Any], length: int) -> None:
        """Take a whole JSON answer instead of a stream."""
        self._totalled = self._take(answer.get("usage"))
        self.events, self._bytes, self.done = 1, length, True

    def _count(self, data: bytes) -> None:
        found = data.count(_CONTENT)
        if found:  # else pings, or the middle of something huge, which is no text
            self._envelope = self._envelope or _first_length(data)
            self.events += found
            self._since_usage += found
            self._bytes += len(data)

    def _decode(self, data: bytes) -> bytes:
        kept = []
        for event in _EVENTS.split(data):
            kept.append(event)
            if _MARK.search(event) is None or not self._heed(event):
                self._count(event)
            if self.error or self.done:
                break
        return b"".join(kept)

    def _heed(self, event: bytes) -> bool:
        """Learn from one marked event; returns whether it was about the message, and not a part of its content."""
        frame = _parsed(event[event.find(b"data:") + 5 :].strip()) or {}
        kind = frame.get("type")
        if frame.get("error") or kind == "error":
            self.error = frame
        elif kind == "message_start":
            message = frame.get("message")
            self._take(message.get("usage") if isinstance(message, dict) else None)
        elif kind == "message_delta":
            delta = frame.get("delta")
            self.finished |= bool(isinstance(delta, dict) and delta.get("stop_reason"))
            self._total(frame.get("usage"))
        elif kind == "message_stop":
            self.done = True
        else:
            return False
        return True

    def _total(self, usage: object) -> None:
        if isinstance(usage, dict) and usage.get("output_tokens") is not None and self._take(usage):
            self._totalled, self._since_usage = True, 0

    def _take(self, usage: object) -> bool:
        """Take a usage; what it leaves out stands as it was, and totals never shrink."""
        if not isinstance(usage, dict):
            return False
        merged = {**self._usage, **{name: _larger(self._usage.get(name), usage[name]) for name in usage}}
        tokens = tokens_of(merged)
        if tokens is None:
            self.unbelieved |= bool(usage)
            return False
        self._usage, self.tokens = merged, tokens
        return True


def tokens_of(usage: dict[str, Any]) -> Tokens | None:
    """Read a Messages usage, where the prompt is the input, what was cached and what was read from the cache.

    Nothing when it has neither input nor output, or cannot be believed.
    """
    if usage.get("input_tokens") is None and usage.get("output_tokens") is None:
        return None
    counts = [usage.get(name) or 0 for name in (*_INPUTS, "output_tokens")]
    if not all(isinstance(count, int) and not isinstance(count, bool) and count >= 0 for count in counts):
        return None
    fresh, written, cached, completion = counts
    tokens = Tokens(fresh + written + cached, completion, cached)
    return tokens if plausible(tokens) else None


def _larger(before: object, now: object) -> object:
    """Return the larger of two totals; one that makes no sense stands, so that it will be noticed."""
    if now is None:
        return before
    return max(before, now) if isinstance(before, int) and isinstance(now, int) and now >= 0 else now


def _first_length(data: bytes) -> int:
    """Return how long the first event of content is: a block's start says nothing yet, so it is all envelope."""
    at = data.find(_CONTENT)
    end = _EVENTS.search(data, at)
    return min((end.start() if end else len(data)) - _last_end(data, at), _LONGEST_ENVELOPE)
