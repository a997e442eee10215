from __future__ import annotations

import os
import signal
import time

import pytest

from shared_accounts.local import supervisor
from shared_accounts.local.home import LocalError
from shared_accounts.local.supervisor import Signals, StopRequested, Supervisor
from tests.local.conftest import DIES, STUBBORN


@pytest.fixture
def signals():
    """Our handlers, and Python's own again afterwards."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # who runs the tests may have been told to ignore it
    made = Signals()
    made.install()
    yield made
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.fixture
def fast(monkeypatch):
    """Pauses are a fiftieth of what they are."""
    sleep = time.sleep
    clock = time.monotonic
    monkeypatch.setattr(supervisor.time, "sleep", lambda seconds: sleep(seconds / 50))
    monkeypatch.setattr(supervisor.time, "monotonic", lambda: clock() * 50)


def supervise(signals, *stages, restarted=lambda: None):
    made = Supervisor(stages, signals, on_restart=restarted)
    for stage in stages:
        for process in stage:
            process.start()
            made.watch(process)
    return made


def test_what_dies_is_started_again(program, signals, capsys):
    process, restarts = program(), []
    made = supervise(signals, [process], restarted=lambda: restarts.append(process.pid))
    first = process.pid

    os.kill(first, signal.SIGKILL)
    made.wait_for(lambda: bool(restarts), process, 10)

    assert process.alive
    assert restarts == [process.pid] != [first]
    assert "program ended unexpectedly (-9)" in capsys.readouterr().out


def test_what_keeps_dying_before_everything_is_ready_stops_the_start(program, signals, fast):
    made = supervise(signals, [program(DIES)])

    with pytest.raises(LocalError, match=r"(?s)program keeps ending; see .*program\.log:.*I cannot work like this"):
        made.wait_for(lambda: False, program(), 1000)


def test_pauses_between_restarts_double(program, signals, fast, capsys):
    made = supervise(signals, [program(DIES)])

    with pytest.raises(LocalError):
        made.wait_for(lambda: False, program(), 1000)

    pauses = [line.split()[-2] for line in capsys.readouterr().out.splitlines()]
    assert pauses == ["1", "2", "4", "8"]


def test_what_is_never_ready_is_named(program, signals):
    made = supervise(signals, [program(name="slowpoke")])

    with pytest.raises(LocalError, match="slowpoke is not ready"):
        made.wait_for(lambda: False, program(name="slowpoke"), 0.2)


def test_a_step_that_fails_shows_its_last_words(program, signals):
    with pytest.raises(LocalError, match=r"(?s)migrate failed.*I cannot work like this"):
        Supervisor([], signals, on_restart=lambda: None).complete(program(DIES, name="migrate"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_obeyed_between_two_steps(signals, program, number):
    made = supervise(signals, [program()])

    os.kill(os.getpid(), number)

    with pytest.raises(StopRequested):
        made.run()


def test_stages_stop_one_after_the_other(program, signals, folder):
    farewell = """
import pathlib, signal, sys, time
def leave(*_):
    time.sleep({seconds})
    with open('order', 'a') as file: file.write('{name} ')
    sys.exit()
signal.signal(signal.SIGTERM, leave)
print('up', flush=True)
time.sleep(100)
"""
    web, demo, postgres = (
        program(farewell.format(name=name, seconds=seconds), name=name)
        for name, seconds in (("web", 0.4), ("demo", 0.2), ("postgres", 0))
    )
    made = supervise(signals, [web], [demo], [postgres])
    for process in (web, demo, postgres):
        made.wait_for(lambda process=process: "up" in process.output(), process, 10)

    made.stop()

    assert (folder / "order").read_text().split() == ["web", "demo", "postgres"]
    assert all(process.gone for process in (web, demo, postgres))


def test_a_second_ctrl_c_cuts_short_what_drains_but_not_what_keeps_data(program, signals):
    web = program(STUBBORN, name="web")
    postgres = program(STUBBORN, name="postgres", patience=1, keeps_data=True)
    made = supervise(signals, [web], [postgres])
    for process in (web, postgres):
        made.wait_for(lambda process=process: "up" in process.output(), process, 10)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.6)
    os.kill(os.getpid(), signal.SIGINT)
    began = time.monotonic()

    made.stop()

    assert signals.hurry
    assert 1 <= time.monotonic() - began < 3


def test_one_ctrl_c_that_arrives_twice_is_no_hurry(signals):
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)

    assert signals.stop
    assert not signals.hurry


def test_the_terminal_shows_what_deserves_attention(program, signals, capsys):
    lines = r"'early\n', 'level INFO: routine\n', 'level ERROR: trouble\n', 'half a line'"
    loop = f"for line in ({lines}): time.sleep(.3); print(line, end='', flush=True)"
    process = program(f"import time\n{loop}\ntime.sleep(100)")
    made = supervise(signals, [process])
    made.wait_for(lambda: "early" in process.output(), process, 10)
    signal.signal(signal.SIGALRM, lambda *_: setattr(signals, "stop", True))
    signal.setitimer(signal.ITIMER_REAL, 1.5)

    with pytest.raises(StopRequested):
        made.run()

    assert capsys.readouterr().out == "program  | level ERROR: trouble\n"
