"""`./run.sh --with-plugin`: the Plug-in API server beside everything else, known to every process."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import requests

from shared_accounts.local import home, operate, plan, with_plugin
from shared_accounts.local.home import LocalError
from shared_accounts.local.servers import Postgres, free_port
from shared_accounts.local.service import LocalService
from shared_accounts.local.supervisor import Signals

ROOT = Path(__file__).parents[2]
PORTS = ("PORT", "DEMO_PORT", "POSTGRES_PORT", "REDIS_PORT", "PLUGIN_PORT")
OURS = {*PORTS, "DATABASE_URL", "REDIS_URL", "HOST", "PLUGIN_API_BASE_URL", "PLUGIN_API_ADMIN_KEY", "PUBLIC_URL"}
pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def join(monkeypatch, tmp_path):
    """Draw up a plan with the server in it, from an environment of the test's own."""
    monkeypatch.setattr(plan, "REPOSITORY", tmp_path)
    monkeypatch.setattr(home, "lock", lambda _: None)

    def draw(**environment):
        for name in OURS:
            monkeypatch.delenv(name, raising=False)
        for name, value in {"SHARED_ACCOUNTS_HOME": str(tmp_path / "home"), **environment}.items():
            monkeypatch.setenv(name, value)
        return with_plugin.join(plan.draw_up())

    return draw


def test_every_process_is_told_where_it_is_and_the_same_key_each_time(join):
    first, second = join(), join(PORT="9000")
    service = LocalService(second, Signals())

    key = first.settings["PLUGIN_API_ADMIN_KEY"]
    assert first.settings["PLUGIN_API_BASE_URL"] == "http://127.0.0.1:8045"
    assert second.settings["PLUGIN_API_BASE_URL"] == "http://127.0.0.1:9037"
    assert key.startswith("sk-admin-")
    for process in (service.web, service.worker, service.beat, service.plugin):
        assert process.environment["PLUGIN_API_BASE_URL"] == "http://127.0.0.1:9037"
        assert process.environment["PLUGIN_API_ADMIN_KEY"] == key


def test_nobody_reads_the_key_from_a_command_line(join):
    service = LocalService(join(), Signals())

    assert not any("sk-admin-" in str(part) for part in service.plugin.command)


def test_the_operators_key_is_taken(join):
    assert join(PLUGIN_API_ADMIN_KEY="sk-admin-mine").settings["PLUGIN_API_ADMIN_KEY"] == "sk-admin-mine"


def test_the_operators_server_is_used_as_it_is(join):
    drawn = join(PLUGIN_API_BASE_URL="http://elsewhere.test", PLUGIN_API_ADMIN_KEY="sk-admin-theirs")

    assert drawn.settings["PLUGIN_API_BASE_URL"] == "http://elsewhere.test"
    assert "PLUGIN_PORT" not in drawn.ports
    assert LocalService(drawn, Signals()).plugin is None


@pytest.mark.parametrize("port", ["none", "0", "70000"])
def test_a_port_that_is_none_is_refused_by_its_name(join, port):
    with pytest.raises(LocalError, match="PLUGIN_PORT"):
        join(PLUGIN_PORT=port)


def test_a_taken_port_is_refused_before_anything_starts(join):
    ports = dict.fromkeys(PORTS, str(free_port()))

    with pytest.raises(LocalError, match="PORT"):
        join(**ports).require_free_ports()


def test_an_operators_command_is_told_as_well(join, monkeypatch):
    drawn, became = join(), []
    facts = {"database_url": "postgresql://d", "redis_url": "redis://r", "plugin_api_base_url": "http://127.0.0.1:8045"}
    (drawn.home / "ready.json").write_text(json.dumps(facts))
    monkeypatch.setattr(operate.os, "execve", lambda *what: became.append(what))

    operate.main()

    ((_, _, environment),) = became
    assert environment["PLUGIN_API_BASE_URL"] == "http://127.0.0.1:8045"
    assert environment["PLUGIN_API_ADMIN_KEY"] == drawn.settings["PLUGIN_API_ADMIN_KEY"]


def test_run_sh_hands_the_wish_over(tmp_path):
    launcher = tmp_path / "shared_accounts" / "local"
    launcher.mkdir(parents=True)
    shutil.copy(ROOT / "run.sh", tmp_path)
    (launcher / "__main__.py").write_text("import sys; print('handed over', sys.argv[1:])\n")
    for name in ("requirements.txt", "requirements-local.txt"):
        (tmp_path / name).write_text("# nothing\n")

    said = {}
    for arguments in ((), ("--with-plugin",), ("--with-plug",)):
        command = [tmp_path / "run.sh", *arguments]
        said[arguments] = subprocess.run(command, capture_output=True, text=True, check=False)

    assert said[()].stdout.splitlines()[-1] == "handed over []"
    assert said["--with-plugin",].stdout.splitlines()[-1] == "handed over ['--with-plugin']"
    assert said["--with-plug",].returncode == 2
    assert "usage: ./run.sh [--with-plugin]" in said["--with-plug",].stderr


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    mine = {name: str(free_port()) for name in PORTS}
    mine |= {"SHARED_ACCOUNTS_HOME": str(tmp_path_factory.mktemp("home")), "WEB_CONCURRENCY": "1"}
    yield {name: value for name, value in os.environ.items() if name not in OURS} | mine
    Postgres(Path(mine["SHARED_ACCOUNTS_HOME"]), 0).destroy()


@pytest.fixture(scope="module")
def service(environment):
    """A whole service with the server in it, ready; ends with the module."""
    command = [sys.executable, "-m", "shared_accounts.local", "--with-plugin"]
    launcher = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    said = []
    for line in launcher.stdout:
        said.append(line.strip())
        if line.strip().startswith("Ctrl-C"):
            break
    else:
        raise AssertionError("\n".join(said))
    folder = Path(environment["SHARED_ACCOUNTS_HOME"])
    yield lambda: json.loads((folder / "ready.json").read_text()) | {"said": said, "key": _key(folder)}
    launcher.send_signal(signal.SIGTERM)
    assert launcher.wait(60) == 0
    launcher.stdout.close()


def test_ready_json_tells_where_it_is_and_every_process_knows(service, environment):
    facts = service()

    url = f"http://127.0.0.1:{environment['PLUGIN_PORT']}"
    assert facts["plugin_api_base_url"] == url
    assert any(line.split() == ["Plug-in", url] for line in facts["said"])
    assert "plugin" in facts["pids"]
    for name in ("web", "worker", "beat"):
        assert psutil.Process(facts["pids"][name]).environ()["PLUGIN_API_BASE_URL"] == url
    assert _users(facts) == 200


def test_it_comes_back_with_its_users_when_it_is_killed(service):
    before = service()
    headers = {"Authorization": f"Bearer {before['key']}"}
    made = requests.post(
        f"{before['plugin_api_base_url']}/api/users", json={"name": "ada"}, headers=headers, timeout=20
    )

    os.kill(before["pids"]["plugin"], signal.SIGKILL)

    deadline = time.monotonic() + 60
    while service()["pids"]["plugin"] == before["pids"]["plugin"] or _users(service()) != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    hers = {"Authorization": f"Bearer {made.json()['data']['api_key']}"}
    assert requests.get(f"{before['plugin_api_base_url']}/api/user/me", headers=hers, timeout=20).ok


def _key(folder):
    return json.loads((folder / "secrets.json").read_text())["PLUGIN_API_ADMIN_KEY"]


def _users(facts):
    headers = {"Authorization": f"Bearer {facts['key']}"}
    try:
        return requests.get(f"{facts['plugin_api_base_url']}/api/users", headers=headers, timeout=20).status_code
    except requests.ConnectionError:
        return None
