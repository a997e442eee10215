from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from shared_accounts.local.home import LocalError
from tests.local.conftest import PARENT, STUBBORN, WITHOUT_APPLICATION


def said(process, word="up"):
    deadline = time.monotonic() + 10
    while word not in process.output():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def launch_and_be_killed(process, prepare=""):
    """Start it from a launcher that is then killed; returns its process id."""
    code = f"""{WITHOUT_APPLICATION}
from shared_accounts.local import process as module
{prepare}
log, lock = pathlib.Path({str(process.log)!r}), pathlib.Path({str(process.lock)!r})
it = module.Process(name="it", command={process.command!r}, directory=pathlib.Path("/"), log=log, lock=lock)
it.start()
print(it.pid, flush=True)
os.kill(os.getpid(), 9)
"""
    return int(subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=False).stdout)


def abandoned(process):
    """As above, on a system that does not tell children when their parent has been killed."""
    return launch_and_be_killed(process, "module._libc = None")


def test_what_it_says_goes_to_its_log_and_later_starts_add_to_it(program):
    process = program("print('hello')")

    for _ in range(2):
        process.start()
        assert process.wait(10)

    assert process.output() == "hello\n"
    assert process.log.read_text() == "hello\nhello\n"
    assert process.log.stat().st_mode & 0o777 == 0o600


def test_a_log_that_has_grown_too_long_is_put_aside(program):
    process = program("print('hello')")
    process.log.write_bytes(b"x" * 11 * 1024 * 1024)

    process.start()
    assert process.wait(10)

    assert process.log.read_text() == "hello\n"
    assert (process.log.parent / "program.log.1").exists()


def test_stopping_is_a_request_first_and_an_order_later(program):
    polite, stubborn = program(), program(STUBBORN, name="stubborn", patience=0.2)
    polite.start()
    stubborn.start()
    said(polite)
    said(stubborn)

    polite.stop()
    stubborn.stop()

    assert polite.status == -signal.SIGTERM
    assert stubborn.status == -signal.SIGKILL


def test_stopping_what_never_ran_or_stopped_already_is_harmless(program):
    process = program()

    process.stop()
    process.start()
    process.stop()
    process.stop()

    assert process.gone


def test_it_is_gone_only_when_its_children_are(program):
    process = program(PARENT)
    process.start()
    said(process)

    os.kill(process.pid, signal.SIGKILL)

    assert not process.wait(0.2)
    assert not process.alive
    process.kill()
    assert process.gone


def test_what_a_killed_launcher_left_is_stopped_before_the_next_start(program):
    process = program()
    left = abandoned(process)
    assert not process.gone

    process.start()

    assert process.alive
    assert process.pid != left
    assert process.lock.read_text() == str(process.pid)


def test_children_of_a_dead_leftover_are_stopped_too(program):
    process = program(PARENT)
    left = abandoned(process)
    said(process)
    os.kill(left, signal.SIGKILL)

    process.end_leftover()

    assert process.gone


def test_a_number_left_by_a_power_loss_is_nobody(program):
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
    process = program()
    process.lock.write_text(str(stranger.pid))

    process.start()

    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child")
def test_it_ends_with_the_launcher(program):
    process = program()

    launch_and_be_killed(process)

    assert process.wait(5)


def test_a_program_that_does_not_exist_is_named(program):
    process = program()
    process.command = ["/no/such/program"]

    with pytest.raises(LocalError, match="/no/such/program"):
        process.start()

    assert process.gone
