"""Web pages may call: the gateway from anywhere and without credentials of the browser's, `/api` from listed origins."""

from __future__ import annotations

import pytest

from shared_accounts.config import ConfigurationError, load
from shared_accounts.extensions import db
from tests import factories
from tests.gateway.scene import CHAT
from tests.upstream import answers, refuses, streams

PAGE = "https://page.example"
LISTED = ("https://app.example", "http://localhost:3000")
EXPOSED = {
    "x-request-id",
    "request-id",
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
    "openai-processing-ms",
    "openai-version",
    *(f"x-ratelimit-{figure}-{what}" for figure in ("limit", "remaining", "reset") for what in ("requests", "tokens")),
}
SENT_BY_SDKS = (
    "authorization,content-type,x-api-key,api-key,anthropic-version,anthropic-beta,openai-organization,"
    "openai-project,idempotency-key,x-stainless-arch,x-stainless-retry-count"
)


def names(value):
    return {name.strip().lower() for name in (value or "").split(",") if name.strip()}


def assert_a_page_may_read(headers):
    assert headers["access-control-allow-origin"] == "*"
    assert names(headers["access-control-expose-headers"]) == EXPOSED
    assert "access-control-allow-credentials" not in headers


def preflight(client, path, *, origin=PAGE, method="POST", asked=SENT_BY_SDKS):
    headers = {"Origin": origin, "Access-Control-Request-Method": method}
    return client.options(path, headers=headers | ({"Access-Control-Request-Headers": asked} if asked else {}))


@pytest.mark.parametrize("path", [CHAT, "/v1/models", "/v1/messages", "/v1", "/v1/nope", "/v1beta/models/m:generate"])
def test_a_browser_that_asks_first_hears_yes_before_anybody_asks_who_it_is(client, path):
    answer = preflight(client, path)

    assert (answer.status_code, answer.data) == (204, b"")
    assert_a_page_may_read(answer.headers)
    assert names(answer.headers["access-control-allow-headers"]) == names(SENT_BY_SDKS)
    assert {"get", "post", "options"} <= names(answer.headers["access-control-allow-methods"])
    assert answer.headers["access-control-max-age"] == "7200"
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("asked", "allowed"),
    [
        ("authorization", {"authorization"}),
        ("X-Custom , authorization", {"x-custom", "authorization"}),
        ("authorization, bad name, x;y, (z), a\tb, ä", {"authorization"}),
        ("x" * 200 + ", authorization", {"authorization"}),
        (", ".join(f"x-{number}" for number in range(100)), {f"x-{number}" for number in range(64)}),
    ],
)
def test_only_what_is_the_name_of_a_header_is_echoed(client, asked, allowed):
    assert names(preflight(client, CHAT, asked=asked).headers["access-control-allow-headers"]) == allowed


@pytest.mark.parametrize("asked", ["", ",,", "not a name"])
def test_who_names_no_header_hears_the_usual_ones_authorization_by_name(client, asked):
    allowed = names(preflight(client, CHAT, asked=asked).headers["access-control-allow-headers"])

    assert {"authorization", "content-type", "x-api-key", "anthropic-version", "idempotency-key"} <= allowed
    assert "*" not in allowed


def test_a_question_about_methods_that_is_no_browsers_is_answered_as_ever(client):
    answer = client.options(CHAT)

    assert answer.status_code == 200
    assert names(answer.headers["allow"]) == {"post", "options"}
    assert_a_page_may_read(answer.headers)


def test_a_preflight_opens_nothing_over_the_wire(scene, upstream):
    server = upstream(answers())
    scene.account(server)

    reply = scene.ask(method="OPTIONS", raw=b"", headers={"Origin": PAGE, "Access-Control-Request-Method": "POST"})

    assert (reply.status, reply.body) == (204, b"")
    assert (scene.lines(), server.requests) == ([], [])


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_can_be_read_by_a_page(scene, upstream, stream):
    scene.account(upstream(streams("a") if stream else answers()))

    reply = scene.ask(headers=scene.headers(Origin=PAGE), stream=stream)

    assert reply.status == 200
    assert_a_page_may_read(reply.headers)


def test_every_refusal_can_be_read_by_a_page(scene, upstream):
    scene.account(upstream(refuses(400), refuses(500)))
    poor, key = scene.somebody()
    factories.quota_pool(poor, balance=0, model_group=scene.model)
    db.session.rollback()

    replies = {
        401: scene.ask(headers={"Origin": PAGE}),
        404: scene.ask(path="/v1/nope"),
        405: scene.ask(method="PUT"),
        413: scene.ask(raw=b"x" * 300_001),
        400: scene.ask(),
        429: scene.ask(key=key),
        502: scene.ask(),
    }

    assert {status: reply.status for status, reply in replies.items()} == {status: status for status in replies}
    for reply in replies.values():
        assert_a_page_may_read(reply.headers)


def test_no_page_may_call_the_management_unless_it_is_listed(client):
    answer = client.get("/api/health", headers={"Origin": PAGE})
    asked = preflight(client, "/api/auth/login")

    for one in (answer, asked):
        assert not [name for name, _ in one.headers if name.lower().startswith("access-control")]
    assert "vary" not in answer.headers


@pytest.mark.parametrize("origin", LISTED)
def test_a_listed_page_may_call_the_management_with_credentials(client, with_settings, origin):
    with with_settings(cors_origins=LISTED):
        asked = preflight(client, "/api/auth/me", origin=origin, method="GET", asked="authorization")
        refused = client.get("/api/auth/me", headers={"Origin": origin})

    assert asked.status_code == 204
    assert names(asked.headers["access-control-allow-headers"]) == {"authorization"}
    assert refused.status_code == 401
    for one in (asked, refused):
        assert one.headers["access-control-allow-origin"] == origin
        assert one.headers["access-control-allow-credentials"] == "true"
        assert names(one.headers["access-control-expose-headers"]) == {"x-pagination", "x-request-id", "retry-after"}
        assert "origin" in names(one.headers["vary"])


@pytest.mark.parametrize("origin", [PAGE, "null", "https://app.example.evil", "https://app.example:444", "", "*"])
def test_no_other_page_may(client, with_settings, origin):
    with with_settings(cors_origins=LISTED):
        asked = preflight(client, "/api/auth/me", origin=origin)
        refused = client.get("/api/auth/me", headers={"Origin": origin})

    for one in (asked, refused):
        assert not [name for name, _ in one.headers if name.lower().startswith("access-control")]
        assert "origin" in names(one.headers["vary"])  # or a cache would give one page another's answer


def test_the_plug_ins_chat_belongs_to_the_management(client, with_settings):
    with with_settings(cors_origins=LISTED):
        answer = client.post("/api/plugin-api/chat/completions", headers={"Origin": LISTED[0]})

    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == LISTED[0]


def test_the_list_is_of_origins_as_browsers_write_them(environment):
    settings = load({**environment, "CORS_ORIGINS": "https://App.example, http://localhost:3000"})

    assert settings.cors_origins == LISTED
    assert load(environment).cors_origins == ()


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "null",
        "app.example",
        "ftp://app.example",
        "https://*.example",
        "https://app.example/",
        "https://app.example/path",
        "https://app.example:443",
        "http://app.example:80",
        "https://app.example:port",
        "https://me@app.example",
        "https://app.example?x",
        "https://app.example, https://app.example/",
    ],
)
def test_what_is_no_origin_is_refused_at_the_start(environment, origin):
    with pytest.raises(ConfigurationError, match="CORS_ORIGINS"):
        load({**environment, "CORS_ORIGINS": origin})
