"""Try a credential before it counts: no account enters the pool unproved, no quota is credited for a typo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from shared_accounts.errors import Unprocessable
from shared_accounts.outbound.addresses import Target
from shared_accounts.outbound.wire import Answer, Unreachable, Wire, request_head

_SECONDS = 15.0
_LONGEST_ANSWER = 4 * 1024 * 1024
_MOST_TRIED = 5
_OK = range(200, 300)
_REFUSED = (401, 403)
_NO_SUCH_ROUTE = (404, 405, 501)


@dataclass(frozen=True, slots=True)
class Proof:
    """What the upstream showed: the models it lists, none if it keeps no list."""

    models: list[str]


def prove(wire: Wire, target: Target, credential: str, models: list[str]) -> Proof:
    """Ask the upstream for its models, or, if it has no such route, for one token from each declared model.

    Raises `Unprocessable` naming `api_key` when the credential is refused, `base_url` when nothing useful
    answers. Nothing of the upstream's answer is shown: what lies behind a URL is not for its finder to read.
    """
    answer, body = _ask(wire, target, credential, "/models")
    if answer.status in _OK:
        return Proof(_listed(body))
    if answer.status in _NO_SUCH_ROUTE and models:
        if len(models) > _MOST_TRIED:
            message = f"This upstream keeps no list of models: name at most {_MOST_TRIED}, each will be tried."
            raise Unprocessable(message, field="models")
        refusal = _first_refusal(wire, target, credential, models)
        if refusal is None:
            return Proof([])
        answer = refusal
    if answer.status in _REFUSED:
        raise Unprocessable("The upstream refuses this credential.", field="api_key")
    raise Unprocessable(
        f"The upstream answered {answer.status}: no OpenAI-compatible API was found there.", field="base_url"
    )


def _first_refusal(wire: Wire, target: Target, credential: str, models: list[str]) -> Answer | None:
    for model in models:
        question = {"model": model, "messages": [{"role": "user", "content": "ping"}], "max_tokens": 1}
        answer, _ = _ask(wire, target, credential, "/chat/completions", question)
        if answer.status not in _OK:
            return answer
    return None


def _ask(
    wire: Wire, target: Target, credential: str, path: str, question: dict[str, Any] | None = None
) -> tuple[Answer, bytes]:
    method, body = ("GET", b"") if question is None else ("POST", orjson.dumps(question))
    headers = {"authorization": f"Bearer {credential}", "accept": "application/json", "content-length": str(len(body))}
    if body:
        headers["content-type"] = "application/json"
    request = request_head(method, target.origin, target.path + path, headers) + b"\r\n" + body
    try:
        answer = wire.exchange(target.origin, request, _SECONDS)
        return answer, answer.read_all(_LONGEST_ANSWER)
    except Unreachable as error:
        raise Unprocessable(f"The upstream cannot be reached: {error.reason}.", field="base_url") from error


def _listed(body: bytes) -> list[str]:
    try:
        rows = orjson.loads(body)["data"]
        # Gemini lists "models/gemini-…" and serves "gemini-…".
        return [row["id"].removeprefix("models/") for row in rows if isinstance(row["id"], str)]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise Unprocessable("The upstream's list of models cannot be read.", field="base_url") from None
