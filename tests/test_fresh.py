from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from shared_accounts.fresh import Fresh


class Slowly:
    """Counts who reads, and lets the second one wait until it is told to go on."""

    def __init__(self, read):
        self.read = read
        self.reads = 0
        self.begun, self.go_on = threading.Event(), threading.Event()

    def __call__(self, *given):
        self.reads += 1
        if self.reads == 2:
            self.begun.set()
            assert self.go_on.wait(30)
        return self.read(*given)


def test_while_one_reads_anew_the_others_go_by_what_is_known():
    slowly = Slowly(lambda: slowly.reads)
    fresh = Fresh(0.0, slowly)
    assert fresh.get() == 1
    fresh._seconds = 60.0  # noqa: SLF001 - what is known is out of date; what is read from now on is not

    with ThreadPoolExecutor(1) as other:
        reading = other.submit(fresh.get)
        assert slowly.begun.wait(30)
        assert [fresh.get() for _ in range(64)] == [1] * 64
        slowly.go_on.set()
        assert reading.result() == 2

    assert (fresh.get(), slowly.reads) == (2, 2)


def test_what_could_not_be_read_is_read_by_whoever_comes_next():
    answers = [None, 7, None, 8]

    def read():
        if (answer := answers.pop(0)) is None:
            raise ConnectionError
        return answer

    fresh = Fresh(0.0, read)
    for expected in (7, 8):
        with pytest.raises(ConnectionError):
            fresh.get()
        assert fresh.get() == expected
