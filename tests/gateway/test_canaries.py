"""What is secret travels through every door, and then stands nowhere: no log, no table, no Redis key, no metric.

Everything logs as much as it can. Each secret is looked for as it is, and as the bytes of a column would show it.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest
import redis
import requests
from sqlalchemy import text

from shared_accounts.extensions import db
from tests import factories
from tests.accounts.oauth_server import OAuthServer
from tests.auth.idp import CLIENT_ID, CLIENT_SECRET, Idp
from tests.conftest import ROOT
from tests.gateway.scene import Scene, wait_until
from tests.gateway.server import Server
from tests.upstream import USAGE, answers, breaks, chunk, event, plays, refuses, says, usage_chunk

PROMPT, ANSWER, WRONG = "zqxprompt-5e1f", "zqxanswer-77ab", "zqxwrong-90cd"
KEEPER, PASSWORD = "keeper of canaries", "zqxpassword-3d3d correct horse"
UPSTREAM_KEY, UPSTREAM_WORDS = "sk-zqxupstream-8d2e41c09b7f", "zqxrefusal-41ff"
MADE_UP_KEY = "sk-" + "zqxmadeup" * 7 + "Z"
PROVIDERS_SECRET = "zqxclient-secret-6b0a"
METRICS_TOKEN = "zqxmetrics-0q8fJ2mWc5Ls7RyTz4Kd1Pb9Hg6Nf"


class Place(NamedTuple):
    """A web server and a worker that tell all they may, providers of people and of accounts, and what they write to."""

    server: Server
    worker_log: Any
    idp: Idp
    provider: OAuthServer
    redis_url: str
    environment: dict[str, str]


@pytest.fixture
def place(start_servers, gateway_environment, redis_server, tmp_path) -> Iterator[Place]:
    idp = Idp()
    idp.tokens = {"access_token": "at-1", "refresh_token": "zqxproviders-refresh"}
    provider = OAuthServer()
    offer = {"id": "acme", "name": "Acme", "client_id": "canary", "client_secret": PROVIDERS_SECRET}
    at = {"authorization_endpoint": "/authorize", "token_endpoint": "/token", "base_url": "/v1"}
    client = {"id": "idp", "issuer": idp.origin, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    loud = {
        "LOG_LEVEL": "DEBUG",
        "REDIS_URL": redis_server.url(7),
        "OIDC_PROVIDERS": json.dumps([client]),
        "UPSTREAM_OAUTH_PROVIDERS": json.dumps([offer | {name: provider.origin + path for name, path in at.items()}]),
        "METRICS_TOKEN": METRICS_TOKEN,
    }
    environment = {**gateway_environment, **loud}
    command = [sys.executable, "-m", "celery", "-A", "celery_worker", "worker", "--concurrency", "1", "-l", "DEBUG"]
    log = tmp_path / "worker.log"
    with log.open("wb") as output:
        worker = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
        yield Place(start_servers(**loud), log, idp, provider, redis_server.url(7), environment)
    finally:
        worker.terminate()
        worker.wait(30)
        idp.stop()
        provider.stop()


def signs_in(place: Place, username: str) -> dict[str, str]:
    """Come in by a password, a refresh and a provider; returns every secret that changed hands."""
    url, session = f"{place.server.url}/api/auth", requests.Session()
    assert session.post(f"{url}/login", json={"username": username, "password": WRONG}).status_code == 401
    first = session.post(f"{url}/login", json={"username": username, "password": PASSWORD}).json()
    second = session.post(f"{url}/refresh", json={"refresh_token": first["refresh_token"]}).json()
    brought = place.idp.authorize(session.get(f"{url}/oidc/idp/login", timeout=30).json()["authorization_url"])
    third = session.get(f"{url}/oidc/idp/callback", params=brought, timeout=30).json()
    issued = {
        f"{kind} {number}": one[kind]
        for number, one in enumerate((first, second, third))
        for kind in ("access_token", "refresh_token")
    }
    assert len(set(issued.values())) == len(issued)
    sent = {"wrong password": WRONG, "password": PASSWORD, "client secret": CLIENT_SECRET}
    return {**issued, **sent, "code": brought["code"], "state": brought["state"]}


def contributes(place: Place, scene: Scene, token: str, upstream: Any) -> None:
    upstream.plays(says(json.dumps({"object": "list", "data": [{"id": scene.model}]}).encode()))
    body = {"name": "Canary", "sharing": "dedicated", "base_url": upstream.url, "api_key": UPSTREAM_KEY}
    made = _post(place, "/api/accounts", token, {**body, "models": [scene.model]})
    assert made.status_code == 201, made.text


def consents(place: Place, token: str) -> dict[str, str]:
    """Contribute an account by consent; returns every secret that changed hands."""
    begun = _post(place, "/api/accounts/oauth/authorize", token, {"provider": "acme", "sharing": "dedicated"}).json()
    address = place.provider.consent(begun["authorization_url"])
    made = _post(place, "/api/accounts/oauth/callback", token, {"callback_url": address})
    assert made.status_code == 201, made.text
    brought = {
        name: values[0] for name, values in parse_qs(urlsplit(address).query).items() if name in {"code", "state"}
    }
    [access], [refresh] = place.provider.accepted, place.provider.consents
    told = {"verifier": place.provider.forms[0]["code_verifier"], "access token": access, "refresh token": refresh}
    return {f"provider's {name}": value for name, value in {**brought, **told, "secret": PROVIDERS_SECRET}.items()}


def makes_a_key(place: Place, token: str) -> str:
    made = _post(place, "/api/api-keys", token, {"name": "canary"})
    assert made.status_code == 201, made.text
    return str(made.json()["key"])


def _post(place: Place, path: str, credential: str, body: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {credential}"}
    return requests.post(f"{place.server.url}{path}?q={WRONG}", json=body, headers=headers, timeout=60)


def asks(place: Place, scene: Scene, upstream: Any, key: str) -> list[int]:
    """Ask in every way there is, and have it go well, badly, and half-way; returns the statuses."""
    messages = [{"role": "user", "content": f"Say nothing of {PROMPT}."}]
    chat = {"model": scene.model, "messages": messages, "max_tokens": 50}
    loud = loudly_refuses()
    half = plays([event(chunk({"content": ANSWER})), 0.3, event(json.dumps({"error": {"message": PROMPT}}).encode())])
    spoken = answers(ANSWER)
    turns = [
        (spoken, "/v1/chat/completions", chat),
        (spoken, "/v1/chat/completions", {**chat, "stream": True}),
        (spoken, "/api/plugin-api/chat/completions", chat),
        (spoken, "/v1/messages", chat),
        (spoken, "/v1/messages", {**chat, "stream": True}),
        (spoken, "/v1/responses", {"model": scene.model, "input": PROMPT, "stream": True}),
        (loud, "/v1/chat/completions", chat),
        (half, "/v1/chat/completions", {**chat, "stream": True}),
        (breaks(2), "/v1/chat/completions", {**chat, "stream": True}),
        (
            plays([event(usage_chunk(USAGE)), b"data: " + PROMPT.encode() + b"\n\n"]),
            "/v1/chat/completions",
            {**chat, "stream": True},
        ),
        (spoken, "/v1/chat/completions", {**chat, "messages": PROMPT}),
        (spoken, "/v1/chat/completions", {**chat, "model": PROMPT}),
        (refuses(503, UPSTREAM_WORDS), "/v1/chat/completions", chat),
    ]
    statuses = []
    for act, path, body in turns:
        upstream.plays(act)
        statuses.append(_post(place, path, key, body).status_code)
    statuses.append(_post(place, "/v1/chat/completions", MADE_UP_KEY, chat).status_code)
    return statuses


def asks_elsewhere(place: Place, upstream: Any, key: str) -> set[int]:
    """Ask at every other door, with the key in every header that may carry it; well, and as an upstream refuses."""
    asked = {"role": "user", "content": PROMPT}
    doors = {
        "/v1/completions": {"prompt": PROMPT},
        "/v1/embeddings": {"input": [PROMPT]},
        "/v1/moderations": {"input": PROMPT},
        "/v1/rerank": {"query": PROMPT, "documents": [PROMPT]},
        "/v1/images/generations": {"prompt": PROMPT},
        "/v1/audio/speech": {"input": PROMPT, "voice": PROMPT},
        "/v1/messages": {"messages": [asked], "max_tokens": 9, "system": PROMPT, "metadata": {"user_id": PROMPT}},
        "/v1/messages/count_tokens": {"messages": [asked]},
        "/v1/responses": {"input": PROMPT, "instructions": PROMPT, "user": PROMPT},
        "/v1beta/models/canary-model:generateContent": {"contents": [{"parts": [{"text": PROMPT}]}]},
        "/v1beta/models/canary-model:streamGenerateContent?alt=sse": {"contents": [{"parts": [{"text": PROMPT}]}]},
    }
    headers = itertools.cycle([{"x-api-key": key}, {"api-key": key}, {"Authorization": f"Bearer {key}"}])
    statuses = set()
    for act in (says(json.dumps({"text": ANSWER}).encode()), loudly_refuses(), refuses(503, UPSTREAM_WORDS)):
        upstream.plays(act)
        for path, body in doors.items():
            sent = {"x-goog-api-key": key} if "/v1beta/" in path else next(headers)
            sent |= {"Idempotency-Key": f"{WRONG}-{len(path)}-{id(act)}", "User-Agent": "tests"}
            url = f"{place.server.url}{path}"
            statuses.add(
                requests.post(url, json={"model": "canary-model", **body}, headers=sent, timeout=60).status_code
            )
        form = {"model": "canary-model", "prompt": PROMPT}
        files = {"file": (f"{PROMPT}.wav", PROMPT.encode())}
        url, sent = f"{place.server.url}/v1/audio/transcriptions", {"api-key": key}
        statuses.add(requests.post(url, data=form, files=files, headers=sent, timeout=60).status_code)
    return statuses


def loudly_refuses() -> Any:
    """A refusal that says aloud whatever it was sent."""
    return refuses(400, f"{UPSTREAM_WORDS}: {PROMPT} {UPSTREAM_KEY}", code=UPSTREAM_WORDS)


def speaks_natively(scene: Scene, upstream: Any, owner: Any, preset: str) -> Any:
    """Give somebody an account whose upstream speaks another dialect."""
    base_url = upstream.url.replace("/v1", "/v1beta/openai") if preset == "gemini" else upstream.url
    secret = f"{UPSTREAM_KEY}-{preset}"
    return scene.account(upstream, owner=owner, sharing="dedicated", preset=preset, base_url=base_url, secret=secret)


def the_worker_works(place: Place) -> None:
    """Have the worker look at accounts and tables, loudly."""
    for task in ("probe_accounts", "prove_ledger"):
        command = [sys.executable, "-m", "celery", "-A", "celery_worker", "call", f"shared_accounts.{task}"]
        subprocess.run(command, cwd=ROOT, env=place.environment, check=True, capture_output=True, timeout=60)
    wait_until(lambda: "ledger proved" in place.worker_log.read_text(), "the worker does not work", 60)


def tables() -> str:
    """Every column of every row of every table, as text."""
    db.session.rollback()
    found = db.session.scalars(text("select tablename from pg_tables where schemaname = 'public'")).all()
    whole = [db.session.scalar(text(f'select string_agg(t::text, chr(10)) from "{name}" t')) for name in found]
    db.session.rollback()
    return "\n".join(filter(None, whole))


def all_of_redis(url: str) -> str:
    """Every key and every value."""
    with redis.Redis.from_url(url) as connection:
        reads = {
            b"string": connection.get,
            b"hash": connection.hgetall,
            b"set": connection.smembers,
            b"list": lambda key: connection.lrange(key, 0, -1),
            b"zset": lambda key: connection.zrange(key, 0, -1),
        }
        return "\n".join(f"{key!r} {reads[connection.type(key)](key)!r}" for key in connection.scan_iter())


@pytest.mark.timeout(300)
def test_what_is_secret_stands_nowhere_afterwards(database, place, upstream):
    keeper = factories.user(username=KEEPER, password=PASSWORD)
    scene, there = Scene(place.server, "canary-model"), upstream(answers(ANSWER))

    secrets = signs_in(place, KEEPER)
    contributes(place, scene, secrets["access_token 1"], there)
    secrets |= consents(place, secrets["access_token 1"])
    secrets |= {"key": makes_a_key(place, secrets["access_token 1"]), "made-up key": MADE_UP_KEY}
    statuses = asks(place, scene, there, secrets["key"])
    for preset in ("openai", "anthropic", "gemini"):
        account = speaks_natively(scene, there, keeper, preset)
        assert asks_elsewhere(place, there, secrets["key"]) >= {200, 400, 502}, preset
        scene.change("accounts", account.id, state="paused")
    the_worker_works(place)
    shown = requests.get(
        f"{place.server.url}/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"}, timeout=10
    )

    assert statuses == [200] * 6 + [400, 200, 200, 200, 400, 404, 502, 401]
    assert UPSTREAM_KEY in {(request.header("authorization") or "").partition(" ")[2] for request in there.requests}
    assert place.idp.asked("/token")
    secrets |= {"prompt": PROMPT, "answer": ANSWER, "refusal": UPSTREAM_WORDS, "upstream key": UPSTREAM_KEY}
    secrets |= {"provider's token": "zqxproviders-refresh", "metrics token": METRICS_TOKEN}
    places = {
        "web log": (place.server.output(), "exchange closed"),
        "worker log": (place.worker_log.read_text(), "ledger proved"),
        "tables": (tables(), KEEPER),
        "redis": (all_of_redis(place.redis_url), "limit"),
        "metrics": (shown.text, "shared_accounts_exchanges_total"),
    }
    for name, (written, witness) in places.items():
        assert witness in written, name
    assert [
        f"{secret} in {name}"
        for name, (written, _) in places.items()
        for secret, value in secrets.items()
        if value in written or value.encode().hex() in written
    ] == []
