"""How providers of accounts are spelt in the environment."""

from __future__ import annotations

import json

import pytest

from shared_accounts.config import ConfigurationError, load
from shared_accounts.setting_values import UpstreamOAuth

LEAST = {
    "id": "acme",
    "name": "Acme AI",
    "authorization_endpoint": "https://id.acme.test/authorize",
    "token_endpoint": "https://id.acme.test/token",
    "client_id": "ours",
    "base_url": "https://api.acme.test/v1",
}
MORE = {
    "client_secret": "hush",
    "token_auth": "client_secret_post",
    "scope": "openid chat",
    "redirect_uri": "http://localhost:4711/back/",
    "models": ["a", "b"],
    "extra": {"access_type": "offline"},
}


def read(environment, *providers):
    return load({**environment, "UPSTREAM_OAUTH_PROVIDERS": json.dumps(providers)}).upstream_oauth_providers


def test_without_any_there_are_none(environment):
    assert load(environment).upstream_oauth_providers == ()


def test_the_least_is_a_public_client_whose_way_back_is_ours(environment):
    (found,) = read(environment, LEAST)

    assert found == UpstreamOAuth(**LEAST)
    assert (found.client_secret, found.redirect_uri, found.models, found.extra) == ("", "", (), ())


def test_everything_can_be_said_and_nothing_is_altered(environment):
    (found,) = read(environment, {**LEAST, **MORE})

    said = {**LEAST, **MORE, "models": ("a", "b"), "extra": (("access_type", "offline"),)}
    assert found == UpstreamOAuth(**said)


def test_a_provider_on_this_machine_needs_no_tls(environment):
    here = dict.fromkeys(("authorization_endpoint", "token_endpoint", "base_url"), "http://localhost:1/x")

    assert read(environment, {**LEAST, **here})


WRONG = {
    "no list": "{}",
    "no JSON": "acme",
    "no objects": '["acme"]',
    "twice the same id": json.dumps([LEAST, LEAST]),
    **{f"no {name}": json.dumps([{k: v for k, v in LEAST.items() if k != name}]) for name in LEAST},
    **{
        f"{name} {value!r}": json.dumps([{**LEAST, name: value}])
        for name, value in [
            ("id", "Acme"),
            ("id", ""),
            ("id", 5),
            ("name", " "),
            ("client_id", ""),
            ("client_id", None),
            ("client_secret", 5),
            ("token_auth", "private_key_jwt"),
            ("token_endpoint", "http://id.acme.test/token"),
            ("token_endpoint", "http://localhost.acme.test/token"),
            ("token_endpoint", "ftp://localhost/token"),
            ("token_endpoint", "https://me@id.acme.test/token"),
            ("authorization_endpoint", "http://id.acme.test/authorize"),
            ("authorization_endpoint", "/authorize"),
            ("base_url", "api.acme.test"),
            ("base_url", "https://["),
            ("redirect_uri", "acme:back"),
            ("models", "a"),
            ("models", [5]),
            ("models", [""]),
            ("models", None),
            ("extra", ["prompt"]),
            ("extra", {"prompt": 1}),
            ("extra", {"state": "mine"}),
            ("extra", {"code_challenge_method": "plain"}),
            ("issuer", "https://id.acme.test"),
        ]
    },
}


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG)
def test_what_is_not_meant_so_is_refused_by_name_and_without_its_value(environment, text):
    with pytest.raises(ConfigurationError) as refused:
        load({**environment, "UPSTREAM_OAUTH_PROVIDERS": text})

    assert str(refused.value) == "Cannot start. UPSTREAM_OAUTH_PROVIDERS is not a valid value."


def test_what_is_secret_is_in_no_representation(environment):
    assert "hush" not in repr(read(environment, {**LEAST, **MORE}))
