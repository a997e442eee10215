"""The other dialects clients speak, and how a request in one of them becomes a call. Pure, but for the rules it asks.

Specification section 3 (5), house: a new protocol is a door and a pure translator beside it. The model's alias is
resolved before the translation, for what a model takes depends on its name.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from shared_accounts.errors import InvalidRequest
from shared_accounts.gateway import chat as chats
from shared_accounts.gateway.calls import Call, Dialect
from shared_accounts.gateway.dialects import messages, responses

if TYPE_CHECKING:
    from shared_accounts.gateway.gateway import Gateway

RESPONSES = Dialect("responses", "/responses", responses, says_errors_like_openai=True)
MESSAGES = Dialect("messages", "/messages", messages)


def read(dialect: Dialect, raw: bytes, gateway: Gateway, passed_headers: dict[str, str] | None = None) -> Call:
    """Read a body in this dialect; raises `InvalidRequest` naming the field that cannot be used."""
    body = chats.parsed(raw)
    asked_for = body.get("model")
    model = gateway.rules.of(asked_for).model if isinstance(asked_for, str) else asked_for
    chat = dialect.words.to_chat({**body, "model": model})
    call = chats.parse(
        _written(chat), stream_by_default=False, default_completion_tokens=gateway.settings.default_completion_tokens
    )
    native = dialect.words.native(raw if model == asked_for else _written({**body, "model": model}))
    return replace(
        call,
        show_usage=True,
        prompt_tokens=_estimated(dialect, body),
        dialect=dialect,
        native=native,
        passed_headers=passed_headers or {},
        asked_for=str(asked_for),
    )


def shown(name: str, created: int) -> dict[str, Any]:
    """Return a model as Anthropic's list has it."""
    since = datetime.fromtimestamp(created, UTC).isoformat().replace("+00:00", "Z")
    unknown = {"max_input_tokens": None, "max_tokens": None, "capabilities": None}
    return {"type": "model", "id": name, "display_name": name, "created_at": since, **unknown}


def _estimated(dialect: Dialect, body: dict[str, Any]) -> int:
    try:
        return int(dialect.words.estimate(body))
    except RecursionError:
        raise InvalidRequest("The body is nested too deeply.") from None


def _written(body: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError:  # the parser goes deeper than what writes it down again
        raise InvalidRequest("The body is nested too deeply.") from None
