"""The README's first command, with everything real: two starts, of which the first ends by a SIGKILL."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
import requests

from shared_accounts.local.servers import Postgres, free_port

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(180)


class Start:
    """One `python -m shared_accounts.local`, up to the moment it is ready."""

    def __init__(self, environment):
        self.home = Path(environment["SHARED_ACCOUNTS_HOME"])
        command = [sys.executable, "-m", "shared_accounts.local"]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.said = []
        for line in self.process.stdout:
            self.said.append(line.strip())
            if line.strip().startswith("Ctrl-C"):
                return
        raise AssertionError("\n".join(self.said))

    @property
    def facts(self):
        return json.loads((self.home / "ready.json").read_text())

    @property
    def command(self):
        (line,) = (line for line in self.said if line.startswith("curl"))
        return line

    def end(self, number):
        self.process.send_signal(number)
        status = self.process.wait(60)
        self.process.stdout.close()
        return status


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    ports = {name: str(free_port()) for name in ("PORT", "DEMO_PORT", "POSTGRES_PORT", "REDIS_PORT")}
    mine = {"SHARED_ACCOUNTS_HOME": str(tmp_path_factory.mktemp("home")), "WEB_CONCURRENCY": "1", **ports}
    yield {name: value for name, value in os.environ.items() if name not in _settings()} | mine
    Postgres(Path(mine["SHARED_ACCOUNTS_HOME"]), 0).destroy()


@pytest.fixture(scope="module")
def first(environment):
    return Start(environment)


@pytest.fixture(scope="module")
def second(first, environment):
    """A start right after the first launcher was killed, its programs being told to end or not."""
    first.before = first.facts
    first.end(signal.SIGKILL)
    start = Start(environment)
    yield start
    if start.process.poll() is None:
        start.end(signal.SIGTERM)


def _settings():
    return {"DATABASE_URL", "REDIS_URL", "SECRET_KEY", "JWT_SECRET_KEY", "ADMIN_USERNAME", "ADMIN_PASSWORD", "HOST"}


def run_pasted(command):
    """Do what the printed `curl` does, on a machine that may not have one."""
    words = shlex.split(command)
    assert words[:2] == ["curl", "-N"]
    headers = dict(value.split(": ", 1) for flag, value in pairwise(words) if flag == "-H")
    body = words[words.index("-d") + 1]
    return requests.post(words[2], headers=headers, data=body, stream=True, timeout=20)


def test_ready_json_says_what_a_program_needs_and_only_to_the_owner(first):
    facts = first.facts

    assert list(facts) == [
        "console_url",
        "base_url",
        "admin_username",
        "admin_password",
        "api_key",
        "demo_base_url",
        "database_url",
        "redis_url",
        "pids",
    ]
    assert facts["pids"].keys() == {"web", "worker", "beat", "demo", "postgres", "redis"}
    assert all(psutil.pid_exists(pid) for pid in facts["pids"].values())
    assert (first.home / "ready.json").stat().st_mode & 0o777 == 0o600
    assert any(facts["admin_password"] in line for line in first.said)


def test_the_printed_command_streams_from_the_demo(first):
    answer = run_pasted(first.command)

    lines = [line for line in answer.iter_lines(decode_unicode=True) if line]
    assert answer.status_code == 200
    assert len(lines) > 10
    assert lines[-1] == "data: [DONE]"


def test_a_second_start_on_the_same_folder_is_refused_and_harmless(first, environment):
    command = [sys.executable, "-m", "shared_accounts.local"]
    other = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    assert other.returncode == 1
    assert "Already running" in other.stderr
    assert first.facts


def test_what_is_killed_is_back_in_seconds_and_ready_json_knows(first):
    killed = first.facts["pids"]["web"]

    os.kill(killed, signal.SIGKILL)

    deadline = time.monotonic() + 30
    while first.facts["pids"]["web"] == killed or not _answers(first.facts["console_url"]):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_data_and_key_survive_the_launchers_sudden_death(first, second):
    assert second.facts["api_key"] == first.before["api_key"]
    assert run_pasted(second.command).ok
    assert not any(second.facts["admin_password"] in line for line in second.said)
    assert any("secrets.json" in line for line in second.said)


def test_it_stops_in_order_and_leaves_nothing_running(second):
    facts = second.facts
    programs = [process for pid in facts["pids"].values() for process in _family(pid)]

    status = second.end(signal.SIGTERM)

    assert status == 0
    assert psutil.wait_procs(programs, timeout=0)[1] == []
    assert not (second.home / "ready.json").exists()
    assert "database system is shut down" in (second.home / "logs" / "postgres.log").read_text().splitlines()[-1]


def _family(pid):
    leader = psutil.Process(pid)
    return [leader, *leader.children(recursive=True)]


def _answers(console):
    try:
        return requests.get(f"{console}readyz", timeout=5).ok
    except (requests.ConnectionError, requests.Timeout):
        return False
