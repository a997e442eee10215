"""Metrics and lines of a real gunicorn: whichever worker is asked, and whichever has died."""

from __future__ import annotations

import json
import os
import signal

import pytest
import requests

from shared_accounts.extensions import db
from tests.gateway.scene import Scene, at_once, rows, wait_until
from tests.test_metrics_door import samples
from tests.upstream import answers, breaks, chunk, drips, event, refuses, stalls

pytestmark = pytest.mark.timeout(240)  # each starts a server of its own

CHAT = "/v1/chat/completions"
SERVED = ("exchanges_total", "measured", CHAT, "served", "true")


PATIENT = dict.fromkeys(
    ("UPSTREAM_CONNECT_TIMEOUT", "UPSTREAM_FIRST_BYTE_TIMEOUT", "UPSTREAM_GAP_TIMEOUT", "UPSTREAM_TOTAL_TIMEOUT"), 60
)
"""Upstreams here are threads of a process that may be busy: who answers late has answered."""


def read(server):
    answer = requests.get(f"{server.url}/metrics", timeout=10)
    assert answer.status_code == 200
    return samples(answer.text)


def lines(server, event):
    written = [line for line in server.output().splitlines() if line.startswith("{")]
    return [line for line in map(json.loads, written) if line["event"] == event]


def until(holds, otherwise):
    wait_until(holds, otherwise, 60)


def a_scene(start_servers, name, **settings):
    return Scene(start_servers(**{"LOG_LEVEL": "INFO", **PATIENT, **settings}), name)


def test_every_worker_knows_what_all_have_counted_and_nothing_is_lost_with_one(database, start_servers, upstream):
    scene = a_scene(start_servers, "counted", workers=2)
    scene.account(upstream(answers("Hello there", delay=0.2)))
    before = read(scene.server).get(SERVED, 0)

    assert {reply.status for reply in at_once(*[lambda: scene.ask(stream=True)] * 6)} == {200}

    until(lambda: read(scene.server).get(SERVED, 0) == before + 6, "exchanges are missing")
    assert {read(scene.server)[SERVED] for _ in range(8)} == {before + 6}
    until(lambda: read(scene.server)["workers",] == 2, "not all workers are there")
    for pid in scene.server.pids():
        os.kill(pid, signal.SIGKILL)
    scene.server.wait_until_ready()
    until(lambda: read(scene.server).get(SERVED, 0) == before + 6, "counts were lost")


def test_a_reload_keeps_what_was_counted(database, start_servers, upstream):
    scene = a_scene(start_servers, "reloaded", workers=1)
    scene.account(upstream(answers()))
    scene.ask(stream=True)
    until(lambda: read(scene.server).get(SERVED) == 1, "not counted")
    old = scene.server.pids()

    scene.server.send(signal.SIGHUP)
    until(lambda: not set(old) & set(scene.server.pids()) and scene.server.pids(), "no new worker")
    scene.server.wait_until_ready()
    scene.ask(stream=True)

    until(lambda: read(scene.server).get(SERVED) == 2, "counts were lost")


def test_streams_under_way_are_seen_and_how_they_broke_is_counted(database, start_servers, upstream):
    scene = a_scene(start_servers, "under way", workers=1)
    scene.account(upstream(drips(0.05)))

    with scene.stream() as response:
        assert response.read1(10)
        until(lambda: read(scene.server)["open_exchanges", "true"] == 1, "not seen")
    until(lambda: read(scene.server)["open_exchanges", "true"] == 0, "still seen")

    found = read(scene.server)
    assert found["exchanges_total", "partial", CHAT, "client_left", "true"] == 1
    assert found["attempts_total", "served"] == 1
    assert found["hub_lag_seconds_count",] > 1
    assert found["unsettled_exchanges",] == 0


def test_each_exchange_leaves_one_line_that_its_answers_id_finds(database, start_servers, upstream):
    scene = a_scene(start_servers, "told", workers=1, UPSTREAM_GAP_TIMEOUT=1.5)
    scene.account(upstream(answers(), answers(), breaks(1), refuses(400), stalls(event(chunk({"content": "so far"})))))

    ids = [scene.ask(stream=stream).headers["x-request-id"] for stream in (True, False, True, False, True)]

    until(lambda: len(lines(scene.server, "exchange closed")) == 5, "lines are missing")
    told = lines(scene.server, "exchange closed")
    assert [line["request_id"] for line in told] == ids
    assert [line["outcome"] for line in told] == ["served", "served", "broken", "failed", "timed_out"]
    assert {(line["user_id"], line["model"]) for line in told} == {(scene.user.id, "told")}
    scene.last_line()  # each is told of just before it is settled
    closed = {row["id"].hex: row for row in rows("select * from usage_log where model = 'told'")}
    for line in told:
        row = closed[line["exchange_id"]]
        shared = ("api_key_id", "account_id", "outcome", "basis", "prompt_tokens", "completion_tokens", "first_byte_ms")
        assert {name: line[name] for name in shared} == {name: row[name] for name in shared}
        assert (line["status"], line["ms"]) == (row["http_status"], row["total_ms"])


def test_without_chatter_there_is_no_line_and_the_count_goes_on(database, start_servers, upstream):
    scene = a_scene(start_servers, "quiet", workers=1, LOG_LEVEL="WARNING")
    scene.account(upstream(answers()))

    scene.ask(stream=True)

    until(lambda: read(scene.server).get(SERVED) == 1, "not counted")
    assert lines(scene.server, "exchange closed") == []


def test_what_gunicorn_says_of_a_bad_request_quotes_nobody(database, start_servers):
    server = start_servers(LOG_LEVEL="INFO")
    with server.raw() as connection:
        connection.sendall(
            b"GET /v1/models?q=zqxcanary HTTP/1.1\r\nHost: x\r\nAuthoriz\x00ation zqxcanary: Bearer zqxcanary\r\n\r\n"
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 400")

    until(lambda: lines(server, "Invalid request from ip=127.0.0.1"), "nothing is said")
    assert "zqxcanary" not in server.output()


def test_a_database_that_hangs_keeps_no_reader_waiting_and_is_back_when_it_is(database, server):
    with db.engine.connect() as connection, connection.begin():
        connection.exec_driver_sql("lock table reservations in access exclusive mode")
        found = read(server)

    assert found["up", "postgresql"] == 0
    assert found["up", "redis"] == 1
    assert ("open_reservations",) not in found
    until(lambda: read(server)["up", "postgresql"] == 1, "it is not back")
