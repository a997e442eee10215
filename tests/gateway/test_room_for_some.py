"""A balance that fits some of many calls at once lets exactly those through."""

import threading
from collections import Counter

import pytest
from sqlalchemy import text

from shared_accounts.extensions import db
from shared_accounts.quotas import proof
from tests.gateway.scene import wait_until
from tests.upstream import answers

CALLS, FIT, MOST = 200, 37, 1000


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.timeout(180)
def test_of_200_calls_at_once_exactly_the_37_that_fit_are_served(scene, upstream, stream):
    server = upstream(answers())
    scene.account(server)
    scene.ask(stream=stream, max_tokens=MOST)
    estimate = scene.line()["estimate"]
    # Each call will cost just what it reserved, so that none makes room for another, whatever the timing.
    server.plays(answers(usage={"prompt_tokens": estimate - 4 * MOST, "completion_tokens": MOST}))
    leave(scene, FIT * estimate)

    replies = at_once(CALLS, lambda: scene.ask(stream=stream, max_tokens=MOST))

    assert Counter(reply.status for reply in replies) == {200: FIT, 429: CALLS - FIT}
    refused = [reply for reply in replies if reply.status == 429]
    assert {reply.error["code"] for reply in refused} == {"insufficient_quota"}
    assert {reply.headers["x-should-retry"] for reply in refused} == {"false"}
    wait_until(lambda: {line["state"] for line in scene.lines()} == {"closed"}, "a line stays open")
    assert (scene.pool_now()["balance"], scene.pool_now()["reserved"]) == (0, 0)
    assert len(scene.lines()) == 1 + FIT
    assert proof.verify() == []


def leave(scene, balance):
    """Correct the pool to this balance, as an admin would: with an entry."""
    db.session.execute(
        text(
            """with pool as (update quota_pools set balance = :balance where id = :pool returning id)
            insert into ledger_entries (pool_id, kind, amount, balance_after)
            select id, 'correction', :balance - :before, :balance from pool"""
        ),
        {"pool": scene.pool.id, "balance": balance, "before": scene.pool_now()["balance"]},
    )
    db.session.commit()


def at_once(count, ask):
    replies, start = [], threading.Barrier(count)

    def run():
        start.wait()
        replies.append(ask())

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return replies
