"""What comes out when the Plug-in refuses, breaks off, stalls or says something else: two exceptions, no secret."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
import time
import traceback

import pytest

from shared_accounts.plugin.client import Counterpart, PluginAdmin, PluginRefused, PluginUnreachable, PluginUser
from shared_accounts.plugin.connection import Limits
from shared_accounts.plugin.failures import Kind
from tests.upstream import Turn, plays, redirects, says, stalls_before_the_head

KEY = "sk-canary-0123456789abcdef"
PATIENT = Limits(gap=20.0, total=40.0, longest=10_000)
HASTY = Limits(gap=0.3, total=20.0, longest=10_000)
BUSY = Limits(gap=10.0, total=0.6, longest=10_000)
PAGE = b"<!DOCTYPE html><pre>TypeError: Cannot destructure canary</pre>"
OK = b'{"success":true,"data":{}}'


@pytest.fixture
def user(connect, scripted):
    """A user of a server that plays these acts."""

    def ask(*acts, **options):
        server = scripted(*acts)
        return PluginUser(connect(server, **{"management": PATIENT, "generation": PATIENT, **options}), KEY), server

    return ask


def _says(error: object, status: int, **more):
    return says(json.dumps({"error": error}, ensure_ascii=False).encode(), status=status, **more)


def test_an_error_is_refused_with_its_status_and_words(user):
    her, _ = user(_says("账号不存在", 404))

    with pytest.raises(PluginRefused) as refused:
        her.get_account("c")

    assert (refused.value.status, refused.value.message, refused.value.kind) == (404, "账号不存在", Kind.OTHER)


def test_an_error_of_the_image_routes_is_refused_with_its_message(user):
    her, _ = user(_says({"code": 400, "message": "contents是必需的", "status": "INVALID_ARGUMENT"}, 400))

    with pytest.raises(PluginRefused) as refused:
        her.generate_content("m", {})

    assert refused.value.message == "contents是必需的"


@pytest.mark.parametrize("status", [400, 401, 404, 413, 500, 502, 503, 599])
@pytest.mark.parametrize(
    "body", [PAGE, b"", b"canary", b'"canary"', b'{"error": 7}', b'{"error": {"message": []}}', b"\xff"]
)
def test_a_page_or_any_other_body_is_refused_by_its_status_and_its_text_is_dropped(user, status, body):
    her, _ = user(says(body, status=status, headers=[("content-type", "text/html")]))

    with pytest.raises(PluginRefused) as refused:
        her.me()

    assert (refused.value.status, refused.value.message) == (status, "")


def test_a_success_that_says_it_is_none_is_refused(user):
    her, _ = user(says(b'{"success": false, "error": "no"}'))

    with pytest.raises(PluginRefused) as refused:
        her.me()

    assert refused.value.message == "no"


def test_a_message_is_one_short_line(user):
    her, _ = user(_says("a\r\nb\x00\u202ec " + "x" * 5000, 400))

    with pytest.raises(PluginRefused) as refused:
        her.me()

    assert refused.value.message.startswith("a b c xxx")
    assert len(refused.value.message) == 300
    assert refused.value.message.isprintable()


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("7", 7), ("999999", 86400), ("9" * 5000, 86400), ("-1", None), ("Fri, 31 Dec 2027", None), ("", None)],
)
def test_a_wait_that_was_named_is_kept(user, said, seconds):
    her, _ = user(_says("slow down", 429, headers=[("retry-after", said)]))

    with pytest.raises(PluginRefused) as refused:
        her.me()

    assert refused.value.retry_after == seconds


def _closes(turn: Turn) -> bool:
    return False


NONSENSE = {
    "closed at once": _closes,
    "closed in the middle": plays([b'{"succ'], framing="chunked", ending="close"),
    "reset in the middle": plays([b'{"succ'], framing="chunked", ending="reset"),
    "not HTTP": lambda turn: bool(turn.raw(b"SSH-2.0-OpenSSH_9.2\r\n")),
    "a page": says(PAGE),
    "nothing": says(b""),
    "half": says(OK[:-1]),
    "a list": says(b"[]"),
    "a text": says(b'"x"'),
    "nested for ever": says(b"[" * 5000),
    "not a number": says(b'{"success": true, "data": NaN}'),
    "compressed": says(b"\x1f\x8b\x08\x00\x00", headers=[("content-encoding", "gzip")]),
    "too long": says(b'{"data": "' + b"x" * 10_000 + b'"}'),
    "endless": plays([b"x" * 1000] * 1000),
    "not modified": says(b"", status=304),
}


@pytest.mark.parametrize("what", NONSENSE)
def test_nonsense_is_unreachable(user, what):
    her, _ = user(NONSENSE[what])

    with pytest.raises(PluginUnreachable) as failure:
        her.me()

    assert not failure.value.timed_out


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(user, scripted, status):
    elsewhere = scripted(says(OK))
    her, server = user(plays([OK], status=status, headers=[("location", elsewhere.url)], framing="length"))

    with pytest.raises(PluginUnreachable):
        her.oauth_authorize(1)

    assert len(server.requests) == 1
    assert elsewhere.connections == 0


def test_nobody_listening_is_unreachable(user):
    her, server = user(says(OK))
    server.stop()

    with pytest.raises(PluginUnreachable) as failure:
        her.me()

    assert not failure.value.timed_out


def test_silence_is_a_timeout(user):
    her, server = user(stalls_before_the_head, management=HASTY)

    with pytest.raises(PluginUnreachable) as failure:
        her.me()

    assert failure.value.timed_out
    assert server.requests[0].gone.wait(10)


@pytest.mark.parametrize("framing", ["chunked", "close"])
def test_an_answer_that_drips_is_a_timeout(user, framing):
    her, server = user(plays([b"{", *[0.1, b" "] * 300, b"}"], framing=framing), management=BUSY)
    began = time.monotonic()

    with pytest.raises(PluginUnreachable) as failure:
        her.me()

    assert failure.value.timed_out
    assert time.monotonic() - began < 20
    assert server.requests[0].gone.wait(10)


def test_whoever_is_stopped_while_waiting_leaves_no_connection_behind(user):
    """As a worker's time limit does, and a greenlet that is killed."""

    class StoppedError(Exception):
        pass

    def stop(*_):
        raise StoppedError

    her, server = user(stalls_before_the_head)
    before = signal.signal(signal.SIGUSR1, stop)
    try:
        waker = threading.Thread(target=lambda: (server.wait_for(1), os.kill(os.getpid(), signal.SIGUSR1)))
        waker.start()
        with pytest.raises(StoppedError) as stopped:
            her.me()
        waker.join()
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert server.requests[0].gone.wait(10)
    assert stopped.tb  # whoever holds the traceback does not hold the connection


def test_making_images_has_limits_of_its_own(user):
    slow_and_long = plays([0.7, b'{"data": "' + b"x" * 20_000 + b'"}'], framing="length")
    her, _ = user(slow_and_long, management=HASTY, generation=Limits(gap=20.0, total=40.0, longest=50_000))

    assert len(her.generate_content("m", {})["data"]) == 20_000
    with pytest.raises(PluginUnreachable):
        her.me()


def test_a_connection_is_kept_and_used_again(user):
    her, server = user(says(OK))

    for _ in range(3):
        her.me()

    assert server.connections == 1


def test_an_error_costs_no_connection(user):
    her, server = user(_says("no", 500))

    for _ in range(3):
        with pytest.raises(PluginRefused):
            her.me()

    assert server.connections == 1


@pytest.mark.parametrize("asks", [lambda her: her.me(), lambda her: her.set_account_status("c", 1)])
def test_what_changes_nothing_the_second_time_is_asked_again_when_a_kept_connection_dies(user, asks):
    her, server = user(says(OK), _closes, says(OK))
    her.me()

    asks(her)

    assert [request.connection for request in server.requests] == [1, 1, 2]


@pytest.mark.parametrize(
    "asks",
    [
        lambda her: her.oauth_authorize(0),
        lambda her: her.oauth_callback("http://l/?code=c"),
        lambda her: her.generate_content("m", {}),
        lambda her: her.delete_account("c"),
    ],
)
def test_what_may_count_twice_is_never_sent_twice(user, asks):
    her, server = user(says(OK), _closes, says(OK))
    her.me()

    with pytest.raises(PluginUnreachable):
        asks(her)

    assert len(server.requests) == 2
    assert her.me()["success"]


def test_two_users_are_never_made_of_one(connect, scripted):
    server = scripted(says(b'{"data": []}'), _closes, says(b'{"data": []}'))
    admin = PluginAdmin(connect(server, management=PATIENT), KEY)
    admin.list_users()

    with pytest.raises(PluginUnreachable):
        admin.create_user("ada")

    assert [request.method for request in server.requests] == ["GET", "POST"]


def test_a_connection_that_was_idle_for_long_is_not_used_again(user, monkeypatch):
    monkeypatch.setattr("shared_accounts.plugin.connection._IDLE_SECONDS", 0.2)
    her, server = user(says(OK))
    her.me()
    time.sleep(0.4)

    her.me()

    assert server.connections == 2


ECHOES = {
    "an error with the key": lambda turn: _says(f"bad {turn.request.header('authorization')} here", 400)(turn),
    "an error with somebody's key": _says("bad sk-canary-of-somebody-else here", 500),
    "a page": lambda turn: says(PAGE + turn.request.header("authorization").encode(), status=500)(turn),
    "a redirect": redirects(f"http://127.0.0.1:1/?key={KEY}"),
    "nonsense": says(KEY.encode()),
    "no HTTP": lambda turn: bool(turn.raw(KEY.encode())),
    "a head that breaks off": lambda turn: bool(turn.raw(b"HTTP/1.1 200 OK\r\nx-key: " + KEY.encode())),
    "a key for nobody": says(json.dumps({"data": {"user_id": "", "api_key": KEY}}).encode()),
}


@pytest.mark.parametrize("what", ECHOES)
def test_no_secret_shows_whatever_comes_back(connect, scripted, caplog, what):
    connection = connect(scripted(ECHOES[what]), management=PATIENT)
    caplog.set_level(logging.DEBUG)

    with pytest.raises((PluginRefused, PluginUnreachable)) as failure:
        PluginAdmin(connection, KEY).create_user("ada")
    logging.getLogger("test").error("unexpected", exc_info=failure.value)

    error = failure.value
    shown = [repr(error), str(error), *map(str, error.args), getattr(error, "message", ""), caplog.text]
    shown += [str(vars(record)) for record in caplog.records] + traceback.format_exception(error)
    assert "canary" not in "\n".join(shown)


def test_what_is_not_a_key_of_the_usual_kind_does_not_show_either(connect, scripted):
    server = scripted(lambda turn: _says(f"no: {turn.request.header('authorization')}", 400)(turn))

    with pytest.raises(PluginRefused) as refused:
        PluginAdmin(connect(server), 'op"erator\\secret').list_users()

    assert refused.value.message == "no: Bearer [secret]"


def test_nothing_that_holds_a_secret_prints_it(connect):
    connection = connect("http://127.0.0.1:1")

    shown = f"{PluginAdmin(connection, KEY)!r} {PluginUser(connection, KEY)} {connection!r} {Counterpart('u', KEY)} %s"

    assert "canary" not in shown % (Counterpart("u", KEY),)
    assert "user_id='u'" in shown
