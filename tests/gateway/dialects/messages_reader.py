"""Read a Messages stream as Anthropic's SDKs do, but strictly: what the protocol does not allow is an error here.

The SDKs skip events without a name, append a block at its start and put each delta to the block of its index.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

FIELDS = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "signature_delta": ("thinking", "signature"),
    "input_json_delta": ("tool_use", "partial_json"),
}


@dataclass
class Read:
    """What a client has in the end."""

    message: dict | None = None
    error: dict | None = None
    events: list[str] = field(default_factory=list)
    deltas: list[str] = field(default_factory=list)
    comments: list[bytes] = field(default_factory=list)

    @property
    def content(self) -> list[dict]:
        return self.message["content"]


def read(stream: bytes) -> Read:
    """Return what a client makes of a stream."""
    assert stream.endswith(b"\n\n") or not stream
    found, opened, ended = Read(), None, False
    for one in stream.split(b"\n\n")[:-1]:
        if one.startswith(b":"):
            found.comments.append(one)
            continue
        name, data = one.split(b"\n")
        frame = json.loads(data.removeprefix(b"data: "))
        assert name == b"event: " + frame["type"].encode()
        assert not ended, f"{name} after the end"
        found.events.append(frame["type"])
        ended = frame["type"] in {"message_stop", "error"}
        opened = _take(found, frame, opened)
    return found


def _take(found: Read, frame: dict, opened: int | None) -> int | None:
    kind = frame["type"]
    if kind == "error":
        found.error = frame["error"]
    elif kind == "message_start":
        assert found.message is None
        found.message = frame["message"]
        assert found.message["content"] == []
        assert found.message["stop_reason"] is None
    elif kind == "content_block_start":
        assert opened is None, "two blocks are open"
        assert frame["index"] == len(found.content)
        found.content.append(frame["content_block"] | {"partial_json": ""})
        return frame["index"]
    elif kind == "content_block_delta":
        assert frame["index"] == opened
        block, delta = found.content[opened], frame["delta"]
        of, name = FIELDS[delta["type"]]
        assert block["type"] == of
        assert delta[name], "an empty delta says nothing"
        block[name] += delta[name]
        found.deltas.append(delta[name])
    elif kind == "content_block_stop":
        assert frame["index"] == opened
        pieces = found.content[opened].pop("partial_json")
        assert not pieces or found.content[opened]["type"] == "tool_use"
        if found.content[opened]["type"] == "tool_use":
            found.content[opened]["input"] = _arguments(pieces)
        return None
    elif kind == "message_delta":
        assert opened is None, "the message ends before its block"
        assert frame["delta"]["stop_reason"]
        found.message |= frame["delta"]
        found.message["usage"] |= frame["usage"]
    else:
        assert kind == "message_stop"
        assert found.message["stop_reason"]
    return opened


def _arguments(pieces: str) -> object:
    """Return a call's input, or the text of one that was cut short."""
    try:
        return json.loads(pieces) if pieces else {}
    except ValueError:
        return pieces
