"""OpenAI's streams that are no chats: how what we add to them is said. Pure."""

from __future__ import annotations

from shared_accounts.gateway.voices import Voice


class Events(Voice):
    """Everything passes as it is; the last event is the end, and nothing follows it."""

    __slots__ = ()

    def end(self, *, was_said: bool) -> bytes:  # noqa: ARG002 - a stream without its last event has not ended well
        """Return nothing."""
        return b""
