"""What the tests of the Responses dialect share: reading a stream, and telling whether it is well-formed."""

from __future__ import annotations

import functools
import json
from typing import Any

from pydantic import TypeAdapter

from tests.later import Later
from tests.upstream import DONE, chunk, event

official = Later("openai.types.responses")
LAST = {"response.completed", "response.incomplete", "response.failed"}


def chat(*deltas: dict[str, Any], finish: str | None = "stop", usage: dict[str, Any] | None = None) -> bytes:
    """A chat's stream: a chunk for each delta, the reason, the usage, the end."""
    chunks = [event(chunk(delta)) for delta in deltas]
    last = [event(chunk({}, finish))] if finish else []
    told = [event(json.dumps({"id": "chatcmpl-1", "choices": [], "usage": usage}).encode())] if usage else []
    return b"".join([*chunks, *last, *told, DONE])


def call(index: int | None = None, name: str | None = None, arguments: str = "", **more: Any) -> dict[str, Any]:
    """A piece of a tool call."""
    place = {} if index is None else {"index": index}
    return {**place, "function": {"arguments": arguments, **({"name": name} if name else {})}, **more}


def read(stream: bytes) -> list[dict[str, Any]]:
    """The events of a Responses stream, each checked for its frame and against the official models."""
    events = []
    for frame in stream.decode().removesuffix("\n\n").split("\n\n") if stream else []:
        if frame.startswith(":"):
            continue
        named, data = frame.split("\n")
        told = json.loads(data.removeprefix("data: "))
        assert named == f"event: {told['type']}"
        events.append(told)
    return events


def check(events: list[dict[str, Any]], *, clean: bool = True) -> dict[str, Any]:
    """Assert that a stream is one: numbered, opened as closed, ended once; returns the last response."""
    assert [told["sequence_number"] for told in events] == list(range(len(events)))
    assert [told["type"] for told in events[:2]] == ["response.created", "response.in_progress"]
    assert [told["type"] for told in events if told["type"] in LAST] == [events[-1]["type"]]
    assert len({told["response"]["id"] for told in events if "response" in told}) == 1
    if clean:
        for told in events:
            _event().validate_python(told, strict=False)
        _check_items(events)
    return events[-1]["response"]


def _check_items(events: list[dict[str, Any]]) -> None:
    added = [told for told in events if told["type"] == "response.output_item.added"]
    done = {told["output_index"]: told["item"] for told in events if told["type"] == "response.output_item.done"}
    assert [told["output_index"] for told in added] == list(range(len(added)))
    assert [done[place] for place in range(len(added))] == events[-1]["response"]["output"]
    assert [told["item"]["id"] for told in added] == [item["id"] for _, item in sorted(done.items())]
    for told in added:
        _check_item([one for one in events if _place(one) == told["output_index"]])


def _check_item(events: list[dict[str, Any]]) -> None:
    kinds = [told["type"].removeprefix("response.") for told in events]
    assert (kinds[0], kinds[-1]) == ("output_item.added", "output_item.done")
    assert {told["item_id"] for told in events[1:-1]} == {events[0]["item"]["id"]}
    assert sum(kind.endswith("part.added") for kind in kinds) == sum(kind.endswith("part.done") for kind in kinds) <= 1
    (said,) = [told for told in events if told["type"].endswith(".done") and not {"part", "item"} & told.keys()]
    text = next(said[name] for name in ("text", "refusal", "arguments", "input") if name in said)
    assert "".join(told.get("delta", "") for told in events) == text


@functools.cache
def _event() -> TypeAdapter[Any]:
    return TypeAdapter(official.ResponseStreamEvent)


def _place(told: dict[str, Any]) -> int | None:
    return told.get("output_index")


def believed(response: dict[str, Any]) -> Any:
    """The response as the official client has it; raises when a field is missing or of the wrong type."""
    return official.Response.model_validate(response)
