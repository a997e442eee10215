"""The log as it grows: rows that come by themselves, to whoever may see them, for as long as she may."""

from __future__ import annotations

import re
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from shared_accounts.console import live
from shared_accounts.extensions import db
from tests import factories
from tests.console import world


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Look often."""
    monkeypatch.setattr(live, "LOOK_SECONDS", 0.05)


@pytest.fixture
def seat(committed, client):
    return factories.account(factories.user(username="Marta"))


class Listener:
    """A browser's EventSource, as far as we need one."""

    def __init__(self, home, browser, path="/usage/live"):
        parts = urlsplit(home)
        self.connection = HTTPConnection(parts.hostname, parts.port, timeout=30)
        cookie = f"session_token={browser.cookie('session_token')}"
        self.connection.request("GET", path, headers={"Cookie": cookie, "Accept": "text/event-stream"})
        self.answer = self.connection.getresponse()

    def event(self):
        """Return the next event that says something, nothing at the end."""
        lines = []
        while line := self.answer.readline().decode():
            lines.append(line)
            if line == "\n":
                if any(one.startswith("event:") for one in lines):
                    return "".join(lines)
                lines = []
        return ""

    def __enter__(self):
        assert self.answer.readline() == b"retry: 2000\n"
        return self

    def __exit__(self, *_):
        self.connection.close()


def ids(event):
    return re.findall(r'<tr id="x([^"]+)"', event)


def test_a_row_comes_when_its_exchange_is_over(home, browser, lin, seat):
    with Listener(home, browser) as listener:
        line = world.exchange(lin, seat, "m", closed_at=db.func.now())
        event = listener.event()

    assert listener.answer.headers["Content-Type"].startswith("text/event-stream")
    assert ids(event) == [str(line)]
    assert "Marta" in event


def test_only_what_the_filters_and_the_reader_allow_comes(home, browser, lin, seat):
    other = factories.user()
    with Listener(home, browser, "/usage/live?model=n") as listener:
        world.exchange(lin, seat, "m", closed_at=db.func.now())
        world.exchange(other, seat, "n", closed_at=db.func.now())
        line = world.exchange(lin, seat, "n", closed_at=db.func.now())
        event = listener.event()

    assert ids(event) == [str(line)]


def test_whoever_comes_back_misses_nothing_and_gets_nothing_twice(home, browser, lin, seat):
    missed = world.exchange(lin, seat, "m", closed_at=db.func.now())
    with Listener(home, browser, "/usage/live?since=2000-01-01T00:00:00Z") as listener:
        first = listener.event()
        line = world.exchange(lin, seat, "m", closed_at=db.func.now())
        second = listener.event()

    assert (ids(first), ids(second)) == ([str(missed)], [str(line)])
    assert first.startswith("id: 20")


def test_a_session_that_ends_ends_the_stream(home, browser, lin, monkeypatch):
    monkeypatch.setattr(live, "_CHECK_SECONDS", 0.0)
    with Listener(home, browser) as listener:
        db.session.execute(db.text("update sessions set revoked_at = now()"))
        db.session.commit()

        assert listener.event().startswith("event: over")
        assert listener.event() == ""


def test_strangers_hear_nothing(home, reader):
    with pytest.raises(AssertionError):
        Listener(home, reader).__enter__()


def test_a_worker_that_stops_ends_its_streams(home, browser):
    with Listener(home, browser) as listener:
        live.stopping.set()
        try:
            assert listener.event() == ""
        finally:
            live.stopping.clear()


def test_between_two_looks_no_connection_is_held(home, browser, monkeypatch):
    pool, held = db.engine.pool, []

    class Pause:
        def wait(self, _seconds):
            held.append(pool.checkedout())
            return len(held) > 3

    db.session.rollback()
    monkeypatch.setattr(live, "stopping", Pause())
    with Listener(home, browser) as listener:
        assert listener.event() == ""

    assert held == [0, 0, 0, 0]


def test_one_person_listens_in_so_many_places_and_no_more(home, browser, monkeypatch):
    monkeypatch.setattr(live, "_MOST_STREAMS", 1)

    with Listener(home, browser):
        second = Listener(home, browser)
        assert second.answer.status == 429
        second.connection.close()
