"""Models and chat, as OpenAI's routes look here: errors come as text, calls of tools whole, usage in the last chunk."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gevent
from flask import Blueprint, Response, request

from shared_accounts.local.plugin_server import pool
from shared_accounts.local.plugin_server.answers import Crashed, Refused, as_json
from shared_accounts.local.plugin_server.rows import Account, User, now
from shared_accounts.local.plugin_server.script import Script, compose, text_of
from shared_accounts.local.plugin_server.state import State
from shared_accounts.local.plugin_server.turn import Turn, route

routes = Blueprint("chat", __name__)
EXHAUSTED = "RESOURCE_EXHAUSTED"
KIRO_MODELS = ("claude-sonnet-4-5", "claude-haiku-4-5")
_GAP = 0.005
_STATUSES = {
    "ALL_ENDPOINTS_403": 403,
    "IMAGE_INPUT_EXCEEDED_MAXIMUM_5_MB": 400,
    "RESOURCE_PROJECT_INVALID": 400,
    "ILLEGAL_PROMPT": 500,
}


@dataclass(frozen=True)
class Serving:
    """A request on its way: who pays, on which account. Kiro's are neither counted nor paid."""

    state: State
    user: User
    account: Account | None
    model: str

    def charge(self) -> None:
        """Take what it cost, after everything has been read."""
        if self.account:
            with self.state.lock:
                pool.consume(self.state, self.user, self.account, self.model)


@route(routes, "GET", "/v1/models")
def models(turn: Turn) -> Response:
    """List the models of the caller's own oldest account; who has none gets 500, whatever she could use."""
    user = turn.member()
    if _kiro():
        return _list(KIRO_MODELS)
    own = next((account for account in turn.state.accounts_of(user.user_id) if account.serves), None)
    if own is None:
        raise Refused(500, "没有可用的账号")
    for row in own.quotas.values():
        row.last_fetched_at = now()
    return _list(tuple(own.quotas))


@route(routes, "POST", "/v1/chat/completions")
def chat(turn: Turn) -> Response:
    """Answer as a stream, unless `stream` is there and says no; what fails before the first byte is a 500 in JSON."""
    if turn.body is None:
        raise Crashed("Cannot destructure property 'messages' of 'req.body' as it is undefined.")
    body = turn.body
    if not body.get("messages"):
        raise Refused(400, "messages是必需的")
    serving = _serve(turn, body.get("model"))
    tools = body["tools"] if isinstance(body.get("tools"), list) else []
    messages = body["messages"] if isinstance(body["messages"], list) else []
    script = compose(serving.model, messages, tools, turn.state.switches.image_bytes)
    if serving.model in turn.state.switches.exhausted:
        script = Script(error=EXHAUSTED)
    usage = None if _kiro() else _usage(messages, script)
    if body.get("stream", True):
        frames = _frames(serving, _head(serving, "chat.completion.chunk"), script, usage)
        return Response(
            frames,
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache", "Connection": "keep-alive"},
        )
    return _whole(serving, _head(serving, "chat.completion"), script, usage)


def _head(serving: Serving, kind: str) -> dict[str, Any]:
    moment = time.time_ns() // 1_000_000
    return {"id": f"chatcmpl-{moment}", "object": kind, "created": moment // 1000, "model": serving.model}


def _serve(turn: Turn, model: Any) -> Serving:
    user = turn.member()
    if _kiro():
        if not model:
            raise Refused(400, "model是必需的")
        return Serving(turn.state, user, None, str(model))
    account = pool.choose(turn.state, user, str(model))
    if model is None:
        raise Refused(500, "Cannot read properties of undefined (reading 'startsWith')")
    if str(model).startswith("chat_"):
        raise Refused(500, f"不支持的模型: {model}")
    return Serving(turn.state, user, account, str(model))


def _frames(serving: Serving, head: dict[str, Any], script: Script, usage: dict[str, int] | None) -> Iterator[str]:
    """Yield one frame at a time. A client that leaves pays all the same: the upstream is read to its end."""
    try:
        for delta in _deltas(script):
            gevent.sleep(_GAP)
            yield _frame(head, delta)
    finally:
        if script.error is None:
            serving.charge()
    if script.error is not None:
        yield _frame(head, {"content": f"\n\n错误: {_without_status(script.error)}"})
        yield _frame(head, {}, "stop")
    else:
        yield _frame(head, {}, script.finish_reason, usage)
    yield "data: [DONE]\n\n"


def _deltas(script: Script) -> Iterator[dict[str, Any]]:
    yield from ({"reasoning_content": thought} for thought in script.reasoning)
    yield from ({"content": part} for part in script.parts)
    if script.calls and script.error is None:
        yield {"tool_calls": script.calls}
    if script.error is None:
        yield from ({"content": image} for image in script.images)


def _frame(
    head: dict[str, Any], delta: dict[str, Any], finish: str | None = None, usage: dict[str, int] | None = None
) -> str:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    body = {**head, "choices": choices, **({"usage": usage} if usage else {})}
    return f"data: {json.dumps(body, ensure_ascii=False, separators=(',', ':'))}\n\n"


def _whole(serving: Serving, head: dict[str, Any], script: Script, usage: dict[str, int] | None) -> Response:
    if script.error is not None and script.error != EXHAUSTED:
        raise Refused(_status(script.error), _without_status(script.error))
    # That every account is exhausted comes as the answer itself, with 200 and usage.
    message: dict[str, Any] = {"role": "assistant", "content": script.error or script.content}
    if script.reasoning and not script.error:
        message["reasoning_content"] = "".join(script.reasoning)
    if script.calls and not script.error:
        message["tool_calls"] = script.calls
    if not script.error:
        serving.charge()
    choice = {"index": 0, "message": message, "finish_reason": script.finish_reason}
    body = {**head, "choices": [choice]}
    return as_json({**body, "usage": usage} if usage else body)


def _usage(messages: list[Any], script: Script) -> dict[str, int]:
    """Count text alone: neither images nor reasoning."""
    prompt = sum(len(text_of(message).split()) for message in messages)
    completion = len("".join(script.parts).split())
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _list(names: tuple[str, ...]) -> Response:
    created = int(time.time())
    data = [{"id": name, "object": "model", "created": created, "owned_by": "google"} for name in names]
    return as_json({"object": "list", "data": data})


def _kiro() -> bool:
    return request.headers.get("X-Account-Type") == "kiro"


def _status(error: str) -> int:
    stated = re.match(r"([45]\d\d) ", error)
    return int(stated[1]) if stated else _STATUSES.get(error, 500)


def _without_status(error: str) -> str:
    return re.sub(r"^[45]\d\d ", "", error)
