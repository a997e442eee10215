"""The Plug-in API's streams, told as OpenAI tells them. Pure.

Its frames lack what SDKs count on: no role, no `index` in a tool call, the usage inside the last chunk; and a failure
is text of the assistant, then a stop without usage. Frames are decoded only where a mark says so; a frame of megabytes
(an image) passes through as it comes. What looks like an error's text waits for the frame after it: only a stop
without usage makes it one, for a model may say the same words.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

_MARK = re.compile(rb'"tool_calls"|"finish_reason"\s*:\s*"|RESOURCE_EXHAUSTED|\\u9519\\u8bef|' + "错误".encode())
_ERROR = re.compile(r"\s*(?:错误:\s*(?P<words>.*)|(?P<code>RESOURCE_EXHAUSTED)\s*)", re.DOTALL)
_QUOTA = re.compile(r"RESOURCE_EXHAUSTED|quota|配额", re.IGNORECASE)
_END = b"\n\n"
_LONGEST_HELD = 64 * 1024
_LONGEST_WORDS = 300


class PluginStream:
    """One stream: `feed` takes what arrived, cut anywhere, and returns what OpenAI would have sent, whole events."""

    __slots__ = ("_held", "_introduced", "_is_passing", "_suspect")

    def __init__(self) -> None:
        self._held = b""
        self._introduced = False
        self._is_passing = False
        """Whether the frame under way is too long to wait for its end."""
        self._suspect: tuple[str, bytes] | None = None
        """What looks like an error's text, and its frame, not sent yet."""

    def feed(self, data: bytes) -> bytes:
        """Return the events that are ready; an image's piece by piece."""
        data, self._held = self._held + data, b""
        out = b""
        if self._is_passing:
            end = data.find(_END)
            if end < 0:
                self._held = data[-1:] if data.endswith(b"\n") else b""
                return data[: len(data) - len(self._held)]
            out, data, self._is_passing = data[: end + 2], data[end + 2 :], False
        *frames, rest = data.split(_END)
        out += b"".join(self._retell(frame) for frame in frames)
        return out + self._hold(rest)

    def flush(self) -> bytes:
        """Return what is still held when the upstream ends."""
        suspect, self._suspect = self._suspect, None
        held, self._held = self._held, b""
        return (suspect[1] if suspect else b"") + held

    def _hold(self, rest: bytes) -> bytes:
        if len(rest) <= _LONGEST_HELD:
            self._held = rest
            return b""
        self._is_passing = True
        before = self._suspect[1] if self._suspect else b""
        self._suspect = None
        return before + self._role() + rest

    def _role(self) -> bytes:
        """Return the frame that says who speaks, once."""
        if self._introduced:
            return b""
        self._introduced = True
        choice = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
        return _event({"id": "chatcmpl-plugin", "object": "chat.completion.chunk", "choices": [choice]})

    def _retell(self, event: bytes) -> bytes:
        payload = event[event.find(b"data:") + 5 :].strip()
        if self._introduced and not _MARK.search(event) and payload != b"[DONE]":
            return self._cleared() + event + _END
        frame = _parsed(payload)
        if frame is None:
            return self._cleared() + event + _END
        return self._told(frame)

    def _cleared(self) -> bytes:
        suspect, self._suspect = self._suspect, None
        return suspect[1] if suspect else b""

    def _told(self, frame: dict[str, Any]) -> bytes:
        choice = _first(frame.get("choices"))
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            delta = {}
        if choice.get("finish_reason"):
            return self._stopped(frame)
        if words := _error_in(delta.get("content")):
            before, self._suspect = self._cleared(), (words, _event(self._introduce(frame, delta)))
            return before
        for index, call in enumerate(delta.get("tool_calls") or ()):
            call.setdefault("index", index)
        return self._cleared() + _event(self._introduce(frame, delta))

    def _stopped(self, frame: dict[str, Any]) -> bytes:
        usage, suspect = frame.pop("usage", None), self._suspect
        if suspect and not usage:
            self._suspect = None
            return _event({"error": _error(suspect[0])})
        totals = {**frame, "choices": [], "usage": usage}
        return self._cleared() + _event(frame) + (_event(totals) if usage else b"")

    def _introduce(self, frame: dict[str, Any], delta: dict[str, Any]) -> dict[str, Any]:
        if not self._introduced:
            self._introduced = True
            delta["role"] = "assistant"
        return frame


def error_of(completion: dict[str, Any]) -> dict[str, Any] | None:
    """Return the error a whole answer really is: the Plug-in gives its one word for it as what the assistant said."""
    message = _first(completion.get("choices")).get("message")
    content = message.get("content") if isinstance(message, dict) else None
    return _error(content) if isinstance(content, str) and content.strip() == "RESOURCE_EXHAUSTED" else None


def _error_in(content: object) -> str | None:
    found = _ERROR.fullmatch(content) if isinstance(content, str) else None
    return found and (found["words"] or found["code"] or "error").strip()


def _error(words: str) -> dict[str, Any]:
    kind = "insufficient_quota" if _QUOTA.search(words) else "server_error"
    return {"message": words[:_LONGEST_WORDS], "type": kind, "param": None, "code": kind}


def _first(choices: object) -> dict[str, Any]:
    one = choices[0] if isinstance(choices, list) and choices else None
    return one if isinstance(one, dict) else {}


def _event(frame: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(frame) + _END


def _parsed(payload: bytes) -> dict[str, Any] | None:
    try:
        frame = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None
    return frame if isinstance(frame, dict) else None
