"""Images: Google's own route and shape; plain JSON, also where its name promises a stream."""

from __future__ import annotations

from typing import Any, NoReturn

from flask import Blueprint, Response
from werkzeug.exceptions import NotFound

from shared_accounts.local.plugin_server import pool
from shared_accounts.local.plugin_server.answers import Refused, as_json
from shared_accounts.local.plugin_server.chat import EXHAUSTED
from shared_accounts.local.plugin_server.script import compose, image
from shared_accounts.local.plugin_server.turn import Turn, route

routes = Blueprint("images", __name__)
_RATIOS = {"1:1", "2:3", "3:2", "3:4", "4:3", "9:16", "16:9", "21:9"}
_SIZES = {"1K", "2K", "4K"}
_STATUSES = {EXHAUSTED: 429, "ALL_ENDPOINTS_403": 403}


@route(routes, "POST", "/v1beta/models/<path:target>")
def generate(turn: Turn, target: str) -> Response:
    """Answer `MODEL:generateContent` and `MODEL:streamGenerateContent` alike."""
    model, _, verb = target.rpartition(":")
    if verb not in {"generateContent", "streamGenerateContent"} or not model:
        raise NotFound
    contents = _field(turn, "contents")
    if not isinstance(contents, list) or not contents:
        _refuse(400, "contents是必需的且不能为空", "INVALID_ARGUMENT")
    try:
        user = turn.member()
        account = pool.choose(turn.state, user, model)
    except Refused as refused:
        _refuse(500, refused.body["error"])
    _check_wishes(model, (turn.body or {}).get("generationConfig"))
    asked = _text(contents)
    error = EXHAUSTED if model in turn.state.switches.exhausted else compose(model, _said(asked), [], 4).error
    if error:
        _refuse(_STATUSES.get(error, 500), error)
    pool.consume(turn.state, user, account, model)
    picture = {"inlineData": {"mimeType": "image/png", "data": image(turn.state.switches.image_bytes)}}
    content = {"parts": [{"text": f"You asked for: {asked}"}, picture], "role": "model"}
    return as_json({"candidates": [{"content": content, "finishReason": "STOP"}]})


def _field(turn: Turn, name: str) -> Any:
    try:
        return turn.field(name)
    except Refused as refused:
        _refuse(500, refused.body["error"])


def _check_wishes(model: str, config: Any) -> None:
    wishes = config.get("imageConfig") if isinstance(config, dict) else None
    if not isinstance(wishes, dict):
        return
    ratio, size = wishes.get("aspectRatio"), wishes.get("imageSize")
    if ratio is not None and ratio not in _RATIOS:
        _refuse(400, f"不支持的aspectRatio: {ratio}")
    if size is not None and (size not in _SIZES or model == "gemini-2.5-flash-image"):
        _refuse(400, f"不支持的imageSize: {size}")


def _text(contents: list[Any]) -> str:
    """Put together what the user's parts say; nobody else's are read."""
    parts = [
        part
        for content in contents
        if isinstance(content, dict) and content.get("role") == "user"
        for part in content.get("parts") or []
    ]
    return "".join(str(part.get("text", "")) for part in parts if isinstance(part, dict))


def _said(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def _refuse(code: int, message: str, status: str = "INTERNAL") -> NoReturn:
    raise Refused(code, {"code": code, "message": message, "status": status})
