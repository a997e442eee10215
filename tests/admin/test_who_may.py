"""Every route of `/api/admin`, and who passes."""

from __future__ import annotations

import re
import uuid

import pytest
from sqlalchemy import update

from shared_accounts.auth.models import Session
from shared_accounts.extensions import db
from tests import factories


@pytest.fixture
def routes(app):
    """Every route as (method, path), with numbers that name nobody."""
    found = [
        (method, re.sub(r"<[^>]+>", "0", rule.rule.replace("<uuid:session_id>", str(uuid.UUID(int=0)))))
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/api/admin/")
        for method in sorted(rule.methods - {"HEAD", "OPTIONS"})
    ]
    assert len(found) == 40
    return found


def outcomes(client, routes):
    answers = [client.open(path, method=method, json=None) for method, path in routes]
    return {(answer.status_code, answer.json["error_code"]) for answer in answers}


def test_a_stranger_gets_nowhere(client, routes):
    assert outcomes(client, routes) == {(401, "AUTHENTICATION_FAILED")}


@pytest.mark.parametrize("state", ["active", "silenced"])
def test_an_ordinary_user_gets_nowhere(sign_in, routes, state):
    hers = sign_in(factories.user(state=state, trust_level=4))

    assert outcomes(hers, routes) == {(403, "PERMISSION_DENIED")}


def test_a_disabled_admin_gets_nowhere(sign_in, routes):
    hers = sign_in(factories.admin(state="disabled"))

    assert outcomes(hers, routes) == {(403, "ACCOUNT_DISABLED")}


def test_a_key_opens_none_of_it(client, routes, session):
    _, secret = factories.api_key(factories.admin())
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {secret}"

    assert {status for status, _ in outcomes(client, routes)} == {401}


def test_a_silenced_admin_reads_and_changes_nothing(sign_in, routes):
    hers = sign_in(factories.admin(state="silenced"))
    reads = [route for route in routes if route[0] == "GET"]
    writes = [route for route in routes if route[0] != "GET"]

    assert {hers.open(path, method=method).status_code for method, path in reads} == {200, 404, 409}
    assert outcomes(hers, writes) == {(403, "ACCOUNT_SILENCED")}


def test_an_admin_without_a_second_factor_gets_nowhere_where_one_is_needed(admin, boss, routes, with_settings):
    with with_settings(require_admin_2fa=True):
        assert outcomes(admin, routes) == {(403, "SECOND_FACTOR_MISSING")}

        db.session.execute(update(Session).where(Session.user_id == boss.id).values(second_factor=True))
        db.session.commit()
        assert admin.get("/api/admin/users").status_code == 200


@pytest.mark.parametrize("number", ["0", str(2**63 - 1), "-1", "x", "%00"])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "users/{}", None),
        ("PATCH", "users/{}", {}),
        ("POST", "users/{}/password", {}),
        ("DELETE", "users/{}/second-factor", None),
        ("GET", "users/{}/sessions", None),
        ("DELETE", "users/{}/sessions", None),
        ("DELETE", "users/{}/sessions/00000000-0000-0000-0000-000000000000", None),
        ("DELETE", "invitations/{}", None),
        ("PATCH", "trust-levels/5{}", {}),
    ],
)
def test_what_does_not_exist_is_not_found_and_leaves_no_trace(admin, acts, method, path, body, number):
    answer = admin.open(f"/api/admin/{path.format(number)}", method=method, json=body)

    assert answer.status_code == 404
    assert acts() == []


@pytest.mark.parametrize("path", ["users", "invitations", "audit"])
@pytest.mark.parametrize("query", [{"page": 0}, {"page_size": 201}, {"page": 10**18}, {"page": "x"}])
def test_a_page_that_cannot_be_is_refused(admin, path, query):
    assert admin.get(f"/api/admin/{path}", query_string=query).status_code == 422
