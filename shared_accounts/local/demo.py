"""A small OpenAI-compatible server that says plainly that it is a demo: `python demo.py PORT`.

It has one model, `demo`, and one key, `demo`. It serves local mode and tests, so that the whole path through the
gateway can be tried before anybody has contributed a real account.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Iterator
from typing import Any, NoReturn

import gevent
from flask import Flask, Response, abort, jsonify, make_response, request
from gevent.pywsgi import WSGIServer

MODEL = "demo"
KEY = "demo"
_GAP = 0.03
_ids = itertools.count(1)

app = Flask(__name__)


@app.before_request
def _check_key() -> None:
    if request.headers.get("Authorization") != f"Bearer {KEY}":
        _refuse(401, "The demo accepts one API key, `demo`.", "invalid_api_key")


@app.get("/v1/models")
def models() -> Response:
    """List the one model there is."""
    return jsonify(
        object="list", data=[{"id": MODEL, "object": "model", "created": 0, "owned_by": "shared_accounts demo"}]
    )


@app.post("/v1/chat/completions")
def chat() -> Response:
    """Answer in the words of a demo, or with a call of the tool that the user named."""
    body = _checked(request.get_json(silent=True))
    answer = _answer(body)
    head = {"id": f"chatcmpl-demo-{next(_ids)}", "created": int(time.time()), "model": MODEL}
    if body.get("stream"):
        with_usage = bool((body.get("stream_options") or {}).get("include_usage"))
        return Response(_events(head, answer, with_usage=with_usage), mimetype="text/event-stream")
    message = {"role": "assistant", "content": " ".join(answer["words"]) or None}
    if answer["tool_calls"]:
        message["tool_calls"] = answer["tool_calls"]
    choice = {"index": 0, "message": message, "finish_reason": answer["finish_reason"], "logprobs": None}
    return jsonify(**head, object="chat.completion", choices=[choice], usage=answer["usage"])


def _checked(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        _refuse(400, "The body must be a JSON object.", None)
    if not isinstance(body.get("model"), str):
        _refuse(400, "`model` is required and must be a string.", None, "model")
    if body["model"] != MODEL:
        _refuse(404, "The demo has one model, `demo`.", "model_not_found", "model")
    messages = body.get("messages")
    if (
        not isinstance(messages, list)
        or not messages
        or not all(isinstance(m, dict) and m.get("role") for m in messages)
    ):
        _refuse(400, "`messages` must be a list of messages, each with a role.", None, "messages")
    for name, kind in (("stream", bool), ("stream_options", dict), ("tools", list), ("max_tokens", int)):
        if body.get(name) is not None and not isinstance(body[name], kind):
            _refuse(400, f"`{name}` has the wrong type.", None, name)
    return dict(body)


def _answer(body: dict[str, Any]) -> dict[str, Any]:
    asked = _text(body["messages"][-1]) if body["messages"][-1]["role"] == "user" else ""
    call = _tool_call(body.get("tools") or [], asked)
    words = [] if call else _words(asked)
    limit = body.get("max_completion_tokens") or body.get("max_tokens") or len(words)
    finish = "tool_calls" if call else "length" if limit < len(words) else "stop"
    words = words[:limit]
    prompt, completion = sum(len(_text(m).split()) for m in body["messages"]), len(words) or 1
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return {"words": words, "tool_calls": [call] if call else [], "finish_reason": finish, "usage": usage}


def _words(asked: str) -> list[str]:
    echo = f" You wrote: {' '.join(asked.split()[:30])}" if asked else ""
    return (
        "This is the demo of shared_accounts; no real model is answering. Contribute an account in the console to"
        f" talk to one.{echo}"
    ).split()


def _tool_call(tools: list[Any], asked: str) -> dict[str, Any] | None:
    """Call the first tool when the last message is the user's and mentions it, with no arguments."""
    if not tools:
        return None
    try:
        name = str(tools[0]["function"]["name"])
    except (KeyError, TypeError):
        _refuse(400, "Each of `tools` must be a function with a name.", None, "tools")
    if name not in asked:
        return None
    return {"id": f"call_demo_{next(_ids)}", "type": "function", "function": {"name": name, "arguments": "{}"}}


def _events(head: dict[str, Any], answer: dict[str, Any], *, with_usage: bool) -> Iterator[str]:
    head = {**head, "object": "chat.completion.chunk", **({"usage": None} if with_usage else {})}

    def event(delta: dict[str, Any], finish: str | None = None) -> str:
        return _data({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    yield event({"role": "assistant", "content": ""})
    for index, word in enumerate(answer["words"]):
        gevent.sleep(_GAP)
        yield event({"content": f" {word}" if index else word})
    for call in answer["tool_calls"]:
        yield event({"tool_calls": [{"index": 0, **call}]})
    yield event({}, answer["finish_reason"])
    if with_usage:
        yield _data({**head, "choices": [], "usage": answer["usage"]})
    yield "data: [DONE]\n\n"


def _data(body: dict[str, Any]) -> str:
    return f"data: {json.dumps(body)}\n\n"


def _text(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content)


def _refuse(status: int, message: str, code: str | None, param: str | None = None) -> NoReturn:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    abort(make_response(jsonify(error=error), status))


if __name__ == "__main__":
    WSGIServer(("127.0.0.1", int(sys.argv[1])), app, log=None).serve_forever()
