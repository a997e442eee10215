"""The content blocks of a Messages stream, opened and closed one after the other. Pure.

Anthropic Messages API, "Streaming messages": `content_block_start`, one or more deltas, `content_block_stop`.
A chat's pieces may come in any order; blocks may not. So a block waits until those before it are whole.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import orjson

from shared_accounts.gateway.dialects.messages_turns import ORIGIN
from shared_accounts.gateway.dialects.messages_words import DIRECT, written


def event(kind: str, **fields: Any) -> bytes:
    """Return one event in the dialect's frame."""
    return b"event: " + kind.encode() + b"\ndata: " + written({"type": kind, **fields}) + b"\n\n"


class Block:
    """What has been said of one block, and what of it has not been sent yet."""

    def __init__(self, start: dict[str, Any], delta: str = "", field: str = "") -> None:
        self.kind: str = start["type"]
        self._start = start
        self._delta = delta
        self._field = field
        self._opened = False
        self._unsent: list[str] = []

    @property
    def can_open(self) -> bool:
        """Whether enough is known to begin."""
        return True

    @property
    def is_whole(self) -> bool:
        """Whether nothing can follow once something else has."""
        return True

    def add(self, piece: str) -> None:
        """Take a piece of what it says."""
        self._unsent.append(piece)

    def talk(self, index: int, *, last: bool = False) -> bytes:
        """Return the events for what has not been sent yet."""
        if not self.can_open:
            return b""
        out = b"" if self._opened else event("content_block_start", index=index, content_block=self._start)
        self._opened = True
        text, rest = _encodable("".join(self._unsent), last=last)
        self._unsent = [rest] if rest else []
        return out + (self._piece(index, self._delta, self._field, text) if text else b"")

    def close(self, index: int) -> bytes:
        """Return the last events; nothing for a block that never had what it takes to begin."""
        if not self.can_open:
            return b""
        out = self.talk(index, last=True)
        if self.kind == "thinking":
            out += self._piece(index, "signature_delta", "signature", ORIGIN)
        return out + event("content_block_stop", index=index)

    @staticmethod
    def _piece(index: int, delta: str, field: str, text: str) -> bytes:
        return event("content_block_delta", index=index, delta={"type": delta, field: text})


class Call(Block):
    """A tool call: it begins when its name is known and is whole when its arguments are an object."""

    def __init__(self, otherwise: str) -> None:
        self.said_id: str | None = None
        """The id the upstream gave it; without one it goes by `otherwise`."""
        self._arguments: list[str] = []
        self._unreadable = 0
        start = {"type": "tool_use", "id": otherwise, "name": "", "input": {}, "caller": DIRECT}
        super().__init__(start, "input_json_delta", "partial_json")

    @property
    def can_open(self) -> bool:
        """Whether its name is known."""
        return bool(self._start["name"])

    @property
    def is_whole(self) -> bool:
        """Whether its name is known and its arguments can be read."""
        count = len(self._arguments)
        if not self.can_open or count == self._unreadable or not self._arguments[-1].rstrip().endswith("}"):
            return False
        try:
            return isinstance(orjson.loads("".join(self._arguments)), dict)
        except orjson.JSONDecodeError:
            self._unreadable = count
            return False

    def name(self, ident: object, name: object) -> None:
        """Take its id and its name, each from the piece that has it first."""
        if isinstance(ident, str) and ident and self.said_id is None:
            self.said_id = self._start["id"] = ident
        if isinstance(name, str) and name and not self.can_open:
            self._start["name"] = name

    def add(self, piece: str) -> None:
        """Take a piece of its arguments."""
        self._arguments.append(piece)
        super().add(piece)


class Blocks:
    """The blocks of one answer, in order; the first that is not closed is the one that talks."""

    def __init__(self) -> None:
        self.called = False
        """Whether a tool call has begun."""
        self._waiting: deque[Block] = deque()
        self._index = 0

    def say(self, kind: str, text: str) -> None:
        """Add text or thoughts, to the last block if it is of that kind."""
        if not text:
            return
        if not self._waiting or self._waiting[-1].kind != kind:
            field = "thinking" if kind == "thinking" else "text"
            beside = {"signature": ""} if kind == "thinking" else {"citations": None}
            self.append(Block({"type": kind, field: "", **beside}, f"{field}_delta", field))
        self._waiting[-1].add(text)

    def append(self, block: Block) -> None:
        """Add a block after all others."""
        self._waiting.append(block)

    def talk(self, *, ending: bool = False) -> bytes:
        """Return the events that can be sent by now; at the end, all of them."""
        out = b""
        while self._waiting:
            block = self._waiting[0]
            out += block.talk(self._index)
            self.called |= block.can_open and block.kind == "tool_use"
            if not (ending or (len(self._waiting) > 1 and block.is_whole)):
                break
            out += block.close(self._index)
            self._index += block.can_open
            self._waiting.popleft()
        return out


def _encodable(text: str, *, last: bool) -> tuple[str, str]:
    """Return text without halves of a character, and the half that may still find its other one.

    Some upstreams cut a character outside the basic plane between its two JSON escapes.
    """
    if text.isascii():
        return text, ""
    rest = text[-1] if not last and "\ud800" <= text[-1] <= "\udbff" else ""
    return text.removesuffix(rest).encode("utf-16", "surrogatepass").decode("utf-16", "replace"), rest
