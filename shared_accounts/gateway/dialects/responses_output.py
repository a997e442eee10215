"""A chat's answer turned into a response, piece by piece (OpenAI Responses API, streaming events). Pure.

Text and thoughts are told one item after the other. Calls stay open to the end, since their pieces may mingle.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import time
from typing import Any
from uuid import uuid4

import orjson

from shared_accounts.gateway.dialects.responses_items import (
    COMPLETED,
    IN_PROGRESS,
    INCOMPLETE,
    CustomCall,
    Event,
    FunctionCall,
    Item,
    Message,
    Reasoning,
    Refusal,
)
from shared_accounts.gateway.dialects.responses_names import from_chat
from shared_accounts.gateway.dialects.responses_object import response

_CUT_SHORT = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Reasons to finish that leave a response incomplete, and what a response calls them."""

_SAID: dict[str, type[Item]] = {
    "reasoning_content": Reasoning,
    "reasoning": Reasoning,
    "content": Message,
    "refusal": Refusal,
}
"""Where a delta has text, and what item the text belongs to."""


class Output:
    """A response in the making; its events come as its pieces do."""

    def __init__(self, *, model: str) -> None:
        self._facts: dict[str, Any] = {"id": f"resp_{uuid4().hex}", "model": model}
        self._items: list[Item] = []
        self._speaking: Item | None = None
        self._calls: dict[int | None, FunctionCall] = {}
        self._usage: dict[str, Any] | None = None
        self._reason = ""

    def take(self, chunk: dict[str, Any]) -> Iterator[Event]:
        """Take a chunk of the chat, or a whole completion; only the first choice is heard."""
        yield from self._begin(chunk.get("created"))
        usage = chunk.get("usage")
        self._usage = usage if isinstance(usage, dict) else self._usage
        for choice in _objects(chunk.get("choices")):
            if not choice.get("index"):
                yield from self._hear(choice.get("delta") or choice.get("message"))
                self._reason = str(choice.get("finish_reason") or self._reason)

    def end(self) -> Iterator[Event]:
        """Close what is open; the last event has the whole response."""
        yield from self._begin(None)
        cut = _CUT_SHORT.get(self._reason)
        status = INCOMPLETE if cut else COMPLETED
        yield from self._stop_speaking(status)
        for call in [item for item in self._items if isinstance(item, FunctionCall)]:
            yield from call.close(status)
        yield self._state(status, **({"incomplete_details": {"reason": cut}} if cut else {}))

    def fail(self, error: dict[str, Any]) -> Iterator[Event]:
        """Say that it broke off; what is open is not closed, lest a client act on half a call."""
        yield from self._begin(None)
        for item in self._items:
            item.status = COMPLETED if item.status == COMPLETED else INCOMPLETE
        yield self._state("failed", error=error)

    def _begin(self, created: object) -> Iterator[Event]:
        if "created_at" not in self._facts:
            self._facts["created_at"] = created if isinstance(created, int) else int(time())
            yield {**self._state(IN_PROGRESS), "type": "response.created"}
            yield self._state(IN_PROGRESS)

    def _state(self, status: str, **facts: object) -> Event:
        output = [item.shown() for item in self._items]
        whole = response(**self._facts, status=status, output=output, usage=self._usage, **facts)
        return {"type": f"response.{status}", "response": whole}

    def _hear(self, delta: object) -> Iterator[Event]:
        if not isinstance(delta, dict):
            return
        said: dict[type[Item], str] = {}
        for name, kind in _SAID.items():
            if text := _text(delta.get(name)):
                said.setdefault(kind, text)  # some upstreams send a thought twice, under both of its names
        for kind, text in said.items():
            yield from self._say(kind, text)
        for call in _objects(delta.get("tool_calls")):
            yield from self._call(call)

    def _say(self, kind: type[Item], text: str) -> Iterator[Event]:
        item = self._speaking
        if item is None or type(item) is not kind:
            yield from self._stop_speaking(COMPLETED)
            item = self._speaking = kind(len(self._items))
            yield from self._open(item)
        yield from item.add(text)

    def _stop_speaking(self, status: str) -> Iterator[Event]:
        if self._speaking:
            yield from self._speaking.close(status)
            self._speaking = None

    def _call(self, told: dict[str, Any]) -> Iterator[Event]:
        """Take a piece of a call: the first has its name. Some upstreams send whole calls, all under one index."""
        index, call_id, function = told.get("index"), told.get("id"), told.get("function")
        function = function if isinstance(function, dict) else {}
        place = index if isinstance(index, int) else None
        call, name = self._calls.get(place), function.get("name")
        if name and (call is None or place is None or (call_id or call.call_id) != call.call_id):
            yield from self._stop_speaking(COMPLETED)
            call = self._calls[place] = self._new_call(str(name), str(call_id or f"call_{uuid4().hex}"))
            yield from self._open(call)
        if call and (arguments := function.get("arguments")):
            yield from call.add(arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode())

    def _new_call(self, name: str, call_id: str) -> FunctionCall:
        called = from_chat(name)
        kind = CustomCall if called.is_freeform else FunctionCall
        return kind(len(self._items), call_id, called)

    def _open(self, item: Item) -> list[Event]:
        self._items.append(item)
        return item.open()


def _objects(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _text(said: object) -> str:
    """Return what is said: a string, or, from some upstreams, a list of parts."""
    if isinstance(said, str):
        return said
    return "".join(part["text"] for part in _objects(said) if isinstance(part.get("text"), str))
