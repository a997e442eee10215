"""The Plug-in's shared pool makes it ask its providers, so it is asked rarely, and by one at a time."""

from __future__ import annotations

import threading

import pytest

from shared_accounts.plugin import kept, remote, remote_answers
from shared_accounts.plugin.kept import Kept
from tests.plugin.contract import API, SHARED_POOL, answered, refusal, remote_world, told
from tests.plugin.provisioned import plugin
from tests.plugin_api import plugin_process, plugin_server

__all__ = ["plugin", "plugin_process", "plugin_server", "remote_world"]

SHARED = "/api/quotas/shared-pool"


def together(*clients):
    """What these clients are answered who ask at the same moment."""
    start, answers = threading.Barrier(len(clients)), {}

    def ask(number, client):
        start.wait()
        answers[number] = client.get(f"{API}/quotas/shared-pool")

    asking = [threading.Thread(target=ask, args=one) for one in enumerate(clients)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    return [answers[number] for number in range(len(clients))]


def test_of_many_who_ask_at_once_one_asks_the_plugin(remote_world, plugin_server):
    ada, eve = remote_world.member(), remote_world.member()
    world_account = remote_world.add(ada, is_shared=1)
    remote_world.consume(ada, world_account)
    before = len(plugin_server.seen(SHARED))
    plugin_server.misbehave(SHARED, stall=1)

    found = [answered(one, told(SHARED_POOL)) for one in together(ada, eve, ada, eve)]

    assert len(plugin_server.seen(SHARED)) == before + 1
    assert {len(one["quotas"]) for one in found} == {len(found[0]["quotas"])} != {0}
    assert [one["user_consumption"]["total_requests"] for one in found] == [1, 0, 1, 0]
    assert answered(eve.get(f"{API}/quotas/shared-pool"), told(SHARED_POOL)) == found[1]
    assert len(plugin_server.seen(SHARED)) == before + 1


def test_those_who_waited_in_vain_do_not_each_try_again(remote_world, plugin_server):
    ada, eve = remote_world.member(), remote_world.member()
    before = len(plugin_server.seen(SHARED))
    plugin_server.misbehave(SHARED, status=200, body=[], stall=1)

    answers = together(ada, eve, ada, eve)

    assert {refusal(one) for one in answers} == {(502, "PLUGIN_UNREACHABLE")}
    assert len(plugin_server.seen(SHARED)) == before + 1


def test_one_whose_key_is_refused_spoils_nothing_for_others(remote_world, plugin_server):
    ada, eve = remote_world.member(), remote_world.member()
    plugin_server.call("POST", f"/api/users/{remote_world.known(ada).user_id}/regenerate-key")

    assert refusal(ada.get(f"{API}/quotas/shared-pool")) == (502, "PLUGIN_AUTH_FAILED")
    assert eve.get(f"{API}/quotas/shared-pool").status_code == 200


def test_the_older_shape_comes_out_as_the_newer_one(remote_world, plugin_server):
    ada = remote_world.member()
    remote_world.add(ada, is_shared=1)
    plugin_server.control(old_shared_pool=True)

    data = ada.get(f"{API}/quotas/shared-pool").json["data"]

    assert data["quotas"]
    assert data["user_consumption"]["total_requests"] == 0


def test_more_calls_than_can_be_sent_are_summed_up_by_the_plugin(remote_world, plugin_server, monkeypatch):
    monkeypatch.setattr(remote, "_MOST_ROWS", 2)
    ada = remote_world.member()
    account = remote_world.add(ada)
    for _ in range(3):
        remote_world.consume(ada, account)

    consumed = ada.get(f"{API}/quotas/shared-pool").json["data"]["user_consumption"]

    assert consumed["total_requests"] == 3
    assert plugin_server.seen("/api/quotas/consumption")[-1]["query"] == "limit=2"


def test_an_answer_is_kept_for_its_time_and_a_failure_for_less(monkeypatch):
    now, asked = [100.0], []
    monkeypatch.setattr(kept, "monotonic", lambda: now[0])
    one = Kept(45.0, failures=LookupError)

    def ask():
        asked.append(now[0])
        if len(asked) == 2:
            raise LookupError
        return len(asked)

    assert one.get(ask) == 1
    now[0] += 44.9
    assert one.get(ask) == 1
    now[0] += 0.2
    for _ in range(2):
        with pytest.raises(LookupError):
            one.get(ask)
    now[0] += 5.1
    assert one.get(ask) == 3
    assert len(asked) == 3


def test_a_failure_of_another_kind_is_nobody_elses():
    one, calls = Kept(45.0, failures=LookupError), iter([ZeroDivisionError(), 7])

    def ask():
        found = next(calls)
        if isinstance(found, Exception):
            raise found
        return found

    with pytest.raises(ZeroDivisionError):
        one.get(ask)
    assert one.get(ask) == 7


def test_sums_take_numbers_in_whatever_way_they_are_written():
    rows = [
        {"quota_consumed": "0.0100", "is_shared": 1},
        {"quota_consumed": 0.25, "is_shared": 0},
        {"quota_consumed": None, "is_shared": None},
    ]

    assert remote_answers.consumed(rows) == {
        "total_requests": 3,
        "total_quota_consumed": 0.26,
        "shared_quota_consumed": 0.01,
        "private_quota_consumed": 0.25,
    }
