"""A chat through the same gateway that tools use, as whoever is signed in.

Invariant: the page holds no credential. It asks this door with the session's cookie and the form's token, and the door
opens the exchange by the verb that `/v1` uses; the gateway itself reads no cookie. Nothing that is said is kept here:
the talk and what is wished for besides lie in the page, and what an exchange leaves behind is the line every exchange
leaves.
"""

from __future__ import annotations

from contextlib import closing
from http import HTTPStatus
from typing import Any
from uuid import UUID

import orjson
from flask import Response, g, jsonify, render_template, request
from flask_limiter import RateLimitExceeded
from marshmallow import Schema, fields, validate

from shared_accounts.console import exchange, forms, show
from shared_accounts.console.door import act, page
from shared_accounts.console.forms import Errors
from shared_accounts.console.playground_models import choices
from shared_accounts.console.playground_words import Refused, RefusedUpstream, after, refused
from shared_accounts.errors import ServiceError, TooManyRequests
from shared_accounts.extensions import db
from shared_accounts.gateway import chat as chats
from shared_accounts.gateway import upstream
from shared_accounts.gateway.attempts import new_id
from shared_accounts.gateway.calls import Call
from shared_accounts.gateway.gateway import Gateway
from shared_accounts.gateway.serving_api import serve
from shared_accounts.json_bodies import Text
from shared_accounts.usage.models import UsageLog

ID_HEADER = "X-Exchange-Id"
_MOST_TURNS = 100
_LONGEST_SYSTEM = 100_000
_Talk = list[tuple[str, str]]


class Wishes(Schema):
    """What a talk may be asked for besides its words."""

    system = Text(max=_LONGEST_SYSTEM)
    temperature = fields.Float(validate=validate.Range(0, 2))


@page("/playground")
def playground() -> Any:
    """Show an empty talk."""
    return _shown([])


@act("/playground/answers")
def answer() -> Response:
    """Stream the answer to a talk, for the page's script; a refusal says in the reader's words why, and when."""
    try:
        return _asked(lambda raw, gateway: _call(raw, gateway, stream=True))
    except (ServiceError, RateLimitExceeded) as error:
        said = refused(_ours(error))
    response = jsonify(said.in_json())
    response.status_code = said.status
    return response


@page("/playground/answers/<uuid:exchange_id>")
def about_answer(exchange_id: UUID) -> Response:
    """Say what an answer took, once that is known."""
    line = exchange.visible(exchange_id)
    return jsonify(after(line) if line.state == "closed" else {"is_over": False})


@act("/playground")
def ask() -> Any:
    """Answer a talk in one piece, on a page: the way without scripts."""
    given = forms.values()
    talk: _Talk = [("user" if place % 2 == 0 else "assistant", text) for place, text in enumerate(_said())]
    words = given.get("say", "").strip()
    wishes, errors = forms.load(Wishes(), {name: given[name].strip() for name in Wishes().fields if name in given})
    if not words or errors:
        return _shown(talk, words=words, errors=errors), 422 if errors else 200
    body = orjson.dumps({"model": given.get("model", ""), **_asking([*talk, ("user", words)], **wishes)})
    try:
        text, line = _whole(body)
    except (ServiceError, RateLimitExceeded) as error:
        said = refused(_ours(error))
        return _shown(talk, words=words, said=said), said.status
    return _shown([*talk, ("user", words), ("assistant", text)], line=line)


def _asking(talk: _Talk, system: str | None = None, **wishes: object) -> dict[str, Any]:
    """Return a talk as it is sent: what was not wished for is left out, so that the upstream's own way stands."""
    before = [("system", system)] if system else []
    return {"messages": [{"role": role, "content": text} for role, text in (*before, *talk)], **wishes}


def _whole(body: bytes) -> tuple[str, UsageLog | None]:
    response = _asked(lambda body, gateway: _call(body, gateway, stream=False), body)
    with closing(response):
        frame = upstream.parsed(response.get_data()) or {}
    choice = (frame.get("choices") or [{}])[0]
    text = str((choice.get("message") or {}).get("content") or "")
    return text, db.session.get(UsageLog, UUID(response.headers[ID_HEADER]))


def _asked(read: Any, body: bytes | None = None) -> Response:
    exchange_id = new_id()
    db.session.rollback()  # no connection is held while an upstream takes its time
    response = serve(read, body=body, exchange_id=exchange_id)
    if response.status_code >= HTTPStatus.BAD_REQUEST:
        with closing(response):
            raise RefusedUpstream(response.status_code, response.get_data())
    response.headers[ID_HEADER] = str(UUID(exchange_id))
    return response


def _call(raw: bytes, gateway: Gateway, *, stream: bool) -> Call:
    most = gateway.settings.default_completion_tokens
    return chats.parse(raw, stream_by_default=stream, default_completion_tokens=most)


def _ours(error: ServiceError | RateLimitExceeded) -> ServiceError:
    db.session.rollback()
    return error if isinstance(error, ServiceError) else TooManyRequests(retry_after=60)


def _said() -> list[str]:
    return request.form.getlist("said")[-_MOST_TURNS:]


def _shown(
    talk: _Talk,
    *,
    words: str = "",
    errors: Errors | None = None,
    said: Refused | None = None,
    line: UsageLog | None = None,
) -> str:
    models = choices(g.person.id)
    asked_for = request.values.get("model", "")
    chosen = next((one for one in models if one.name == asked_for), models[0] if models else None)
    return render_template(
        "screens/playground.html",
        models=models,
        chosen=chosen,
        talk=talk,
        words=words,
        refused=said,
        errors=errors or {},
        filled={name: request.form.get(name, "").strip() for name in Wishes().fields},
        after=after(line) if line is not None and line.state == "closed" else None,
        now=show.now(),
    )
