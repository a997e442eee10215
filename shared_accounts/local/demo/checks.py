"""What the demo does not take, refused in OpenAI's shape."""

from __future__ import annotations

from typing import Any, NoReturn

from flask import abort, jsonify, make_response

from shared_accounts.local.demo.tools import functions

MODEL = "demo"
KEY = "demo"
_MOST_CHOICES = 128
_CHAT = {
    "stream": bool,
    "stream_options": dict,
    "tools": list,
    "max_tokens": int,
    "max_completion_tokens": int,
    "n": int,
    "stop": str | list,
    "response_format": dict,
    "tool_choice": str | dict,
}
_EMBEDDINGS = {"dimensions": int, "encoding_format": str}
_MOST_DIMENSIONS = 3072


def chat(given: Any) -> dict[str, Any]:
    """Return a chat's body if the demo can answer it."""
    body = _asks_the_demo(given)
    messages = body.get("messages")
    if (
        not isinstance(messages, list)
        or not messages
        or not all(isinstance(one, dict) and one.get("role") for one in messages)
    ):
        refuse("`messages` must be a list of messages, each with a role.", param="messages")
    _have_their_types(body, _CHAT)
    if not 1 <= (body.get("n") or 1) <= _MOST_CHOICES:
        refuse(f"`n` must be from 1 to {_MOST_CHOICES}.", param="n")
    _has_usable_tools(body)
    return body


def embeddings(given: Any) -> dict[str, Any]:
    """Return an embedding's body if the demo can answer it."""
    body = _asks_the_demo(given)
    _have_their_types(body, _EMBEDDINGS)
    if not isinstance(body.get("input"), str | list) or body["input"] == []:
        refuse("`input` must be a text or a list that is not empty.", param="input")
    if not 1 <= (body.get("dimensions") or 1) <= _MOST_DIMENSIONS:
        refuse(f"`dimensions` must be from 1 to {_MOST_DIMENSIONS}.", param="dimensions")
    return body


def refuse(message: str, *, status: int = 400, code: str | None = None, param: str | None = None) -> NoReturn:
    """End the request with a refusal."""
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    abort(make_response(jsonify(error=error), status))


def _asks_the_demo(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        refuse("The body must be a JSON object.")
    if not isinstance(body.get("model"), str):
        refuse("`model` is required and must be a string.", param="model")
    if body["model"] != MODEL:
        refuse("The demo has one model, `demo`.", status=404, code="model_not_found", param="model")
    return dict(body)


def _have_their_types(body: dict[str, Any], types: dict[str, Any]) -> None:
    for name, kind in types.items():
        if body.get(name) is not None and not isinstance(body[name], kind):
            refuse(f"`{name}` has the wrong type.", param=name)


def _has_usable_tools(body: dict[str, Any]) -> None:
    tools, choice = body.get("tools") or [], body.get("tool_choice")
    names = set(functions(tools))
    if len(names) < len(tools):
        refuse("Each of `tools` must be a function with a name of its own.", param="tools")
    if isinstance(choice, dict) and (choice.get("function") or {}).get("name") not in names:
        refuse("`tool_choice` must name one of `tools`.", param="tool_choice")
    if choice == "required" and not names:
        refuse("`tool_choice` asks for a tool, and there is none.", param="tool_choice")
