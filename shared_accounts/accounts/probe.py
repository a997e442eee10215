"""Try a credential before it counts: no account enters the pool unproved, no quota is credited for a typo.

Nothing of an upstream's answer is shown but the names of its models: what lies behind a URL is not for its finder
to read. One question takes at most fifteen seconds, however slowly its answer drips.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from shared_accounts.accounts import contribution, presets
from shared_accounts.errors import Unprocessable
from shared_accounts.outbound.addresses import Target
from shared_accounts.outbound.deadline import Deadline
from shared_accounts.outbound.wire import Unreachable, Wire, request_head

_SECONDS = 15.0
_LONGEST_ANSWER = 4 * 1024 * 1024
_LONGEST_NAME = 200
_MOST_TRIED = 5
_OK = range(200, 300)
_BAD_REQUEST, _UNAUTHORIZED, _FORBIDDEN = 400, 401, 403
_AT_ITS_LIMIT = (402, 429)
_NO_SUCH_MODEL = (400, 404, 422)
_NO_LIST = (403, 404, 405, 501)  # 403: a key may be good for chats alone


class CredentialRefused(Unprocessable):
    """The upstream has answered, and wants nothing to do with this credential."""

    message = "The upstream refuses this credential."
    field = "api_key"


@dataclass(frozen=True, slots=True)
class Proof:
    """What the upstream showed: the models it lists; none if it keeps no list, and each was tried."""

    models: list[str]
    lists_models: bool

    def claimed(self, declared: list[str] | None) -> list[str]:
        """Return the models the account may count for: those declared, if the upstream has them, else all it lists."""
        if declared and self.lists_models and {_plain(name) for name in declared} - set(self.models):
            raise Unprocessable("The upstream does not list every one of these models.", field="models")
        return contribution.unique(declared or self.models)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What came back."""

    status: int
    body: bytes

    @property
    def is_limit(self) -> bool:
        return self.status in _AT_ITS_LIMIT or (self.status == _FORBIDDEN and b"quota" in self.body.lower())

    @property
    def is_refusal(self) -> bool:
        # Gemini calls a wrong key a bad request; and a page that forbids comes from somebody in between.
        if self.status == _FORBIDDEN:
            return not self.is_limit and self.body.lstrip()[:1] != b"<"
        return self.status == _UNAUTHORIZED or (self.status == _BAD_REQUEST and b"API_KEY_INVALID" in self.body)

    @property
    def is_about_a_model(self) -> bool:
        known = self.status in _NO_SUCH_MODEL and self.body.lstrip()[:1] == b"{" and not self.is_refusal
        return known or b"model_not_found" in self.body

    @property
    def keeps_no_list(self) -> bool:
        # OpenAI answers so to a key that was not given the right to read models.
        return self.status in _NO_LIST or b"Missing scopes" in self.body


def prove(wire: Wire, target: Target, credential: str, models: list[str], *, preset: str | None = None) -> Proof:
    """Ask the upstream for its models, or, if it keeps no list, for one token from each declared model.

    Raises `CredentialRefused` when the credential is, and nothing else names `api_key`; else `Unprocessable` naming
    `base_url` when nothing useful answers, `models` when one of them does not. `preset` matters where the host alone
    does not say whose API it is.
    """
    dialect = presets.dialect(target.origin.host, preset)
    asked_by = dialect.headers(credential)
    if dialect.key_path and _ask(wire, target, dialect.key_path, asked_by).is_refusal:
        raise CredentialRefused
    seen = _ask(wire, target, dialect.list_path, asked_by)
    if seen.status in _OK:
        listed = _listed(seen.body)
        if listed or not models:
            return Proof(listed, lists_models=True)
    elif not models or not seen.keeps_no_list:
        raise _refusal(seen)
    _try_each(wire, target, credential, models)
    return Proof([], lists_models=False)


def _try_each(wire: Wire, target: Target, credential: str, models: list[str]) -> None:
    if len(models) > _MOST_TRIED:
        message = f"This upstream keeps no list of models: name at most {_MOST_TRIED}, each will be tried."
        raise Unprocessable(message, field="models")
    for model in models:
        question = {"model": model, "messages": [{"role": "user", "content": "ping"}], "max_tokens": 1}
        seen = _ask(wire, target, "/chat/completions", presets.BEARER.headers(credential), question)
        if seen.status in _OK:
            continue
        if seen.is_about_a_model:
            raise Unprocessable("The upstream does not serve every one of these models.", field="models")
        raise _refusal(seen)


def _refusal(seen: _Seen) -> Unprocessable:
    if seen.is_refusal:
        return CredentialRefused()
    said = f"The upstream answered {seen.status}: no OpenAI-compatible API was found there."
    if seen.is_limit:
        said = f"The upstream answered {seen.status}: this credential is at its limit; try again later."
    elif seen.keeps_no_list:
        said += " If it keeps no list of models, name them."
    return Unprocessable(said, field="base_url")


def _ask(
    wire: Wire, target: Target, path: str, headers: dict[str, str], question: dict[str, Any] | None = None
) -> _Seen:
    method, body = ("GET", b"") if question is None else ("POST", orjson.dumps(question))
    headers = {**headers, "accept": "application/json", "content-length": str(len(body))}
    if body:
        headers["content-type"] = "application/json"
    request = request_head(method, target.origin, target.path + path, headers) + b"\r\n" + body
    with Deadline(_SECONDS) as deadline:
        try:
            answer = wire.exchange(target.origin, request, _SECONDS, hold=deadline.hold)
            seen = _Seen(answer.status, answer.read_all(_LONGEST_ANSWER))
        except Unreachable as error:
            reason = "timed out" if deadline.passed else error.reason
            raise Unprocessable(f"The upstream cannot be reached: {reason}.", field="base_url") from error
    if deadline.passed:  # where a body ends with its connection, cutting it off looks like its end
        raise Unprocessable("The upstream cannot be reached: timed out.", field="base_url")
    return seen


def _listed(body: bytes) -> list[str]:
    try:
        names = [_plain(row["id"]) for row in orjson.loads(body)["data"] or [] if isinstance(row["id"], str)]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise Unprocessable("The upstream's list of models cannot be read.", field="base_url") from None
    return [name for name in names if 0 < len(name) <= _LONGEST_NAME and name.isprintable()]


def _plain(name: str) -> str:
    # Gemini lists "models/gemini-…" and serves "gemini-…".
    return name.removeprefix("models/")
