"""What an upstream says in a stream, and what a Messages client reads of it."""

from __future__ import annotations

import json

from shared_accounts.gateway.dialects.messages import Stream
from tests.gateway.dialects.messages_reader import read
from tests.upstream import DONE, chunk, event, usage_chunk

ROLE = event(chunk({"role": "assistant", "content": ""}))
END = event(usage_chunk()) + DONE
MARK = "reasoning_content"


def said(**delta):
    return event(chunk(delta))


def piece(index, ident=None, name=None, arguments=None):
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    return {"index": index, **({"id": ident, "type": "function"} if ident else {}), "function": function}


def calling(*pieces):
    return said(tool_calls=list(pieces))


def finish(reason, **more):
    frame = json.loads(chunk({}, reason))
    frame["choices"][0] |= more
    return event(json.dumps(frame).encode())


def translated(*events):
    stream = Stream(model="claude")
    return read(b"".join([*(stream.feed(one) for one in events), stream.end()]))


def text(words):
    return {"type": "text", "text": words, "citations": None}


def thinking(words):
    return {"type": "thinking", "thinking": words, "signature": MARK}


def call(ident, name="weather", **arguments):
    return {"type": "tool_use", "id": ident, "name": name, "input": arguments, "caller": {"type": "direct"}}


def counted(read, stored, cached, written, thought=0):
    """A usage as a Messages client gets it; what only Anthropic's servers know is null."""
    return {
        "input_tokens": read,
        "cache_creation_input_tokens": stored,
        "cache_read_input_tokens": cached,
        "output_tokens": written,
        "output_tokens_details": {"thinking_tokens": thought},
        **dict.fromkeys(("cache_creation", "server_tool_use", "service_tier", "inference_geo")),
    }


CITY = [piece(0, "a", "weather", ""), piece(0, None, None, '{"city":'), piece(0, None, None, '"Köln"}')]
