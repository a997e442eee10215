"""A stream of chat chunks as a stream of Messages events. Pure.

Anthropic Messages API, "Streaming messages": `message_start`, the blocks, `message_delta` with the reason and the
usage, `message_stop`. Whatever comes in, what goes out is whole: one start, blocks closed as they were opened, and
one end, which is either `message_stop` or an `error`.
"""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import orjson

from shared_accounts.gateway.dialects.messages_answer import arguments_of
from shared_accounts.gateway.dialects.messages_blocks import Block, Blocks, Call, event
from shared_accounts.gateway.dialects.messages_keepsakes import wrapped
from shared_accounts.gateway.dialects.messages_words import (
    calls_of,
    error_type,
    message_id,
    stop_of,
    text_of,
    thought_of,
    unstopped,
    usage_of,
)
from shared_accounts.gateway.sse import _EVENTS, tokens_of


class Stream:
    """Follows one answer: `feed` translates whole events; `end` or `fail` has the last word."""

    def __init__(self, *, model: str) -> None:
        self._model = model
        self._blocks = Blocks()
        self._calls: dict[int, Call] = {}
        self._made = 0
        self._name = ""
        self._finish: object = None
        self._stopped_at: object = None
        self._usage: object = None
        self._over = False

    def feed(self, events: bytes) -> bytes:
        """Return the events that say the same; comments pass as they are, and nothing follows an error."""
        return b"".join([self._translate(one) for one in _split(events) if one and not self._over])

    def end(self) -> bytes:
        """Close what is open and end cleanly; nothing after an end or an error."""
        if self._over:
            return b""
        out = self._start({}) + self._blocks.talk(ending=True)
        self._over = True
        reason = stop_of(self._finish, called=self._blocks.called, stopped_at=self._stopped_at)
        return out + event("message_delta", delta=reason, usage=usage_of(self._usage)) + event("message_stop")

    def fail(self, message: str, *, type: str, code: str) -> bytes:  # noqa: A002
        """End with an error told in OpenAI's words; nothing after an end or an error."""
        if self._over:
            return b""
        self._over = True
        return event("error", error={"type": error_type((code, type)), "message": message})

    def _translate(self, one: bytes) -> bytes:
        comments, payload = _unframed(one)
        frame = _parsed(payload)
        if frame is None:
            return comments
        if error := frame.get("error"):
            return comments + self._broke(error)
        return comments + self._start(frame) + self._read(frame)

    def _broke(self, error: object) -> bytes:
        words = error if isinstance(error, dict) else {"message": error}
        message, kind, code = (words.get(name) for name in ("message", "type", "code"))
        said = message if isinstance(message, str) else "The upstream failed."
        return self.fail(said, type=str(kind), code=str(code))

    def _start(self, frame: dict[str, Any]) -> bytes:
        if self._name:
            return b""
        self._name = message_id(frame.get("id"), uuid4().hex)
        message: dict[str, Any] = {
            "id": self._name,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            **unstopped(),
            "usage": usage_of(None),
        }
        return event("message_start", message=message)

    def _read(self, frame: dict[str, Any]) -> bytes:
        usage = frame.get("usage")
        self._usage = usage if usage and tokens_of(usage) else self._usage
        choices = frame.get("choices")
        for choice in choices if isinstance(choices, list) else []:
            if isinstance(choice, dict) and not choice.get("index"):  # nobody can ask for a second answer
                self._hear(choice)
        return self._blocks.talk()

    def _hear(self, choice: dict[str, Any]) -> None:
        delta = choice.get("delta")
        if isinstance(delta, dict):
            self._blocks.say("thinking", thought_of(delta))
            self._blocks.say("text", text_of(delta.get("content")) + text_of(delta.get("refusal")))
            for piece in calls_of(delta):
                self._hear_call(piece)
            if delta.get("refusal"):
                self._finish = "content_filter"
        if self._finish != "content_filter":
            self._finish = choice.get("finish_reason") or self._finish
        self._stopped_at = choice.get("stop_reason") or self._stopped_at

    def _hear_call(self, piece: dict[str, Any]) -> None:
        function = piece.get("function")
        words = function if isinstance(function, dict) else {}
        call = self._call(piece, is_first=bool(words.get("name")))
        call.name(piece.get("id"), words.get("name"))
        if arguments := arguments_of(words):
            call.add(arguments)

    def _call(self, piece: dict[str, Any], *, is_first: bool) -> Call:
        """Find the call a piece belongs to, by its index; some upstreams send no index, or 0 for all calls."""
        ident, place = piece.get("id"), piece.get("index")
        place = place if isinstance(place, int) else 0
        found = self._calls.get(place)
        if found is None or (is_first and ident and found.said_id and ident != found.said_id):
            self._made += 1
            otherwise = f"toolu_{self._name}_{self._made}"
            if keepsake := wrapped(piece, ident if isinstance(ident, str) and ident else otherwise):
                self._blocks.append(Block(keepsake))
            found = self._calls[place] = Call(otherwise)
            self._blocks.append(found)
        return found


def _split(events: bytes) -> list[bytes]:
    return _EVENTS.split(events) if b"\r" in events else events.split(b"\n\n")


def _unframed(one: bytes) -> tuple[bytes, bytes]:
    """Return an event's comments, framed anew, and its data."""
    if one.startswith(b"data:") and b"\n" not in one and b"\r" not in one:
        return b"", one[5:]
    lines = one.splitlines()
    comments = b"\n".join([line for line in lines if line.startswith(b":")])
    data = b"\n".join([line[5:] for line in lines if line.startswith(b"data:")])
    return comments + b"\n\n" if comments else b"", data


def _parsed(payload: bytes) -> dict[str, Any] | None:
    """Return a frame's object, nothing for `[DONE]` and for what is none; half a character is no reason to lose it."""
    try:
        frame = orjson.loads(payload)
    except orjson.JSONDecodeError:
        try:
            frame = json.loads(payload)
        except (ValueError, RecursionError):
            return None
    return frame if isinstance(frame, dict) else None
