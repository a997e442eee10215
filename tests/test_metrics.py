"""What is counted, and how the workers of one web server add up; who sees it is in `test_metrics_door.py`."""

from __future__ import annotations

import mmap
import runpy
import time

import pytest

from shared_accounts.metrics.board import Board, board
from shared_accounts.metrics.meters import Counter, Gauge, Histogram
from tests.conftest import ROOT


def shown(meter):
    family = meter.family(meter._board.read())  # noqa: SLF001
    return {(one.name, *one.labels.values()): one.value for one in family.samples}


@pytest.fixture
def memory():
    """Memory for three workers, as gunicorn's master sets it aside."""
    return mmap.mmap(-1, 3 * 4096)


@pytest.fixture
def workers(memory):
    """Start workers, in rows of one memory: each a board of its own and what it counts there."""

    def start(row, **labels):
        made = Board()
        counter = Counter(made, "acts", "Acts.", kind=("good", "bad", "other"), **labels)
        gauge = Gauge(made, "guests", "Guests.")
        made.share(memory, row, 3)
        return made, counter, gauge

    return start


def test_every_worker_shows_what_all_of_them_have_counted(workers):
    _, mine, _ = workers(0)
    _, hers, _ = workers(2)

    mine.add("good")
    hers.add("good", by=2)
    hers.add("bad")

    assert (
        shown(mine)
        == shown(hers)
        == {("shared_accounts_acts_total", "good"): 3, ("shared_accounts_acts_total", "bad"): 1}
    )


def test_what_a_worker_that_died_had_counted_is_carried_on_by_the_one_in_its_place(workers):
    _, before, _ = workers(1)
    before.add("good", by=5)

    _, after, _ = workers(1)
    after.add("good")

    assert shown(after) == {("shared_accounts_acts_total", "good"): 6}


def test_what_another_release_had_counted_is_neither_shown_nor_carried_on(workers):
    _, old, _ = workers(0)
    old.add("good", by=5)
    _, new, _ = workers(1, colour=("red",))
    new.add("good", "red")

    assert shown(new) == {("shared_accounts_acts_total", "good", "red"): 1}
    assert shown(old) == {("shared_accounts_acts_total", "good"): 5}
    _, newer, _ = workers(0, colour=("red",))
    assert shown(newer) == {("shared_accounts_acts_total", "good", "red"): 1}


def test_what_is_at_this_moment_counts_only_where_a_worker_lives(workers, monkeypatch):
    mine, _, guests = workers(0)
    hers, _, her_guests = workers(1)
    guests.set(3)
    her_guests.set(4)
    mine.beat()
    hers.beat()
    assert shown(guests) == {("shared_accounts_guests",): 7}

    later = time.monotonic() + 11
    monkeypatch.setattr("shared_accounts.metrics.board.monotonic", lambda: later)
    mine.beat()

    assert shown(guests) == {("shared_accounts_guests",): 3}
    guests.clear()
    assert shown(guests) == {("shared_accounts_guests",): 0}


def test_a_label_nobody_listed_counts_as_other(workers):
    _, counter, _ = workers(0)

    counter.add("sk-something-a-client-made-up")

    assert shown(counter) == {("shared_accounts_acts_total", "other"): 1}


def test_a_row_too_short_is_refused(memory):
    made = Board()
    made.reserve("wide", 1000)

    with pytest.raises(ValueError, match="8016 bytes"):
        made.share(memory, 0, 3)


def test_times_fall_into_the_bucket_that_holds_them():
    made = Board()
    spread = Histogram(made, "waits_seconds", "Waits.", scale=1000, bounds=(10, 100), stream=("true", "false"))

    for amount in (0, 10, 11, 100, 5000):
        spread.observe(amount, "true")

    name = "shared_accounts_waits_seconds"
    assert shown(spread) == {
        (f"{name}_bucket", "true", "0.01"): 2,
        (f"{name}_bucket", "true", "0.1"): 4,
        (f"{name}_bucket", "true", "+Inf"): 5,
        (f"{name}_count", "true"): 5,
        (f"{name}_sum", "true"): 5.121,
    }


def test_the_rows_that_gunicorn_sets_aside_hold_the_whole_catalogue():
    conf = runpy.run_path(str(ROOT / "gunicorn.conf.py"))

    assert board.cells.nbytes < conf["_ROW_BYTES"] / 2
