"""A Responses request, as a chat completions body (OpenAI Responses API, `POST /v1/responses`). Pure.

Nothing is stored here, so what refers to something stored is refused; `store` and `include` are let pass and do
nothing, `truncation` is always as if disabled. Fields that chat completions have no word for are left out.
"""

from __future__ import annotations

from typing import Any

from shared_accounts.errors import InvalidRequest
from shared_accounts.gateway.dialects import responses_tools
from shared_accounts.gateway.dialects.responses_fields import may, need
from shared_accounts.gateway.dialects.responses_input import messages_of
from shared_accounts.quotas import pricing

_SAME: dict[str, type] = {
    "temperature": float,
    "top_p": float,
    "metadata": dict,
    "prompt_cache_key": str,
    "safety_identifier": str,
    "service_tier": str,
    "user": str,
}
"""Fields that mean the same in both, and what they must be."""

_STORED = {
    "previous_response_id": "Nothing is stored here to go on from: send the whole conversation as input, without "
    "previous_response_id.",
    "conversation": "Nothing is stored here: send the whole conversation as input, without conversation.",
    "prompt": "No prompt templates are kept here: send instructions and input, without prompt.",
}
_MOST_TOKENS = 10_000_000


def to_chat(body: dict[str, Any]) -> dict[str, Any]:
    """Return the chat body that asks for the same; raises `InvalidRequest` naming the field that cannot be used.

    `model` and `stream` pass as they are: whoever reads the chat body checks them.
    """
    _refuse_what_is_stored(body)
    return {
        **{name: body[name] for name in ("model", "stream") if name in body},
        "messages": messages_of(body),
        **responses_tools.translate(body),
        **_present({name: may(body.get(name), kind, name) for name, kind in _SAME.items()}),
        **_limit(body),
        **_reasoning(body),
        **_text(body),
    }


def estimate(body: dict[str, Any]) -> int:
    """Tokens a Responses body will probably take, counted as a chat's are; it need not be one that can be translated.

    Raises `InvalidRequest` when it is nested too deeply to be counted.
    """
    given = body.get("input")
    items = given if isinstance(given, list) else [{"content": given}]
    counted = {
        "messages": [{"content": body.get("instructions")}, *map(_weighed, items)],
        **{chat: body[name] for name, chat in (("tools", "tools"), ("text", "response_format")) if body.get(name)},
    }
    try:
        return pricing.estimate_prompt(counted)
    except RecursionError:  # the parser goes deeper than what writes it down again
        raise InvalidRequest("The body is nested too deeply.") from None


def _weighed(item: object) -> dict[str, Any]:
    """Return an item as a chat message that weighs the same."""
    if isinstance(item, dict) and ("content" in item or "output" in item):
        return {"content": item.get("content", item.get("output"))}
    return {"content": None, "tool_calls": item}


def _refuse_what_is_stored(body: dict[str, Any]) -> None:
    for field, message in _STORED.items():
        if body.get(field) is not None:
            raise InvalidRequest(message, field=field)
    if may(body.get("background"), bool, "background"):
        raise InvalidRequest("background must be false: an answer cannot be fetched later.", field="background")


def _limit(body: dict[str, Any]) -> dict[str, Any]:
    most = may(body.get("max_output_tokens"), int, "max_output_tokens")
    if most is not None and not 1 <= most <= _MOST_TOKENS:
        message = f"max_output_tokens must be a whole number from 1 to {_MOST_TOKENS}."
        raise InvalidRequest(message, field="max_output_tokens")
    return _present({"max_completion_tokens": most})


def _reasoning(body: dict[str, Any]) -> dict[str, Any]:
    reasoning = may(body.get("reasoning"), dict, "reasoning") or {}
    return _present({"reasoning_effort": may(reasoning.get("effort"), str, "reasoning.effort")})


def _text(body: dict[str, Any]) -> dict[str, Any]:
    """Return chat's `response_format` and `verbosity`; plain text is what both have when nothing is said."""
    text = may(body.get("text"), dict, "text") or {}
    form = may(text.get("format"), dict, "text.format")
    verbosity = may(text.get("verbosity"), str, "text.verbosity")
    return _present({"response_format": _format(form), "verbosity": verbosity})


def _format(form: dict[str, Any] | None) -> dict[str, Any] | None:
    kind = "text" if form is None else need(form.get("type"), str, "text.format.type")
    if form is None or kind == "text":
        return None
    if kind == "json_object":
        return {"type": kind}
    if kind != "json_schema":
        raise InvalidRequest("text.format.type must be text, json_object or json_schema.", field="text.format.type")
    schema = {
        "name": need(form.get("name"), str, "text.format.name"),
        "description": may(form.get("description"), str, "text.format.description"),
        "schema": need(form.get("schema"), dict, "text.format.schema"),
        "strict": may(form.get("strict"), bool, "text.format.strict"),
    }
    return {"type": kind, kind: _present(schema)}


def _present(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
