"""Read a stream of server-sent events as it passes, without holding it up. Pure.

Whole events go through as the bytes they came in; only a frame cut in two waits for its other half. Events
are decoded only when one of four marks is in them: usage, an error, a finish reason, the end. (Decoding each
event costs 40 to 90 % more CPU per chunk.) Inside a JSON string a quote is escaped, so the marks cannot be
forged by what a model says.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

import orjson

from shared_accounts.quotas.pricing import Tokens, plausible

_MARK = re.compile(rb'"(?:usage"\s*:\s*\{|error"\s*:\s*[{"]|finish_reason"\s*:\s*")|data:\s*\[DONE\]')
_EVENTS = re.compile(rb"(?<=\n\n)|(?<=\r\n\r\n)|(?<=\r\r)")
_ENDS = (b"\n\n", b"\r\n\r\n", b"\r\r")
_LONGEST_HELD = 64 * 1024
_LONGEST_ENVELOPE = 1024
_BYTES_PER_TOKEN = 3
_STALE = 8
"""A usage followed by more events than this was a running total, not the last word."""

DONE = b"data: [DONE]\n\n"


class Meter:
    """Follows one stream: `feed` gives back what may be sent on, the attributes say what has been seen."""

    mark: ClassVar[re.Pattern[bytes]] = _MARK
    """What an event has in it that is worth decoding."""

    __slots__ = (
        "_bytes", "_envelope", "_held", "_longest", "_show_usage", "_since_usage", "_told",
        "done", "error", "events", "finished", "tokens", "unbelieved",
    )  # fmt: skip

    def __init__(self, *, show_usage: bool, longest: int | None = None) -> None:
        """Take as `longest` the bytes of an event that may wait for its end; a longer one passes in pieces."""
        self._show_usage = show_usage
        self._longest = longest or _LONGEST_HELD
        self._held = b""
        self._bytes = 0
        self._envelope = 0
        self._since_usage = 0
        self._told = False
        self.events = 0
        self.tokens: Tokens | None = None
        self.error: dict[str, Any] | None = None
        self.finished = False
        self.done = False
        self.unbelieved = False
        """Whether a usage came that cannot be true."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing has come, or nothing but the end."""
        return self.events <= int(self.done)

    @property
    def usage_is_final(self) -> bool:
        """Whether the usage seen tells of the whole answer: it came with the end, and the end came."""
        return (self.done or self.finished) and self._since_usage <= _STALE

    def feed(self, data: bytes) -> bytes:
        """Take what arrived; returns the whole events in it, less a usage frame nobody asked for."""
        if self._held:
            data, self._held = self._held + data, b""
        if not data.endswith(b"\n\n"):
            data = self._hold(data)
        if not data:
            return b""
        if mark := self.mark.search(data):
            plain = _last_end(data, mark.start())  # what comes before the marked event needs no look
            data = data[:plain] + self._decode(data[plain:])
        self._count(data)
        return data

    def flush(self) -> bytes:
        """Return the last event if all it lacks is the empty line after it; half an event is lost."""
        held, self._held = self._held.strip(), b""
        payload = held[held.find(b"data:") + 5 :].strip()
        if not held or (payload != b"[DONE]" and _parsed(payload) is None):
            return b""
        return self.feed(held + b"\n\n")

    def read_whole(self, answer: dict[str, Any], length: int) -> None:
        """Take a whole JSON answer instead of a stream."""
        self._take(answer.get("usage"))
        self.events, self._bytes, self.done = 1, length, True

    def completion_estimate(self) -> int:
        """Tokens the stream has probably carried: at least one per event, or its text's length in tokens.

        The first event is all envelope (a role and no text), so its length is what each event spends on it.
        """
        return max(self.events, (self._bytes - self.events * self._envelope) // _BYTES_PER_TOKEN)

    def _hold(self, data: bytes) -> bytes:
        cut = _last_end(data, len(data))
        if len(data) - cut > self._longest:
            return data  # an image of megabytes is no usage frame: let it through
        self._held = data[cut:]
        return data[:cut]

    def _count(self, data: bytes) -> None:
        found = data.count(b"data:")
        if not found:
            return  # the middle of something huge, which is no text
        if not self._envelope:
            start = data.find(b"data:")
            first = _EVENTS.search(data, start + 1)
            self._envelope = min((first.start() if first else len(data)) - start, _LONGEST_ENVELOPE)
        self.events += found
        self._since_usage = 0 if self._told else self._since_usage + found
        self._told = False
        self._bytes += len(data)

    def _decode(self, data: bytes) -> bytes:
        kept = []
        for event in _EVENTS.split(data):
            if not self.mark.search(event) or self._read(event):
                kept.append(event)
            if self.error or self.done:
                break
        return b"".join(kept)

    def _read(self, event: bytes) -> bool:
        """Learn from one marked event; returns whether the client should see it."""
        payload = event[event.find(b"data:") + 5 :].strip()
        if payload == b"[DONE]":
            self.done = True
            return True
        frame = _parsed(payload)
        return frame is None or self._learn(frame)

    def _learn(self, frame: dict[str, Any]) -> bool:
        if frame.get("error"):
            self.error = frame
            return True
        choices = frame.get("choices")
        if isinstance(choices, list):
            self.finished |= any(isinstance(one, dict) and one.get("finish_reason") for one in choices)
        self._told |= self._take(frame.get("usage"))
        return bool(choices) or self._show_usage or not frame.get("usage")

    def _take(self, usage: object) -> bool:
        tokens = tokens_of(usage)
        self.tokens = tokens or self.tokens
        self.unbelieved |= bool(usage) and tokens is None
        return tokens is not None


def _parsed(payload: bytes) -> dict[str, Any] | None:
    try:
        frame = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None
    return frame if isinstance(frame, dict) else None


def _last_end(data: bytes, before: int) -> int:
    """Return where the last event that ends before this position ends."""
    return max((at + len(mark) for mark in _ENDS if (at := data.rfind(mark, 0, before)) >= 0), default=0)


def tokens_of(usage: object) -> Tokens | None:
    """Read OpenAI's usage object, by either of its names for prompt and completion (input, output).

    Nothing when it is missing, incomplete or not to be believed.
    """
    if not isinstance(usage, dict):
        return None
    asked, answered = ("prompt", "completion") if "prompt_tokens" in usage else ("input", "output")
    details = usage.get(f"{asked}_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else 0
    counts = (usage.get(f"{asked}_tokens"), usage.get(f"{answered}_tokens", 0), cached or 0)
    if not all(isinstance(count, int) and not isinstance(count, bool) for count in counts):
        return None
    tokens = Tokens(*counts)  # type: ignore[arg-type]
    return tokens if plausible(tokens) else None
