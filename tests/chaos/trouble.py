"""What else goes wrong while workers are being killed: Celery dies, Redis freezes and forgets, hours are paid for thrice."""

from __future__ import annotations

import itertools
import os
import random
import signal
import time
from typing import TYPE_CHECKING

import psutil
import redis
from sqlalchemy import text

from shared_accounts import tasks
from shared_accounts.extensions import db

if TYPE_CHECKING:
    from tests.chaos.__main__ import Chaos

FROZEN_SECONDS = 2.0


class Trouble:
    """Makes one kind of trouble after the other, each as often as there is time for."""

    def __init__(self, chaos: Chaos) -> None:
        self._chaos = chaos
        self._turns = itertools.cycle(
            [
                self.pay_thrice,
                self.kill_a_child,
                self.freeze_redis,
                self.kill_the_node,
                self.flush_redis,
                self.turn_ahead,
            ]
        )
        self.made: list[str] = []

    def make(self) -> None:
        """Make the next kind of trouble."""
        act = next(self._turns)
        act()
        self.made.append(act.__name__.replace("_", " "))

    def kill_a_child(self) -> None:
        """Kill a process in which Celery runs tasks."""
        children = psutil.Process(self._chaos.worker.pid).children()
        if children:
            os.kill(random.choice(children).pid, signal.SIGKILL)

    def kill_the_node(self) -> None:
        """Kill all of Celery's worker at once, and start another."""
        node = psutil.Process(self._chaos.worker.pid)
        for process in (*node.children(recursive=True), node):
            process.kill()
        self._chaos.start_worker()

    def freeze_redis(self) -> None:
        """Let Redis keep its connections and say nothing for a while."""
        os.kill(self._chaos.redis.pid, signal.SIGSTOP)
        time.sleep(FROZEN_SECONDS)
        os.kill(self._chaos.redis.pid, signal.SIGCONT)

    def flush_redis(self) -> None:
        """Let Redis forget everything, the tasks in it too."""
        with redis.Redis.from_url(self._chaos.redis.url()) as connection:
            connection.flushall()

    def pay_thrice(self) -> None:
        """Ask three times for the refill, as beats that know nothing of each other would."""
        with self._chaos.app.app_context():
            for _ in range(3):
                tasks.refill_quotas.delay()

    def turn_ahead(self) -> None:
        """Set the marks of some pools that have been paid two hours ahead, as after a clock that was set back."""
        self._sql(
            "update quota_pools set refilled_through = refilled_through + interval '2 hours'"
            " where id % 2 = 0 and refilled_through = date_trunc('hour', now(), 'UTC')"
        )

    def _sql(self, statement: str) -> None:
        with self._chaos.app.app_context():
            db.session.execute(text(statement))
            db.session.commit()
