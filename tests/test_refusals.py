from __future__ import annotations

import logging

import psycopg2
import pytest
from flask import Flask, abort
from sqlalchemy.exc import DataError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from shared_accounts import errors, refusals
from shared_accounts.asked import Asked
from shared_accounts.errors import ServiceError

SECRET = "postgresql://u:secret@db select * from users"


class Cancelled(psycopg2.OperationalError):
    pass


@pytest.fixture(scope="module")
def raising():
    """Raise `error` under /v1 and elsewhere; returns both answers."""
    app = Flask("refusals")
    app.request_class = Asked
    refusals.register(app)
    what = []

    @app.get("/v1/raise")
    @app.get("/api/raise")
    def view():
        raise what[-1]

    @app.get("/v1/abort/<int:code>")
    @app.get("/api/abort/<int:code>")
    def http(code):
        abort(code)

    @app.post("/v1/post")
    @app.post("/api/post")
    def post():
        return ""

    def both(error):
        what.append(error)
        return app.test_client().get("/api/raise"), app.test_client().get("/v1/raise")

    both.app = app
    return both


def _kinds(root=ServiceError):
    return [root, *(kind for child in root.__subclasses__() for kind in _kinds(child))]


PUBLIC = [kind for kind in _kinds() if kind.__module__ == errors.__name__]


@pytest.mark.parametrize("kind", PUBLIC)
def test_every_refusal_has_our_shape_and_openais(raising, kind):
    error = kind()

    ours, openais = raising(error)

    assert ours.status_code == openais.status_code == kind.status
    assert (
        ours.json.items()
        >= {
            "code": kind.status.value,
            "status": kind.status.phrase,
            "message": error.message,
            "detail": error.message,
            "error_code": kind.code,
        }.items()
    )
    assert openais.json == {
        "error": {"message": error.message, "type": kind.openai_type, "param": error.field, "code": kind.openai_code}
    }


@pytest.mark.parametrize("kind", [kind for kind in PUBLIC if kind.status == 401])
def test_every_401_says_how_to_sign_in(raising, kind):
    assert {answer.headers["WWW-Authenticate"] for answer in raising(kind())} == {"Bearer"}


def test_a_refusal_may_name_a_field_a_time_and_its_arithmetic(raising):
    ours, openais = raising(errors.QuotaExhausted(field="model", retry_after=0, missing="0.5000"))

    assert ours.json["errors"] == {"json": {"model": [ours.json["message"]]}}
    assert (ours.json["missing"], openais.json["error"]["missing"]) == ("0.5000", "0.5000")
    assert openais.json["error"]["param"] == "model"
    assert ours.headers["Retry-After"] == "1"
    assert openais.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("code", [400, 403, 404, 405, 409, 413, 415, 422, 429, 500, 501, 503])
def test_the_frameworks_own_refusals_have_the_shape_of_their_place(raising, code):
    client = raising.app.test_client()

    ours, openais = client.get(f"/api/abort/{code}"), client.get(f"/v1/abort/{code}")

    assert ours.status_code == openais.status_code == code
    assert {"code", "status", "message", "detail", "error_code"} <= set(ours.json)
    assert set(openais.json["error"]) == {"message", "type", "param", "code"}
    assert ours.json["message"]


@pytest.mark.parametrize("path", ["/nope", "/api/nope", "/v1", "/v1/nope", "/v1nope"])
def test_an_unknown_path_is_answered_in_the_shape_of_its_place(raising, path):
    answer = raising.app.test_client().get(path)

    assert answer.status_code == 404
    assert ("error" in answer.json) is path.startswith(("/v1/",)) or path == "/v1"


@pytest.mark.parametrize("place", ["api", "v1"])
def test_a_wrong_method_says_which_are_right(raising, place):
    answer = raising.app.test_client().get(f"/{place}/post")

    assert answer.status_code == 405
    assert set(answer.headers["Allow"].split(", ")) == {"POST", "OPTIONS"}


@pytest.mark.parametrize(
    "error",
    [
        OperationalError(SECRET, {}, psycopg2.OperationalError(SECRET)),
        OperationalError(SECRET, {}, Cancelled(SECRET)),
        PoolTimeoutError(SECRET),
        psycopg2.OperationalError(SECRET),
        psycopg2.InterfaceError(SECRET),
    ],
)
def test_a_database_that_is_away_is_a_503_that_may_be_tried_again(raising, error):
    for answer in raising(error):
        assert answer.status_code == 503
        assert answer.headers["Retry-After"]
        assert "secret" not in answer.text


@pytest.mark.parametrize(
    "error",
    [
        ValueError(SECRET),
        KeyError(SECRET),
        RecursionError(SECRET),
        IntegrityError(SECRET, {}, psycopg2.IntegrityError(SECRET)),
        DataError(SECRET, {}, psycopg2.DataError(SECRET)),
        psycopg2.DataError(SECRET),
        psycopg2.IntegrityError(SECRET),
    ],
)
def test_a_mistake_of_ours_is_a_500_that_tells_strangers_nothing_and_the_log_everything(raising, error, caplog):
    for answer in raising(error):
        assert answer.status_code == 500
        assert "secret" not in answer.text

    assert "INTERNAL_ERROR" in raising(error)[0].text
    assert [record for record in caplog.records if record.exc_info and record.levelno == logging.ERROR]
