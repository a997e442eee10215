"""An answer of the demo as a stream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import gevent

from shared_accounts.local.demo.chat import Said

_PIECE = 12


def events(head: dict[str, Any], said: Said, *, with_usage: bool, gap: float) -> Iterator[str]:
    """Tell an answer word by word; choices come one after the other."""
    head = {**head, "object": "chat.completion.chunk", **({"usage": None} if with_usage else {})}
    for number in range(said.choices):
        for delta in _deltas(said):
            if delta.get("content"):
                gevent.sleep(gap)
            yield _data({**head, "choices": [_choice(number, delta)]})
        yield _data({**head, "choices": [_choice(number, {}, said.finish)]})
    if with_usage:
        yield _data({**head, "choices": [], "usage": said.usage})
    yield "data: [DONE]\n\n"


def _deltas(said: Said) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": ""}
    for word in said.words:
        yield {"content": word}
    for index, call in enumerate(said.calls):
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        yield {"tool_calls": [{"index": index, **call, "function": {"name": name, "arguments": ""}}]}
        for start in range(0, len(arguments), _PIECE):
            part = {"arguments": arguments[start : start + _PIECE]}
            yield {"tool_calls": [{"index": index, "function": part}]}


def _choice(number: int, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"index": number, "delta": delta, "finish_reason": finish, "logprobs": None}


def _data(body: dict[str, Any]) -> str:
    return f"data: {json.dumps(body)}\n\n"
