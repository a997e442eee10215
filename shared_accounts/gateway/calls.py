"""What a client asks for, whatever it speaks: the few facts the gateway reads, and the bytes to send on."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import NamedTuple

import orjson

from shared_accounts.gateway import multipart

_MODEL = re.compile(rb'"model"\s*:\s*("(?:[^"\\]|\\.)*")')


@dataclass(frozen=True, slots=True)
class Dialect:
    """Another way to ask for a chat: its name, its path at upstreams that speak it, and the module that knows it.

    The module offers `to_chat`, `native`, `from_completion`, `Stream`, `Meter`, `refusal` and `estimate`, all pure.
    """

    name: str
    path: str
    words: ModuleType
    says_errors_like_openai: bool = False

    def refusal(self, status: int, message: str, **why: object) -> bytes:
        """Return a refusal's body; takes `type`, `code`, `param` and `request_id`, in OpenAI's words."""
        return orjson.dumps(self.words.refusal(status, message, **why))


@dataclass(frozen=True, slots=True)
class Call:
    """What the gateway needs to know of a request, and the bytes to send on."""

    model: str
    stream: bool
    show_usage: bool
    """Whether the client asked for the usage frame; we always ask the upstream for it."""
    prompt_tokens: int
    """An estimate, for the reservation and for calls whose usage never comes."""
    most_completion_tokens: int
    body: bytes
    """As OpenAI has it."""
    conversation: int | None = None
    """The same for every turn of a conversation that has begun to go on; nothing for a first question."""
    is_bounded: bool = False
    """Whether the client said how long the answer may become."""
    path: str = "/chat/completions"
    content_type: str = "application/json"
    is_chat: bool = True
    """Whether the answer is a chat's; of any other only the usage is read."""
    is_prose: bool = False
    """Whether an answer that is no chat's tells by its length what it cost."""
    needs_json: bool = True
    """Whether a whole answer that is no JSON is none."""
    must_speak: str | None = None
    """The dialect without which no upstream can serve it; its model stands in the path, not in the body."""
    dialect: Dialect | None = None
    """What the client speaks, if it is not OpenAI's chat."""
    native: bytes = b""
    """The body as the client sent it, for upstreams that speak its dialect."""
    passed_headers: dict[str, str] = field(default_factory=dict)
    """The client's headers that such an upstream needs to see."""
    asked_for: str = ""
    """The model by the client's name for it, where answers repeat it."""

    def asking_for(self, model: str) -> Call:
        """Return the same request for a model by its upstream's name; nothing else of its bytes changes."""
        if model == self.model:
            return self
        if self.must_speak:
            return replace(self, model=model)
        if self.content_type.startswith(multipart.MEDIA_TYPE):
            body = multipart.with_text(self.body, self.content_type, "model", model)
        else:
            body = _renamed(self.body, self.model, model)
        native = _renamed(self.native, self.model, model) if self.native else b""
        return replace(self, model=model, body=body, native=native)


class Sender(NamedTuple):
    """Where a request came in, from which program by its own account, and on which connection."""

    endpoint: str
    app: str | None = None
    connection: object = None


def _renamed(raw: bytes, alias: str, model: str) -> bytes:
    found = list(_MODEL.finditer(raw))
    if len(found) == 1 and orjson.loads(found[0][1]) == alias:
        renamed = raw[: found[0].start(1)] + orjson.dumps(model) + raw[found[0].end(1) :]
        if orjson.loads(renamed)["model"] == model:  # it may have been another member, deeper inside
            return renamed
    return orjson.dumps({**orjson.loads(raw), "model": model})
