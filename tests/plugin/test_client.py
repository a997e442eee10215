"""What is asked of the Plug-in API, and by whose key: a scripted server hears it, real sockets carry it."""

from __future__ import annotations

import inspect
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from shared_accounts.errors import Unprocessable
from shared_accounts.plugin.client import (
    Counterpart,
    PluginAdmin,
    PluginConnection,
    PluginRefused,
    PluginUnreachable,
    PluginUser,
)
from tests.upstream import Turn, says

ADMIN_KEY = "admin-key-of-the-operator"
USER_KEY = "sk-key0of0a0user"
COUNTERPART = {"user_id": "0a-1b", "api_key": "sk-new0key0of0hers", "name": "ada"}

ADMIN_ROUTES = [
    ("create_user", ["ada"], "POST", "/api/users", {"name": "ada"}),
    ("list_users", [], "GET", "/api/users", None),
    ("regenerate_key", ["0a-1b"], "POST", "/api/users/0a-1b/regenerate-key", {}),
    ("set_status", ["0a-1b", 0], "PUT", "/api/users/0a-1b/status", {"status": 0}),
    ("delete_user", ["0a-1b"], "DELETE", "/api/users/0a-1b", None),
]
USER_ROUTES = [
    ("me", [], "GET", "/api/user/me", None),
    ("set_preference", ["0a-1b", 1], "PUT", "/api/users/0a-1b/preference", {"prefer_shared": 1}),
    ("oauth_authorize", [1], "POST", "/api/oauth/authorize", {"is_shared": 1}),
    (
        "oauth_callback",
        ["http://l/?code=c"],
        "POST",
        "/api/oauth/callback/manual",
        {"callback_url": "http://l/?code=c"},
    ),
    ("list_accounts", [], "GET", "/api/accounts", None),
    ("get_account", ["c0ffee"], "GET", "/api/accounts/c0ffee", None),
    ("delete_account", ["c0ffee"], "DELETE", "/api/accounts/c0ffee", None),
    ("set_account_status", ["c0ffee", 1], "PUT", "/api/accounts/c0ffee/status", {"status": 1}),
    ("set_account_name", ["c0ffee", "我的"], "PUT", "/api/accounts/c0ffee/name", {"name": "我的"}),
    ("set_account_type", ["c0ffee", 0], "PUT", "/api/accounts/c0ffee/type", {"is_shared": 0}),
    ("account_quotas", ["c0ffee"], "GET", "/api/accounts/c0ffee/quotas", None),
    ("set_model_status", ["c0ffee", "org/m", 0], "PUT", "/api/accounts/c0ffee/quotas/org%2Fm/status", {"status": 0}),
    ("user_quotas", [], "GET", "/api/quotas/user", None),
    ("shared_pool", [], "GET", "/api/quotas/shared-pool", None),
    ("consumption", [], "GET", "/api/quotas/consumption", None),
    ("consumption_stats", ["a b"], "GET", "/api/quotas/consumption/stats/a%20b", None),
    ("models", [], "GET", "/v1/models", None),
    ("generate_content", ["m:x", {"contents": []}], "POST", "/v1beta/models/m%3Ax:generateContent", {"contents": []}),
]


def answers(turn: Turn) -> bool:
    """Say something that suits the question."""
    lists = turn.request.path == "/api/users" or turn.request.path.startswith("/api/quotas")
    rows = turn.request.method == "GET" and (lists or turn.request.path.endswith("/quotas"))
    return says(json.dumps({"success": True, "data": [] if rows else COUNTERPART}).encode())(turn)


@pytest.fixture
def server(scripted):
    return scripted(answers)


@pytest.fixture
def admin(connect, server):
    return PluginAdmin(connect(server), ADMIN_KEY)


@pytest.fixture
def user(connect, server):
    return PluginUser(connect(server), USER_KEY)


@pytest.mark.parametrize(("name", "given", "method", "path", "body"), ADMIN_ROUTES)
def test_the_operators_key_asks_for_users_only(admin, server, name, given, method, path, body):
    getattr(admin, name)(*given)

    _assert_asked(server, method, path, body, key=ADMIN_KEY)
    assert path.startswith("/api/users")


@pytest.mark.parametrize(("name", "given", "method", "path", "body"), USER_ROUTES)
def test_whatever_serves_a_user_is_asked_with_her_own_key(user, server, name, given, method, path, body):
    getattr(user, name)(*given)

    _assert_asked(server, method, path, body, key=USER_KEY)


@pytest.mark.parametrize(("client", "routes"), [(PluginAdmin, ADMIN_ROUTES), (PluginUser, USER_ROUTES)])
def test_no_method_is_left_out_above(client, routes):
    methods = {name for name, _ in inspect.getmembers(client, inspect.isfunction) if not name.startswith("_")}

    assert methods == {route[0] for route in routes}


def _assert_asked(server, method, path, body, *, key):
    (request,) = server.requests
    assert (request.method, request.path, request.header("authorization")) == (method, path, f"Bearer {key}")
    assert request.header("accept") == "application/json"
    if body is None:
        assert request.body == b""
        assert not request.names & {"content-type", "content-length", "transfer-encoding"}
    else:
        assert request.json == body
        assert request.header("content-type") == "application/json"


def test_an_answer_is_passed_on_as_it_came(connect, scripted):
    said = {
        "success": True,
        "message": "好",
        "data": [{"quota": "1.5000", "max_quota": 2, "at": None, "new": {"x": 1}}],
    }
    user = PluginUser(connect(scripted(says(json.dumps(said).encode()))), USER_KEY)

    assert user.user_quotas() == said


def test_a_base_url_may_have_a_path(connect, server):
    PluginUser(connect(f"http://127.0.0.1:{server.port}/plug/in/"), USER_KEY).me()

    assert server.requests[0].path == "/plug/in/api/user/me"


def test_what_of_a_query_has_a_value_is_asked(user, server):
    user.consumption(limit=0, start_date="2025-11-30T00:00:00+00:00")
    user.consumption(end_date="a&b=c#d")

    assert [request.path.partition("?")[2] for request in server.requests] == [
        "limit=0&start_date=2025-11-30T00%3A00%3A00%2B00%3A00",
        "end_date=a%26b%3Dc%23d",
    ]


@pytest.mark.parametrize("cookie_id", ["a/../b", "a?b", "a#b", "a b\r\nx: y", "%2e%2e", "号", "\ud800", "..."])
def test_an_odd_id_stays_one_segment_of_the_path(user, server, cookie_id):
    user.get_account(cookie_id)

    path = server.requests[0].path
    assert path.startswith("/api/accounts/")
    assert path.isascii()
    assert not set(path.removeprefix("/api/accounts/")) & set("/?# \r\n")
    assert "x" not in server.requests[0].names


@pytest.mark.parametrize("cookie_id", ["", ".", "..", "a" * 201])
def test_an_id_that_nothing_can_have_is_unknown_without_asking(user, server, cookie_id):
    with pytest.raises(PluginRefused) as refused:
        user.delete_account(cookie_id)

    assert refused.value.status == 404
    assert refused.value.message
    assert server.requests == []


def test_a_new_user_has_an_id_and_a_key(admin):
    user_id, api_key = admin.create_user("ada")

    assert (user_id, api_key) == ("0a-1b", "sk-new0key0of0hers")
    assert admin.regenerate_key(user_id) == Counterpart("0a-1b", "sk-new0key0of0hers")


def test_a_name_too_long_for_the_plug_in_is_cut_where_its_room_ends(admin, server):
    admin.create_user("é" * 255)

    assert server.requests[0].json == {"name": "é" * 100}


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {"user_id": "u"},
        {"user_id": 7, "api_key": "sk-1"},
        {"user_id": "", "api_key": "sk-1"},
        {"user_id": "u", "api_key": ""},
        {"user_id": "u", "api_key": None},
        {"user_id": "u", "api_key": "sk-1\r\nx: y"},
    ],
)
def test_a_new_user_without_a_usable_key_is_no_answer(connect, scripted, data):
    admin = PluginAdmin(connect(scripted(says(json.dumps({"success": True, "data": data}).encode()))), ADMIN_KEY)

    with pytest.raises(PluginUnreachable):
        admin.create_user("ada")


@pytest.mark.parametrize("data", [None, {}, "x", [1]])
def test_a_list_of_users_that_is_none_is_no_answer(connect, scripted, data):
    admin = PluginAdmin(connect(scripted(says(json.dumps({"success": True, "data": data}).encode()))), ADMIN_KEY)

    with pytest.raises(PluginUnreachable):
        admin.list_users()


def test_reset_times_come_with_a_zone_or_not_at_all(connect, scripted):
    rows = [{"model_name": "m", "reset_time": "2025-12-01T10:00:00.000"}, {"model_name": "n", "reset_time": None}]
    server = scripted(says(json.dumps({"success": True, "data": rows}).encode()))

    in_utc = PluginUser(connect(server, naive_is_utc=True), USER_KEY).account_quotas("c")
    who_knows = PluginUser(connect(server), USER_KEY).account_quotas("c")

    assert [row["reset_time"] for row in in_utc["data"]] == ["2025-12-01T10:00:00.000+00:00", None]
    assert [row["reset_time"] for row in who_knows["data"]] == [None, None]


def test_many_users_at_once_get_their_own_answers(connect, scripted):
    server = scripted(lambda turn: says(json.dumps({"data": turn.request.header("authorization")}).encode())(turn))
    connection = connect(server)
    keys = [f"sk-{number:040}" for number in range(40)]

    with ThreadPoolExecutor(4) as crowd:
        seen = list(crowd.map(lambda key: PluginUser(connection, key).me()["data"], keys))

    assert seen == [f"Bearer {key}" for key in keys]
    assert server.connections <= 4


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "http://localhost.:1/", "http://[::1]:1", "https://plug.internal/x"]
)
def test_the_operator_may_name_any_host(connect, url):
    assert "PluginConnection to" in repr(connect(url))


@pytest.mark.parametrize(
    "url", ["", "ftp://h", "http://", "http://[", "http://u:p@h", "http://h?x", "http://h/\u00e9", "http://h:x"]
)
def test_an_address_that_is_no_base_url_is_refused(url):
    with pytest.raises(Unprocessable) as refused:
        PluginConnection(url)

    assert refused.value.field == "base_url"


@pytest.mark.parametrize("client", [PluginAdmin, PluginUser])
@pytest.mark.parametrize("key", ["", "sk-canary\r\nx: y", "sk-canary key", "sk-canary\u20ac", "sk-canary" * 200])
def test_a_key_that_no_header_can_hold_is_refused_and_not_shown(connect, client, key):
    connection = connect("http://127.0.0.1:1")

    with pytest.raises(ValueError, match="credential") as refused:
        client(connection, key)

    assert "canary" not in str(refused.value)
