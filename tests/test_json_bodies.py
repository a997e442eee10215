from __future__ import annotations

import io
import json
import re
from uuid import uuid4

import pytest
from flask import Flask
from flask_smorest import Api
from marshmallow import Schema, fields

from shared_accounts import refusals, strict_json
from shared_accounts.errors import InvalidRequest, Unprocessable
from shared_accounts.json_bodies import Door, Flag, Moment, Text
from tests import factories


class Body(Schema):
    name = Text(min=1, max=10, required=True)
    count = fields.Integer(strict=True)
    any = fields.Raw()
    flag = Flag()
    moment = Moment()


class Query(Schema):
    name = fields.String()
    count = fields.Integer()


@pytest.fixture(scope="module")
def door():
    app = Flask("door")
    app.config.update(API_TITLE="t", API_VERSION="1", OPENAPI_VERSION="3.0.3")
    api, blp = Api(app), Door("door", "door")

    @blp.post("/bodies")
    @blp.arguments(Body)
    @blp.response(200)
    @blp.refuses(400, 422)
    def bodies(body):
        return body

    @blp.get("/queries")
    @blp.arguments(Query, location="query")
    def queries(query):
        return query

    @blp.get("/rows/<int:row>")
    @blp.response(200)
    def row(row):
        return {"row": row}

    api.register_blueprint(blp)
    refusals.register(app)
    app.extensions["api"] = api
    return app


@pytest.fixture
def send(door):
    def post(body, content_type="application/json"):
        data = body if isinstance(body, bytes | str) else json.dumps(body)
        return door.test_client().post("/bodies", data=data, content_type=content_type)

    return post


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "application/x+json"])
def test_an_object_gets_through(send, content_type):
    answer = send({"name": " 李 ", "count": 3, "any": [1.5, None, {"a": -(2**63) + 1}]}, content_type)

    assert (answer.status_code, answer.json) == (
        200,
        {"name": "李", "count": 3, "any": [1.5, None, {"a": -(2**63) + 1}]},
    )


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"{'name': 'x'}",
        b'{"name": "x"',
        b'{"name": "x"} {}',
        b'{"name": "\xff"}',
        b'\xff\xfe{\x00"\x00',
        b'\xef\xbb\xbf{"name": "x"}',
        b'{"name": NaN}',
        b'{"name": Infinity}',
        b'{"name": -Infinity}',
        b'{"name": "a\nb"}',
        b"[]",
        b'"x"',
        b"7",
        b"null",
        b"true",
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
)
def test_what_is_no_json_object_is_a_bad_request(send, body):
    answer = send(body)

    assert (answer.status_code, answer.json["error_code"]) == (400, "INVALID_REQUEST")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ('{"name": "x", "name": "y"}', "name"),
        ('{"name": "x", "any": {"deep": 1, "deep": 2}}', "deep"),
        ('{"name": "x", "count": ' + "9" * 5000 + "}", "count"),
        ('{"name": "x", "count": ' + "9" * 1_000_000 + "}", "count"),
        ('{"name": "x", "count": 9223372036854775808}', "count"),
        ('{"name": "x", "any": {"a": [1e999]}}', "any.a"),
        ('{"name": "x", "any": ' + "[" * 40 + "]" * 40 + "}", "any"),
        ('{"name": "x", "any": ' + '{"a":' * 900 + "1" + "}" * 900 + "}", "any"),
    ],
)
def test_doubles_depth_and_absurd_numbers_are_bad_requests_that_name_the_field(send, body, field):
    answer = send(body)

    assert answer.status_code == 400
    assert list(answer.json["errors"]["json"]) == [field]
    assert len(answer.data) < 1000


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "a\x00"}, "name"),
        ({"name": "\ud800"}, "name"),
        ({"name": "x", "any": {"a": ["\x00"]}}, "any.a"),
        ({"name": "x", "any": {"\udfff": 1}}, "\udfff"),
        ({"name": "x", "nope": 1}, "nope"),
        ({"name": "x", "count": "3"}, "count"),
        ({"name": "x", "count": 3.5}, "count"),
        ({"name": "x", "count": True}, "count"),
        ({"name": "x" * 11}, "name"),
        ({"name": "  "}, "name"),
        ({"name": "a\tb"}, "name"),
        ({"name": "a\u2028b"}, "name"),
        ({"name": "a\u2066b"}, "name"),
        ({"name": ["x"]}, "name"),
        ({}, "name"),
    ],
)
def test_a_value_that_cannot_be_used_is_unprocessable_and_names_the_field(send, body, field):
    answer = send(body)

    assert (answer.status_code, answer.json["error_code"]) == (422, "VALIDATION_ERROR")
    assert list(answer.json["errors"]["json"]) == [field]


@pytest.mark.parametrize("body", [b"", b"  \n"])
def test_an_empty_body_has_no_members(send, body):
    answer = send(body)

    assert (answer.status_code, list(answer.json["errors"]["json"])) == (422, ["name"])


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_another_content_type_is_not_taken_for_an_empty_body(send, content_type):
    answer = send({"name": "x"}, content_type)

    assert answer.status_code == 415
    assert "application/json" in answer.json["detail"]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("name=x&count=12", 200),
        ("name=%E6%9D%8E", 200),
        ("name=" + "9" * 15, 200),
        ("count=" + "9" * 16, 422),
        ("count=-" + "9" * 5000, 422),
        ("name=a%00b", 422),
        ("unknown=1", 200),
    ],
)
def test_a_query_is_bounded_too(door, query, status):
    assert door.test_client().get(f"/queries?{query}").status_code == status


@pytest.mark.parametrize(
    ("row", "status"),
    [("7", 200), ("007", 200), ("9" * 18, 200), (str(2**63), 404), ("9" * 5000, 404), ("\u0667", 404)],
)
def test_a_row_number_beyond_the_database_is_no_row(door, row, status):
    assert door.test_client().get(f"/rows/{row}").status_code == status


def test_a_number_no_row_can_have_is_a_404_whatever_is_to_be_done_with_the_row(app, sign_in, client):
    routes = [
        (method, re.sub(r"<int:\w+>", str(10**30), rule.rule).replace("<uuid:session_id>", str(uuid4())))
        for rule in app.url_map.iter_rules()
        if "<int:" in rule.rule
        for method in sorted(rule.methods - {"OPTIONS"})
    ]
    admin = sign_in(factories.admin())

    answers = {(method, path): admin.open(path, method=method).status_code for method, path in routes}

    assert len({path for _, path in answers}) > 10
    assert {route for route, status in answers.items() if status != 404} == set()


def test_a_row_that_is_not_there_is_a_404_and_a_method_that_is_not_there_a_405(member):
    assert member.get(f"/api/accounts/{10**17}").status_code == 404
    assert member.put(f"/api/accounts/{10**17}").status_code == 405


@pytest.mark.parametrize("value", [0, 1, "true", "on", 1.0, [], {}])
def test_a_switch_is_true_or_false_and_nothing_that_equals_it(send, value):
    assert send({"name": "x", "flag": value}).json["errors"] == {"json": {"flag": ["Not a valid boolean."]}}
    assert send({"name": "x", "flag": True}).json["flag"] is True


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("2026-11-30T00:00:00+21:23", "2026-11-29T02:37:00+00:00"),
        ("2026-11-30T00:00:00-23:59", "2026-11-30T23:59:00+00:00"),
        ("2026-11-30T00:00:00Z", "2026-11-30T00:00:00+00:00"),
    ],
)
def test_a_time_is_utc_whatever_offset_it_came_with(said, meant):
    """PostgreSQL knows offsets up to 15:59; RFC 3339 goes on to 23:59, and that was a 500."""
    assert Moment().deserialize(said).isoformat() == meant


@pytest.mark.parametrize("said", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-11-30T00:00:00"])
def test_a_time_that_is_none_in_utc_is_refused_by_its_field(send, said):
    answer = send({"name": "x", "moment": said})

    assert (answer.status_code, list(answer.json["errors"]["json"])) == (422, ["moment"])


@pytest.mark.parametrize(("name", "status"), [("x" * 10, 200), (" " + "x" * 9, 200), ("x" + " " * 10, 422)])
def test_what_surrounds_a_text_counts_towards_its_greatest_length(send, name, status):
    assert send({"name": name}).status_code == status


def test_long_digits_are_a_number_out_of_range_only_where_a_number_is_meant(door):
    ask = door.test_client().get

    assert ask("/queries?name=" + "0" * 60).json == {"name": "0" * 60}
    assert ask("/queries?count=" + "9" * 60).status_code == 422


def test_the_document_says_which_bodies_texts_and_times_will_do(door):
    body = door.extensions["api"].spec.to_dict()["paths"]["/bodies"]["post"]["requestBody"]
    properties = door.extensions["api"].spec.to_dict()["components"]["schemas"]["Body"]["properties"]

    assert body["required"] is True
    assert properties["moment"]["format"] == "date-time"
    for text, fits in (
        ("李", True),
        (" x \n", True),
        ("", False),
        ("  ", False),
        ("a\x00", False),
        ("a\u202eb", False),
    ):
        assert bool(re.search(properties["name"]["pattern"], text)) is fits, text


def test_the_document_shows_refusals_and_the_credential(door):
    document = door.extensions["api"].spec.to_dict()

    responses = document["paths"]["/bodies"]["post"]["responses"]
    assert responses["400"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Refusal"}
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


def test_parsing_alone_says_the_same():
    with pytest.raises(InvalidRequest):
        strict_json.parse(b"[]")
    with pytest.raises(Unprocessable):
        strict_json.parse(b'{"a": "\\u0000"}')


LOGIN = "/api/auth/login"


@pytest.mark.parametrize("path", [LOGIN, "/api/api-keys", "/api/nope"])
def test_a_body_over_the_limit_is_refused_by_its_announced_length(client, settings, path):
    answer = client.post(path, data=b"x" * (settings.max_management_body_bytes + 1), content_type="application/json")

    assert (answer.status_code, answer.json["error_code"]) == (413, "BODY_TOO_LARGE")


def _chunked(client, body):
    """What gunicorn makes of a chunked request: no length, and an input that ends by itself."""
    environ = {
        "wsgi.input": io.BytesIO(body),
        "wsgi.input_terminated": True,
        "HTTP_TRANSFER_ENCODING": "chunked",
        "CONTENT_TYPE": "application/json",
    }
    return client.post(LOGIN, environ_overrides=environ)


def test_a_chunked_body_over_the_limit_is_refused_and_not_cut(client, settings):
    padding = b" " * settings.max_management_body_bytes

    answer = _chunked(client, b'{"username": "nobody", "password": "x"}' + padding)

    assert answer.status_code == 413


def test_a_chunked_body_within_the_limit_is_read_whole(client):
    assert _chunked(client, b'{"username": "nobody", "password": "x"}' + b" " * 100_000).status_code == 401


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[" * 10_000 + b"]" * 10_000, 400),
        (b'{"username": ' * 10_000 + b"1" + b"}" * 10_000, 400),
        (b'{"username": ' + b"9" * 900_000 + b"}", 400),
        (b'{"username": "x", "username": "y", "password": "z"}', 400),
        (b'{"username": "a\\u0000bc", "password": "z"}', 422),
        (b'{"username": "abc", "password": "\\ud800"}', 422),
        (b"not json", 400),
    ],
)
def test_a_hostile_body_is_answered_before_anybody_reads_it(client, body, status):
    answer = client.post(LOGIN, data=body, content_type="application/json")

    assert answer.status_code == status
    assert {"code", "status", "message", "detail", "error_code"} <= set(answer.json)
    assert answer.headers["x-request-id"]
    assert len(answer.data) < 1000
