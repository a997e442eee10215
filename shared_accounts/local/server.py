"""A server program, as its users see it: started, it answers."""

from __future__ import annotations

import time

from shared_accounts.local.home import LocalError
from shared_accounts.local.process import Process

_SLOWEST_START = 60.0


class Server:
    """What PostgreSQL and Redis have in common: a process that is up once it answers."""

    process: Process

    def start(self) -> None:
        """Return once the server answers; what an earlier run left is stopped first, its data is kept."""
        self.prepare()
        self.process.start()
        try:
            self._await()
        except LocalError:
            self.process.stop()
            raise

    def stop(self) -> None:
        """Stop cleanly; harmless when it does not run."""
        self.process.stop()

    def kill(self) -> None:
        """Crash it with SIGKILL; for tests."""
        self.process.kill()

    @property
    def pid(self) -> int | None:
        """The server's process; None before the first start."""
        return self.process.pid

    def _await(self) -> None:
        deadline = time.monotonic() + _SLOWEST_START
        while not self.answers():
            if not self.process.alive or time.monotonic() > deadline:
                raise LocalError(
                    f"{self.process.name} did not start; see {self.process.log}:\n{self.process.last_words()}"
                )
            time.sleep(0.02)

    def prepare(self) -> None:
        """Make what the program needs, before each start."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Say whether it is ready for clients."""
        raise NotImplementedError
