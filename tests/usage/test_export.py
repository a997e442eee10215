"""`GET /api/usage/export`: the log as a file, however long, that no spreadsheet calculates with."""

from __future__ import annotations

import csv
import io
import json
from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy.exc import DBAPIError

from shared_accounts.extensions import db
from shared_accounts.usage import export_api, sheets
from tests import factories
from tests.usage.scene import NOW, line

PATH = "/api/usage/export"


@pytest.fixture
def alice(committed, client):
    return factories.user(username="alice")


@pytest.fixture
def browser(sign_in, alice):
    return sign_in(alice)


def table(answer):
    return list(csv.DictReader(io.StringIO(answer.get_data(as_text=True))))


def test_csv_has_a_line_for_each_exchange_newest_first(browser, alice):
    line(NOW - timedelta(minutes=1), user=alice, cost=2_000_000)
    line(NOW, user=alice, cost=1_000_000, outcome="failed")

    answer = browser.get(PATH)

    assert answer.content_type == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == "attachment; filename=usage.csv"
    assert [(row["quota_consumed"], row["success"]) for row in table(answer)] == [
        ("1.0000", "false"),
        ("2.0000", "true"),
    ]


def test_json_lines_are_what_the_log_shows(browser, alice):
    line(NOW, user=alice)

    (found,) = map(json.loads, browser.get(PATH, query_string={"format": "jsonl"}).get_data(as_text=True).splitlines())

    (shown,) = browser.get("/api/usage/logs").json["data"]["logs"]
    assert {**found, "created_at": None} == {**shown, "created_at": None}


def test_filters_and_scopes_are_those_of_the_log(browser, sign_in, alice):
    bob = factories.user(username="bob")
    line(NOW, user=alice, model="mine")
    line(NOW, user=bob, contributor=alice, model="hers", client_app="secret")

    assert [row["model_name"] for row in table(browser.get(PATH))] == ["mine"]
    assert table(browser.get(PATH, query_string={"model": "hers"})) == []
    (row,) = table(browser.get(PATH, query_string={"scope": "contributed"}))
    assert (row["user"], row["model_name"]) == ("bob", "hers")
    assert "client_app" not in row
    assert browser.get(PATH, query_string={"scope": "all"}).status_code == 403
    assert len(table(sign_in(factories.admin()).get(PATH, query_string={"scope": "all"}))) == 2


@pytest.mark.parametrize("evil", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_no_text_is_a_formula(browser, alice, evil):
    line(NOW, user=alice, model=evil, client_app=f'{evil}"x,y')

    (row,) = table(browser.get(PATH))

    assert (row["model_name"], row["client_app"]) == (f"'{evil}", f"'{evil}\"x,y")


def test_numbers_and_times_stay_what_they_are():
    assert sheets.csv_rows([[-1, -0.5, None, True, NOW]]) == f"-1,-0.5,,true,{NOW.isoformat()}\r\n"


def test_many_pages_are_one_file_without_gaps_or_repeats(browser, alice, monkeypatch):
    monkeypatch.setattr(export_api, "_PAGE", 3)
    for number in range(10):
        line(NOW - timedelta(seconds=number // 4), user=alice, account=number)

    found = [int(row["account_id"]) for row in table(browser.get(PATH))]

    assert sorted(found) == list(range(10))
    assert [number // 4 for number in found] == sorted(number // 4 for number in range(10))


def test_nothing_used_is_a_file_with_a_head_alone(browser):
    assert table(browser.get(PATH)) == []
    assert browser.get(PATH).get_data(as_text=True).startswith("id,created_at,user_id,user,")
    assert browser.get(PATH, query_string={"format": "jsonl"}).get_data() == b""


def test_an_unknown_format_is_refused_by_name(browser):
    answer = browser.get(PATH, query_string={"format": "xlsx"})

    assert (answer.status_code, list(answer.json["errors"]["query"])) == (422, ["format"])


def test_while_the_client_reads_no_connection_is_held(browser, alice, monkeypatch):
    monkeypatch.setattr(export_api, "_PAGE", 2)
    for number in range(8):
        line(NOW - timedelta(seconds=number), user=alice)
    db.session.rollback()

    answer = browser.get(PATH, buffered=False)
    held = [db.engine.pool.checkedout() for _ in answer.iter_encoded()]

    assert len(held) == 5
    assert set(held) == {0}


def test_a_file_that_cannot_be_finished_breaks_off_instead_of_ending(browser, alice, monkeypatch):
    monkeypatch.setattr(export_api, "_PAGE", 2)
    for number in range(4):
        line(NOW - timedelta(seconds=number), user=alice)
    db.session.rollback()

    chunks = browser.get(PATH, buffered=False).iter_encoded()
    next(chunks)
    next(chunks)
    with a_database_that_fails(), pytest.raises(DBAPIError):
        next(chunks)


def test_a_log_that_cannot_be_read_is_an_error_and_not_an_empty_file(browser, alice):
    with a_database_that_fails():
        assert browser.get(PATH).status_code == 500


@contextmanager
def a_database_that_fails():
    with db.engine.begin() as connection:
        connection.exec_driver_sql("alter table usage_log rename to elsewhere")
    try:
        yield
    finally:
        with db.engine.begin() as connection:
            connection.exec_driver_sql("alter table elsewhere rename to usage_log")
