"""Meter a stream that an upstream already speaks as a Responses stream (OpenAI Responses API, streaming events). Pure.

As with a chat's meter, bytes pass untouched and events are decoded only when a mark is in them: here the last event of
a stream, or an error. Usage comes with the last event alone, which repeats the whole answer and may be long.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from shared_accounts.gateway import sse
from shared_accounts.gateway.sse import _LONGEST_HELD, _last_end

_LAST = {"response.completed", "response.incomplete"}
_MARK = re.compile(rb'"(?:type"\s*:\s*"(?:response\.(?:completed|incomplete|failed)|error)"|error"\s*:\s*[{"])')
_PREAMBLE = re.compile(rb'"type"\s*:\s*"response\.(?:created|queued|in_progress)"|(?m:^data:\s*\[DONE\])')
_DELTA = re.compile(rb'"delta"\s*:\s*"((?:[^"\\]++|\\.)*+)"')
_HEAD = 1024
"""Within so many bytes an event says what it is."""
_LONGEST_LAST = 8 * 1024 * 1024
_BYTES_PER_TOKEN = 3
_AS_CHAT = {
    "input_tokens": "prompt_tokens",
    "input_tokens_details": "prompt_tokens_details",
    "output_tokens": "completion_tokens",
}


class Meter(sse.Meter):
    """Follows one Responses stream as `sse.Meter` does a chat's; `show_usage` changes nothing, usage always shows.

    Events that only announce an answer are not counted: a stream that fails right after them has served nothing.
    """

    __slots__ = ("_text",)

    mark = _MARK

    def __init__(self, *, show_usage: bool) -> None:
        super().__init__(show_usage=show_usage)
        self._text = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing has come but announcements; the last event is more than that."""
        return not self.events

    def read_whole(self, answer: dict[str, Any], length: int) -> None:
        """Take a whole response instead of a stream; of its length, only what the model wrote counts as text."""
        super().read_whole(answer, length)
        try:
            self._text = len(orjson.dumps(answer.get("output")))
        except orjson.JSONEncodeError:  # the parser goes deeper than what writes it down again
            self._text = length

    def completion_estimate(self) -> int:
        """Tokens the stream has probably carried: at least one per event, or its deltas' length in tokens."""
        return max(self.events, self._text // _BYTES_PER_TOKEN)

    def _hold(self, data: bytes) -> bytes:
        cut = _last_end(data, len(data))
        longest = _LONGEST_LAST if _MARK.search(data, cut, cut + _HEAD) else _LONGEST_HELD
        if len(data) - cut > longest:
            return data
        self._held = data[cut:]
        return data[:cut]

    def _count(self, data: bytes) -> None:
        found = data.count(b"\ndata:") + data.count(b"\rdata:") + data.startswith(b"data:")
        if not self.events:
            found = max(0, found - len(_PREAMBLE.findall(data)))
        self.events += found
        self._text += sum(map(len, _DELTA.findall(data)))

    def _learn(self, frame: dict[str, Any]) -> bool:
        kind, response = frame.get("type"), frame.get("response")
        if isinstance(response, dict) and kind in {*_LAST, "response.failed"}:
            self._take(response.get("usage"))
        if kind in _LAST:
            self.done = self.finished = True
        elif kind == "response.failed":
            self.error = {"error": (isinstance(response, dict) and response.get("error")) or {"code": "server_error"}}
        elif kind == "error" or frame.get("error"):
            self.error = {"error": frame.get("error") or {name: frame.get(name) for name in ("code", "message")}}
        return True

    def _take(self, usage: object) -> bool:
        if not isinstance(usage, dict):
            return super()._take(usage)
        return super()._take({**usage, **{chat: usage[name] for name, chat in _AS_CHAT.items() if name in usage}})
