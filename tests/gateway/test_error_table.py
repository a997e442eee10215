"""Every refusal of the gateway, in the words of each client: OpenAI's, Anthropic's and Google's, over real sockets."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from shared_accounts.extensions import db
from tests import factories
from tests.gateway.scene import Reply, Scene, at_once
from tests.upstream import Act, answers, refuses, stalls_before_the_head

TOO_MUCH = b" " * 300_000  # MAX_BODY_BYTES of the server under test


class Dialect(NamedTuple):
    """How a client asks: where, and with what."""

    path: str
    body: dict[str, Any]
    odd: dict[str, Any]
    unknown: str


_NUMBERS = itertools.count(1)
SAID = [{"role": "user", "content": "Hi"}]
DIALECTS = {
    "chat": Dialect("/v1/chat/completions", {"messages": SAID, "max_tokens": 9}, {"messages": 1}, "/v1/nope"),
    "responses": Dialect(
        "/v1/responses", {"input": "Hi", "max_output_tokens": 9}, {"input": 1}, "/v1/responses/nope/nope"
    ),
    "messages": Dialect("/v1/messages", {"messages": SAID, "max_tokens": 9}, {"messages": 1}, "/v1/messages/nope"),
    "gemini": Dialect(
        "/v1beta/models/MODEL:generateContent",
        {"contents": [{"parts": [{"text": "Hi"}]}]},
        {"contents": 1},
        "/v1beta/x",
    ),
}


class Says(NamedTuple):
    """What each of them is told, and whether to come again."""

    status: int
    openai: tuple[str, str | None]
    anthropic: str
    google: str
    retry: bool = False
    names_a_time: bool = False


INVALID = "invalid_request_error"
BAD = Says(400, (INVALID, None), INVALID, "INVALID_ARGUMENT")
WHO = Says(401, (INVALID, "invalid_api_key"), "authentication_error", "UNAUTHENTICATED")
MAY_NOT = Says(403, ("permission_error", None), "permission_error", "PERMISSION_DENIED")
NO_MODEL = Says(404, (INVALID, "model_not_found"), "not_found_error", "NOT_FOUND")
NO_ROUTE = Says(404, (INVALID, None), "not_found_error", "NOT_FOUND")
TOO_LARGE = Says(413, (INVALID, None), "request_too_large", "INVALID_ARGUMENT")
NO_QUOTA = Says(
    429,
    ("insufficient_quota", "insufficient_quota"),
    "rate_limit_error",
    "RESOURCE_EXHAUSTED",
    names_a_time=True,
)
TOO_FAST = Says(429, ("rate_limit_error", "rate_limit_exceeded"), "rate_limit_error", "RESOURCE_EXHAUSTED", True, True)
LIMITED = Says(429, ("rate_limit_error", "upstream_limited"), "rate_limit_error", "RESOURCE_EXHAUSTED", True, True)
BROKEN = Says(502, ("server_error", "upstream_error"), "api_error", "UNAVAILABLE", True, True)
NOBODY = Says(503, ("server_error", "no_account_available"), "overloaded_error", "UNAVAILABLE", True, True)


class Stage:
    """A scene in which each dialect has a model and an account of the caller's own."""

    def __init__(self, scene: Scene, upstream: Callable[..., Any]) -> None:
        self.scene = scene
        self.upstream = upstream

    def ask(self, name: str, act: Act | None = None, **how: Any) -> Reply:
        """Send what a client of this dialect sends."""
        dialect = DIALECTS[name]
        model = f"{self.scene.model}-{name}"
        account = how.pop("account", {"owner": self.scene.user})
        if account is not None:
            self.scene.account(self.upstream(act or answers()), models=[model], preset="gemini", **account)
        body = {"model": model, **dialect.body, **how.pop("fields", {})}
        path = how.pop("path", dialect.path).replace("MODEL", body.pop("model") if name == "gemini" else model)
        raw = how.pop("raw", json.dumps(body).encode())
        return self.scene.ask(path=path, raw=raw + how.pop("more", b""), **how)

    def key(self, *, state: str = "active", **terms: Any) -> str:
        """The key of somebody else, with these terms."""
        user = factories.user(username=f"{self.scene.model}-{next(_NUMBERS)}", state=state)
        row, secret = factories.api_key(user)
        for name, value in terms.items():
            setattr(row, name, value)
        db.session.commit()
        return secret

    def tired_key(self) -> str:
        """A key that has asked for all it may in this minute."""
        key = self.key(requests_per_minute=1)
        self.scene.ask(key=key)
        return key


def nobody_ready(stage: Stage, name: str) -> Reply:
    stage.ask(name, refuses(429, retry_after=60))
    return stage.ask(name, account=None)


SITUATIONS: dict[str, tuple[Says, Callable[[Stage, str], Reply]]] = {
    "no JSON": (BAD, lambda stage, name: stage.ask(name, raw=b"{")),
    "a field that cannot be used": (BAD, lambda stage, name: stage.ask(name, fields=DIALECTS[name].odd)),
    "no key": (WHO, lambda stage, name: stage.ask(name, headers={})),
    "an unknown key": (WHO, lambda stage, name: stage.ask(name, key="sk-" + "x" * 64)),
    "a key that is switched off": (WHO, lambda stage, name: stage.ask(name, key=stage.key(is_active=False))),
    "a disabled user": (MAY_NOT, lambda stage, name: stage.ask(name, key=stage.key(state="disabled"))),
    "a silenced user": (MAY_NOT, lambda stage, name: stage.ask(name, key=stage.key(state="silenced"))),
    "a model the key may not use": (MAY_NOT, lambda stage, name: stage.ask(name, key=stage.key(models=["other"]))),
    "a model nobody has": (NO_MODEL, lambda stage, name: stage.ask(name, fields={"model": "nobody-has-it"})),
    "no such route": (NO_ROUTE, lambda stage, name: stage.ask(name, path=DIALECTS[name].unknown)),
    "too large": (TOO_LARGE, lambda stage, name: stage.ask(name, more=TOO_MUCH)),
    "no quota": (NO_QUOTA, lambda stage, name: stage.ask(name, account={}, key=stage.key())),
    "too fast": (TOO_FAST, lambda stage, name: stage.ask(name, key=stage.tired_key())),
    "an upstream at its limit": (LIMITED, lambda stage, name: stage.ask(name, refuses(429, retry_after=7))),
    "an upstream that fails": (BROKEN, lambda stage, name: stage.ask(name, refuses(500))),
    "nobody ready": (NOBODY, nobody_ready),
}


@pytest.fixture
def stage(scene, upstream):
    return Stage(scene, upstream)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_client_is_told_in_its_own_words(stage, situation):
    expected, provoke = SITUATIONS[situation]

    for name in DIALECTS:
        assert_told(provoke(stage, name), name, expected)


def test_an_upstream_that_takes_too_long_is_told_in_the_clients_words(stage):
    expected = Says(504, ("server_error", "upstream_error"), "timeout_error", "DEADLINE_EXCEEDED", True, True)
    scene = stage.scene
    for name in DIALECTS:
        stage.scene.account(
            stage.upstream(stalls_before_the_head),
            models=[f"{scene.model}-{name}"],
            preset="gemini",
            owner=scene.user,
        )

    replies = at_once(*[lambda name=name: stage.ask(name, account=None) for name in DIALECTS])

    for name, reply in zip(DIALECTS, replies, strict=True):
        assert_told(reply, name, expected)


def assert_told(reply: Reply, name: str, expected: Says) -> None:
    """A refusal in a dialect, with all that its clients read."""
    assert reply.status == expected.status, (name, reply.body)
    assert reply.headers["content-type"] == "application/json"
    assert re.fullmatch(r"[0-9a-f]{32}", reply.headers["x-request-id"])
    assert reply.headers["openai-processing-ms"].isdigit()
    assert reply.headers["x-should-retry"] == str(expected.retry).lower()
    assert ("retry-after" in reply.headers) is expected.names_a_time
    assert ("www-authenticate" in reply.headers) is (expected.status == 401)
    assert reply.headers["access-control-allow-origin"] == "*"
    told = reply.error
    assert told["message"]
    if name == "gemini":
        assert (told["code"], told["status"]) == (expected.status, expected.google)
    elif name == "messages":
        assert (reply.json["type"], told["type"]) == ("error", expected.anthropic)
        assert reply.json["request_id"] == reply.headers["request-id"] == reply.headers["x-request-id"]
    else:
        assert (told["type"], told["code"]) == expected.openai
        assert {"message", "type", "param", "code"} <= told.keys()
