"""Meters for what is not quite a chat of OpenAI's. Pure."""

from __future__ import annotations

import re
from typing import Any

from shared_accounts.gateway.dialects.plugin_stream import PluginStream, error_of
from shared_accounts.gateway.sse import Meter

_LAST = re.compile(
    rb'"type"\s*:\s*"(?:image_(?:generation|edit)\.completed|transcript\.text\.done|speech\.audio\.done)"'
)


class PluginMeter(Meter):
    """Follows a Plug-in API's answer, and passes it on as OpenAI would have sent it."""

    __slots__ = ("_ear",)

    def __init__(self, *, show_usage: bool, longest: int | None = None) -> None:
        super().__init__(show_usage=show_usage, longest=longest)
        self._ear = PluginStream()

    def feed(self, data: bytes) -> bytes:
        """Take what arrived; returns the whole events in it, retold."""
        return super().feed(self._ear.feed(data))

    def flush(self) -> bytes:
        """Return the last event if all it lacks is the empty line after it."""
        return super().feed(self._ear.flush()) + super().flush()

    def read_whole(self, answer: dict[str, Any], length: int) -> None:
        """Take a whole JSON answer, which may be an error that says it is none."""
        super().read_whole(answer, length)
        if found := error_of(answer):
            self.error = {"error": found}


class FlatMeter(Meter):
    """For answers whose length says nothing of their cost (vectors, images, sound): without usage the guess stands."""

    __slots__ = ("_guess",)

    def __init__(self, guess: int, *, longest: int | None = None) -> None:
        super().__init__(show_usage=True, longest=longest)
        self._guess = guess

    def completion_estimate(self) -> int:
        """Return the guess."""
        return self._guess

    def _take(self, usage: object) -> bool:
        return super()._take(_counted(usage))


class EventMeter(FlatMeter):
    """For streams of such answers, which end with an event of a type of their own."""

    mark = re.compile(Meter.mark.pattern + b"|" + _LAST.pattern)

    __slots__ = ()

    def _read(self, event: bytes) -> bool:
        # By its mark, for the last event may be a picture too long to be held and decoded.
        self.finished |= bool(_LAST.search(event))
        return super()._read(event)


def _counted(usage: object) -> object:
    """Return a usage if it counts tokens: a recording's may be in seconds; of a ranking only the total is told."""
    if not isinstance(usage, dict) or usage.get("type") == "duration":
        return None
    if usage.keys() == {"total_tokens"}:
        return {"prompt_tokens": usage["total_tokens"]}
    return usage
