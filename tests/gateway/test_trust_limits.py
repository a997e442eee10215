"""What a trust level allows at the gateway: requests per minute, and exchanges at the same time."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from sqlalchemy import text

from shared_accounts.extensions import db
from tests import factories
from tests.gateway.scene import wait_until
from tests.upstream import answers, drips

LEVEL = 4


@pytest.fixture
def trusted(scene):
    """Somebody with quota, of a level with these limits: `trusted(max_concurrent=2)` returns her key."""

    def make(**limits):
        _limit(**limits)
        user, key = scene.somebody(trust_level=LEVEL)
        factories.quota_pool(user, model_group=scene.model)
        db.session.rollback()
        return key

    yield make
    _limit(requests_per_minute=None, max_concurrent=None)


def _limit(**limits):
    for name, value in limits.items():
        db.session.execute(text(f"update trust_levels set {name} = :value where level = {LEVEL}"), {"value": value})
    db.session.commit()


def test_requests_per_minute_are_counted_for_a_user_over_all_workers(scene, upstream, trusted):
    scene.account(upstream(answers()))
    key = trusted(requests_per_minute=3)

    replies = [scene.ask(key=key) for _ in range(5)]

    assert [reply.status for reply in replies] == [200] * 3 + [429] * 2
    refused = replies[-1]
    assert refused.error["code"] == "rate_limit_exceeded"
    assert 1 <= int(refused.headers["retry-after"]) <= 61
    assert scene.ask().status == 200


def test_exchanges_at_the_same_time_are_limited(scene, upstream, trusted):
    server = upstream(drips(0.3))
    scene.account(server)
    key = trusted(max_concurrent=2)

    with ExitStack() as streams:
        for _ in range(2):
            streams.enter_context(scene.stream(key=key))
        refused = scene.ask(key=key)
        assert (refused.status, refused.error["code"]) == (429, "rate_limit_exceeded")
        assert refused.headers["retry-after"]
        streams.enter_context(scene.stream())  # others go on
    wait_until(lambda: {line["state"] for line in scene.lines()} == {"closed"}, "still busy")

    with ExitStack() as streams:
        streams.enter_context(scene.stream(key=key))
