"""An upstream that has an answer for every path of OpenAI's API."""

from __future__ import annotations

import json

from tests.upstream import Turn, answers, says

_USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
_WHOLE = {
    "/models": {"object": "list", "data": []},
    "/embeddings": {"object": "list", "data": [], "model": "m", "usage": _USAGE},
    "/moderations": {"id": "modr-1", "model": "m", "results": []},
    "/rerank": {"results": [], "usage": _USAGE},
    "/images/generations": {"created": 1, "data": []},
    "/images/edits": {"created": 1, "data": []},
    "/images/variations": {"created": 1, "data": []},
    "/audio/transcriptions": {"text": "Hello"},
    "/audio/translations": {"text": "Hello"},
}
_CHAT = answers("Hello")
_TEXT = says(json.dumps({"id": "cmpl-1", "object": "text_completion", "choices": [], "usage": _USAGE}).encode())
_GENERATED = says(json.dumps({"candidates": [], "usageMetadata": {"promptTokenCount": 3}}).encode())
_SOUND = says(b"ID3", headers=[("content-type", "audio/mpeg")])


def serves_everything(turn: Turn) -> bool:
    """Answer whatever is asked, as OpenAI would."""
    path = turn.request.path.removeprefix("/v1").partition("?")[0]
    if path == "/audio/speech":
        return _SOUND(turn)
    if path.endswith("enerateContent"):
        return _GENERATED(turn)
    if path == "/completions":
        return _TEXT(turn)
    if path in _WHOLE:
        return says(json.dumps(_WHOLE[path]).encode())(turn)
    return _CHAT(turn)
