"""Follow an upstream that speaks Gemini's own API, and say what we have to add in its words. Pure.

Google, "GenerateContentResponse": each event holds the running totals, the last one a reason to have finished.
"""

from __future__ import annotations

import re
from contextlib import suppress
from http import HTTPStatus
from typing import Any, ClassVar

import orjson

from shared_accounts.gateway import sse, voices
from shared_accounts.gateway.dialects.generate_words import parts, refusal, usage_of, weight
from shared_accounts.gateway.voices import Words

_LONGEST_EVENT = 16 * 1024 * 1024
_BY_CODE = {
    "upstream_timeout": HTTPStatus.GATEWAY_TIMEOUT,
    "server_restarting": HTTPStatus.SERVICE_UNAVAILABLE,
    "account_withdrawn": HTTPStatus.SERVICE_UNAVAILABLE,
    "insufficient_quota": HTTPStatus.TOO_MANY_REQUESTS,
}


class Meter(sse.Meter):
    """Everything passes as it is; what has come is weighed, for answers that hold no usage."""

    mark = re.compile(rb'"(?:candidates|usageMetadata|promptFeedback|error)"\s*:')

    __slots__ = ("_weighed",)

    def __init__(self) -> None:
        super().__init__(show_usage=True, longest=_LONGEST_EVENT)
        self._weighed = 0

    def completion_estimate(self) -> int:
        """Return the tokens of what has come so far: as told, or as weighed."""
        return max(self.tokens.completion if self.tokens else 0, self._weighed)

    def read_whole(self, answer: dict[str, Any], length: int) -> None:
        """Take a whole JSON answer, or the next one of a list of them."""
        self._learn(answer)
        self.events, self._bytes, self.done = 1, length, True

    def _learn(self, frame: dict[str, Any]) -> bool:
        if frame.get("error"):
            self.error = frame
            return True
        found = frame.get("candidates")
        candidates = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
        with suppress(orjson.JSONEncodeError):  # the parser goes deeper than what writes it down again
            self._weighed += sum(weight(part) for one in candidates for part in parts(one.get("content")))
        blocked = frame.get("promptFeedback")
        self.finished |= any(one.get("finishReason") for one in candidates)
        self.finished |= isinstance(blocked, dict) and bool(blocked.get("blockReason"))
        self._told |= self._take(usage_of(frame.get("usageMetadata")))
        return True


class Voice(voices.Voice):
    """Everything passes as it is; only a failure is ours to say."""

    __slots__ = ()

    silence: ClassVar[bytes] = b"\r\n"
    """Google's SDK would read a comment as JSON; an empty line it skips."""

    def end(self, *, was_said: bool) -> bytes:  # noqa: ARG002 - the last event is the end
        """Return nothing."""
        return b""

    def fail(self, words: Words, first: bytes, *, for_length: bool) -> bytes:  # noqa: ARG002
        """End with an error in Google's shape."""
        status = _BY_CODE.get(words.code, HTTPStatus.INTERNAL_SERVER_ERROR)
        return b"data: " + orjson.dumps(refusal(status, words.message)) + b"\r\n\r\n"
