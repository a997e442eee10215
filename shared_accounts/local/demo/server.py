"""The doors of the demo: its models, its chat and its embeddings."""

from __future__ import annotations

import itertools
import time

from flask import Blueprint, Flask, Response, current_app, jsonify, request

from shared_accounts.local.demo import checks, vectors
from shared_accounts.local.demo.chat import answer
from shared_accounts.local.demo.stream import events

_ids = itertools.count(1)

doors = Blueprint("demo", __name__)


def make_app(gap: float) -> Flask:
    """Build the demo; `gap` is how many seconds lie between two words of a stream."""
    app = Flask(__name__)
    app.config["GAP"] = gap
    app.register_blueprint(doors)
    return app


@doors.before_request
def _check_key() -> None:
    if request.headers.get("Authorization") != f"Bearer {checks.KEY}":
        checks.refuse("The demo accepts one API key, `demo`.", status=401, code="invalid_api_key")


@doors.get("/v1/models")
def models() -> Response:
    """List the one model there is."""
    one = {"id": checks.MODEL, "object": "model", "created": 0, "owned_by": "shared_accounts demo"}
    return jsonify(object="list", data=[one])


@doors.post("/v1/chat/completions")
def chat() -> Response:
    """Answer in the words of a demo, in JSON, or with calls of the tools that the user named."""
    body = checks.chat(request.get_json(silent=True))
    said = answer(body)
    head = {"id": f"chatcmpl-demo-{next(_ids)}", "created": int(time.time()), "model": checks.MODEL}
    if body.get("stream"):
        with_usage = bool((body.get("stream_options") or {}).get("include_usage"))
        gap = current_app.config["GAP"]
        return Response(events(head, said, with_usage=with_usage, gap=gap), mimetype="text/event-stream")
    choices = [
        {"index": number, "message": said.message, "finish_reason": said.finish, "logprobs": None}
        for number in range(said.choices)
    ]
    return jsonify(**head, object="chat.completion", choices=choices, usage=said.usage)


@doors.post("/v1/embeddings")
def embeddings() -> Response:
    """Turn texts into vectors that are alike when the texts share words."""
    body = checks.embeddings(request.get_json(silent=True))
    texts = vectors.texts(body["input"])
    data = [
        {"object": "embedding", "index": index, "embedding": vectors.embed(text, body)}
        for index, text in enumerate(texts)
    ]
    taken = sum(len(text.split()) for text in texts)
    usage = {"prompt_tokens": taken, "total_tokens": taken}
    return jsonify(object="list", model=checks.MODEL, data=data, usage=usage)
