"""How an answer is said to a client: as it comes, or in the words of another dialect. Pure."""

from __future__ import annotations

import re
from time import time
from typing import Any, ClassVar, NamedTuple

import orjson

from shared_accounts.gateway.calls import Call, Dialect
from shared_accounts.gateway.sse import DONE

_ID = re.compile(rb'"id"\s*:\s*("[^"\\]{1,200}")')


class Words(NamedTuple):
    """What a client is told when its stream ends too soon."""

    message: str
    code: str
    type: str = "server_error"


class Voice:
    """OpenAI's own: everything passes as it is."""

    __slots__ = ("_call",)

    silence: ClassVar[bytes] = b": keep-alive\n\n"
    """What is said while there is nothing to say."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def feed(self, events: bytes) -> bytes:
        """Say these whole events."""
        return events

    def end(self, *, was_said: bool) -> bytes:
        """Return what a stream that ended well still lacks: some upstreams leave out that it has."""
        return b"" if was_said else DONE

    def fail(self, words: Words, first: bytes, *, for_length: bool) -> bytes:
        """Return the events that end a stream too soon; one cut for length says so first, as OpenAI's do.

        No `[DONE]` follows: to every SDK that is a clean end.
        """
        error = {"error": {"message": words.message, "type": words.type, "param": None, "code": words.code}}
        last = b"data: " + orjson.dumps(error) + b"\n\n"
        return self._cut(first) + last if for_length and self._call.is_chat else last

    def whole(self, body: bytes) -> bytes:
        """Say a whole answer."""
        return body

    def _cut(self, first: bytes) -> bytes:
        named = _ID.search(first)
        chunk: dict[str, Any] = {
            "id": orjson.Fragment(named[1]) if named else "chatcmpl-cut",
            "object": "chat.completion.chunk",
            "created": int(time()),
            "model": self._call.model,
            "choices": [{"index": 0, "delta": {}, "finish_reason": "length"}],
        }
        return b"data: " + orjson.dumps(chunk) + b"\n\n"


class Translated(Voice):
    """A chat said in a dialect whose upstream speaks only OpenAI's."""

    __slots__ = ("_dialect", "_stream")

    def __init__(self, call: Call, dialect: Dialect) -> None:
        super().__init__(call)
        self._dialect = dialect
        self._stream = dialect.words.Stream(model=call.asked_for)

    def feed(self, events: bytes) -> bytes:
        """Say these whole events in the dialect."""
        said: bytes = self._stream.feed(events.removesuffix(DONE)) if events else b""
        return said

    def end(self, *, was_said: bool) -> bytes:  # noqa: ARG002 - what OpenAI's end says, the dialect says here
        """Close what is open."""
        said: bytes = self._stream.end()
        return said

    def fail(self, words: Words, first: bytes, *, for_length: bool) -> bytes:  # noqa: ARG002
        """End with the dialect's error."""
        said: bytes = self._stream.fail(words.message, type=words.type, code=words.code)
        return said

    def whole(self, body: bytes) -> bytes:
        """Say a whole completion in the dialect."""
        return orjson.dumps(self._dialect.words.from_completion(orjson.loads(body), model=self._call.asked_for))


class Native(Voice):
    """A dialect whose upstream speaks it: everything passes, and only what we have to add is in its words."""

    __slots__ = ("_dialect",)

    def __init__(self, call: Call, dialect: Dialect) -> None:
        super().__init__(call)
        self._dialect = dialect

    def end(self, *, was_said: bool) -> bytes:
        """Return the dialect's own end, where it has one of its own and the upstream left it out."""
        return b"" if was_said else getattr(self._dialect.words, "DONE", b"")

    def fail(self, words: Words, first: bytes, *, for_length: bool) -> bytes:  # noqa: ARG002
        """End with the dialect's error."""
        stream = self._dialect.words.Stream(model=self._call.asked_for)
        said: bytes = stream.fail(words.message, type=words.type, code=words.code)
        return said
