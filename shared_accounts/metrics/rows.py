"""What no worker can count alone: read from PostgreSQL and Redis when somebody asks, in well under a second.

These are the same whichever replica is asked. While a server is away its metrics are left out, and `up` says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from gevent import Timeout
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import select, text
from sqlalchemy.exc import SQLAlchemyError

from shared_accounts.config import MICRO, Settings
from shared_accounts.extensions import db
from shared_accounts.metrics.meters import PREFIX
from shared_accounts.metrics.models import JobRun

_POSTGRES_SECONDS = 0.5
_REDIS_SECONDS = 0.25
_PROOF = "prove_ledger"
_HELD = text("select count(*), coalesce(sum(amount), 0) from reservations where state = 'open'")


def families(settings: Settings) -> Iterator[Metric]:
    """Yield what the servers know of the whole service."""
    rows, messages = _from_postgresql(), queue(settings.redis_url)
    up = GaugeMetricFamily(f"{PREFIX}up", "Whether a server answers.", labels=["server"])
    up.add_metric(["postgresql"], rows is not None)
    up.add_metric(["redis"], messages is not None)
    yield up
    if rows is not None:
        (count, reserved), runs = rows
        yield _gauge("open_reservations", "Reservations neither settled nor released.", count)
        yield _gauge("reserved_units", "Units set aside by them.", int(reserved) / MICRO)
        yield from _of_jobs(runs)
    if messages is not None:
        waiting, taken = messages
        found = GaugeMetricFamily(f"{PREFIX}queue_messages", "Celery's messages.", labels=["queue", "state"])
        found.add_metric(["celery", "waiting"], waiting)
        found.add_metric(["celery", "taken"], taken)
        yield found


def _of_jobs(runs: Sequence[JobRun]) -> Iterator[Metric]:
    counts = CounterMetricFamily(f"{PREFIX}job_runs", "Runs of a task, by outcome.", labels=["job", "outcome"])
    seconds = CounterMetricFamily(f"{PREFIX}job_seconds", "What all runs of a task took.", labels=["job"])
    last = GaugeMetricFamily(f"{PREFIX}job_last_seconds", "What a task's last run took.", labels=["job"])
    started = GaugeMetricFamily(f"{PREFIX}job_started_timestamp_seconds", "A task's last start.", labels=["job"])
    finished = GaugeMetricFamily(f"{PREFIX}job_finished_timestamp_seconds", "A task's last end.", labels=["job"])
    for run in runs:
        counts.add_metric([run.task, "succeeded"], run.succeeded)
        counts.add_metric([run.task, "failed"], run.failed)
        seconds.add_metric([run.task], run.total_ms / 1000)
        started.add_metric([run.task], run.last_started.timestamp())
        if run.last_finished is not None:
            finished.add_metric([run.task], run.last_finished.timestamp())
            last.add_metric([run.task], (run.duration_ms or 0) / 1000)
    yield from (counts, seconds, last, started, finished)
    yield from (metric for run in runs if run.task == _PROOF for metric in _of_proof(run))


def _of_proof(run: JobRun) -> Iterator[Metric]:
    if run.found is not None and run.last_finished is not None:
        yield _gauge("ledger_problems", "What the last proof of the ledger found wrong; 0 is well.", run.found)
        at = run.last_finished.timestamp()
        yield _gauge("ledger_proof_timestamp_seconds", "When that proof ended; its age is the time since.", at)


def _gauge(name: str, says: str, value: float) -> Metric:
    return GaugeMetricFamily(PREFIX + name, says, value=value)


def _from_postgresql() -> tuple[Any, Sequence[JobRun]] | None:
    try:
        # Neither a frozen server nor a pool that is used up may keep whoever watches waiting.
        with Timeout(_POSTGRES_SECONDS):
            held = db.session.execute(_HELD).one()
            return held, list(db.session.scalars(select(JobRun)))
    except (SQLAlchemyError, Timeout):
        return None


def held() -> tuple[int, int]:
    """Return how many reservations are open, and the micro-units set aside by them."""
    count, reserved = db.session.execute(_HELD).one()
    return int(count), int(reserved)


def queue(url: str) -> tuple[int, int] | None:
    """Return how many of Celery's messages wait and how many are being worked on; nothing if Redis is away."""
    once = Retry(NoBackoff(), 0)
    client = Redis.from_url(url, socket_timeout=_REDIS_SECONDS, socket_connect_timeout=_REDIS_SECONDS, retry=once)
    try:
        asking = client.pipeline(transaction=False)
        asking.llen("celery")
        asking.hlen("unacked")
        waiting, taken = asking.execute()
    except RedisError:
        return None
    finally:
        client.close()
    return waiting, taken
