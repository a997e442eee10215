"""Numbers that one worker writes and every worker of the same web server reads.

Each worker has a row of cells to itself, so counting takes no lock and no system call. The memory is the master's
and anonymous: it leaves no file behind, a full disk cannot hurt it, and what a killed worker had counted stays, since
whoever takes its place goes on counting in its row. A process that shares nothing (a command, a test) has one row of
its own.

Invariant: a cell is a 64-bit integer, and only the owner of its row writes it. One thread at a time counts, as under
gevent; threads could lose a count, never more.
"""

from __future__ import annotations

from mmap import mmap
from time import monotonic
from typing import NamedTuple
from zlib import crc32

_CELL_BYTES = 8
_SHAPE, _BEAT = 0, 1
_STALE_SECONDS = 10


class Reading(NamedTuple):
    """Every cell's sum: of what has ever been counted, and of what there is at this moment."""

    ever: list[int]
    now: list[int]


class Board:
    """The row of this process, and those of its neighbours."""

    def __init__(self) -> None:
        self._width = len((_SHAPE, _BEAT))
        self._shape = 0
        """A fingerprint of what all the cells mean, which stands in each row's first one."""
        self._rows: list[memoryview] = []
        self.cells = memoryview(bytearray(_CELL_BYTES * self._width)).cast("q")

    def reserve(self, name: str, count: int) -> int:
        """Return the first of `count` new cells; all are reserved while modules are imported."""
        first, self._width = self._width, self._width + count
        self._shape = crc32(f"{name} {count}".encode(), self._shape)
        self.cells = memoryview(bytearray(_CELL_BYTES * self._width)).cast("q")
        return first

    def share(self, memory: mmap, row: int, rows: int) -> None:
        """Move to row `row` of memory that has `rows` of them, and go on with what its last owner had counted.

        A row written by another release, whose cells mean something else, begins anew. Raises `ValueError` when a row
        is too short.
        """
        length = len(memory) // rows
        if length < _CELL_BYTES * self._width:
            raise ValueError(f"A row needs {_CELL_BYTES * self._width} bytes.")
        whole = memoryview(memory)
        self._rows = [whole[one * length : (one + 1) * length].cast("q") for one in range(rows)]
        self.cells = self._rows[row]
        if self.cells[_SHAPE] != self._shape:
            self.cells[:] = memoryview(bytes(length)).cast("q")
            self.cells[_SHAPE] = self._shape

    def beat(self) -> None:
        """Say that this worker lives, so that what it shows of the moment is believed for a while."""
        self.cells[_BEAT] = int(monotonic())

    def read(self) -> Reading:
        """Return the sums over all workers, and over those that have lately said that they live."""
        rows = [row for row in self._rows if row[_SHAPE] == self._shape] or [self.cells]
        oldest = int(monotonic()) - _STALE_SECONDS
        return Reading(self._sums(rows), self._sums([row for row in rows if row[_BEAT] > oldest]))

    def _sums(self, rows: list[memoryview]) -> list[int]:
        columns = zip(*(row[: self._width].tolist() for row in rows), strict=True)
        return [sum(cells) for cells in columns] or [0] * self._width


board = Board()
