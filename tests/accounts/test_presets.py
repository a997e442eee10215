from urllib.parse import urlsplit

import pytest
from marshmallow import ValidationError

from shared_accounts.accounts import presets
from shared_accounts.accounts.schemas import NewAccount
from shared_accounts.outbound.addresses import Guard
from tests import factories
from tests.accounts.test_probe import lists
from tests.conftest import rows
from tests.upstream import Upstream

URLS = {
    "openai": "https://api.openai.com/v1",
    "gemini": "https://generativelanguage.googleapis.com/v1beta/openai",
    "anthropic": "https://api.anthropic.com/v1",
    "deepseek": "https://api.deepseek.com/v1",
    "qwen": "https://dashscope.aliyuncs.com/compatible-mode/v1",
    "moonshot": "https://api.moonshot.cn/v1",
    "mistral": "https://api.mistral.ai/v1",
    "groq": "https://api.groq.com/openai/v1",
    "openrouter": "https://openrouter.ai/api/v1",
    "ollama": "http://localhost:11434/v1",
    "vllm": "http://localhost:8000/v1",
    "custom": None,
}


def test_the_presets_are_listed_for_whoever_is_signed_in(member, client):
    listed = member.get("/api/accounts/presets").json

    assert {one["id"]: one["base_url"] for one in listed} == URLS
    assert {one["id"] for one in listed if not one["needs_key"]} == {"ollama", "vllm"}
    assert all(one["name"] and one["key_hint"] for one in listed)
    assert client.get("/api/accounts/presets").status_code == 401


@pytest.mark.parametrize("preset", presets.ALL, ids=lambda preset: preset.id)
def test_a_preset_can_be_used_as_it_stands(preset):
    if preset.base_url:
        Guard(["localhost"]).parse(preset.base_url)
    for page in filter(None, (preset.key_page, preset.terms_page)):
        assert urlsplit(page).scheme == "https"
    assert bool(preset.key_page) is (preset.needs_key and preset.id != "custom")


@pytest.mark.parametrize("preset", [preset for preset in presets.ALL if preset.base_url], ids=lambda preset: preset.id)
def test_a_preset_fills_in_what_is_left_out_and_nothing_else(preset):
    least = {"name": "Mine", "sharing": "dedicated", "preset": preset.id, "api_key": "k"}

    assert NewAccount().load(least)["base_url"] == preset.base_url
    assert NewAccount().load({**least, "base_url": "https://example.com/v1"})["base_url"] == "https://example.com/v1"
    assert NewAccount().load(least)["api_key"] == "k"


@pytest.mark.parametrize(
    ("left_out", "fields"),
    [
        ({}, {"base_url", "api_key"}),
        ({"api_key": "k"}, {"base_url"}),
        ({"preset": "custom", "api_key": "k"}, {"base_url"}),
        ({"preset": "openai"}, {"api_key"}),
        ({"preset": "acme"}, {"preset", "base_url", "api_key"}),
        ({"preset": ["openai"], "api_key": "k"}, {"preset", "base_url"}),
        ({"preset": {"openai": 1}, "api_key": "k"}, {"preset", "base_url"}),
        ({"preset": None, "api_key": "k"}, {"preset", "base_url"}),
        ({"preset": "openai", "base_url": None, "api_key": "k"}, {"base_url"}),
        ({"preset": "ollama", "api_key": ""}, {"api_key"}),
    ],
)
def test_what_neither_preset_nor_contributor_says_is_named(member, left_out, fields):
    answer = member.post("/api/accounts", json={"name": "Mine", "sharing": "dedicated", **left_out})

    assert answer.status_code == 422
    assert set(answer.json["errors"]["json"]) == fields
    assert answer.json["errors"]["json"].get("base_url") in (
        None,
        ["Missing data for required field."],
        ["Field may not be null."],
    )


@pytest.mark.parametrize("body", [["a"], "text", 7])
def test_what_is_no_account_is_refused_as_such(body):
    with pytest.raises(ValidationError) as refused:
        NewAccount().load(body)

    assert list(refused.value.messages) == ["_schema"]


def test_the_preset_is_remembered_and_shown(member, offer):
    made = member.post("/api/accounts", json={**offer, "preset": "openai"})

    assert (made.status_code, made.json["preset"]) == (201, "openai")
    assert member.get(f"/api/accounts/{made.json['id']}").json["preset"] == "openai"
    assert member.get("/api/accounts").json[0]["base_url"] == offer["base_url"]


def test_an_account_without_preset_shows_none(member, offer):
    assert member.post("/api/accounts", json=offer).json["preset"] is None


def test_where_no_key_is_needed_a_placeholder_is_stored_and_sent(member, offer, upstream, app):
    del offer["api_key"]

    made = member.post("/api/accounts", json={**offer, "preset": "ollama"})

    assert made.status_code == 201
    (row,) = rows("accounts")
    sealed = bytes(row["sealed_credential"])
    assert app.extensions["vault"].unseal(sealed, purpose=f"account:{row['id']}") == presets.PLACEHOLDER
    assert upstream.asked[0][2]["authorization"] == f"Bearer {presets.PLACEHOLDER}"


def test_an_upstream_without_keys_counts_once_per_host(sign_in, offer):
    del offer["api_key"]
    first, second = sign_in(factories.user()), sign_in(factories.user())

    assert first.post("/api/accounts", json={**offer, "preset": "ollama"}).status_code == 201
    assert second.post("/api/accounts", json={**offer, "preset": "vllm"}).status_code == 409


def test_a_local_upstream_needs_the_operators_leave(member):
    answer = member.post("/api/accounts", json={"name": "Mine", "sharing": "dedicated", "preset": "ollama"})

    assert (answer.status_code, list(answer.json["errors"]["json"])) == (422, ["base_url"])


def test_what_the_upstream_lists_is_told_beside_what_was_claimed(member, offer, upstream):
    made = member.post("/api/accounts", json=offer).json

    assert (made["models"], made["discovered_models"]) == (["m"], upstream.models)
    assert "discovered_models" not in member.get(f"/api/accounts/{made['id']}").json


@pytest.mark.parametrize(
    ("host", "preset", "path", "header"),
    [
        ("api.anthropic.com", None, "/models?limit=1000", "x-api-key"),
        ("API.Anthropic.com", "openai", "/models?limit=1000", "x-api-key"),
        ("proxy.example.com", "anthropic", "/models?limit=1000", "x-api-key"),
        ("api.openai.com", "anthropic", "/models", "authorization"),
        ("api.anthropic.com.example.com", None, "/models", "authorization"),
        ("localhost", None, "/models", "authorization"),
        ("localhost", "nonsense", "/models", "authorization"),
    ],
)
def test_the_host_decides_how_an_upstream_is_asked_and_else_the_preset(host, preset, path, header):
    dialect = presets.dialect(host, preset)

    assert dialect.list_path == path
    assert header in dialect.headers("k")


def test_what_is_claimed_later_is_proved_in_the_upstreams_way(member, offer, app):
    party = Upstream(lists("m", "n"))
    made = member.post("/api/accounts", json={**offer, "base_url": party.url, "preset": "anthropic"})

    changed = member.patch(f"/api/accounts/{made.json['id']}", json={"models": ["m", "n"]})
    app.extensions["wire"].sweep()
    party.stop()

    assert (made.status_code, changed.status_code) == (201, 200)
    assert [one.header("x-api-key") for one in party.requests] == [offer["api_key"]] * 2
